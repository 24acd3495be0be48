use super::{FSMT, Seq2SeqFamily, facts};

/// What fairseq trains and no family of transformers says: read from its own checkpoints alone, and not written.
pub(in crate::arch) const FAIRSEQ: Seq2SeqFamily =
    Seq2SeqFamily { facts: facts("fairseq_transformer", "none of transformers' classes"), ..FSMT };
