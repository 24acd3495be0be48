use super::{EncoderFamily, HeadNames, KIND};
use crate::arch::Facts;
use crate::checkpoint::Naming;

/// RoBERTa (Liu et al. 2019): BERT's layers with a head of its own, and positions that start after the padding id.
pub(super) const ROBERTA: EncoderFamily = EncoderFamily {
    facts: Facts {
        model_type: "roberta",
        class: "RobertaForSequenceClassification",
        kind: KIND,
        naming: Naming {
            prefix: "roberta",
            layers: "encoder.layer.",
            head: &["classifier."],
            unused: |name| {
                name == "embeddings.position_ids"
                    || ["pooler.", "lm_head.", "qa_outputs."]
                        .iter()
                        .any(|part| name.starts_with(part))
            },
        },
    },
    padding: 1,
    counts_from_padding: true,
    head: HeadNames {
        dense: "classifier.dense",
        output: "classifier.out_proj",
        drops_before: true,
    },
};
