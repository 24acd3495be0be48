//! What a registry names is named in only one file: other code asks the registry for it.

use std::collections::BTreeSet;

use proc_macro2::TokenTree;

use crate::modules::Modules;
use crate::source;

/// The names of one registry, and the folder or file in which each may stand, in one file of it.
struct Registry {
    what: &'static str,
    place: &'static str,
    names: Vec<String>,
}

fn registries() -> Vec<Registry> {
    let registry = |what, place, names: Vec<&str>| Registry {
        what,
        place,
        names: names.into_iter().map(str::to_owned).collect(),
    };
    let gates = ee_decode::gates::rules().map(|gate| gate.name());
    let policies = ee_decode::policy::POLICIES.iter().map(|policy| policy.name());
    let heads = ee_decode::head::HEADS.iter().map(|head| head.name());
    let rules = ee_decode::beam::RULES.iter().map(|rule| rule.name());
    let families = ee_models::arch::families().map(|family| family.facts().model_type);
    let objectives = ee_models::loss::OBJECTIVES.iter().map(|objective| objective.name);
    vec![
        registry("gate", "crates/ee-decode/src/gates/", gates.collect()),
        registry("K/V policy", "crates/ee-decode/src/policy/", policies.collect()),
        registry("head", "crates/ee-decode/src/head/", heads.collect()),
        registry("rule of beams", "crates/ee-decode/src/beam/rules/", rules.collect()),
        registry("family", "crates/ee-models/src/arch/", families.collect()),
        registry("metric", "crates/ee-tasks/src/metrics/", ee_tasks::metrics::names().collect()),
        registry(
            "metric of texts",
            "crates/ee-tasks/src/metrics/text/",
            ee_tasks::metrics::text::names().collect(),
        ),
        registry("objective", "crates/ee-models/src/loss/objective.rs", objectives.collect()),
    ]
}

/// Where a word that is also a registry's name means something else.
const OTHER_MEANINGS: &[(&str, &str, &str)] = &[
    ("crates/ee-decode/src/gates/mod.rs", "gate", "what an error is about"),
    ("crates/ee-eval/src/certify/report.rs", "gate", "a column's title"),
    ("crates/ee-eval/src/compare/texts/plots.rs", "gate", "the title of an axis"),
    ("crates/ee-eval/src/labels/plots.rs", "gate", "the title of an axis"),
    ("crates/ee-eval/src/labels/tables.rs", "gate", "a column's title"),
    ("crates/ee-eval/src/cli/bench/exits.rs", "pruned", "a key of the line that is printed"),
    (
        "crates/ee-eval/src/exits/score.rs",
        "accuracy",
        "agreement is the accuracy of a model's own answers",
    ),
    ("crates/ee-eval/src/labels/paper.rs", "joint", "a column's title"),
    ("crates/ee-tasks/src/tokenizer/settings.rs", "bert", "a model_type that implies a tokenizer"),
    (
        "crates/ee-tasks/src/tokenizer/settings.rs",
        "roberta",
        "a model_type that implies a tokenizer",
    ),
    ("crates/ee-train/src/config/learning.rs", "patience", "validations without a better score"),
    (
        "crates/ee-train/src/config/learning.rs",
        "recompute",
        "the former key of gradient checkpointing",
    ),
    ("crates/ee-train/src/run.rs", "recompute", "the former key of gradient checkpointing"),
    ("crates/ee-train/src/log.rs", "accuracy", "a curve of every run of labels and texts"),
];

/// A word in quotes.
struct Literal {
    file: String,
    line: usize,
    text: String,
}

/// All words in quotes, tests left out.
fn literals() -> Vec<Literal> {
    let mut literals = Vec::new();
    for folder in source::crates() {
        for root in ["lib.rs", "main.rs"].map(|file| folder.join("src").join(file)) {
            if !root.is_file() {
                continue;
            }
            for path in Modules::read(&root).files() {
                source::each_level(&source::tokens(&path), &mut |tokens| {
                    for token in tokens {
                        let TokenTree::Literal(literal) = token else { continue };
                        let line = literal.span().start().line;
                        if let Some(text) = literal.to_string().strip_prefix('"') {
                            let text = text.trim_end_matches('"').to_owned();
                            literals.push(Literal { file: source::shown(&path), line, text });
                        }
                    }
                });
            }
        }
    }
    literals
}

#[test]
fn a_registrys_name_stands_in_one_file() {
    let (literals, registries, mut wrong) = (literals(), registries(), Vec::new());
    let mut used = BTreeSet::new();
    for Registry { what, place, names } in &registries {
        for name in names {
            // Two registries may have a name in common.
            let is_others = |file: &str| {
                let others = registries.iter().filter(|other| other.what != *what);
                others
                    .into_iter()
                    .any(|other| other.names.contains(name) && file.starts_with(other.place))
            };
            let named = literals.iter().filter(|literal| literal.text == *name);
            let found: Vec<_> = named.filter(|literal| !is_others(&literal.file)).collect();
            let inside = found.iter().find(|literal| literal.file.starts_with(*place));
            let own = inside.map(|literal| literal.file.as_str());
            assert!(own.is_some(), "{what} {name} is not named below {place}");
            for Literal { file, line, .. } in
                found.iter().filter(|found| Some(found.file.as_str()) != own)
            {
                let meaning = OTHER_MEANINGS
                    .iter()
                    .position(|(at, word, _)| file.starts_with(at) && word == name);
                match meaning {
                    Some(place) => drop(used.insert(place)),
                    None => wrong.push(format!("{file}:{line}: {what} \"{name}\"")),
                }
            }
        }
    }
    for (place, (file, word, _)) in OTHER_MEANINGS.iter().enumerate() {
        if !used.contains(&place) {
            wrong.push(format!("tests/house/names.rs: \"{word}\" is no longer in {file}"));
        }
    }
    assert!(wrong.is_empty(), "names outside of their own files:\n{}", wrong.join("\n"));
}
