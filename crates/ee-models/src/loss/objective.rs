//! Which exits' losses are minimized: the registry of objectives.
//!
//! An objective is one entry of [`OBJECTIVES`]. Run files, folders of runs, `ee_training.json` and reports ask
//! the entry for what they say of it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Which exits' losses are minimized, and how much each counts.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// Its name in run files and in `ee_training.json`.
    pub name: &'static str,
    /// What it minimizes, in a line.
    pub help: &'static str,
    weights: fn(usize) -> Vec<f64>,
}

/// Every objective; the first is what a run file without one means.
pub const OBJECTIVES: &[Objective] = &[Objective::FINAL, Objective::JOINT];

impl Objective {
    /// The last exit's loss alone.
    pub const FINAL: Self = Self {
        name: "final",
        help: "the last exit's loss",
        weights: |n_exits| (1..=n_exits).map(|exit| f64::from(exit == n_exits)).collect(),
    };

    /// The plain sum of all exits' losses (BranchyNet, Teerapittayanon et al. 2016).
    pub const JOINT: Self = Self {
        name: "joint",
        help: "the sum of every exit's loss",
        weights: |n_exits| vec![1.0; n_exits],
    };

    /// What the exits 1..=N count.
    pub fn weights(&self, n_exits: usize) -> Vec<f64> {
        (self.weights)(n_exits)
    }

    /// Whether exits before the last also learn.
    pub fn is_joint(&self) -> bool {
        self.weights(2)[0] != 0.0
    }

    /// The objective of a name.
    pub fn named(name: &str) -> Option<Self> {
        OBJECTIVES.iter().find(|objective| objective.name == name).copied()
    }
}

impl PartialEq for Objective {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Objective {}

impl Serialize for Objective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = String::deserialize(input)?;
        Self::named(&name).ok_or_else(|| {
            let known: Vec<_> = OBJECTIVES.iter().map(|objective| objective.name).collect();
            D::Error::custom(format!("unknown objective `{name}`, expected {}", known.join(" or ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_counts_the_last_exit_and_reads_back() {
        for objective in OBJECTIVES {
            assert!(objective.weights(3)[2] > 0.0 && objective.weights(3).len() == 3);
            let text = serde_json::to_string(objective).unwrap();
            assert_eq!(serde_json::from_str::<Objective>(&text).unwrap(), *objective);
        }
        assert_eq!(Objective::FINAL.weights(3), [0.0, 0.0, 1.0]);
        assert_eq!(Objective::JOINT.weights(2), [1.0, 1.0]);
        assert!(serde_json::from_str::<Objective>("\"jont\"").is_err());
    }
}
