//! What encoder-decoders differ in, whatever family writes it down.

use crate::kernels::Activation;

/// The shape of an encoder-decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Entries of the table that the encoder reads with.
    pub source_vocabulary: usize,
    /// Entries of the decoder's table and of the head.
    pub target_vocabulary: usize,
    /// Which of the three tables are one.
    pub sharing: Sharing,
    /// The token that fills rows up.
    pub padding: usize,
    /// Whether the padding's vector is learned where it is read: where texts begin with it, PyTorch's tables that
    /// know their padding keep it out.
    pub learns_padding: bool,
    /// Width of the state.
    pub d_model: usize,
    /// The encoder's layers.
    pub encoder: StackSizes,
    /// The decoder's layers.
    pub decoder: StackSizes,
    /// Positions that the model was made for; as many as wanted if absent.
    pub max_positions: Option<usize>,
    /// How tokens know where they stand.
    pub positions: Positions,
    /// Which norm there is.
    pub norm: NormKind,
    /// ε of the norms.
    pub epsilon: f64,
    /// Whether a layer's parts normalise what they read (pre-norm) or the sums that they give (post-norm).
    pub norm_first: bool,
    /// Whether each stack's last state is normalised for its readers.
    pub final_norm: bool,
    /// Whether the embedding is normalised.
    pub embedding_norm: bool,
    /// Whether tokens' vectors are multiplied by √d_model.
    pub scale_embedding: bool,
    /// Whether scores are divided by √head_dim.
    pub scale_scores: bool,
    /// Whether what the head reads is multiplied by d_model^−½.
    pub scale_head: bool,
    /// Whether linear layers have biases; the head has none of its own.
    pub has_biases: bool,
    /// The function between the feed-forward network's layers.
    pub activation: Activation,
    /// Whether that function's output is multiplied by a third layer's.
    pub is_gated: bool,
    /// What is dropped in training.
    pub dropouts: Dropouts,
    /// How new parameters start.
    pub start: Start,
}

/// Sizes of one stack of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSizes {
    /// Number of layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Width of the feed-forward network.
    pub inner: usize,
}

/// Which of the encoder's table, the decoder's table and the head are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All three.
    All,
    /// The two tables.
    Tables,
    /// The decoder's table and the head.
    Decoder,
    /// None.
    Nothing,
}

impl Sharing {
    /// By whether both tables are one, and whether the head is the decoder's.
    pub(super) fn of(tables: bool, head: bool) -> Self {
        match (tables, head) {
            (true, true) => Self::All,
            (true, false) => Self::Tables,
            (false, true) => Self::Decoder,
            (false, false) => Self::Nothing,
        }
    }

    /// Whether encoder and decoder have one table.
    pub fn shares_tables(self) -> bool {
        matches!(self, Self::All | Self::Tables)
    }

    /// Whether the head is the decoder's table.
    pub fn ties_head(self) -> bool {
        matches!(self, Self::All | Self::Decoder)
    }
}

/// How tokens know where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// A table per stack, the first `offset` entries of which no position has.
    Learned {
        /// Entries before the first position's.
        offset: usize,
    },
    /// [sin | cos] of p · 10000^(−2i / d_model), from p = 0 (Vaswani et al. 2017, as Marian lays them out).
    Marian,
    /// [sin | cos] of p · 10000^(−i / (d_model / 2 − 1)), from p = padding + 1; the padding token has none and is
    /// not counted (fairseq, tensor2tensor).
    Fairseq,
    /// A bias of every head's scores that depends on the distance (Raffel et al. 2020).
    Relative {
        /// Distances that are told apart.
        buckets: usize,
        /// From this one on all are one.
        distance: usize,
    },
    /// Not at all.
    None,
}

/// A norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Layer normalization (Ba et al. 2016).
    Layer,
    /// Root-mean-square norm (Zhang & Sennrich 2019).
    Rms,
}

/// Probabilities of dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropouts {
    /// Of embeddings and of what a layer's parts add.
    pub hidden: f64,
    /// Of attention's probabilities.
    pub attention: f64,
    /// Of what the feed-forward network's function gives.
    pub activation: f64,
    /// Of what the head reads.
    pub head: f64,
}

/// How new parameters start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As fairseq's: matrices even after Glorot & Bengio (2010), those of queries, keys and values with gain
    /// 1/√2, tables normal with deviation d_model^−½.
    Fairseq,
    /// As T5's: normal, each matrix with a deviation of its own that makes up for what is not scaled.
    T5,
}
