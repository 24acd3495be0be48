//! The sources as tokens, so that comments, strings and macros are told apart without guessing.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// The folders of the workspace's crates.
pub(crate) fn crates() -> Vec<PathBuf> {
    let mut folders: Vec<_> = entries(&root().join("crates"));
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders
}

/// A crate's name.
pub(crate) fn name(folder: &Path) -> String {
    folder.file_name().expect("a folder's name").to_string_lossy().into_owned()
}

/// All `.rs` files below a folder.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in entries(folder) {
        match path.is_dir() {
            true => files.extend(rust_files(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                files.push(path);
            }
            false => {}
        }
    }
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// A file's path as it is printed: from the workspace's folder.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The tokens of a file, without what is compiled for tests alone.
pub(crate) fn tokens(path: &Path) -> Vec<TokenTree> {
    let text = fs::read_to_string(path).expect("a source file");
    let stream: TokenStream =
        text.parse().unwrap_or_else(|error| panic!("{}: {error}", shown(path)));
    untested(stream)
}

/// The tokens without items under `#[cfg(test)]` and without documentation.
pub(crate) fn untested(stream: TokenStream) -> Vec<TokenTree> {
    let tokens: Vec<_> = stream.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match attribute(&tokens[at..]) {
            Some((text, length))
                if text.starts_with("cfg (test") || text.starts_with("cfg (all (test") =>
            {
                at += length + item_length(&tokens[at + length..]);
            }
            Some((text, length)) if text.starts_with("doc =") => at += length,
            _ => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// What an attribute says and how many tokens it has, if one begins here.
fn attribute(tokens: &[TokenTree]) -> Option<(String, usize)> {
    let sign = |at: usize, sign| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let length = if sign(0, '#') && sign(1, '!') { 3 } else { 2 };
    match (sign(0, '#'), tokens.get(length - 1)) {
        (true, Some(TokenTree::Group(group))) if group.delimiter() == Delimiter::Bracket => {
            Some((group.stream().to_string(), length))
        }
        _ => None,
    }
}

/// How many tokens the item that begins here has, further attributes included.
fn item_length(tokens: &[TokenTree]) -> usize {
    let mut at = 0;
    while let Some((_, length)) = attribute(&tokens[at..]) {
        at += length;
    }
    let mut ends_with_semicolon = false;
    for token in &tokens[at..] {
        at += 1;
        match token {
            TokenTree::Ident(word)
                if word == "use" || word == "static" || word == "type" || word == "let" =>
            {
                ends_with_semicolon = true;
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace && !ends_with_semicolon =>
            {
                break;
            }
            _ => {}
        }
    }
    at
}

/// Calls `visit` with every sequence of tokens: the given one and, in it, every group's.
pub(crate) fn each_level(tokens: &[TokenTree], visit: &mut impl FnMut(&[TokenTree])) {
    visit(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            each_level(&untested(group.stream()), visit);
        }
    }
}
