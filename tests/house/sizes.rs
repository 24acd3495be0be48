//! A file is read in one sitting.

use std::fs;

use crate::source;

/// Lines that a file may have.
const LONGEST: usize = 400;

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for folder in ["crates", "tests"] {
        for path in source::rust_files(&source::root().join(folder)) {
            let n_lines = fs::read_to_string(&path).expect("a source file").lines().count();
            if n_lines > LONGEST {
                long.push(format!("{}:{n_lines}", source::shown(&path)));
            }
        }
    }
    assert!(long.is_empty(), "files of more than {LONGEST} lines:\n{}", long.join("\n"));
}
