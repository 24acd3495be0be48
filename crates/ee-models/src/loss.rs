//! Every exit's loss through the shared head.

use burn::tensor::{Int, Tensor, TensorData, activation, s};

use crate::exit::{Batch, DropoutKey, ExitModel};

/// Which exits' losses are minimized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The last exit's loss alone.
    Final,
    /// The plain sum of all exits' losses (BranchyNet, Teerapittayanon et al. 2016).
    Joint,
}

/// The objective's value and the loss of each exit, in nats.
#[derive(Clone, Debug)]
pub struct Losses {
    /// What is minimized; carries the graph.
    pub objective: Tensor<1>,
    /// Mean cross-entropy of the exits 1..=N, `[exits]`.
    pub exits: Tensor<1>,
}

/// Runs the model on a batch and takes every exit's mean cross-entropy, L_d = −mean log p_d(label).
///
/// The head reads all exits in one product. Under [`Objective::Final`] the states before the last are
/// detached: their losses are watched and cost the backbone no backward pass.
///
/// # Panics
/// When there is not one label per row.
pub fn losses<M: ExitModel>(
    model: &M,
    batch: &Batch,
    labels: &[usize],
    objective: Objective,
    dropout: Option<DropoutKey>,
) -> Losses {
    assert_eq!(labels.len(), batch.n_rows(), "one label per row");
    let mut states = model.exit_states(batch, dropout);
    let n_exits = states.len();
    if objective == Objective::Final {
        let last = states.pop().expect("a model has at least one layer");
        states = states.into_iter().map(Tensor::detach).collect();
        states.push(last);
    }
    let logits = model.read(Tensor::cat(states, 0), dropout);
    let exits = cross_entropy(logits, labels, n_exits);
    let objective = match objective {
        Objective::Final => exits.clone().slice(s![n_exits - 1..]),
        Objective::Joint => exits.clone().sum(),
    };
    Losses { objective, exits }
}

/// Mean cross-entropy of each exit, `[exits * batch, labels]` → `[exits]`.
fn cross_entropy(logits: Tensor<2>, labels: &[usize], n_exits: usize) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let gold: Vec<i64> =
        (0..n_exits).flat_map(|_| labels.iter().map(|&label| label as i64)).collect();
    let gold = Tensor::<2, Int>::from_data(TensorData::new(gold, [rows, 1]), &logits.device());
    let log_probability = activation::log_softmax(logits, 1).gather(1, gold);
    log_probability.neg().reshape([n_exits, labels.len()]).mean_dim(1).reshape([n_exits])
}
