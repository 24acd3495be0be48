//! The keys of rotary positions: `rope_scaling` beside `rope_theta` as older files have them, or both in
//! `rope_parameters`. Where versions of transformers differ, the newer is followed.

use serde_json::{Map, Value};

use crate::checkpoint::Keys;
use crate::layers::RotaryScaling;

/// What the keys say.
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) scaling: RotaryScaling,
    /// How many positions there are, including those that the scaling adds.
    pub(super) positions: usize,
}

const KINDS: [&str; 6] = ["default", "linear", "dynamic", "yarn", "longrope", "llama3"];

/// Reads the keys of a model whose heads are of `head_dim` numbers and that states this many positions.
pub(super) fn read(keys: &mut Keys<'_>, head_dim: usize, positions: usize) -> Rope {
    let theta = theta(keys, 10_000.0);
    let original = keys.or_null("original_max_position_embeddings", |keys, key| {
        keys.has(key).then(|| keys.size(key, None))
    });
    let original = original.flatten();
    let mut inside = |key: &str| {
        let has_some = |map: &&Map<String, Value>| !map.is_empty();
        // Read twice, so that an empty one counts as absent and a wrong one is reported.
        keys.or_null(key, |keys, key| keys.object(key)).flatten().filter(has_some)?;
        keys.inside(key, |keys| {
            let theta = self::theta(keys, theta);
            let ask = Ask { head_dim, positions, theta, original };
            let scaling = ask.scaling(keys);
            Rope { theta, positions: ask.reach(&scaling), scaling }
        })
    };
    let [older, newer] = [inside("rope_scaling"), inside("rope_parameters")];
    older.or(newer).unwrap_or(Rope { theta, scaling: RotaryScaling::None, positions })
}

fn theta(keys: &mut Keys<'_>, default: f64) -> f64 {
    keys.number("rope_theta", default, "above 0", |theta| theta > 0.0)
}

/// What the meaning of a scaling's keys depends on.
struct Ask {
    head_dim: usize,
    positions: usize,
    theta: f64,
    /// `original_max_position_embeddings` beside the scaling; it takes precedence over the one in it.
    original: Option<usize>,
}

impl Ask {
    fn scaling(&self, keys: &mut Keys<'_>) -> RotaryScaling {
        // Heads are rotated whole.
        keys.number("partial_rotary_factor", 1.0, "of 1", |part| part == 1.0);
        match kind(keys) {
            "linear" => RotaryScaling::Linear { factor: above_zero(keys, "factor") },
            "dynamic" => {
                if self.head_dim == 2 {
                    keys.complain("dynamic needs heads of more than 2 numbers".to_owned());
                }
                RotaryScaling::Dynamic {
                    factor: above_zero(keys, "factor"),
                    original: self.positions,
                }
            }
            "llama3" => RotaryScaling::Llama3 {
                factor: above_zero(keys, "factor"),
                low_frequency_factor: above_zero(keys, "low_freq_factor"),
                high_frequency_factor: above_zero(keys, "high_freq_factor"),
                original_positions: keys.size("original_max_position_embeddings", None) as f64,
            },
            "yarn" => self.yarn(keys),
            "longrope" => self.long(keys),
            _ => RotaryScaling::None,
        }
    }

    /// The positions that a model has with a scaling: those of `dynamic` grow with it, and `yarn` reaches its
    /// factor times the original ones even where the file kept their number.
    fn reach(&self, scaling: &RotaryScaling) -> usize {
        let times = |original: usize, factor: f64| (original as f64 * factor) as usize;
        match scaling {
            RotaryScaling::Dynamic { factor, original }
            | RotaryScaling::Yarn { factor, original, .. } => {
                self.positions.max(times(*original, *factor))
            }
            _ => self.positions,
        }
    }

    /// The positions before the scaling.
    fn original(&self, keys: &mut Keys<'_>) -> usize {
        let inside = keys.or_null("original_max_position_embeddings", |keys, key| {
            keys.size(key, Some(self.positions))
        });
        self.original.or(inside).unwrap_or(self.positions)
    }

    fn yarn(&self, keys: &mut Keys<'_>) -> RotaryScaling {
        let original = self.original(keys);
        let ratio = self.positions as f64 / original as f64;
        let factor = keys.or_null("factor", above_zero).unwrap_or(ratio);
        let mscale = |keys: &mut Keys<'_>, key| {
            let value =
                keys.or_null(key, |keys, key| keys.number(key, 0.0, "of 0 or more", |x| x >= 0.0));
            value.filter(|&scale| scale != 0.0)
        };
        let scales = [mscale(keys, "mscale"), mscale(keys, "mscale_all_dim")];
        let scale = |mscale: f64| {
            if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
        };
        let inferred = match scales {
            [Some(some), Some(all)] => scale(some) / scale(all),
            _ => scale(1.0),
        };
        let mut turns = |key, default| {
            let value = keys.or_null(key, |keys, key| {
                keys.number(key, default, "of 0 or more", |turns| turns >= 0.0)
            });
            value.filter(|&turns| turns != 0.0).unwrap_or(default)
        };
        let [fast, slow] = [turns("beta_fast", 32.0), turns("beta_slow", 1.0)];
        if self.theta == 1.0 {
            keys.complain("yarn needs a rope_theta other than 1".to_owned());
        }
        RotaryScaling::Yarn {
            factor,
            attention_factor: attention(keys, inferred),
            fast,
            slow,
            is_whole: keys.or_null("truncate", |keys, key| keys.truth(key, true)).unwrap_or(false),
            original,
        }
    }

    fn long(&self, keys: &mut Keys<'_>) -> RotaryScaling {
        let original = self.original(keys);
        let half = self.head_dim / 2;
        let mut factors = |key| {
            let found = keys.list(key, "a list of numbers above 0", |value| {
                value.as_f64().map(|x| x as f32).filter(|&x| x > 0.0 && x.is_finite())
            });
            match found {
                Some(found) if found.len() != half => {
                    let n = found.len();
                    keys.complain(format!(
                        "'{key}' has {n} numbers, expected {half}, half a head's"
                    ));
                    Vec::new()
                }
                Some(found) => found,
                None => {
                    if !keys.has(key) {
                        keys.complain(format!("missing key '{key}'"));
                    }
                    Vec::new()
                }
            }
        };
        let [short, long] = [factors("short_factor"), factors("long_factor")];
        let ratio = self.positions as f64 / original as f64;
        let stated = keys.or_null("factor", |keys, key| {
            keys.number(key, ratio, "above 0", |factor| factor > 0.0)
        });
        let factor = stated.unwrap_or(ratio);
        let inferred =
            if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() };
        RotaryScaling::Long { short, long, original, attention_factor: attention(keys, inferred) }
    }
}

/// The kind of a scaling; `default` where it is unknown.
fn kind<'a>(keys: &mut Keys<'a>) -> &'a str {
    let [newer, older] = ["rope_type", "type"].map(|key| keys.text(key));
    if let (Some(newer), Some(older)) = (newer, older)
        && newer != older
    {
        keys.complain(format!("rope_type '{newer}' and type '{older}' differ"));
    }
    let kind = newer.or(older).unwrap_or("default");
    if !KINDS.contains(&kind) {
        let known = KINDS.join(", ");
        keys.complain(format!("rope type '{kind}' is not supported; supported are {known}"));
    }
    let is_stated = keys.has("rope_type") || keys.has("type");
    let known = ["rope_theta", "partial_rotary_factor"];
    let unclear = keys.names().find(|key| !is_stated && !known.contains(key));
    if let Some(key) = unclear {
        keys.complain(format!("missing key 'rope_type', which says what '{key}' is for"));
    }
    kind
}

fn above_zero(keys: &mut Keys<'_>, key: &str) -> f64 {
    keys.required_number(key, "above 0", |x| x > 0.0)
}

/// The factor by which cosines and sines are multiplied.
fn attention(keys: &mut Keys<'_>, inferred: f64) -> f64 {
    let stated = keys.or_null("attention_factor", |keys, key| {
        keys.number(key, inferred, "above 0", |factor| factor > 0.0)
    });
    stated.unwrap_or(inferred)
}
