//! `config.json` and `generation_config.json` of an encoder-decoder.

pub(in crate::arch) mod fairseq;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::family::{FAIRSEQ, FAMILIES, Seq2SeqFamily};
use super::names::Names;
use super::options::{Options, Positions, Sharing};
use super::tokens::Tokens;
use crate::arch::{self, special};
use crate::checkpoint::{Fairseq, Keys, read_json};
use crate::error::{Error, Result};

/// An encoder-decoder: what it is, and what its files said.
#[derive(Clone, Debug)]
pub struct Seq2SeqConfig {
    /// The family whose files these are.
    pub family: &'static Seq2SeqFamily,
    /// The shape of the model.
    pub options: Options,
    /// What texts begin and end with.
    pub tokens: Tokens,
    /// What of the files is of no use.
    pub notices: Vec<String>,
    /// The languages of source and target, where they tell the dictionaries apart.
    pub languages: Option<[String; 2]>,
    /// The whole file, for writing back.
    json: Map<String, Value>,
    /// The whole `generation_config.json`, for writing back.
    generation: Map<String, Value>,
}

impl Seq2SeqConfig {
    /// Reads `config.json` of a checkpoint folder, and `generation_config.json` where it is there: its tokens take
    /// precedence over those of the former. Where there is none, the options of the checkpoint of fairseq that the
    /// folder has.
    ///
    /// # Errors
    /// When a file is absent or not JSON, a needed key is missing (all missing keys are named), or something that
    /// is asked for is not supported.
    pub fn read(folder: &Path) -> Result<Self> {
        if let Some(found) = Fairseq::open(folder)? {
            return Self::of_fairseq(&found);
        }
        let path = folder.join("config.json");
        let mut config = Self::from_json(read_json(&path)?, &path)?;
        let (generation, notice) = special::generation(&folder.join("generation_config.json"))?;
        config.notices.extend(notice);
        let Options { padding, target_vocabulary, .. } = config.options;
        let defaults = &config.family.tokens;
        let notices = config.tokens.take(&generation, defaults, padding, target_vocabulary);
        config.notices.extend(notices);
        config.generation = generation;
        Ok(config)
    }

    /// Takes the numbers from a configuration's JSON; `path` is what complaints name.
    ///
    /// # Errors
    /// As [`Seq2SeqConfig::read`].
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self> {
        let family = arch::among(FAMILIES, &json, path)?;
        let mut keys = Keys::new(&json);
        let options = (family.read)(&mut keys);
        if keys.is_sound() {
            check(&options, &mut keys);
        }
        for key in ["tie_encoder_decoder", "add_cross_attention"] {
            if keys.truth(key, false) {
                keys.complain(format!("'{key}': true is not supported"));
            }
        }
        if !keys.truth("is_encoder_decoder", true) {
            keys.complain("'is_encoder_decoder': false is not supported".to_owned());
        }
        let Options { padding, target_vocabulary, .. } = options;
        let (tokens, notices) =
            Tokens::of_config(&mut keys, &json, &family.tokens, padding, target_vocabulary);
        keys.finish(path)?;
        let (languages, generation) = (None, Map::new());
        Ok(Self { family, options, tokens, notices, languages, json, generation })
    }

    /// A model of these options, as a family writes it down.
    ///
    /// # Errors
    /// When the options do not go together, or the family has no way to say one.
    pub fn of_options(family: &Seq2SeqFamily, options: &Options, tokens: &Tokens) -> Result<Self> {
        let path = Path::new("the model's sizes");
        let mut json = (family.write)(options);
        json.insert("model_type".into(), family.facts.model_type.into());
        json.insert("is_encoder_decoder".into(), true.into());
        json.extend(tokens.to_json(options.padding));
        let config = Self::from_json(json, path)?;
        // What new parameters start from is not written down.
        if config.options != (Options { start: config.options.start, ..options.clone() }) {
            let model_type = family.facts.model_type;
            let complaint = format!("a {model_type} cannot be like this: {options:?}");
            return Err(Error::Config { path: path.to_owned(), complaint });
        }
        Ok(config)
    }

    /// States the languages, source first, by which the files of the model's tokenizer are told apart.
    pub fn name_languages(&mut self, languages: &[String; 2]) {
        self.json.insert("langs".into(), json!(languages));
    }

    /// Whether the files are fairseq's own.
    pub(super) fn is_of_fairseq(&self) -> bool {
        self.languages.is_some()
    }

    /// Whether a family of transformers says all of the model.
    ///
    /// # Errors
    /// When none does, so that it cannot be written.
    pub fn check_written(&self) -> Result<()> {
        if self.family.facts.model_type != FAIRSEQ.facts.model_type {
            return Ok(());
        }
        Err(Error::Config {
            path: "the options of a checkpoint of fairseq".into(),
            complaint: "no model of transformers is like this one, so it can be used and not be written: FSMT is \
                        post-norm with sinusoidal positions and a head that is the decoder's table, M2M100 pre-norm \
                        with one table"
                .to_owned(),
        })
    }

    /// What the model's tensors are called.
    pub(super) fn names(&self) -> &'static Names {
        &self.family.names
    }

    /// Gives the model a head of its own, and says so in the way that all versions of transformers read.
    pub(super) fn untie_head(&mut self) {
        self.options.sharing = Sharing::of(self.options.sharing.shares_tables(), false);
        self.json.insert("tie_word_embeddings".into(), false.into());
        self.json.remove("scale_decoder_outputs");
    }

    /// What to write as `generation_config.json`.
    pub fn generation_to_json(&self) -> Map<String, Value> {
        if !self.generation.is_empty() {
            return self.generation.clone();
        }
        let mut json = Map::from_iter([("_from_model_config".to_owned(), true.into())]);
        let stated = self.tokens.to_json(self.options.padding);
        json.extend(stated.into_iter().filter(|(_, value)| !value.is_null()));
        json
    }

    /// The file's JSON, with the class that the model has now.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = self.json.clone();
        json.insert("architectures".into(), json!([self.family.facts.class]));
        json
    }
}

/// What must hold of a model's options, whichever keys they came from.
fn check(options: &Options, keys: &mut Keys<'_>) {
    let Options { padding, source_vocabulary, target_vocabulary, d_model, .. } = *options;
    let smallest = source_vocabulary.min(target_vocabulary);
    if padding >= smallest {
        keys.complain(format!("pad_token_id {padding} is outside a vocabulary of {smallest}"));
    }
    if options.positions == Positions::Fairseq && d_model < 4 {
        keys.complain(format!("d_model {d_model} is too small for sinusoidal positions"));
    }
    if options.sharing.shares_tables() && source_vocabulary != target_vocabulary {
        keys.complain(format!(
            "the tables of {source_vocabulary} and {target_vocabulary} tokens cannot be one"
        ));
    }
}
