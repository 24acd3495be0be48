//! Byte-pair encoding as subword-nmt applies it (Sennrich et al. 2016): merges in the order in which they were learnt.
//!
//! A file of version 0.1 has the end of a word, `</w>`, as a symbol of its own; in version 0.2, and in the
//! `merges.txt` of FSMT folders, the last character carries it. A dictionary has no say in the cut.

use std::collections::HashMap;
use std::path::Path;

use crate::error::Error;
use crate::text;

const END: &str = "</w>";
/// What a piece that does not end a word ends with.
const SEPARATOR: &str = "@@";

/// The merges of a file.
#[derive(Debug)]
pub(super) struct Codes {
    /// Two symbols and their place in the file.
    ranks: HashMap<(String, String), usize>,
    /// Whether the end of a word is a symbol of its own.
    separate_end: bool,
}

impl Codes {
    /// Reads the codes that `subword-nmt learn-bpe` writes.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = text::read(path)?;
        let mut lines = (1..).zip(text.trim_end_matches('\n').split('\n')).peekable();
        let mut separate_end = true;
        if let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("#version:")) {
            let version = line.split_whitespace().last().unwrap_or_default();
            let short = version.strip_suffix(".0").unwrap_or(version);
            separate_end = match short {
                "0.1" => true,
                "0.2" => false,
                _ => {
                    let message = format!("BPE codes of version {version}, expected 0.1 or 0.2");
                    return Err(Error::line(path, 1, message));
                }
            };
        }
        let mut ranks = HashMap::new();
        for (rank, (number, line)) in lines.enumerate() {
            let symbols = line.trim_matches(['\r', '\n', ' ']).split(' ').collect::<Vec<_>>();
            let [left, right] = symbols[..] else {
                let message =
                    format!("expected two symbols with a space between them, found {line:?}");
                return Err(Error::line(path, number, message));
            };
            ranks.entry((left.to_owned(), right.to_owned())).or_insert(rank);
        }
        Ok(Self { ranks, separate_end })
    }

    /// Reads the `merges.txt` of an FSMT folder, whose lines may end with a count.
    pub(super) fn of_merges(path: &Path) -> Result<Self, Error> {
        let text = text::read(path)?;
        let mut ranks = HashMap::new();
        for (rank, (number, line)) in (1..).zip(text.lines()).enumerate() {
            if line.starts_with("#version") {
                continue;
            }
            let mut symbols = line.split_whitespace();
            let (Some(left), Some(right)) = (symbols.next(), symbols.next()) else {
                let message =
                    format!("expected two symbols with a space between them, found {line:?}");
                return Err(Error::line(path, number, message));
            };
            // transformers keeps the last of several.
            ranks.insert((left.to_owned(), right.to_owned()), rank);
        }
        Ok(Self { ranks, separate_end: false })
    }

    /// The pieces of a word; the last of them ends with `</w>`.
    pub(super) fn cut(&self, word: &str) -> Vec<String> {
        let mut symbols: Vec<String> = word.chars().map(String::from).collect();
        match symbols.last_mut() {
            Some(last) if !self.separate_end => last.push_str(END),
            _ => symbols.push(END.to_owned()),
        }
        while let Some([left, right]) = self.best(&symbols) {
            let mut joined: Vec<String> = Vec::with_capacity(symbols.len());
            let mut rest = symbols.into_iter().peekable();
            while let Some(symbol) = rest.next() {
                match rest.next_if(|next| symbol == left && *next == right) {
                    Some(next) => joined.push(symbol + &next),
                    None => joined.push(symbol),
                }
            }
            symbols = joined;
        }
        symbols
    }

    /// The two neighbours that were joined first while learning.
    fn best(&self, symbols: &[String]) -> Option<[String; 2]> {
        let ranked = symbols.windows(2).filter_map(|two| {
            let pair = (two[0].clone(), two[1].clone());
            Some((*self.ranks.get(&pair)?, pair))
        });
        ranked.min().map(|(_, (left, right))| [left, right])
    }

    /// A line of words as subword-nmt prints it: `@@` after each piece that does not end a word.
    pub(super) fn segmented(&self, line: &str) -> String {
        let words = line.trim_matches(['\r', '\n', ' ']).split(' ').filter(|word| !word.is_empty());
        let mut printed: Vec<String> = Vec::new();
        for word in words {
            let mut pieces = match word.chars().nth(1) {
                Some(_) => self.cut(word),
                None => vec![word.to_owned()],
            };
            if pieces.last().is_some_and(|last| last == END) {
                pieces.pop();
            }
            let last = pieces.pop().unwrap_or_default();
            printed.extend(pieces.into_iter().map(|piece| piece + SEPARATOR));
            printed.push(last.strip_suffix(END).unwrap_or(&last).to_owned());
        }
        printed.join(" ")
    }
}
