//! The table, the texts and the page of `ee-eval decode --beam`.

use std::path::{Path, PathBuf};

use super::{BeamOutput, BeamResults, BeamRun};
use crate::error::Result;
use crate::output::write_json;
use crate::pace;
use crate::report::Page;
use crate::report::table::{Cell, Table, columns};
use crate::trial::decode::report::shortened;
use crate::words::count;

/// A line per exit.
pub(crate) fn table(results: &BeamResults) -> Table {
    let metrics = &results.facts.run.metrics;
    let row = |run: &BeamRun| {
        let tokens: usize = run.outputs.iter().map(|of| of.output.tokens.len()).sum();
        let (n, rounds) = (run.outputs.len(), run.pace.speed_up_by_round);
        let mut cells = vec![Cell::text(&*run.gate), Cell::count(run.exit)];
        cells.extend(metrics.iter().map(|metric| {
            let score = run.scores.iter().find(|score| score.name == metric.name);
            Cell::optional(score.and_then(|score| score.score), 4)
        }));
        cells.extend([
            Cell::number(run.tokens_per_second, 1),
            Cell::factor(run.pace.speed_up),
            Cell::factor(rounds.min),
            Cell::factor(rounds.max),
            Cell::percent(run.fidelity.equal_share),
            Cell::yes(run.fidelity.same_tokens),
            Cell::number(tokens as f64 / n.max(1) as f64, 1),
            Cell::percent(run.repeated_4_grams),
            Cell::Number {
                value: run.unfinished as f64,
                text: format!("{} of {n}", run.unfinished),
            },
        ]);
        cells
    };
    let mut header = columns("gate | exit");
    header.extend(metrics.iter().map(|metric| metric.name.clone()));
    header.extend(columns(
        "tokens/s | speed-up | lowest | highest | equal tokens | same tokens | tokens per text | repeated 4-grams | \
         unfinished",
    ));
    let facts = &results.facts.run;
    Table {
        file: "beams",
        title: format!("Beam search, {}", beams(results)),
        note: format!(
            "The best hypothesis of every text, with all layers and with the model cut off after an exit for every token: \
             texts may differ from the full model's. Tokens per second are those of the best hypotheses, prompts included, \
             batch {}, in turn, {}: speed-ups of the medians, and of the lowest and highest round. Each text ends by \
             itself.",
            facts.batch,
            count(facts.rounds, "round"),
        ),
        columns: header,
        rows: results.runs.iter().map(row).collect(),
    }
}

/// How beams were searched, in words.
fn beams(results: &BeamResults) -> String {
    let beam = &results.facts.beam;
    let mut words =
        format!("size {}, rule {}, length penalty {}", beam.size, beam.rule, beam.length_penalty);
    if beam.patience != 1.0 {
        words.push_str(&format!(", patience {}", beam.patience));
    }
    if beam.min_new_tokens > 0 {
        words.push_str(&format!(", at least {}", count(beam.min_new_tokens, "new token")));
    }
    words
}

/// The first texts of every run, with their scores.
pub(crate) fn texts(results: &BeamResults, shown: usize) -> String {
    let of_run = |run: &BeamRun| -> String {
        let one = |of: &BeamOutput| {
            let prompt = shortened(&of.output.prompt);
            format!("{}: {prompt}\n{}\n{:.4}\n\n", run.gate, of.output.text, of.score)
        };
        run.outputs.iter().take(shown).map(one).collect()
    };
    results.runs.iter().map(of_run).collect()
}

/// What a reader should know of the times.
pub(crate) fn notices(results: &BeamResults) -> Vec<String> {
    pace::notices(results.load, results.facts.run.rounds).collect()
}

/// Writes `results.json`, the table as CSV and the page; returns the path of `report.html`.
pub(crate) fn write(results: &BeamResults, folder: &Path) -> Result<PathBuf> {
    write_json(&folder.join("results.json"), results)?;
    let source = results.facts.run.source(results.runs[0].outputs.len(), "");
    let page = Page {
        title: "Beam search".into(),
        findings: vec![],
        notices: notices(results),
        tables: vec![table(results)],
        plots: vec![],
        sources: vec![("Search".to_owned(), source)],
    };
    page.write_tables(folder)?;
    page.write(folder)
}
