//! Tables, coloured texts and the page of `ee-eval decode`.

use std::path::{Path, PathBuf};

use ee_decode::head::HEADS;
use ee_decode::never_leaving;
use ee_decode::policy::POLICIES;
use ee_tasks::TextTokenizer;

use super::{DecodeResults, RunResults};
use crate::error::Result;
use crate::output::write_json;
use crate::pace;
use crate::report::Page;
use crate::report::passage::Passage;
use crate::report::table::{Cell, Table, columns};
use crate::trial::on_prompts;
use crate::trial::outputs::{Output, Texts};

/// Texts per run that the page shows.
const SHOWN: usize = 20;

/// Speed and where the time goes.
pub(crate) fn speed(results: &DecodeResults) -> Table {
    let row = |run: &RunResults| {
        let (speed, shares) = (&run.speed, &run.speed.shares);
        vec![
            Cell::text(&*run.gate),
            Cell::text(&*run.kv),
            Cell::number(run.average_exit, 4),
            Cell::number(speed.tokens_per_second, 1),
            Cell::number(speed.plain_tokens_per_second, 1),
            Cell::factor(speed.pace.speed_up),
            Cell::factor(speed.pace.speed_up_by_round.min),
            Cell::factor(speed.pace.speed_up_by_round.max),
            speed.step_speed_up.map_or(Cell::Absent, Cell::factor),
            Cell::number(run.texts.rows, 2),
            Cell::number(results.plain.rows, 2),
            Cell::optional(speed.bandwidth_bound, 1),
            Cell::number(speed.head_reads_per_token, 2),
            Cell::percent(shares.layers),
            Cell::percent(shares.heads),
            Cell::percent(shares.gates),
            Cell::percent(shares.kv),
            Cell::percent(shares.rest),
        ]
    };
    Table {
        file: "speed",
        title: "Speed".into(),
        note: format!(
            "Wall-clock time against our own plain decoding of the same {} texts ({}), batch {}, in turn, {} rounds: of the \
             medians, and of the lowest and highest round. In timed rounds each text ends where plain decoding ended \
             it, so that both ways have the same rows at every step; the rows per step stand here that each way's own texts \
             would keep. Shares are of the steps after the prompts of one more run, in which parts are timed; layers \
             that `deferred` makes up for count as layers. {} What bandwidth allows is the steps' speed if nothing but \
             their weights had to be read from memory.",
            results.plain.outputs.len(),
            rows(results),
            results.facts.run.batch,
            results.facts.run.rounds,
            on_prompts(results.facts.run.encoder_layers.is_some()),
        ),
        columns: columns(
            "gate | K/V | average exit | tokens/s | plain tokens/s | speed-up | lowest | highest | without prompts | \
             rows per step | plain's | bandwidth allows, tokens/s | heads per token | layers | heads | gates | fill K/V | rest",
        ),
        rows: results.runs.iter().map(row).collect(),
    }
}

/// What a reader should know about the runs and of their times.
pub(crate) fn notices(results: &DecodeResults) -> Vec<String> {
    let of_runs = results.runs.iter().flat_map(|run| {
        run.notices.iter().map(move |notice| format!("{} with {}: {notice}", run.gate, run.kv))
    });
    of_runs.chain(pace::notices(results.load, results.facts.run.rounds)).collect()
}

/// Which texts were decoded.
fn rows(results: &DecodeResults) -> String {
    let first = results.plain.outputs.first().map_or(0, |output| output.example);
    let last = results.plain.outputs.last().map_or(0, |output| output.example);
    match &results.facts.run.task {
        Some([task, split]) => format!("{task} {split}, examples {first} to {last}"),
        None => "from the command line".to_owned(),
    }
}

/// What became of the texts.
pub(crate) fn fidelity(results: &DecodeResults) -> Table {
    let mut header = columns(
        "gate | K/V | same tokens as the full model | first divergence | equal tokens | \
             repeated 4-grams | unfinished",
    );
    header.extend(results.facts.run.metrics.iter().map(|metric| metric.name.clone()));
    let of_texts = |texts: &Texts| {
        let scores = results.facts.run.metrics.iter().map(|metric| {
            let score = texts.scores.iter().find(|score| score.name == metric.name);
            Cell::optional(score.and_then(|score| score.score), 4)
        });
        let mut cells = vec![Cell::percent(texts.repeated_4_grams), texts.unfinished_cell()];
        cells.extend(scores);
        cells
    };
    let mut plain =
        vec![Cell::text("plain"), Cell::Absent, Cell::Absent, Cell::Absent, Cell::Absent];
    plain.extend(of_texts(&results.plain));
    let mut rows = vec![plain];
    rows.extend(results.runs.iter().map(|run| {
        let fidelity = &run.fidelity;
        let mut cells = vec![
            Cell::text(&*run.gate),
            Cell::text(&*run.kv),
            Cell::yes(fidelity.same_tokens),
            Cell::optional(fidelity.first_divergence.map(|at| at as f64), 0),
            Cell::percent(fidelity.equal_share),
        ];
        cells.extend(of_texts(&run.texts));
        cells
    }));
    Table {
        file: "texts",
        title: "Texts".into(),
        note: "True early exit: texts may differ from the full model's. Divergence is the earliest position of a \
               new token, from 0, that differs in any text; 4-grams of tokens are repeated that their text has \
               had before."
            .into(),
        columns: header,
        rows,
    }
}

/// The first texts of every run, by the pieces that their tokens add.
pub(crate) fn passages(
    results: &DecodeResults,
    tokenizer: &TextTokenizer,
    shown: usize,
) -> Result<Vec<Passage>> {
    let texts = results
        .runs
        .iter()
        .flat_map(|run| run.texts.outputs.iter().take(shown).map(move |output| (run, output)));
    texts
        .map(|(run, output)| {
            let title = format!("{} with {}: {}", run.gate, run.kv, shortened(&output.prompt));
            let tokens = pieces(tokenizer, output)?;
            Ok(Passage { title, tokens, layers: results.facts.run.layers })
        })
        .collect()
}

/// What each token adds to a text, with its exit.
fn pieces(tokenizer: &TextTokenizer, output: &Output) -> Result<Vec<(String, usize)>> {
    let mut stream = tokenizer.stream();
    let mut tokens: Vec<(String, usize)> = Vec::with_capacity(output.tokens.len());
    for (&token, &exit) in output.tokens.iter().zip(&output.exits) {
        tokens.push((stream.push(token)?, exit));
    }
    let rest = stream.finish()?;
    if let Some((piece, _)) = tokens.last_mut() {
        piece.push_str(&rest);
    }
    Ok(tokens)
}

/// Writes `results.json`, the tables as CSV and the page; returns the path of `report.html`.
pub(crate) fn write(
    results: &DecodeResults,
    tokenizer: &TextTokenizer,
    folder: &Path,
) -> Result<PathBuf> {
    write_json(&folder.join("results.json"), results)?;
    let page = page(results);
    page.write_tables(folder)?;
    page.write_with(folder, &passages(results, tokenizer, SHOWN)?)
}

/// The end of a prompt, on one line.
pub(crate) fn shortened(prompt: &str) -> String {
    const LONGEST: usize = 60;
    let words = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.chars().count().checked_sub(LONGEST) {
        None | Some(0) => words,
        Some(cut) => format!("…{}", words.chars().skip(cut).collect::<String>()),
    }
}

fn page(results: &DecodeResults) -> Page {
    let facts = &results.facts;
    let leaving = never_leaving(facts.min_tokens, facts.run.encoder_layers.is_some());
    let how = format!(
        "the first {leaving} never leaving, gates read at {:?} by head {}, ",
        facts.exits, facts.head
    );
    let source = facts.run.source(results.plain.outputs.len(), &how);
    Page {
        title: "Early exit while decoding".into(),
        findings: vec![],
        notices: notices(results),
        tables: vec![speed(results), fidelity(results)],
        plots: vec![],
        sources: [vec![("Decoding".to_owned(), source)], rules(results)].concat(),
    }
}

/// What the policies and the head of these runs do.
fn rules(results: &DecodeResults) -> Vec<(String, String)> {
    let is_used = |name: &str| results.runs.iter().any(|run| run.kv == name);
    let policies = POLICIES.iter().filter(|policy| is_used(policy.name()));
    let policies = policies.map(|policy| (format!("K/V {}", policy.name()), policy.rule()));
    let name = results.facts.head.split(':').next().unwrap_or_default();
    let heads = HEADS.iter().filter(|head| head.name() == name);
    let heads = heads.map(|head| (format!("Head {name}"), head.rule()));
    policies.chain(heads).map(|(name, rule)| (name, rule.to_owned())).collect()
}
