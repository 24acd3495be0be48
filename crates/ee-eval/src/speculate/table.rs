//! What a person reads of one run.

use super::results::SpeculateResults;
use crate::report::table::{Cell, Table};

/// One run: a line per measure, plain decoding beside speculation.
pub(super) fn table(results: &SpeculateResults) -> Table {
    let r = results;
    let line =
        |name: &str, plain: Cell, speculation: Cell| vec![Cell::text(name), plain, speculation];
    let both = |name: &str, plain: f64, speculation: f64, decimals: usize| {
        line(name, Cell::number(plain, decimals), Cell::number(speculation, decimals))
    };
    let only = |name: &str, cell: Cell| line(name, Cell::Absent, cell);
    let share = |name: &str, share: f64| only(name, Cell::percent(share));
    let mut rows = vec![
        both("tokens per second", r.plain.tokens_per_second, r.speculation.tokens_per_second, 1),
        line("ratio", Cell::factor(1.0), Cell::factor(r.pace.speed_up)),
        only("lowest round", Cell::factor(r.pace.speed_up_by_round.min)),
        only("highest round", Cell::factor(r.pace.speed_up_by_round.max)),
        both("bound by reading weights, tokens per second", r.bound.plain, r.bound.speculation, 1),
        only("drafts", Cell::text(&r.draft)),
        only("drafts that stay (α)", r.agreement.map_or(Cell::Absent, |a| Cell::number(a, 3))),
        both("tokens per round, measured", 1.0, r.tokens_per_round, 2),
        both("tokens per round, 1 + α + … + α^D", 1.0, r.expected_tokens_per_round, 2),
        share("time in prompts", r.shares.prompts),
        share("time in drafting layers", r.shares.draft_layers),
        share("time in verifying layers", r.shares.verification_layers),
        share("time in heads", r.shares.heads),
        share("time in looking at all exits", r.shares.looks),
        share("rest", r.shares.rest),
    ];
    for score in &r.scores {
        rows.push(both(&score.name, score.plain_score, score.score, 3));
    }
    let same = match r.same_tokens {
        Some(true) => "yes".to_owned(),
        Some(false) => match r.differing_texts.unwrap_or(0) {
            1 => "no, 1 text differs".to_owned(),
            n => format!("no, {n} texts differ"),
        },
        None => "drawn: same distribution".to_owned(),
    };
    rows.push(only("same tokens as the full model", Cell::text(same)));
    Table {
        file: "speculate",
        title: "Lossless self-speculation".into(),
        note: format!(
            "Lossless: the texts are the full model's. Both ways ran in turn on {} texts, batch {}, {} rounds; the ratio is of the \
             medians of a batch's rounds.",
            r.texts, r.batch, r.rounds
        ),
        columns: vec!["lossless".into(), "plain".into(), "speculation".into()],
        rows,
    }
}
