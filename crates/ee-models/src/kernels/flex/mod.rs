//! The CPU bodies as operations of Burn's Flex backend, with their own backward passes.
//!
//! An operation gets contiguous F32 primitives and says what its backward pass needs; [`apply`] finds out
//! whether its inputs are tracked and registers the step with Burn's autodiff if so. Where an input is on
//! another backend or has another type, `apply` declines and the caller takes the plain body.

mod attention;
mod causal;
mod decoder;
mod dropout;
mod embedding;
mod feed_forward;
mod gate;
mod head;
mod linear;
mod norm;
mod optimizer;
mod project;
mod rms_norm;
mod rotary;

pub(super) use attention::attention;
pub(super) use causal::causal_attention;
pub(super) use decoder::{row_statistics, settle, write_cache};
pub(super) use dropout::dropout;
pub(super) use embedding::embedding;
pub(super) use feed_forward::feed_forward;
pub(super) use gate::silu_product;
pub(super) use head::{head_loss, pull};
pub(super) use linear::linear;
pub(super) use norm::residual_norm;
pub(super) use optimizer::{adamw, sum_of_squares};
pub(super) use project::project;
pub(super) use rms_norm::{add_rms_norm, rms_norm};
pub(super) use rotary::rotate;

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn::tensor::{Bytes, DType, Shape, Tensor};

type Tracked = Autodiff<Flex, NoCheckpointing>;

/// An operation on N float tensors with a backward pass of its own.
trait Operation<const N: usize>: Debug + Send + 'static {
    /// What the backward pass needs beside the gradient.
    type Saved: Clone + Debug + Send + 'static;

    /// The output; inputs are contiguous and came as [`input`] or [`stored_input`] let them.
    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved);

    /// The gradient of each input; `None` where it is not wanted.
    fn backward(
        self,
        saved: Self::Saved,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// An input on its way into an operation.
enum Input {
    Plain(FlexTensor),
    Tracked(FloatTensor<Tracked>),
}

impl Input {
    fn primitive(&self) -> &FlexTensor {
        match self {
            Self::Plain(tensor) => tensor,
            Self::Tracked(tensor) => tensor.primitive(),
        }
    }
}

/// A tensor as an operation's input, or `None` when it is no F32 tensor of this backend.
fn input<const D: usize>(tensor: &Tensor<D>) -> Option<Input> {
    if tensor.dtype() == DType::F32 { stored_input(tensor) } else { None }
}

/// A tensor in any format as an operation's input, or `None` when it is on another backend.
fn stored_input<const D: usize>(tensor: &Tensor<D>) -> Option<Input> {
    if tensor.is_tracked() {
        tensor.clone().try_into_primitive::<Tracked>().ok().map(Input::Tracked)
    } else {
        // A frozen parameter is a constant, whether its device differentiates or not.
        tensor.clone().inner().try_into_primitive::<Flex>().ok().map(Input::Plain)
    }
}

/// Runs an operation, recorded when one of its inputs is tracked; `None` when one is not there.
fn apply<O: Operation<N>, const N: usize, const D: usize>(
    operation: O,
    inputs: [Option<Input>; N],
) -> Option<Tensor<D>> {
    let inputs: Vec<Input> = inputs.into_iter().collect::<Option<_>>()?;
    let is_tracked = inputs.iter().any(|input| matches!(input, Input::Tracked(_)));
    let mut plain = Vec::with_capacity(N);
    let mut nodes = Vec::with_capacity(N);
    for input in inputs {
        let tracked = match input {
            Input::Plain(tensor) if !is_tracked => {
                plain.push(tensor.to_contiguous());
                continue;
            }
            Input::Plain(tensor) => <Tracked as AutodiffBackend>::from_inner(tensor),
            Input::Tracked(tensor) => tensor,
        };
        let (tensor, node) = tracked.into_parts();
        plain.push(tensor.to_contiguous());
        nodes.push(node);
    }
    let plain = plain.try_into().expect("as many as there were");
    if !is_tracked {
        return Some(Tensor::from_primitive::<Flex>(operation.forward(plain).0));
    }
    let nodes = nodes.try_into().expect("as many as there were");
    let (output, saved) = operation.forward(plain);
    let prepared = Step(operation).prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    let output = match prepared {
        OpsKind::Tracked(step) => step.finish(saved, output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    Some(Tensor::from_primitive::<Tracked>(output))
}

/// An operation's backward pass as a step of Burn's graph.
#[derive(Debug)]
struct Step<O>(O);

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = O::Saved;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let results = self.0.backward(ops.state, values(&gradient), wanted);
        drop(gradient);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(result)) = (parent, result) {
                gradients.register::<Flex>(parent.id, result);
            }
        }
    }
}

/// The values of a contiguous F32 primitive.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("inputs were made contiguous F32")
}

/// A primitive that takes over a buffer.
fn primitive(buffer: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(buffer), Layout::contiguous(shape.into()), DType::F32)
}

/// Rows and columns of a 2-D primitive.
fn dims(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}
