//! What was run, on what, and how: the facts that a trace's file holds beside its columns.

use std::path::{Component, Path};
use std::str::FromStr;

use ee_models::loss::Objective;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;

/// The version of the file format that this build writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// The examples that made a checkpoint, as far as its folder says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// The task's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The split whose examples were learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_split: Option<String>,
    /// The split whose score chose the checkpoint among those of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_on: Option<String>,
}

/// A metric by name, with the signature of how it is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricFacts {
    /// The registered name, e.g. `f1`.
    pub name: String,
    /// What exactly was computed.
    pub signature: String,
}

/// What is special about a trace of generated text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationFacts {
    /// Whether the model was given the gold text, rather than its own greedy one.
    pub teacher_forced: bool,
    /// Entries of the vocabulary: predictions are below it.
    pub vocabulary: usize,
    /// New tokens per example at most.
    pub max_new_tokens: usize,
    /// The format of the weights in memory: `f32`, `f16`, `bf16`.
    pub weights: String,
    /// Examples of this trace whose prompt was cut to fit the model's positions.
    pub truncated: usize,
    /// Layers of the encoder that reads the prompts, where there is one; exits are the decoder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_layers: Option<usize>,
}

impl GenerationFacts {
    /// Whether a text's last token may be one that the model did not choose: the end of a text of the longest length.
    pub(crate) fn may_be_forced(&self, position: u32) -> bool {
        self.encoder_layers.is_some() && position as usize + 1 == self.max_new_tokens
    }
}

/// Which part of a run a trace holds: examples whose number leaves `index − 1` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1 to `count`.
    pub index: u32,
    /// Into how many parts the run was split.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Shard {
    /// The whole run.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether `example` (from 0) belongs to this shard.
    pub(crate) fn holds(self, example: usize) -> bool {
        example % self.count as usize == self.index as usize - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err("expected i/n with i from 1 to n, e.g. 1/4".to_owned()),
        }
    }
}

/// What was run, on what, and how: stored in the file's metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceFacts {
    /// The file format's version, see [`FORMAT`].
    pub format: u32,
    /// The checkpoint's folder as it was given.
    pub model: String,
    /// SHA-256 of the checkpoint's weights, in hexadecimal.
    pub checkpoint_sha256: String,
    /// The architecture, e.g. `bert`.
    pub architecture: String,
    /// How the checkpoint was trained.
    #[serde(with = "objective")]
    pub objective: Option<Objective>,
    /// What the checkpoint's folder says about its training.
    #[serde(default)]
    pub training: TrainedOn,
    /// The task's name.
    pub task: String,
    /// The task's split.
    pub split: String,
    /// The names of the labels, in the order of their numbers; none for generated text.
    pub labels: Vec<String>,
    /// Whether the rows have right answers; a classification may have been asked without them.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub has_gold: bool,
    /// Present for generated text: a row is a new token then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationFacts>,
    /// The task's metrics; the first one leads.
    pub metrics: Vec<MetricFacts>,
    /// The number of exits, N.
    pub layers: usize,
    /// Rows in this trace.
    pub rows: usize,
    /// Examples of the whole run over all its shards, after `--limit`.
    pub examples: usize,
    /// Which part of the run this is.
    pub shard: Shard,
    /// Examples per batch.
    pub batch: usize,
    /// Inputs were cut to this many tokens.
    pub max_length: usize,
    /// The device, e.g. `cpu`.
    pub device: String,
    /// Wall-clock time of the model's run, without loading.
    pub seconds: f64,
    /// Always 0: no trace depends on chance. Files of this format have it.
    pub seed: u64,
    /// The version of ee-eval.
    pub version: String,
}

impl TraceFacts {
    /// What reports call the model: the last `depth` folders of its path, or as many as it has.
    pub(crate) fn model_name(&self, depth: usize) -> String {
        let folders: Vec<_> = Path::new(&self.model)
            .components()
            .filter_map(|part| match part {
                Component::Normal(folder) => Some(folder.to_string_lossy()),
                _ => None,
            })
            .collect();
        match folders.len() {
            0 => self.model.clone(),
            n => folders[n.saturating_sub(depth)..].join("/"),
        }
    }

    /// Says that the checkpoint has seen these examples before, where it has.
    pub(crate) fn chosen_here(&self) -> Option<String> {
        let TrainedOn { task, training_split, chosen_on } = &self.training;
        let is_here = |split: &Option<String>| {
            task.as_ref() == Some(&self.task) && split.as_ref() == Some(&self.split)
        };
        let what = match () {
            () if is_here(training_split) => "taught this checkpoint",
            () if is_here(chosen_on) => "also chose this checkpoint among those of its run",
            () => return None,
        };
        Some(format!(
            "the split `{}` {what}: scores on it are too good, and what is chosen or certified on it holds less for other \
             examples; take a split that neither trained nor chose",
            self.split
        ))
    }

    /// That the trace is one of this checkpoint, task and split.
    pub(crate) fn check_origin(
        &self,
        checksum: &str,
        task: &str,
        split: &str,
    ) -> crate::Result<()> {
        let facts = [
            ("checkpoint_sha256", checksum, &*self.checkpoint_sha256),
            ("task", task, &self.task),
            ("split", split, &self.split),
        ];
        match facts.into_iter().find(|(_, expected, found)| expected != found) {
            None => Ok(()),
            Some((key, expected, found)) => {
                Err(EvalError::OtherTrace { key, expected: expected.into(), found: found.into() })
            }
        }
    }

    /// Layers of the encoder that reads the prompts, where there is one.
    pub(crate) fn encoder_layers(&self) -> Option<usize> {
        self.generation.as_ref().and_then(|generation| generation.encoder_layers)
    }

    /// [`ee_decode::never_leaving`] of these texts.
    pub(crate) fn never_leaving(&self, min_tokens: usize) -> usize {
        ee_decode::never_leaving(min_tokens, self.encoder_layers().is_some())
    }

    /// How many values a prediction may have: labels, or entries of the vocabulary.
    pub(crate) fn outputs(&self) -> usize {
        self.generation.as_ref().map_or(self.labels.len(), |generation| generation.vocabulary)
    }
}

/// Traces that have them do not mention it.
fn yes() -> bool {
    true
}

fn is_yes(flag: &bool) -> bool {
    *flag
}

/// How a checkpoint was trained, of which files say `unknown` where its folder does not say.
pub(crate) mod objective {
    use ee_models::loss::Objective;
    use serde::de::IntoDeserializer;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const UNKNOWN: &str = "unknown";

    pub(crate) fn serialize<S: Serializer>(
        objective: &Option<Objective>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match objective {
            Some(objective) => objective.serialize(serializer),
            None => serializer.serialize_str(UNKNOWN),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Objective>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == UNKNOWN {
            return Ok(None);
        }
        Objective::deserialize(text.into_deserializer()).map(Some)
    }

    /// What tables call it.
    pub(crate) fn word(objective: Option<Objective>) -> &'static str {
        match objective {
            Some(objective) if objective.is_joint() => objective.name,
            Some(_) => "plain",
            None => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_count_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for text in ["0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
