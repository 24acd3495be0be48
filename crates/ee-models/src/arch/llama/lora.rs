//! Low-rank updates of a decoder's projections.

use burn::module::Module;

use super::{Layer, Llama};
use crate::checkpoint::ParameterNames;
use crate::error::{Error, Result};
use crate::exit::ExitModel;
use crate::layers::{Linear, Lora, LoraConfig};

impl Layer {
    /// The projections, by their names within the layer.
    fn projections(&mut self) -> [(&'static str, &mut Linear); 7] {
        [
            ("self_attn.q_proj", &mut self.query),
            ("self_attn.k_proj", &mut self.key),
            ("self_attn.v_proj", &mut self.value),
            ("self_attn.o_proj", &mut self.output),
            ("mlp.gate_proj", &mut self.gate),
            ("mlp.up_proj", &mut self.up),
            ("mlp.down_proj", &mut self.down),
        ]
    }
}

/// The last part of a dotted name.
fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

impl Llama {
    /// Freezes every parameter and gives the named projections of every layer a low-rank update, which alone
    /// is trained; it changes no output before it has been.
    ///
    /// # Errors
    /// When a target is not a projection, there is none, or the rank is 0 or above both sides of a target.
    pub fn add_lora(self, config: &LoraConfig, names: &mut ParameterNames) -> Result<Self> {
        let mut model = self.no_grad();
        let complain = |complaint: String| Err(Error::Lora(complaint));
        if config.rank == 0 || config.targets.is_empty() {
            return complain("a low-rank update needs a rank above 0 and a target".to_owned());
        }
        let known: Vec<&str> = match model.backbone.layers.first_mut() {
            Some(layer) => layer.projections().map(|(name, _)| last_part(name)).to_vec(),
            None => Vec::new(),
        };
        for target in &config.targets {
            if !known.contains(&target.as_str()) {
                let known = known.join(", ");
                return complain(format!("no layer is called '{target}'; known are {known}"));
            }
        }
        let device = model.device();
        for (index, layer) in model.backbone.layers.iter_mut().enumerate() {
            for (name, projection) in layer.projections() {
                if config.targets.iter().any(|target| target == last_part(name)) {
                    let layer = format!("model.layers.{index}.{name}");
                    let shape = projection.weight.val().dims();
                    let [rows, columns] = shape;
                    if config.rank > rows.max(columns) {
                        let rank = config.rank;
                        return complain(format!(
                            "rank {rank} is above both sides of {name}, {rows} × {columns}"
                        ));
                    }
                    projection.lora = Some(Lora::new(&layer, shape, config, &device, names));
                }
            }
        }
        Ok(model)
    }

    /// The same model with its low-rank updates in the weights; these stay frozen, and nothing carries a
    /// graph.
    pub fn merge_lora(&self) -> Self {
        let mut model = self.valid();
        for layer in &mut model.backbone.layers {
            layer.projections().into_iter().for_each(|(_, projection)| projection.merge_lora());
        }
        model
    }
}
