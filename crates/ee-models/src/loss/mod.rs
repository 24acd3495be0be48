//! Every exit's loss through the shared head, and its exact gradient in bounded memory.
//!
//! The layers are differentiated one by one: each runs on a detached state, so that its graph is its own
//! and is gone as soon as the gradient has passed it. The head reads an exit on the way back, when the
//! layers above have been freed, a chunk of states at a time: no more than one chunk of one exit's logits is
//! ever held, and a joint step needs no more memory than a plain one.

mod gradients;
mod head;
mod objective;
mod pass;

#[cfg(test)]
mod tests;

pub use self::head::LOGIT_BYTES;
pub use self::objective::{OBJECTIVES, Objective};
pub use self::pass::{evaluate, pass, pass_onto};

use burn::tensor::Gradients;

use crate::exit::{Batch, DropoutKey};

/// Which states of a batch the head reads, and the right answer at each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    places: Vec<usize>,
    labels: Vec<u32>,
}

impl Targets {
    /// Places are row · width + position in the row.
    ///
    /// # Panics
    /// When there is not one label per place, or places are not increasing.
    pub fn new(places: Vec<usize>, labels: Vec<u32>) -> Self {
        assert_eq!(places.len(), labels.len(), "one label per place");
        assert!(places.is_sorted_by(|a, b| a < b), "places rise");
        Self { places, labels }
    }

    /// The first position of each row, which classifiers read.
    ///
    /// # Panics
    /// When there is not one label per row.
    pub fn first_positions(batch: &Batch, labels: &[usize]) -> Self {
        assert_eq!(labels.len(), batch.n_rows(), "one label per row");
        let places = (0..batch.n_rows()).map(|row| row * batch.width()).collect();
        Self { places, labels: labels.iter().map(|&label| label as u32).collect() }
    }

    /// Where the states lie, rising.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The right output at each place.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no places.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// The settings of one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct PassConfig {
    /// The weights of the exits 1..=N in the objective.
    pub weights: Vec<f64>,
    /// Whether exits of weight 0 are also read.
    pub watch: bool,
    /// Where dropout masks come from; `None` drops nothing.
    pub dropout: Option<DropoutKey>,
    /// Gradients are those of `scale` · Σ weight · smoothed loss.
    pub scale: f64,
    /// The share of the weight that labels give to the other outputs (see [`ee_kernels::cross_entropy`]).
    pub label_smoothing: f64,
    /// Whether a layer's input alone is kept and the layer is run again on the way back (Chen et al. 2016): memory
    /// of one layer for the time of one more forward pass.
    pub gradient_checkpointing: bool,
}

/// What one exit says about the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExitReading {
    /// Mean cross-entropy, in nats: −mean log p(label).
    pub loss: f64,
    /// The same of smoothed labels: what is minimized. [`ExitReading::loss`] where nothing is smoothed.
    pub smoothed: f64,
    /// Share of the places whose argmax (ties: lowest id) is the label.
    pub accuracy: f64,
}

/// Where the time of a pass went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassSeconds {
    /// The layers and the embedding, forward and backward.
    pub layers: f64,
    /// The head, at every exit that was read.
    pub heads: f64,
}

/// The result of one forward and backward pass.
pub struct Pass {
    /// The exits 1..=N; `None` where an exit was not read.
    pub exits: Vec<Option<ExitReading>>,
    /// For every parameter that requires one and affects the loss.
    pub gradients: Gradients,
    /// Where the time went.
    pub seconds: PassSeconds,
}
