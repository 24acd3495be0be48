//! `ee-eval speculate`: lossless self-speculation beside plain decoding, text by text the same work.

use clap::{ArgGroup, Args};
use ee_decode::speculate::{Plan, Strategy};
use ee_files::write_text;

use super::generate;
use super::groups::{Batch, OptionalReport, Rounds};
use super::values::positive;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::output::write_json;
use crate::pace;
use crate::trace::write_texts;
use crate::trial::material::{Material, Terms};
use crate::trial::speculate;
use crate::trial::way::{draft_words, strategy};

/// `ee-eval speculate`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) generate: generate::Continued,
    #[command(flatten)]
    pub(crate) draft: DraftArguments,
    #[command(flatten)]
    together: Batch,
    #[command(flatten)]
    timed: Rounds,
    #[command(flatten)]
    report: OptionalReport,
}

/// How a speculating decoder drafts.
#[derive(Debug, Clone, Copy, Args)]
#[command(group = ArgGroup::new("how").required(true).args(["draft_exit", "adaptive"]))]
pub(crate) struct DraftArguments {
    /// The exit that drafts, before the last.
    #[arg(long, value_name = "E", value_parser = positive, requires = "draft_length")]
    pub(crate) draft_exit: Option<usize>,
    /// Tokens that it drafts in a round.
    #[arg(long, value_name = "D", value_parser = positive, requires = "draft_exit")]
    pub(crate) draft_length: Option<usize>,
    /// Choose exit and length while decoding, by measured agreement and times.
    #[arg(long, conflicts_with = "draft_length")]
    pub(crate) adaptive: bool,
}

impl DraftArguments {
    /// One plan for all rounds; none where plans are chosen while decoding.
    pub(crate) fn plan(self) -> Option<Plan> {
        Some(Plan { exit: self.draft_exit?, drafts: self.draft_length? })
    }

    /// The strategy for a model of this many layers.
    pub(crate) fn strategy(self, n_layers: usize) -> Strategy {
        strategy(self.plan(), n_layers)
    }
}

impl std::fmt::Display for DraftArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&draft_words(self.plan()))
    }
}

/// Continues prompts, or those of a task's examples, plainly and in rounds of drafting and verifying.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let generate::Continued { texts, sampling, permission, .. } = &flags.generate;
    let request = texts.request()?;
    let kind = "a report of ee-eval speculate";
    let _lock = flags.report.claim(kind)?;
    let subject = texts.decoder.open()?;
    let terms = Terms {
        choice: sampling.choice(),
        batch: flags.together.batch,
        rounds: flags.timed.rounds,
        allow_code_execution: permission.allow_code_execution,
    };
    let material = Material::new(&subject, request, terms)?;
    let plan = flags.draft.plan();
    let (results, texts) = speculate::run(&subject, &material, plan, &Interrupt::listen()?)?;
    for output in &texts.outputs {
        let lead = flags.generate.lead(&subject, &output.prompt);
        ee_files::say!("{lead}{}", output.whole);
    }
    for notice in pace::notices(results.load, results.facts.rounds) {
        ee_files::note!("notice: {notice}");
    }
    let table = speculate::table(&results);
    ee_files::show!("\n{}", table.plain());
    if let Some(folder) = &flags.report.output {
        write_text(&folder.join("speculate.csv"), &table.csv())?;
        write_texts(&folder.join("speculate.parquet"), &speculate::records(&material, &texts))?;
        let path = folder.join("results.json");
        write_json(&path, &results)?;
        ee_files::say!("\n{}", path.display());
    }
    Ok(())
}
