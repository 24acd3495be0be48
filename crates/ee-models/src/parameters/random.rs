use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};
use sha2::{Digest, Sha256};

use super::{Initial, ParameterNames, ParameterSource, Precision};
use crate::kernels;

/// Draws every parameter from the seed and the parameter's name alone.
#[derive(Debug)]
pub struct RandomParameters {
    seed: u64,
    deviation: f64,
    device: Device,
    precision: Precision,
    names: ParameterNames,
}

impl RandomParameters {
    /// Normal parameters get mean 0 and this standard deviation.
    pub fn new(seed: u64, deviation: f64, device: Device) -> Self {
        let (precision, names) = (Precision::F32, ParameterNames::default());
        Self { seed, deviation, device, precision, names }
    }

    /// Matrices in another format than F32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The names of what was drawn.
    pub fn into_names(self) -> ParameterNames {
        self.names
    }

    /// Values of one parameter of `columns` columns.
    pub(crate) fn draw(
        seed: u64,
        deviation: f64,
        name: &str,
        n: usize,
        columns: usize,
        initial: Initial,
    ) -> Vec<f32> {
        let row = match initial {
            Initial::Zeros => return vec![0.0; n],
            Initial::Ones => return vec![1.0; n],
            Initial::NormalExceptRow(row) => Some(row),
            Initial::Normal | Initial::Deviation(_) | Initial::Xavier(_) => None,
        };
        let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
        hash.update(name);
        let mut generator = ChaCha8Rng::from_seed(hash.finalize().into());
        let mut values: Vec<f32> = match initial {
            Initial::Xavier(gain) => {
                let sides = (n / columns.max(1) + columns) as f64;
                let bound = gain * (6.0 / sides).sqrt();
                let even = Uniform::new(-bound, bound).expect("a matrix has sides");
                (0..n).map(|_| even.sample(&mut generator) as f32).collect()
            }
            _ => {
                let own = if let Initial::Deviation(own) = initial { own } else { deviation };
                let normal = Normal::new(0.0, own).expect("a configured deviation is finite");
                (0..n).map(|_| normal.sample(&mut generator) as f32).collect()
            }
        };
        if let Some(row) = row {
            values[row * columns..(row + 1) * columns].fill(0.0);
        }
        values
    }
}

impl ParameterSource for RandomParameters {
    fn matrix(
        &mut self,
        name: &str,
        [rows, columns]: [usize; 2],
        initial: Initial,
    ) -> Param<Tensor<2>> {
        let n = rows * columns;
        let values = Self::draw(self.seed, self.deviation, name, n, columns, initial);
        let dtype = match self.precision {
            Precision::Stored | Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        };
        let data = TensorData::new(values, [rows, columns]);
        let tensor = Tensor::from_data(data, (&self.device, dtype));
        kernels::settle(&tensor);
        let param = Param::from_tensor(tensor);
        self.names.push(param.id, name);
        param
    }

    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        let values = Self::draw(self.seed, self.deviation, name, length, length, initial);
        let data = TensorData::new(values, [length]);
        let param = Param::from_tensor(Tensor::from_data(data, &self.device));
        self.names.push(param.id, name);
        param
    }
}
