//! A run of an encoder-decoder, on the answers to a task's prompts.
//!
//! Decided: an example that is longer than `task.max_length` on either side is left out, counted and named, as
//! fairseq does it: half a sentence is no translation of half another. So is one of which a side is empty. Of what is
//! written to validate nothing is left out: a longer source loses what comes before its end token.

use std::path::{Path, PathBuf};

use ee_models::arch::SpecialTokens;
use ee_models::arch::seq2seq::{
    self, Dropouts, Options, Positions, Seq2Seq, Seq2SeqConfig, Seq2SeqSizes, Tokens,
};
use ee_tasks::parallel::{PairLimits, Unfit};
use ee_tasks::{BpeSettings, GenerationTask, SpecialOrder, TextExample, TextTokenizer, train_bpe};
use rayon::prelude::*;

use super::texts::named_lines;
use super::{Prepared, Start, validation_split};
use crate::config::{LearntConfig, ModelConfig, PairConfig, RunConfig};
use crate::data::{Pair, Split};
use crate::error::{Error, Result};
use crate::fit::Lesson;
use crate::optimizer::AdamW;
use crate::run;
use crate::sample::Sampler;
use crate::subject::Loaded;
use crate::validate::Measure;
use crate::write::Writer;

/// Whether a run trains an encoder-decoder.
pub(super) fn is_pair(config: &RunConfig) -> Result<bool> {
    Ok(match &config.model {
        ModelConfig::Pair(_) => true,
        ModelConfig::Scratch(_) => false,
        ModelConfig::Checkpoint { path, .. } => {
            seq2seq::is_known(ee_models::arch::of_folder(path)?.facts().model_type)
        }
    })
}

/// A folder with a tokenizer; a learnt one lies apart until there is a run folder.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    is_new: bool,
}

impl Folder {
    /// A tokenizer that is there.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), is_new: false }
    }

    /// Puts a learnt tokenizer into the run folder.
    pub(super) fn keep(self, output: &Path) -> Result<PathBuf> {
        if !self.is_new {
            return Ok(self.path.clone());
        }
        run::keep_tokenizer(&self.path, output)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_new {
            // In the folder of temporary files: what is left there does no harm.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Start<'_> {
    pub(super) fn begin_pairs(self, task: &GenerationTask) -> Result<Prepared> {
        let config = &self.config;
        self.check_pairs(task)?;
        let stated = self.stated()?;
        let read = |name: &str, limit| {
            Ok::<_, Error>(task.read_split(name, config.task.data_dir.as_deref(), limit)?.examples)
        };
        let split = validation_split(&config.task, &task.evaluation_split).to_owned();
        let train = read(&config.task.train_split, config.task.limit)?;
        let validation = read(&split, config.task.validation_limit)?;
        let (folder, learnt) = self.tokenizer(&train)?;
        // A checkpoint may tell its dictionaries apart.
        let tokenizer = match stated.and_then(|config| config.languages) {
            Some(languages) => TextTokenizer::of_languages(&folder.path, &languages)?,
            None => TextTokenizer::of_pair(&folder.path)?,
        };
        let mut optimizer = AdamW::new(config.optimizer);
        let (mut loaded, resumed) =
            self.model(&mut optimizer, |start| start.new_pair(&tokenizer))?;
        loaded.notices.extend(learnt);
        let Options { source_vocabulary, target_vocabulary, .. } = loaded.config.options;
        let tokenizer = tokenizer.for_rows_of(source_vocabulary, target_vocabulary);
        let Tokens { start, forced_beginning, ref special, .. } = loaded.config.tokens;
        let opening: Vec<u32> = std::iter::once(start).chain(forced_beginning).collect();
        let ends = special.ends.clone();
        let (max_length, max_ratio) = (config.task.max_length, config.task.max_ratio);
        let forced = opening.len() - 1;
        let reader = Reader { tokenizer: &tokenizer, max_length, max_ratio, forced };
        let rows = |examples: &[TextExample], what, notices: &mut Vec<String>| {
            Ok::<_, Error>(Split::pairs(reader.pairs(examples, what, notices)?, &opening))
        };
        let learned = rows(&train, "training", &mut loaded.notices)?;
        let validated = rows(&validation, "validation", &mut loaded.notices)?;
        let writer = match &config.validation {
            Some(writing) => {
                let fit = |ids, _| Ok(reader.shortened(ids));
                let writer = Writer::new(writing, task, &validation, &tokenizer, &ends, fit)?;
                writer.check(&loaded.model)?;
                Some(Box::new(writer))
            }
            None => None,
        };
        let (model, new_tokens) = (&loaded.model, config.training.sample_tokens);
        let sampler = Sampler::of_pair(validation.first(), &tokenizer, &ends, new_tokens, model)?;
        let lesson = Lesson {
            task: task.name.clone(),
            validation_split: Some(split),
            train: learned,
            validation: validated,
            measure: Measure::Tokens(writer),
            sampler,
        };
        self.finish(loaded, resumed, optimizer, lesson, folder)
    }

    /// Refuses settings that an encoder-decoder's run has no use for.
    fn check_pairs(&self, task: &GenerationTask) -> Result<()> {
        let config = &self.config;
        let is_labelled = match &config.model {
            ModelConfig::Checkpoint { new_head, label_order, .. } => {
                *new_head || label_order.is_some()
            }
            _ => false,
        };
        let refusals = [
            (is_labelled, "new_head and label_order are settings of classifiers"),
            (config.lora.is_some(), "lora is a setting of decoders without an encoder"),
            (config.task.packing, "task.packing joins texts, and an encoder-decoder learns pairs"),
        ];
        if let Some((_, message)) = refusals.into_iter().find(|(is_so, _)| *is_so) {
            return Err(Error::Mismatch(message.to_owned()));
        }
        if !task.has_responses() {
            return Err(Error::Mismatch(format!(
                "task `{}` has neither references nor a response: there is nothing to learn",
                task.name
            )));
        }
        Ok(())
    }

    /// The folder of the tokenizer: the one that is stated, the one that the run learnt before, or a new one.
    fn tokenizer(&self, train: &[TextExample]) -> Result<(Folder, Option<String>)> {
        if let Some(path) = self.config.model.tokenizer() {
            return Ok((Folder::of(path), None));
        }
        let kept = self.output.join(run::TOKENIZER);
        if self.resume && kept.is_dir() {
            return Ok((Folder::of(&kept), None));
        }
        let LearntConfig(settings) =
            self.config.tokenizer.as_ref().expect("a run file states one of both");
        let texts = |text: fn(&TextExample) -> &str| train.iter().map(text).collect::<Vec<_>>();
        let sides = [texts(|example| &example.prompt), texts(|example| &example.response)];
        let ModelConfig::Pair(pair) = &self.config.model else {
            unreachable!("only new encoder-decoders learn a tokenizer")
        };
        let settings = BpeSettings { order: pair.special_order()?, ..settings.clone() };
        let learnt = train_bpe(&settings, &sides[0], &sides[1])?;
        let name = format!("ee-train-tokenizer-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(Error::io("cannot create", &path))?;
        let folder = Folder { path, is_new: true };
        learnt.save(&folder.path)?;
        let [source, target] = learnt.sizes();
        let said = match settings.joined {
            true => format!("learnt a dictionary of {source} pieces for both languages"),
            false => format!("learnt dictionaries of {source} and {target} pieces"),
        };
        Ok((folder, Some(said)))
    }

    /// What the checkpoint says that is started from, if there is one. Texts that are longer than the model's positions
    /// are refused here, before anything is read or learnt.
    fn stated(&self) -> Result<Option<Seq2SeqConfig>> {
        let (stated, positions) = match &self.config.model {
            ModelConfig::Checkpoint { path, .. } => {
                let config = Seq2SeqConfig::read(path)?;
                let positions = config.options.max_positions;
                (Some(config), positions)
            }
            ModelConfig::Pair(pair) => (None, pair.without_dictionary()?.options.max_positions),
            ModelConfig::Scratch(_) => unreachable!("a model without an encoder"),
        };
        if let Some(positions) = positions {
            super::check_length(self.config.task.max_length, positions)?;
        }
        Ok(stated)
    }

    fn new_pair(&self, tokenizer: &TextTokenizer) -> Result<Loaded<Seq2Seq>> {
        let (precision, device) = (self.config.precision, &self.devices[0]);
        match &self.config.model {
            ModelConfig::Pair(pair) => {
                let vocabularies =
                    [tokenizer.prompt_vocabulary_size(), tokenizer.vocabulary_size()];
                if pair.sharing.shares_tables() && vocabularies[0] != vocabularies[1] {
                    let [source, target] = vocabularies;
                    return Err(Error::Mismatch(format!(
                        "model.sharing: dictionaries of {source} and {target} pieces have no table in common"
                    )));
                }
                let end = tokenizer.end_id().ok_or_else(|| {
                    Error::Mismatch("the tokenizer has no token that ends a text".to_owned())
                })?;
                let mut config = pair.model(vocabularies, end, tokenizer.padding_id())?;
                if let Some(languages) = tokenizer.languages() {
                    config.name_languages(languages);
                }
                Ok(seq2seq::random(config, self.config.seed, precision, device).into())
            }
            ModelConfig::Checkpoint { path, .. } => {
                let loaded = seq2seq::load(path, precision, device)?;
                loaded.config.check_written()?;
                Ok(loaded.into())
            }
            ModelConfig::Scratch(_) => unreachable!("a model without an encoder"),
        }
    }
}

impl PairConfig {
    /// Where a learnt dictionary has its special tokens: fairseq counts positions from the padding's id.
    fn special_order(&self) -> ee_models::Result<SpecialOrder> {
        Ok(match self.without_dictionary()?.options.positions {
            Positions::Fairseq => SpecialOrder::Fairseq,
            _ => SpecialOrder::Marian,
        })
    }

    /// A new model before the sizes of its tables are known.
    fn without_dictionary(&self) -> ee_models::Result<Seq2SeqConfig> {
        self.model([1; 2], 0, None)
    }

    /// A new model with tables of these sizes. As fairseq's decoders, it starts with the token that ends texts; a
    /// tokenizer without padding gets a row more for it.
    pub(crate) fn model(
        &self,
        vocabularies: [usize; 2],
        end: u32,
        padding: Option<u32>,
    ) -> ee_models::Result<Seq2SeqConfig> {
        let [source, target] = vocabularies;
        let (padding, [source_vocabulary, target_vocabulary]) = match padding {
            Some(padding) => (padding as usize, vocabularies),
            None => (source.max(target), [source.max(target) + 1; 2]),
        };
        let tokens = Tokens {
            start: end,
            forced_beginning: None,
            forced_end: None,
            never: vec![padding as u32],
            special: SpecialTokens { beginning: None, ends: vec![end] },
        };
        let sizes = Seq2SeqSizes {
            source_vocabulary,
            target_vocabulary,
            sharing: self.sharing,
            d_model: self.d_model,
            encoder_layers: self.encoder_layers,
            decoder_layers: self.decoder_layers,
            heads: self.heads,
            inner: self.inner,
            positions: self.positions,
            dropouts: Dropouts::default(),
            activation: self.activation,
            padding,
        };
        let family = self.family();
        let options = Seq2SeqConfig::of_sizes(family, &sizes, &tokens)?.options;
        // Where positions are added to them, tokens' vectors must not vanish beside them.
        let adds = !matches!(options.positions, Positions::Relative { .. } | Positions::None);
        let scale_embedding = adds && self.scale_embedding;
        let dropouts = self.dropouts(options.start);
        Seq2SeqConfig::of_options(
            family,
            &Options { scale_embedding, dropouts, ..options },
            &tokens,
        )
    }
}

struct Reader<'a> {
    tokenizer: &'a TextTokenizer,
    max_length: usize,
    max_ratio: Option<f64>,
    /// Tokens that the decoder says before every answer.
    forced: usize,
}

impl Reader<'_> {
    /// The examples in tokens, those left out that cannot be learned.
    fn pairs(
        &self,
        examples: &[TextExample],
        what: &str,
        notices: &mut Vec<String>,
    ) -> Result<Vec<Pair>> {
        let encode = |example: &TextExample| -> Result<Pair> {
            let source = self.tokenizer.encode_prompt(&example.prompt)?;
            Ok(Pair { source, target: self.tokenizer.encode_answer(&example.response)? })
        };
        let encoded: Vec<Pair> = examples.par_iter().map(encode).collect::<Result<_>>()?;
        // The end token is not counted where lengths are compared.
        let longest = self.max_length.saturating_sub(1);
        let limits = PairLimits { tokens: 1..=longest, max_ratio: self.max_ratio };
        let (mut pairs, mut empty, mut long) = (Vec::new(), Vec::new(), Vec::new());
        let mut uneven = Vec::new();
        for (example, pair) in examples.iter().zip(encoded) {
            let sides = [&example.prompt, &example.response];
            let has_empty = sides.iter().any(|text| text.trim().is_empty());
            let [source, target] =
                [&pair.source, &pair.target].map(|ids| ids.len().saturating_sub(1));
            match limits.check(source, target) {
                _ if has_empty => empty.push(example.line),
                Ok(()) if pair.target.len() + self.forced > self.max_length => {
                    long.push(example.line);
                }
                Ok(()) => pairs.push(pair),
                Err(Unfit::Empty | Unfit::Short) => empty.push(example.line),
                Err(Unfit::Long) => long.push(example.line),
                Err(Unfit::Ratio) => uneven.push(example.line),
            }
        }
        let max_length = self.max_length;
        for (lines, why) in [
            (empty, "have an empty side".to_owned()),
            (long, format!("are longer than {max_length} tokens on a side")),
            (
                uneven,
                format!(
                    "have a side more than {} times as long as the other",
                    self.max_ratio.unwrap_or(1.0)
                ),
            ),
        ] {
            if !lines.is_empty() {
                let (n, lines) = (lines.len(), named_lines(&lines));
                notices.push(format!("{n} {what} examples {why} and are left out: lines {lines}"));
            }
        }
        if pairs.is_empty() {
            return Err(Error::Mismatch(format!(
                "no {what} example has two sides of 1 to task.max_length = {max_length} tokens"
            )));
        }
        Ok(pairs)
    }

    /// A source of at most the longest length, its last token kept.
    fn shortened(&self, mut ids: Vec<u32>) -> Vec<u32> {
        if ids.len() > self.max_length {
            let end = ids[ids.len() - 1];
            ids.truncate(self.max_length);
            ids[self.max_length - 1] = end;
        }
        ids
    }
}
