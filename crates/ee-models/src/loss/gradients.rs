//! The gradients of many small backward passes, gathered in one container.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Tensor};

/// Gradients so far.
pub(super) struct Gathered(Option<Gradients>);

impl Gathered {
    /// Goes on from the gradients of earlier passes.
    pub(super) fn new(earlier: Option<Gradients>) -> Self {
        Self(earlier)
    }

    /// Adds the parameters' gradients of one backward pass.
    pub(super) fn add<M: Module>(&mut self, model: &M, further: Gradients) {
        match &mut self.0 {
            None => self.0 = Some(further),
            Some(total) => model.visit(&mut Move { total, further }),
        }
    }

    /// Takes a parameter's gradient out, to be added to in place.
    pub(super) fn take<const D: usize>(&mut self, parameter: &Tensor<D>) -> Option<Tensor<D>> {
        self.0.as_mut().and_then(|total| parameter.grad_remove(total))
    }

    /// Puts a parameter's gradient in, replacing what was there.
    pub(super) fn put<const D: usize>(&mut self, parameter: &Tensor<D>, gradient: Tensor<D>) {
        let total = self.0.as_mut().expect("a backward pass was gathered before");
        parameter.grad_replace(total, gradient);
    }

    /// Everything gathered.
    pub(super) fn finish(self) -> Option<Gradients> {
        self.0
    }
}

struct Move<'a> {
    total: &'a mut Gradients,
    further: Gradients,
}

impl ModuleVisitor for Move<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parameter = param.val();
        let Some(further) = parameter.grad_remove(&mut self.further) else { return };
        let sum = match parameter.grad_remove(self.total) {
            // The plain bodies give gradients of 16-bit weights in their format, the CPU's give F32.
            Some(total) if total.dtype() != further.dtype() => {
                total.cast(DType::F32) + further.cast(DType::F32)
            }
            Some(total) => total + further,
            None => further,
        };
        parameter.grad_replace(self.total, sum);
    }
}
