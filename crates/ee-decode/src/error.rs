/// What can go wrong between a setting as typed and a text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is not in its registry.
    #[error("unknown {what} `{name}`{hint}")]
    Unknown {
        /// What it should name.
        what: &'static str,
        /// What was typed.
        name: String,
        /// The nearest known name and the whole list.
        hint: String,
    },
    /// Settings that do not go together or do not fit the model.
    #[error("{reason}")]
    Setting {
        /// What was given and what was expected.
        reason: String,
    },
    /// A gate given without a threshold, or with one that is not a number.
    #[error("gate `{text}`: {reason}")]
    GateSyntax {
        /// What was typed.
        text: String,
        /// What was expected.
        reason: String,
    },
    /// A threshold at which the gate can never leave before the last exit.
    #[error("gate `{gate}:{threshold}` can never fire: {rule}, and here that needs T {bound}")]
    NeverFires {
        /// The gate.
        gate: &'static str,
        /// The threshold given.
        threshold: f32,
        /// The gate's rule.
        rule: &'static str,
        /// The bound that a threshold must keep.
        bound: String,
    },
    /// A prompt that cannot be continued, states or logits that are not finite, or a bad file of a fitted gate.
    #[error(transparent)]
    Model(#[from] ee_models::Error),
}

impl Error {
    /// Whether it lies in what was typed.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Model(_))
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
