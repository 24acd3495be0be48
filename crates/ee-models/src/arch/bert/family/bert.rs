use super::{EncoderFamily, HeadNames, KIND};
use crate::arch::Facts;
use crate::checkpoint::Naming;

/// BERT (Devlin et al. 2019): its head reads the pooler, which belongs to the encoder.
pub const BERT: EncoderFamily = EncoderFamily {
    facts: Facts {
        model_type: "bert",
        class: "BertForSequenceClassification",
        kind: KIND,
        naming: Naming {
            prefix: "bert",
            layers: "encoder.layer.",
            head: &["bert.pooler.", "classifier."],
            // Heads of pre-training and of question answering are not part of a classifier.
            unused: |name| {
                name == "embeddings.position_ids"
                    || ["cls.", "qa_outputs."].iter().any(|part| name.starts_with(part))
            },
        },
    },
    padding: 0,
    counts_from_padding: false,
    head: HeadNames { dense: "bert.pooler.dense", output: "classifier", drops_before: false },
};
