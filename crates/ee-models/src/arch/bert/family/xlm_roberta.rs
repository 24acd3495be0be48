use super::EncoderFamily;
use super::roberta::ROBERTA;
use crate::arch::Facts;

/// XLM-R (Conneau et al. 2020): RoBERTa with another vocabulary.
pub(super) const XLM_ROBERTA: EncoderFamily = EncoderFamily {
    facts: Facts {
        model_type: "xlm-roberta",
        class: "XLMRobertaForSequenceClassification",
        ..ROBERTA.facts
    },
    ..ROBERTA
};
