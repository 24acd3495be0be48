//! What the families that share Llama's layers do otherwise, and what their keys mean where a configuration
//! lacks them: the defaults of the configuration classes of transformers, on which
//! scripts/goldens_config_defaults.py and tests/configs.rs hold an eye.

use serde_json::Value;

use super::config::Windowed;
use super::special::SpecialTokens;
use crate::checkpoint::Keys;

/// One family.
#[derive(Debug)]
pub(crate) struct Family {
    pub(super) bias: Bias,
    pub(super) windows: Windows,
    /// `num_key_value_heads`; as many as heads if absent.
    pub(super) kv_heads: Option<usize>,
    /// `max_position_embeddings`
    pub(super) positions: usize,
    /// `bos_token_id` and `eos_token_id`
    pub(super) special: Option<[u32; 2]>,
}

/// Which projections have a bias.
#[derive(Debug)]
pub(super) enum Bias {
    /// As the keys say.
    Stated,
    /// Queries, keys and values, whatever the keys say.
    Inputs,
    /// None, whatever the keys say.
    None,
}

/// How windows are stated.
#[derive(Debug)]
pub(super) enum Windows {
    /// Not at all; the keys mean nothing.
    None,
    /// By `sliding_window`, for all layers.
    All,
    /// By `use_sliding_window` and `sliding_window`, for the layers of `layer_types` or those from
    /// `max_window_layers` on.
    Some,
}

/// `sliding_window` where it is not stated.
const WINDOW: usize = 4096;
/// `max_window_layers` where it is not stated.
const FIRST_WINDOWED: usize = 28;

impl Family {
    /// Whether there are biases in attention's inputs, in its output, and in the feed-forward network.
    pub(super) fn biases(&self, keys: &mut Keys<'_>) -> [bool; 3] {
        match self.bias {
            Bias::None => [false; 3],
            Bias::Inputs => [true, false, false],
            Bias::Stated => {
                let attention = keys.truth("attention_bias", false);
                [attention, attention, keys.truth("mlp_bias", false)]
            }
        }
    }

    /// The window, if there is one, and the layers that have it.
    pub(super) fn windows(&self, keys: &mut Keys<'_>, layers: usize) -> (Option<usize>, Windowed) {
        let size = |keys: &mut Keys<'_>| {
            keys.or_null("sliding_window", |keys, key| keys.size(key, Some(WINDOW)))
        };
        match self.windows {
            Windows::None => (None, Windowed::All),
            Windows::All => match (size(keys), layer_types(keys, layers)) {
                (window, None) => (window, Windowed::All),
                // transformers makes a Ministral of a Mistral that lists its layers.
                (Some(window), Some(windowed)) => (Some(window), Windowed::Listed(windowed)),
                (None, Some(windowed)) => {
                    if windowed.contains(&true) {
                        keys.complain(
                            "'layer_types' names sliding_attention, but 'sliding_window' is null"
                                .to_owned(),
                        );
                    }
                    (None, Windowed::All)
                }
            },
            Windows::Some => {
                let is_used = keys.truth("use_sliding_window", false);
                let window = size(keys).filter(|_| is_used);
                let first = keys.index("max_window_layers", FIRST_WINDOWED);
                match layer_types(keys, layers) {
                    Some(windowed) if window.is_none() && windowed.contains(&true) => {
                        keys.complain(
                            "'layer_types' names sliding_attention, but 'use_sliding_window' is not \
                             true or 'sliding_window' is null"
                                .to_owned(),
                        );
                        (None, Windowed::All)
                    }
                    Some(windowed) => (window, Windowed::Listed(windowed)),
                    None => (window, Windowed::From(first)),
                }
            }
        }
    }

    /// The special tokens that a configuration stated, with the family's where it has no such key.
    pub(super) fn special(
        &self,
        stated: SpecialTokens,
        keys: &Keys<'_>,
        vocab_size: usize,
    ) -> SpecialTokens {
        let SpecialTokens { mut beginning, mut ends } = stated;
        let known = |id: &u32| (*id as usize) < vocab_size;
        if let Some([first, last]) = self.special {
            if !keys.has("bos_token_id") {
                beginning = Some(first).filter(known);
            }
            if !keys.has("eos_token_id") {
                ends = Some(last).filter(known).into_iter().collect();
            }
        }
        SpecialTokens { beginning, ends }
    }
}

/// Per layer whether it has the window; `None` where no list says.
fn layer_types(keys: &mut Keys<'_>, layers: usize) -> Option<Vec<bool>> {
    let expected = "a list of 'full_attention' and 'sliding_attention'";
    let types = keys.or_null("layer_types", |keys, key| {
        keys.list(key, expected, |kind: &Value| match kind.as_str()? {
            "full_attention" => Some(false),
            "sliding_attention" => Some(true),
            _ => None,
        })
    });
    let types = types.flatten()?;
    if types.len() != layers {
        let named = types.len();
        keys.complain(format!("'layer_types' names {named} layers, num_hidden_layers is {layers}"));
        return None;
    }
    Some(types)
}
