//! Where a threshold or plan comes from.

use serde::Serialize;

/// Where a threshold or plan comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// The shallowest exits that keep the share of tokens on the half that chooses.
    Keep,
    /// The shallowest exits that keep the share of whole texts on it: what metrics of whole answers need.
    KeepTexts,
    /// Certified on it, all such settings together with the stated confidence.
    Guarantee,
    /// The agreement of an exit measured on it.
    Agreement,
    /// Chosen while decoding.
    Adaptive,
}

impl Origin {
    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keep => "keeps the share of tokens",
            Self::KeepTexts => "keeps the share of texts",
            Self::Guarantee => "guaranteed",
            Self::Agreement => "agreement",
            Self::Adaptive => "adaptive",
        }
    }
}
