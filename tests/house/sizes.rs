//! A file is read in one sitting.

use std::fs;

use crate::source;

/// Lines that a file may have.
const LONGEST: usize = 400;

/// What is still to be split.
const KNOWN: &[&str] = &[
    "crates/ee-decode/",
    "crates/ee-eval/",
    "crates/ee-models/",
    "crates/ee-train/tests/texts.rs",
];

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for folder in ["crates", "tests"] {
        for path in source::rust_files(&source::root().join(folder)) {
            let n_lines = fs::read_to_string(&path).expect("a source file").lines().count();
            if n_lines > LONGEST {
                long.push((source::shown(&path), n_lines));
            }
        }
    }
    let new = long.iter().filter(|(path, _)| !KNOWN.iter().any(|known| path.starts_with(known)));
    let new: Vec<_> = new.map(|(path, n_lines)| format!("{path}:{n_lines}")).collect();
    assert!(new.is_empty(), "files of more than {LONGEST} lines:\n{}", new.join("\n"));
}
