//! Arrows between crates only point down.

use std::fs;

use crate::source;

/// The crates from the ground up, each with what it may stand on and with what it must not know.
const FLOORS: &[(&str, &[&str], &[&str])] = &[
    ("ee-files", &[], &["burn", "clap"]),
    ("ee-sandbox", &[], &["burn", "clap"]),
    ("ee-kernels", &[], &["burn", "clap"]),
    ("ee-tasks", &["ee-files", "ee-sandbox"], &["burn", "clap"]),
    ("ee-models", &["ee-files", "ee-kernels"], &["clap", "parquet", "plotters"]),
    (
        "ee-decode",
        &["ee-files", "ee-kernels", "ee-models"],
        &["clap", "parquet", "plotters", "arrow-array"],
    ),
    ("ee-train", &["ee-files", "ee-models", "ee-tasks", "ee-decode"], &["plotters", "parquet"]),
    ("ee-eval", &["ee-files", "ee-models", "ee-tasks", "ee-decode"], &[]),
];

/// The dependencies that a manifest names, each with its line; those of tests alone left out.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut counts = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        match line.strip_prefix('[') {
            Some(table) => {
                assert!(!table.contains("dependencies."), "[{table}: a dependency is one line");
                counts = table.ends_with("dependencies]") && !table.contains("dev-dependencies");
            }
            None if counts && line.contains('=') => {
                let name = line.split(['.', '=', ' ']).next().expect("a name");
                found.push((index + 1, name));
            }
            None => {}
        }
    }
    found
}

#[test]
fn arrows_between_crates_point_down() {
    let mut wrong = Vec::new();
    for folder in source::crates() {
        let path = folder.join("Cargo.toml");
        let manifest = fs::read_to_string(&path).expect("a manifest");
        let name = source::name(&folder);
        let Some((_, below, unknown)) = FLOORS.iter().find(|(floor, _, _)| *floor == name) else {
            panic!(
                "{}: a crate without a floor, add it to tests/house/floors.rs",
                source::shown(&path)
            );
        };
        for (line, dependency) in dependencies(&manifest) {
            let is_ours = dependency.starts_with("ee-");
            if unknown.contains(&dependency) || is_ours && !below.contains(&dependency) {
                wrong.push(format!("{}:{line}: {name} uses {dependency}", source::shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not point down:\n{}", wrong.join("\n"));
}
