//! `unsafe` is where it may be.

use proc_macro2::TokenTree;

use crate::source;

/// Folders and files that may hold it.
const ALLOWED: &[&str] = &["crates/ee-kernels/src/", "crates/ee-sandbox/src/"];

/// What is still to be moved.
const KNOWN: &[&str] = &[
    "crates/ee-models/src/device.rs",
    "crates/ee-models/src/kernels/cpu/",
    "crates/ee-tasks/src/sandbox/",
];

#[test]
fn unsafe_code_is_where_it_may_be() {
    let mut found = Vec::new();
    for path in source::rust_files(&source::root().join("crates")) {
        source::each_level(&source::tokens(&path), &mut |tokens| {
            for token in tokens {
                if let TokenTree::Ident(word) = token
                    && word == "unsafe"
                {
                    found.push((source::shown(&path), word.span().start().line));
                }
            }
        });
    }
    let is_below = |folders: &[&str], path: &str| folders.iter().any(|each| path.starts_with(each));
    let new = found.iter().filter(|(path, _)| !is_below(ALLOWED, path) && !is_below(KNOWN, path));
    let new: Vec<_> = new.map(|(path, line)| format!("{path}:{line}")).collect();
    assert!(new.is_empty(), "unsafe code outside of {ALLOWED:?}:\n{}", new.join("\n"));
}
