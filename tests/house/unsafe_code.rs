//! `unsafe` is where it may be.

use proc_macro2::TokenTree;

use crate::source;

/// Folders and files that may hold it.
const ALLOWED: &[&str] = &["crates/ee-kernels/src/", "crates/ee-sandbox/src/"];

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
    let is_allowed = |path: &str| ALLOWED.iter().any(|each| path.starts_with(each));
    let new = found.iter().filter(|(path, _)| !is_allowed(path));
    let new: Vec<_> = new.map(|(path, line)| format!("{path}:{line}")).collect();
    assert!(new.is_empty(), "unsafe code outside of {ALLOWED:?}:\n{}", new.join("\n"));
}
