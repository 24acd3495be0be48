//! One model on several devices: the same weights on each, a part of every batch for each.
//!
//! After the backward passes each parameter's gradients are summed on the device that owns it, which
//! updates it and gives it to the others. Either the first device owns everything, or the parameters are
//! distributed in turn, and with them the optimizer's state (ZeRO's first stage, Rajbhandari et al. 2020). Sums
//! run in the order of the devices, so that a run can be repeated.

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Gradients, Tensor};

use crate::optimizer;

/// A `Tensor<D>` per parameter; D is known where a module is visited.
type Tensors = HashMap<ParamId, Box<dyn Any + Send>>;

/// A model with its copies; the first one leads.
#[derive(Debug)]
pub(crate) struct Replicas<M> {
    models: Vec<M>,
    owners: HashMap<ParamId, usize>,
}

impl<M: Module> Replicas<M> {
    pub(crate) fn single(model: M) -> Self {
        Self { models: vec![model], owners: HashMap::new() }
    }

    /// A model on the device where it is, which is the first one, with copies on the others.
    pub(crate) fn new(model: M, devices: &[Device], is_sharded: bool) -> Self {
        let copies = devices.iter().skip(1).map(|device| model.clone().fork(device));
        let copies: Vec<M> = copies.collect();
        let mut owners = Owners { of: HashMap::new(), n: devices.len(), is_sharded };
        model.visit(&mut owners);
        Self { models: std::iter::once(model).chain(copies).collect(), owners: owners.of }
    }

    pub(crate) fn models(&self) -> &[M] {
        &self.models
    }

    pub(crate) fn first(&self) -> &M {
        &self.models[0]
    }

    pub(crate) fn into_first(self) -> M {
        self.models.into_iter().next().expect("there is at least one")
    }

    /// Runs something on every device at the same time; the results in the order of the devices.
    pub(crate) fn each<R: Send>(&self, run: impl Fn(usize, &M) -> R + Sync) -> Vec<R> {
        let run = &run;
        std::thread::scope(|scope| {
            let others = self.models.iter().cloned().enumerate().skip(1);
            let others: Vec<_> =
                others.map(|(index, model)| scope.spawn(move || run(index, &model))).collect();
            let mut results = vec![run(0, &self.models[0])];
            for thread in others {
                help_until(|| thread.is_finished());
                results.push(thread.join().expect("a device's thread"));
            }
            results
        })
    }

    /// Sums each parameter's gradients on its owner's device; they leave the others.
    pub(crate) fn exchange(&self, gradients: Vec<Option<Gradients>>) -> Vec<Gradients> {
        let containers = self.models.iter().zip(gradients);
        let mut containers: Vec<Gradients> =
            containers.map(|(model, found)| found.unwrap_or_else(|| empty(model))).collect();
        if self.models.len() == 1 {
            return containers;
        }
        let mut found: Vec<Tensors> = self
            .models
            .iter()
            .zip(&mut containers)
            .map(|(model, gradients)| {
                let mut take = Take { gradients, taken: Tensors::new() };
                model.visit(&mut take);
                take.taken
            })
            .collect();
        for (device, (model, container)) in self.models.iter().zip(&mut containers).enumerate() {
            model.visit(&mut Sum { owners: &self.owners, device, found: &mut found, container });
        }
        containers
    }

    /// √Σ g² over exchanged gradients.
    pub(crate) fn gradient_norm(&self, gradients: &[Gradients]) -> f64 {
        let parts = self.models.iter().zip(gradients);
        let squares = parts.map(|(model, part)| optimizer::gradient_norm(model, part).powi(2));
        squares.sum::<f64>().sqrt()
    }

    /// Lets every owner update what it has gradients of, and gives the results to the others.
    pub(crate) fn update(
        self,
        gradients: Vec<Gradients>,
        mut update: impl FnMut(M, Gradients) -> M,
    ) -> Self {
        let Self { models, owners } = self;
        let updated = models.into_iter().zip(gradients);
        let models: Vec<M> = updated.map(|(model, part)| update(model, part)).collect();
        if models.len() == 1 {
            return Self { models, owners };
        }
        let mut fresh = Tensors::new();
        for (device, model) in models.iter().enumerate() {
            model.visit(&mut Owned { owners: &owners, device, fresh: &mut fresh });
        }
        let replaced = models.into_iter().enumerate();
        let replaced = replaced.map(|(device, model)| {
            model.map(&mut Replace { owners: &owners, device, fresh: &fresh })
        });
        Self { models: replaced.collect(), owners }
    }
}

/// Works for the pool until something is done. The waiting thread is one of the pool's, on a machine of
/// one processor the only one, and what it waits for needs the pool: waiting idly would never end.
fn help_until(is_done: impl Fn() -> bool) {
    const PAUSE: Duration = Duration::from_micros(50);
    while !is_done() {
        if !matches!(rayon::yield_now(), Some(rayon::Yield::Executed)) {
            std::thread::sleep(PAUSE);
        }
    }
}

fn empty<M: Module>(model: &M) -> Gradients {
    let device = model.devices().into_iter().next().unwrap_or_default();
    Tensor::<1>::zeros([1], &device.autodiff()).require_grad().backward()
}

struct Owners {
    of: HashMap<ParamId, usize>,
    n: usize,
    is_sharded: bool,
}

impl ModuleVisitor for Owners {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let owner = if self.is_sharded { self.of.len() % self.n } else { 0 };
        self.of.insert(param.id, owner);
    }
}

/// Takes every gradient out of its container.
struct Take<'a> {
    gradients: &'a mut Gradients,
    taken: Tensors,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.gradients) {
            self.taken.insert(param.id, Box::new(gradient));
        }
    }
}

/// Sums what all devices found of the parameters of one.
struct Sum<'a> {
    owners: &'a HashMap<ParamId, usize>,
    device: usize,
    found: &'a mut [Tensors],
    container: &'a mut Gradients,
}

impl ModuleVisitor for Sum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.owners[&param.id] != self.device {
            return;
        }
        let parameter = param.val();
        let device = parameter.clone().inner().device();
        let parts = self.found.iter_mut().filter_map(|found| found.remove(&param.id));
        let parts = parts.map(|part| tensor::<D>(part.as_ref()).to_device(&device));
        if let Some(sum) = parts.reduce(|sum, part| sum + part) {
            parameter.grad_replace(self.container, sum);
        }
    }
}

/// Collects the parameters that a device owns.
struct Owned<'a> {
    owners: &'a HashMap<ParamId, usize>,
    device: usize,
    fresh: &'a mut Tensors,
}

impl ModuleVisitor for Owned<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parameter = param.val();
        if self.owners[&param.id] == self.device && parameter.is_require_grad() {
            self.fresh.insert(param.id, Box::new(parameter.inner()));
        }
    }
}

/// Takes over the parameters that other devices own.
struct Replace<'a> {
    owners: &'a HashMap<ParamId, usize>,
    device: usize,
    fresh: &'a Tensors,
}

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = match self.fresh.get(&id) {
            Some(fresh) if self.owners[&id] != self.device => {
                let device = value.inner().device();
                Tensor::from_inner(tensor::<D>(fresh.as_ref()).to_device(&device)).require_grad()
            }
            _ => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

fn tensor<const D: usize>(any: &(dyn Any + Send)) -> Tensor<D> {
    any.downcast_ref::<Tensor<D>>().expect("a parameter keeps its rank").clone()
}
