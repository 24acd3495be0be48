use super::{EncoderFamily, ROBERTA};
use crate::arch::Facts;

/// XLM-R (Conneau et al. 2020): RoBERTa with another vocabulary.
pub const XLM_ROBERTA: EncoderFamily = EncoderFamily {
    facts: Facts {
        model_type: "xlm-roberta",
        class: "XLMRobertaForSequenceClassification",
        ..ROBERTA.facts
    },
    ..ROBERTA
};
