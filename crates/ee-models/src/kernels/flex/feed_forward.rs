//! Both linear layers and their activation as one operation: the backward pass needs the input and
//! W₁ x + b₁, and recomputes the activation's output, the widest tensor of a layer.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::arguments::{Activation, Weight};
use super::{Operation, apply, dims, input, linear, primitive, values};

pub(in crate::kernels) fn feed_forward(
    state: &Tensor<2>,
    up: &Weight,
    down: &Weight,
    activation: Activation,
) -> Option<Tensor<2>> {
    let ([up, up_bias], [down, down_bias]) = (linear::parameters(up), linear::parameters(down));
    apply(FeedForward(activation), [input(state), up, up_bias, down, down_bias])
}

#[derive(Debug)]
struct FeedForward(Activation);

#[derive(Clone, Debug)]
struct Saved {
    state: FlexTensor,
    up_weight: FlexTensor,
    inner: FlexTensor,
    down_weight: FlexTensor,
}

impl FeedForward {
    fn activated(&self, inner: &FlexTensor) -> FlexTensor {
        let mut activated = vec![0.0; values(inner).len()];
        ee_kernels::activation_forward(self.0, values(inner), &mut activated);
        primitive(activated, dims(inner))
    }
}

impl Operation<5> for FeedForward {
    type Saved = Saved;

    fn forward(&self, inputs: [FlexTensor; 5]) -> (FlexTensor, Saved) {
        let [state, up_weight, up_bias, down_weight, down_bias] = inputs;
        let inner = linear::forward(&state, &up_weight, &up_bias);
        let output = linear::forward(&self.activated(&inner), &down_weight, &down_bias);
        (output, Saved { state, up_weight, inner, down_weight })
    }

    fn backward(
        self,
        saved: Saved,
        gradient: &[f32],
        wanted: [bool; 5],
    ) -> [Option<FlexTensor>; 5] {
        let Saved { state, up_weight, inner, down_weight } = saved;
        let activated = self.activated(&inner);
        let down_wanted = [true, wanted[3], wanted[4]];
        let [of_activated, of_down_weight, of_down_bias] =
            linear::backward(&activated, &down_weight, gradient, down_wanted);
        drop(activated);
        let of_activated = of_activated.expect("was wanted");
        let mut of_inner = vec![0.0; values(&inner).len()];
        ee_kernels::activation_backward(
            self.0,
            values(&inner),
            values(&of_activated),
            &mut of_inner,
        );
        drop((inner, of_activated));
        let up_wanted = [wanted[0], wanted[1], wanted[2]];
        let [of_state, of_up_weight, of_up_bias] =
            linear::backward(&state, &up_weight, &of_inner, up_wanted);
        [of_state, of_up_weight, of_up_bias, of_down_weight, of_down_bias]
    }
}

pub(in crate::kernels) fn activate(state: &Tensor<2>, activation: Activation) -> Option<Tensor<2>> {
    apply(Activate(activation), [input(state)])
}

#[derive(Debug)]
struct Activate(Activation);

impl Operation<1> for Activate {
    type Saved = FlexTensor;

    fn forward(&self, [state]: [FlexTensor; 1]) -> (FlexTensor, Self::Saved) {
        let mut out = vec![0.0; values(&state).len()];
        ee_kernels::activation_forward(self.0, values(&state), &mut out);
        (primitive(out, dims(&state)), state)
    }

    fn backward(
        self,
        state: Self::Saved,
        gradient: &[f32],
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let mut of_state = vec![0.0; gradient.len()];
        ee_kernels::activation_backward(self.0, values(&state), gradient, &mut of_state);
        [Some(primitive(of_state, dims(&state)))]
    }
}

pub(in crate::kernels) fn silu_product(state: &Tensor<2>, factor: &Tensor<2>) -> Option<Tensor<2>> {
    apply(SiluProduct, [input(state), input(factor)])
}

#[derive(Debug)]
struct SiluProduct;

impl Operation<2> for SiluProduct {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [state, factor]: [FlexTensor; 2]) -> (FlexTensor, Self::Saved) {
        let shape = dims(&state);
        let mut out = vec![0.0; shape[0] * shape[1]];
        ee_kernels::silu_product(values(&state), values(&factor), &mut out);
        (primitive(out, shape), [state, factor])
    }

    fn backward(
        self,
        saved: Self::Saved,
        gradient: &[f32],
        _wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let shape = dims(&saved[0]);
        let [state, factor] = saved.each_ref().map(values);
        let [mut of_state, mut of_factor] = [(); 2].map(|()| vec![0.0; gradient.len()]);
        let (to_state, to_factor) = (&mut of_state, &mut of_factor);
        ee_kernels::silu_product_backward(state, factor, gradient, to_state, to_factor);
        [Some(primitive(of_state, shape)), Some(primitive(of_factor, shape))]
    }
}
