//! Every source file belongs to a module: one that none declares is compiled by nothing and read by mistake.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source;

/// Files that may declare the module of `file`, and its name.
fn parents(file: &Path) -> (Vec<PathBuf>, String) {
    let folder = file.parent().expect("a file's folder");
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let (folder, name) = match name(file).as_str() {
        "mod" => (folder.parent().expect("a folder above"), name(folder)),
        own => (folder, own.to_owned()),
    };
    let mut files: Vec<_> = ["mod.rs", "lib.rs", "main.rs"].map(|file| folder.join(file)).into();
    files.push(folder.with_extension("rs"));
    (files, name)
}

fn is_declared(file: &Path) -> bool {
    let (parents, name) = parents(file);
    let declares = |parent: &PathBuf| {
        let text = fs::read_to_string(parent).unwrap_or_default();
        text.lines().any(|line| line.trim().ends_with(&format!("mod {name};")))
    };
    parents.iter().any(declares)
}

#[test]
fn every_file_belongs_to_a_module() {
    let mut left = Vec::new();
    for folder in source::crates() {
        for file in source::rust_files(&folder.join("src")) {
            let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|root| file.ends_with(root));
            if !is_root && !is_declared(&file) {
                left.push(source::shown(&file));
            }
        }
    }
    assert!(left.is_empty(), "files that no module declares:\n{}", left.join("\n"));
}
