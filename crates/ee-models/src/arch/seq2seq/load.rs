use std::path::Path;

use burn::tensor::Device;

use super::family::Seq2SeqFamily;
use super::{Encoder, Seq2Seq, Seq2SeqConfig};
use crate::arch::{Facts, Family, LoadedDecoder, ModelSize};
use crate::checkpoint::{
    CheckpointParameters, Fairseq, ParameterNames, Precision, RandomParameters,
    Stack as StoredStack, Weights,
};
use crate::error::Result;
use crate::exit::Backbone;

/// What fairseq calls the head, whatever it calls tables.
const FAIRSEQ_HEAD: &str = "decoder.output_projection.weight";

/// An encoder-decoder with what must be known besides its parameters.
#[derive(Debug)]
pub struct Loaded {
    /// The model, on its device.
    pub model: Seq2Seq,
    /// The configuration it was built from.
    pub config: Seq2SeqConfig,
    /// The Hugging Face name of each parameter.
    pub names: ParameterNames,
    /// Names of tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

impl Loaded {
    /// A model of a configuration whose parameters are called `names`.
    pub fn new(
        model: Seq2Seq,
        config: Seq2SeqConfig,
        mut names: ParameterNames,
        unused: Vec<String>,
    ) -> Self {
        if (config.family.writes_copies)(&config.options) {
            let tables = [
                (Some(&model.encoder.table), config.names().source_table(&config.options)),
                (model.table.as_ref(), config.names().target_table(&config.options)),
            ];
            for (table, called) in tables {
                let Some(table) = table else { continue };
                called[1..].iter().for_each(|name| names.write_also(table.weight.id, name));
            }
        }
        Self { model, config, names, unused }
    }
}

/// Loads a checkpoint folder onto a device, its matrices in the given format.
///
/// # Errors
/// When `config.json` or the weights are absent, broken or do not fit each other.
pub fn load(folder: &Path, precision: Precision, device: &Device) -> Result<Loaded> {
    Opened::folder(folder)?.load(folder, precision, device)
}

/// What a folder holds, but for its numbers. A checkpoint of fairseq is read once for both.
pub(in crate::arch) struct Opened {
    config: Seq2SeqConfig,
    weights: Weights,
}

impl Opened {
    fn folder(folder: &Path) -> Result<Self> {
        if let Some(opened) = Self::fairseq(folder)? {
            return Ok(opened);
        }
        let config = Seq2SeqConfig::read(folder)?;
        Ok(Self { config, weights: Weights::open(folder)? })
    }

    /// The checkpoint of fairseq that a folder has, if it has one.
    ///
    /// # Errors
    /// As [`load`].
    pub(in crate::arch) fn fairseq(folder: &Path) -> Result<Option<Self>> {
        let Some(found) = Fairseq::open(folder)? else { return Ok(None) };
        let config = Seq2SeqConfig::of_fairseq(&found)?;
        Ok(Some(Self { config, weights: Weights::of_fairseq(found) }))
    }

    fn load(self, folder: &Path, precision: Precision, device: &Device) -> Result<Loaded> {
        let Self { mut config, weights } = self;
        let family = config.family;
        let stacks = [family.stack(&config, false), family.stack(&config, true)];
        let naming = family.facts.naming;
        let mut source =
            CheckpointParameters::of_stacks((folder, weights), naming, &stacks, precision, device)?;
        if config.is_of_fairseq() {
            source.rename(FAIRSEQ_HEAD, &config.names().head());
        } else if source.has(config.names().head) && (family.has_stored_head)(&config.options) {
            config.untie_head();
        }
        let model = Seq2Seq::new(&config, &mut source);
        let (names, _, unused) = source.finish(folder)?;
        Ok(Loaded::new(model, config, names, unused))
    }

    /// As [`Family::backbone`]: the encoder's layers alone, as a decoder's have no states without one.
    ///
    /// # Errors
    /// As [`load`].
    pub(in crate::arch) fn backbone(
        self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<Box<dyn Backbone>> {
        let Self { config, weights } = self;
        let (naming, stack) = (config.family.facts.naming, config.family.stack(&config, false));
        let mut source = CheckpointParameters::of_stacks(
            (folder, weights),
            naming,
            &[stack],
            precision,
            device,
        )?;
        source.pass_over(naming.head);
        let model = Encoder::new(&config, &mut source);
        source.finish(folder)?;
        Ok(Box::new(model))
    }

    /// As [`Family::decoder`].
    ///
    /// # Errors
    /// As [`load`].
    pub(in crate::arch) fn decoder(
        self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<LoadedDecoder> {
        let Loaded { model, config, unused, .. } = self.load(folder, precision, device)?;
        Ok(LoadedDecoder {
            model: Box::new(model),
            model_type: config.family.facts.model_type,
            special: config.tokens.special,
            languages: config.languages,
            notices: config.notices,
            unused,
        })
    }
}

/// Builds a model of a configuration with random parameters.
pub fn random(config: Seq2SeqConfig, seed: u64, precision: Precision, device: &Device) -> Loaded {
    let source = RandomParameters::new(seed, config.options.deviation(), device.clone());
    let mut source = source.with_precision(precision);
    let model = Seq2Seq::new(&config, &mut source);
    Loaded::new(model, config, source.into_names(), Vec::new())
}

impl Seq2SeqFamily {
    /// A stack as its files count and name its layers.
    fn stack(&self, config: &Seq2SeqConfig, is_decoder: bool) -> StoredStack {
        let [encoder, decoder] = self.layer_keys;
        let [of_encoder, of_decoder] = self.layer_names;
        match is_decoder {
            false => StoredStack {
                key: encoder,
                names: of_encoder,
                layers: config.options.encoder.layers,
            },
            true => StoredStack {
                key: decoder,
                names: of_decoder,
                layers: config.options.decoder.layers,
            },
        }
    }
}

impl Family for Seq2SeqFamily {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn backbone(
        &self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<Box<dyn Backbone>> {
        Opened::folder(folder)?.backbone(folder, precision, device)
    }

    fn decoder(
        &self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<LoadedDecoder> {
        Opened::folder(folder)?.decoder(folder, precision, device)
    }

    fn size(&self, folder: &Path, _labels: Option<&[String]>) -> Result<ModelSize> {
        Seq2SeqConfig::read(folder).map(|config| config.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::checkpoint::fairseq_files_read;

    #[test]
    fn the_pickle_of_fairseq_is_parsed_once() {
        let folder =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/fairseq-tiny"));
        let parsed = |load: fn(&Path)| {
            let before = fairseq_files_read();
            load(folder);
            fairseq_files_read() - before
        };
        let counts = [
            parsed(|folder| drop(load(folder, Precision::F32, &Device::flex()).unwrap())),
            parsed(|folder| drop(arch::decoder(folder, Precision::F32, &Device::flex()).unwrap())),
            parsed(|folder| drop(arch::backbone(folder, Precision::F32, &Device::flex()).unwrap())),
        ];
        assert_eq!(counts, [1; 3]);
    }
}
