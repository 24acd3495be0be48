//! How many numbers a model's parameters are and how many its training keeps, counted on the model itself, built
//! without values.

use crate::checkpoint::ParameterShapes;

/// Sizes of a model, in numbers, not bytes. They are f64, exact up to any real memory size, so that no size of a
/// file overflows them.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSize {
    /// N
    pub layers: f64,
    /// Width of the state.
    pub d_model: f64,
    /// Rows of the head's last matrix.
    pub outputs: f64,
    /// In all matrices.
    pub matrices: f64,
    /// In all vectors.
    pub vectors: f64,
    /// What one layer keeps of a token for its backward pass.
    pub kept_per_token: f64,
    /// What all layers of an encoder keep of a token of the source; 0 where there is none.
    pub kept_per_source_token: f64,
    /// Whether matrices may have 16 bits and low-rank updates.
    pub is_adaptable: bool,
    /// The last layer's matrices, by the last part of their layers' names.
    pub(super) of_layer: Vec<(String, [f64; 2])>,
}

impl ModelSize {
    /// Counts the parameters of a model of this many layers on one of two at most: the others are as the second.
    /// `build` asks for the parameters of a model of that many.
    pub(super) fn count(layers: usize, build: impl Fn(usize, &mut ParameterShapes)) -> Self {
        let shapes = |layers: usize| {
            let mut shapes = ParameterShapes::default();
            build(layers, &mut shapes);
            shapes.into_inner()
        };
        let numbers = |shapes: &[(String, Vec<usize>)], is_matrix: bool| -> f64 {
            let of_kind = shapes.iter().filter(|(_, shape)| (shape.len() > 1) == is_matrix);
            of_kind.map(|(_, shape)| shape.iter().map(|&n| n as f64).product::<f64>()).sum()
        };
        let one = shapes(1);
        let two = if layers > 1 { shapes(2) } else { one.clone() };
        let more = (layers - 1) as f64;
        let [matrices, vectors] = [true, false].map(|is_matrix| {
            let [one, two] = [&one, &two].map(|shapes| numbers(shapes, is_matrix));
            one + more * (two - one)
        });
        let of_layer = one.iter().filter_map(|(name, shape)| match (shape.as_slice(), name) {
            (&[rows, columns], name) if name.contains(".0.") => {
                let layer = name.strip_suffix(".weight")?.rsplit('.').next()?;
                Some((layer.to_owned(), [rows as f64, columns as f64]))
            }
            _ => None,
        });
        Self {
            layers: layers as f64,
            d_model: 0.0,
            outputs: 0.0,
            matrices,
            vectors,
            kept_per_token: 0.0,
            kept_per_source_token: 0.0,
            is_adaptable: false,
            of_layer: of_layer.collect(),
        }
    }

    /// What low-rank updates of the layers with these names add, in all layers.
    pub fn low_rank(&self, rank: usize, targets: &[String]) -> f64 {
        let is_target = |(name, _): &&(String, [f64; 2])| targets.contains(name);
        let sides =
            self.of_layer.iter().filter(is_target).map(|(_, [rows, columns])| rows + columns);
        self.layers * rank as f64 * sides.sum::<f64>()
    }
}
