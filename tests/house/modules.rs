//! Which module of a crate uses which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenTree};

use crate::source;

/// Names from the crate's root; the root itself has none.
pub(crate) type ModulePath = Vec<String>;

/// One module's names and what it mentions.
#[derive(Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    /// Names brought in by `use`, with the path that each stands for.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths as they are written, with their lines.
    mentions: Vec<(Vec<String>, usize)>,
}

/// One use of a module by another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) from: ModulePath,
    pub(crate) to: ModulePath,
    /// File and line.
    pub(crate) place: String,
}

/// The modules below one root file (`lib.rs`, `main.rs`).
pub(crate) struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    pub(crate) fn read(root: &Path) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.add(Vec::new(), root, &source::tokens(root));
        modules
    }

    /// The files of all modules.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        self.0.values().map(|module| module.file.clone()).collect()
    }

    /// Takes a module in, and the modules below it.
    fn add(&mut self, path: ModulePath, file: &Path, tokens: &[TokenTree]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut inline = Vec::new();
        let rest = declarations(tokens, &mut module.children, &mut inline);
        source::each_level(&rest, &mut |level| module.take(level));
        for child in module.children.clone() {
            let mut below = path.clone();
            below.push(child.clone());
            match inline.iter().find(|(name, _)| *name == child) {
                Some((_, tokens)) => self.add(below, file, tokens),
                None => {
                    let file = file_of(file, &child, path.is_empty());
                    self.add(below, &file, &source::tokens(&file));
                }
            }
        }
        self.0.insert(path, module);
    }

    /// The module that defines what a path names, seen from a module; `None` for what is not of this crate.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<ModulePath> {
        if depth > 32 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(Vec::new(), rest, depth),
            "self" => self.walk(from.to_vec(), rest, depth),
            "super" => self.walk(from[..from.len().checked_sub(1)?].to_vec(), rest, depth),
            name => {
                let module = &self.0[from];
                let known = module.children.contains(name) || module.imports.contains_key(name);
                known.then(|| self.walk(from.to_vec(), path, depth))?
            }
        }
    }

    fn walk(&self, mut at: ModulePath, path: &[String], depth: usize) -> Option<ModulePath> {
        for (index, name) in path.iter().enumerate() {
            let module = &self.0[&at];
            if name == "super" {
                at.pop()?;
            } else if module.children.contains(name) {
                at.push(name.clone());
            } else if let Some(import) = module.imports.get(name) {
                let mut whole = import.clone();
                whole.extend_from_slice(&path[index + 1..]);
                return self.resolve(&at, &whole, depth + 1);
            } else {
                break;
            }
        }
        Some(at)
    }

    /// Every use of one module by another.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for (from, module) in &self.0 {
            for (path, line) in &module.mentions {
                if let Some(to) = self.resolve(from, path, 0)
                    && to != *from
                {
                    let place = format!("{}:{line}", source::shown(&module.file));
                    uses.insert(Use { from: from.clone(), to, place });
                }
            }
        }
        uses
    }
}

impl Module {
    /// Notes the imports and the paths of one level of tokens.
    fn take(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) if word == "use" => {
                    let end = (at..tokens.len()).find(|&at| is_sign(&tokens[at], ';'));
                    let end = end.unwrap_or(tokens.len());
                    self.import(&tokens[at + 1..end], &[]);
                    at = end;
                }
                TokenTree::Ident(word) => {
                    let line = word.span().start().line;
                    let mut path = vec![word.to_string()];
                    while let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                        && is_sign(&tokens[at + 1], ':')
                        && is_sign(&tokens[at + 2], ':')
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.mentions.push((path, line));
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Notes the tree of one `use`, which stands below `prefix`.
    fn import(&mut self, tokens: &[TokenTree], prefix: &[String]) {
        for branch in tokens.split(|token| is_sign(token, ',')) {
            let mut path = prefix.to_vec();
            let mut alias = None;
            let mut line = 0;
            for (index, token) in branch.iter().enumerate() {
                match token {
                    TokenTree::Ident(word) if word == "as" => {
                        alias = branch.get(index + 1).map(ToString::to_string);
                        break;
                    }
                    TokenTree::Ident(word) => {
                        line = word.span().start().line;
                        path.push(word.to_string());
                    }
                    TokenTree::Group(group) => {
                        let inner: Vec<_> = group.stream().into_iter().collect();
                        self.import(&inner, &path);
                        path.clear();
                    }
                    _ => {}
                }
            }
            if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                path.pop();
            }
            let Some(name) = alias.or_else(|| path.last().cloned()) else { continue };
            self.mentions.push((path.clone(), line));
            // A name that stands for itself would loop forever.
            if path.len() > 1 {
                self.imports.insert(name, path);
            }
        }
    }
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Takes declared modules out of the tokens: their names, and the tokens of those written in place.
fn declarations(
    tokens: &[TokenTree],
    children: &mut BTreeSet<String>,
    inline: &mut Vec<(String, Vec<TokenTree>)>,
) -> Vec<TokenTree> {
    let mut rest = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let (TokenTree::Ident(word), Some(TokenTree::Ident(name)), Some(body)) =
            (&tokens[at], tokens.get(at + 1), tokens.get(at + 2))
            && word == "mod"
        {
            children.insert(name.to_string());
            if let TokenTree::Group(group) = body
                && group.delimiter() == Delimiter::Brace
            {
                inline.push((name.to_string(), source::untested(group.stream())));
            }
            at += 3;
        } else {
            rest.push(tokens[at].clone());
            at += 1;
        }
    }
    rest
}

/// The file of a module that is declared in another's file.
fn file_of(parent: &Path, child: &str, is_root: bool) -> PathBuf {
    let folder = parent.parent().expect("a file's folder");
    let stem = parent.file_stem().expect("a file's name");
    let folder = match is_root || stem == "mod" {
        true => folder.to_owned(),
        false => folder.join(stem),
    };
    let alone = folder.join(format!("{child}.rs"));
    if alone.is_file() { alone } else { folder.join(child).join("mod.rs") }
}
