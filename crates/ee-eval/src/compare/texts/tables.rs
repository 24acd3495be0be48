//! The tables of a comparison of decoders.

use super::paper::{self, Kind};
use super::results::{IDEAL, TextComparison, TextResults};
use crate::report::table::{Cell, Table, columns};
use crate::tokens::shallowest;
use crate::trace::facts::objective::word;
use crate::trial::{Place, Trial, Way};
use crate::words::count;
use ee_decode::policy;

/// Every table, in reading order.
pub(super) fn all(comparison: &TextComparison) -> Vec<Table> {
    vec![
        headline(comparison),
        paper::ideal_exits(comparison),
        gates(comparison),
        policies(comparison),
        live(comparison),
        exits(comparison),
    ]
}

/// A table with a row, or rows, per model.
fn table(
    file: &'static str,
    title: String,
    note: String,
    header: &str,
    rows: Vec<Vec<Cell>>,
) -> Table {
    Table { file, title, note, columns: columns(header), rows }
}

/// One line per model.
pub(super) fn headline(comparison: &TextComparison) -> Table {
    let row = |(name, results): (&String, &TextResults)| {
        let (gate_name, gate) = shallowest(&results.gates);
        let score = results.summary.scores.first();
        let interval = score.and_then(|score| score.interval);
        let fastest = results.fastest(comparison.keep);
        let lossless = results.lossless();
        let speed = |trial: Option<&Trial>| {
            trial.map_or(Cell::Absent, |trial| Cell::factor(trial.pace.speed_up))
        };
        vec![
            Cell::text(name),
            Cell::text(word(results.summary.objective)),
            score
                .and_then(|score| score.score)
                .map_or(Cell::Absent, |score| Cell::number(score, 4)),
            interval
                .map_or(Cell::Absent, |[low, high]| Cell::text(format!("{low:.3} to {high:.3}"))),
            Cell::text(results.layers()),
            Cell::number(results.summary.ideal.average, 2),
            Cell::number(results.summary.ideal.chance_average, 2),
            Cell::percent(results.summary.ideal.perc),
            Cell::text(gate_name),
            Cell::number(gate.average_exit, 2),
            Cell::number(gate.distance, 2),
            fastest.map_or(Cell::Absent, |trial| Cell::text(trial.way.to_string())),
            speed(fastest),
            fastest.map_or(Cell::Absent, |trial| Cell::percent(trial.fidelity.equal_share)),
            speed(lossless),
            lossless.map_or(Cell::Absent, |trial| Cell::yes(trial.fidelity.same_tokens)),
        ]
    };
    let metric = comparison.models.values().next().and_then(|first| first.trials.metric());
    table(
        "headline",
        "At a glance".into(),
        format!(
            "Exits are layers run. The ideal exit is the shallowest that already gives the last one's token; by chance is what \
             it would be if every exit's tokens were shuffled. The shallowest gate keeps {:.0} % of the tokens that may \
             leave (all but the first {} of a text) on the full model's own context. Speed-ups are measured against plain \
             decoding: of the fastest true early exit that kept {:.0} % of the quality on the texts decoded, whose texts may \
             differ, and of speculation, which is lossless.",
            100.0 * comparison.keep,
            Kind::of(comparison).never_leaving(comparison.min_tokens),
            100.0 * comparison.keep,
        ),
        &format!(
            "model | trained | {}, full model | 95 % interval | layers | ideal exit | by chance | could leave early | \
             shallowest gate | its exit | its distance | fastest true early exit | its speed-up | its equal tokens | \
             speculation's speed-up | same tokens",
            metric.unwrap_or("score")
        ),
        comparison.models.iter().map(row).collect(),
    )
}

/// Every gate on the trace.
fn gates(comparison: &TextComparison) -> Table {
    let rows = comparison.models.iter().flat_map(|(name, results)| {
        results.gates.iter().map(move |(gate, found)| {
            let live = results.with(gate, policy::DEFAULT.name());
            let speed = [
                live.map_or(Cell::Absent, |trial| Cell::factor(trial.pace.speed_up)),
                live.and_then(|trial| trial.step_speed_up).map_or(Cell::Absent, Cell::factor),
            ];
            [vec![Cell::text(name), Cell::text(gate)], found.cells(), speed.to_vec()].concat()
        })
    });
    table(
        "gates",
        format!("Gates that keep {:.0} % of the tokens, on the trace", 100.0 * comparison.keep),
        format!(
            "The exact best threshold of each gate on the full model's own context, chosen on these very tokens; `fixed` cuts the \
         model off at one exit for all of them. Distance is the \
         mean of |gate exit − ideal exit| in layers over tokens that may leave; premature and late are the shares of them \
         that leave before and after their ideal exit. Speed-ups are those of the gate with {} and its faster head, where it \
         could open, on the texts that are decoded for real. {}",
            policy::DEFAULT.name(),
            Kind::of(comparison).on_prompts(),
        ),
        "model | gate | threshold | average exit | equal tokens | distance to ideal | premature | \
             late | speed-up | without prompts",
        rows.collect(),
    )
}

/// Policies alone.
fn policies(comparison: &TextComparison) -> Table {
    let rows = comparison.models.iter().flat_map(|(name, results)| {
        let ideal = results.trials.trials.iter();
        let ideal = ideal.filter(|trial| trial.way.is_ideal());
        ideal.map(move |trial| {
            let [low, high] = trial.equal_interval.map(|end| 100.0 * end);
            let mut cells = vec![
                Cell::text(name),
                trial.way.kv().map_or(Cell::Absent, Cell::text),
                Cell::optional(trial.average_exit(), 2),
                Cell::percent(trial.fidelity.equal_share),
                Cell::text(format!("{low:.1} to {high:.1} %")),
            ];
            cells.extend(texts(results, trial));
            cells
        })
    });
    table(
        "policies",
        "K/V policies alone: every token at its ideal exit".into(),
        "Each token leaves where the answer is already the last exit's, so that nothing but the keys and values of skipped \
         layers parts texts from the full model's. All layers run to find that exit: there is no speed to be had."
            .into(),
        "model | K/V | average exit | equal tokens | 95 % interval | first divergence | \
             mean divergence | repeated 4-grams | full model's | unfinished | quality, of full | \
             same tokens",
        rows.collect(),
    )
}

/// Every way of decoding, with its speed.
fn live(comparison: &TextComparison) -> Table {
    let rows = comparison.models.iter().flat_map(|(name, results)| {
        let trials = results.of_gates().chain(results.lossless());
        trials.map(move |trial| {
            let quality = results.quality(trial);
            let mut cells = vec![Cell::text(name)];
            cells.extend(way(&trial.way));
            cells.extend(trial.speed_cells(&results.trials));
            cells.extend([
                Cell::optional(trial.average_exit(), 2),
                Cell::optional(trial.texts.score(), 4),
                Cell::text(quality.map_or("yes", |quality| quality.kept.name())),
                Cell::percent(quality.map_or(1.0, |quality| quality.at_least)),
                Cell::percent(trial.fidelity.equal_share),
            ]);
            cells.extend(texts(results, trial));
            cells
        })
    });
    let first = comparison.models.values().next();
    let metric = first.and_then(|first| first.trials.metric()).unwrap_or("score");
    let (n, rounds) =
        first.map_or((0, 0), |first| (first.trials.plain.outputs.len(), first.trials.rounds));
    table(
        "live",
        "Decoded for real".into(),
        format!(
            "{} at even distances of the split, {}, each batch plainly and in every way in turn, each text as \
             long as plain decoding makes it, so that the rows are the same; the rows per step stand here that each \
             way's own texts would keep. Speed-ups are tokens per second against plain decoding, prompts included, of the \
             medians, and of the lowest and highest round. Whether the quality is kept is judged of further texts, for all \
             ways together with a confidence of 95 %. True early exit may change texts; lossless never does. Divergence is the \
             position of the first new token, from 0, that differs: the earliest in any text, and the mean over texts \
             that differ. {}",
            count(n, "text"),
            count(rounds, "round"),
            Kind::of(comparison).on_prompts(),
        ),
        &format!(
            "model | kind | gate | K/V | head | tokens/s | plain tokens/s | speed-up | lowest | highest | without prompts | rows per step | \
             plain's | average exit | {metric} | quality kept | surely at least | equal tokens | first divergence | \
             mean divergence | repeated 4-grams | full model's | unfinished | quality, of full | same tokens",
        ),
        rows.collect(),
    )
}

/// Kind, gate, K/V and head.
fn way(way: &Way) -> [Cell; 4] {
    let Some(settings) = way.settings() else {
        return [Cell::text("lossless"), Cell::text(way.to_string()), Cell::Absent, Cell::Absent];
    };
    let gate = settings.rule.to_string();
    let (name, value) = gate.split_once(':').unwrap_or((&gate, ""));
    let rounded = match value.parse::<f32>() {
        Ok(value) if value.fract() != 0.0 => format!("{name}:{value:.4}"),
        _ => gate,
    };
    let (kv, head) = (settings.policy.name(), settings.head.to_string());
    [Cell::text("true early exit"), Cell::text(rounded), Cell::text(kv), Cell::text(head)]
}

/// Divergence, repetition, length and quality.
fn texts(results: &TextResults, trial: &Trial) -> [Cell; 7] {
    let fidelity = &trial.fidelity;
    [
        Cell::optional(fidelity.first_divergence.map(|at| at as f64), 0),
        Cell::optional(fidelity.mean_divergence, 1),
        Cell::percent(trial.texts.repeated_4_grams),
        Cell::percent(results.trials.plain.repeated_4_grams),
        trial.texts.unfinished_cell(),
        Cell::percent(results.trials.kept(trial)),
        Cell::yes(fidelity.same_tokens),
    ]
}

/// Every exit of every model.
fn exits(comparison: &TextComparison) -> Table {
    let rows = comparison.models.iter().flat_map(|(name, results)| {
        let ideal = &results.summary.ideal;
        let tokens = results.summary.tokens as f64;
        (0..results.summary.layers).map(move |index| {
            vec![
                Cell::text(name),
                Cell::number(index as f64 + 1.0, 0),
                Cell::percent(results.agreement_per_exit[index]),
                Cell::number(results.confidence_per_exit[index], 4),
                Cell::percent(ideal.histogram[index] as f64 / tokens),
                Cell::percent(ideal.chance_histogram[index]),
                Cell::percent(ideal.saturation_histogram[index] as f64 / tokens),
            ]
        })
    });
    table(
        "exits",
        "Exit by exit".into(),
        "Shares are of all tokens of the trace.".into(),
        "model | exit | tokens equal to the last exit's | mean confidence | ideal exit here | \
             by chance | saturated here",
        rows.collect(),
    )
}

/// Position by position: what every policy does with ideal exits, and with all gates together.
pub(super) fn places(comparison: &TextComparison) -> Table {
    let mut rows = Vec::new();
    for (name, results) in &comparison.models {
        for (exits, kv, places) in by_policy(results) {
            rows.extend(places.iter().map(|place| {
                vec![
                    Cell::text(name),
                    Cell::text(exits),
                    Cell::text(&kv),
                    Cell::number(place.position as f64, 0),
                    Cell::number(place.texts as f64, 0),
                    Cell::number(place.equal as f64, 0),
                    Cell::number(place.unbroken as f64, 0),
                ]
            }));
        }
    }
    let header = "model | exits | kv | position | texts | equal | unbroken";
    table("places", "Position by position".into(), String::new(), header, rows)
}

/// `ideal` or `gates`, a policy, and where texts diverge.
pub(super) fn by_policy(results: &TextResults) -> Vec<(&'static str, String, Vec<Place>)> {
    let policies = ee_decode::policy::POLICIES.iter().filter(|policy| policy.takes_effect());
    let of_policy = |kv: &str| {
        let ideal: Vec<&Trial> = results.ideal(kv).into_iter().collect();
        let gates: Vec<&Trial> =
            results.of_gates().filter(|trial| trial.way.kv() == Some(kv)).collect();
        [(IDEAL, ideal), ("gates", gates)]
            .map(|(exits, trials)| (exits, kv.to_owned(), results.trials.places(&trials)))
    };
    policies.flat_map(|policy| of_policy(policy.name())).collect()
}
