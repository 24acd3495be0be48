//! The CPU bodies as operations of Burn's Flex backend, with their own backward passes.
//!
//! An operation gets contiguous F32 primitives and says what its backward pass needs; [`apply`] finds out
//! whether its inputs are tracked and registers the step with Burn's autodiff if so. Where an input is on
//! another backend or has another type, `apply` declines and the caller takes the plain body.

mod attention;
mod embedding;
mod feed_forward;
mod head;
mod linear;
mod norm;
mod optimizer;
mod rotary;

pub(super) use attention::{attention, copy_slots, write_cache};
pub(super) use embedding::{dropout, embedding};
pub(super) use feed_forward::{activate, feed_forward, silu_product};
pub(super) use head::{head_loss, pull, row_statistics};
pub(super) use linear::{project, settle};
pub(super) use norm::{add_rms_norm, residual_norm, rms_norm};
pub(super) use optimizer::{adamw, sum_of_squares};
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
use ee_kernels::WeightData;
use half::{bf16, f16};

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

/// A tensor as an operation's input, or `None` when it is not an F32 tensor of this backend.
fn input<const D: usize>(tensor: &Tensor<D>) -> Option<Input> {
    if tensor.dtype() == DType::F32 { stored_input(tensor) } else { None }
}

/// A tensor in any format as an operation's input, or `None` when it is on another backend.
fn stored_input<const D: usize>(tensor: &Tensor<D>) -> Option<Input> {
    if tensor.is_tracked() {
        tensor.clone().try_into_primitive::<Tracked>().ok().map(Input::Tracked)
    } else {
        // A frozen parameter is a constant, whether or not its device differentiates.
        tensor.clone().inner().try_into_primitive::<Flex>().ok().map(Input::Plain)
    }
}

/// An input that may be absent: it is then empty.
fn optional<const D: usize>(tensor: Option<&Tensor<D>>) -> Option<Input> {
    tensor.map_or_else(|| Some(Input::Plain(primitive(Vec::new(), [0]))), input)
}

/// The numbers of an [`optional`] input.
fn present(tensor: &FlexTensor) -> Option<&[f32]> {
    Some(values(tensor)).filter(|numbers| !numbers.is_empty())
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

/// A contiguous primitive of an untracked tensor of this backend.
fn untracked<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.is_tracked() {
        return None;
    }
    Some(tensor.clone().inner().try_into_primitive::<Flex>().ok()?.to_contiguous())
}

/// The same, which must be F32.
fn numbers<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    (tensor.dtype() == DType::F32).then(|| untracked(tensor))?
}

/// An untracked tensor that takes over a buffer.
fn output<const D: usize>(buffer: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive(buffer, shape))
}

/// A weight in its own format.
fn stored(weight: &FlexTensor) -> Option<WeightData<'_>> {
    match weight.dtype() {
        DType::F32 => Some(WeightData::F32(weight.as_slice()?)),
        DType::F16 => Some(WeightData::F16(weight.as_slice::<f16>()?)),
        DType::BF16 => Some(WeightData::Bf16(weight.as_slice::<bf16>()?)),
        _ => None,
    }
}
