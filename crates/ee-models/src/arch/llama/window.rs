//! How families state which layers attend to a window of the latest slots.

use serde_json::Value;

use crate::checkpoint::Keys;

/// Which layers have a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Windowed {
    /// All.
    All,
    /// Those from this one on, counted from 0.
    From(usize),
    /// Those that are marked.
    Listed(Vec<bool>),
}

/// `sliding_window` where it is not stated.
const WINDOW: usize = 4096;
/// `max_window_layers` where it is not stated.
const FIRST_WINDOWED: usize = 28;

/// Not at all; the keys mean nothing.
pub(super) fn none(_keys: &mut Keys<'_>, _layers: usize) -> (Option<usize>, Windowed) {
    (None, Windowed::All)
}

/// By `sliding_window`, for all layers. transformers makes a Ministral of a Mistral that lists its layers.
pub(super) fn of_all_layers(keys: &mut Keys<'_>, layers: usize) -> (Option<usize>, Windowed) {
    let window = size(keys);
    let listed = layer_types(keys, layers);
    listed_or(keys, window, listed, Windowed::All, "'sliding_window' is null")
}

/// By `use_sliding_window` and `sliding_window`, for the layers of `layer_types` or those from
/// `max_window_layers` on.
pub(super) fn of_some_layers(keys: &mut Keys<'_>, layers: usize) -> (Option<usize>, Windowed) {
    let is_used = keys.truth("use_sliding_window", false);
    let window = size(keys).filter(|_| is_used);
    let first = keys.index("max_window_layers", FIRST_WINDOWED);
    let listed = layer_types(keys, layers);
    let why = "'use_sliding_window' is not true or 'sliding_window' is null";
    listed_or(keys, window, listed, Windowed::From(first), why)
}

fn size(keys: &mut Keys<'_>) -> Option<usize> {
    keys.or_null("sliding_window", |keys, key| keys.size(key, Some(WINDOW)))
}

/// The listed layers where there is a list; windows must not be named where `why` says there are none.
fn listed_or(
    keys: &mut Keys<'_>,
    window: Option<usize>,
    listed: Option<Vec<bool>>,
    unlisted: Windowed,
    why: &str,
) -> (Option<usize>, Windowed) {
    match (window, listed) {
        (window, None) => (window, unlisted),
        (None, Some(listed)) => {
            if listed.contains(&true) {
                keys.complain(format!("'layer_types' names sliding_attention, but {why}"));
            }
            (None, Windowed::All)
        }
        (window, Some(listed)) => (window, Windowed::Listed(listed)),
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
