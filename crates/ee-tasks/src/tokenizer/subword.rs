//! Byte-pair encoding as subword-nmt applies it (Sennrich et al. 2016): merges in the order in which they were learnt.
//!
//! A file of version 0.1 has the end of a word, `</w>`, as a symbol of its own; in version 0.2, and in the
//! `merges.txt` of FSMT folders, the last character carries it. A dictionary has no say in the cut.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::Path;

use crate::error::Error;
use crate::text;

const END: &str = "</w>";
/// What a piece that does not end a word ends with.
const SEPARATOR: &str = "@@";

/// The places in the file of two symbols, by the left one and the right one.
type Ranks = HashMap<String, HashMap<String, usize>>;

/// The merges of a file.
#[derive(Debug)]
pub(super) struct Codes {
    ranks: Ranks,
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
        let mut ranks = Ranks::new();
        for (rank, (number, line)) in lines.enumerate() {
            let symbols = line.trim_matches(['\r', '\n', ' ']).split(' ').collect::<Vec<_>>();
            let [left, right] = symbols[..] else {
                let message =
                    format!("expected two symbols with a space between them, found {line:?}");
                return Err(Error::line(path, number, message));
            };
            ranks.entry(left.to_owned()).or_default().entry(right.to_owned()).or_insert(rank);
        }
        Ok(Self { ranks, separate_end })
    }

    /// Reads the `merges.txt` of an FSMT folder, whose lines may end with a count.
    pub(super) fn of_merges(path: &Path) -> Result<Self, Error> {
        let text = text::read(path)?;
        let mut ranks = Ranks::new();
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
            ranks.entry(left.to_owned()).or_default().insert(right.to_owned(), rank);
        }
        Ok(Self { ranks, separate_end: false })
    }

    /// The pieces of a word; the last of them ends with `</w>`.
    pub(super) fn cut(&self, word: &str) -> Vec<String> {
        let text = format!("{word}{END}");
        let mut begins: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
        if self.separate_end || begins.is_empty() {
            begins.push(word.len());
        }
        let mut symbols = Symbols::new(&text, &begins);
        let mut agenda: BinaryHeap<_> =
            (0..begins.len()).filter_map(|left| self.merge(&symbols, left)).collect();
        while let Some(Reverse((rank, ..))) = agenda.peek() {
            // All places of two symbols are joined, from the left, before another two are looked for.
            let rank = *rank;
            let mut joined = Vec::new();
            while let Some(merge) = agenda.peek().filter(|merge| merge.0.0 == rank) {
                let Reverse((_, left, ends)) = *merge;
                agenda.pop();
                if symbols.join(left, ends) {
                    joined.push(left);
                }
            }
            for left in joined {
                let before = symbols.before[left];
                agenda.extend(before.and_then(|before| self.merge(&symbols, before)));
                agenda.extend(self.merge(&symbols, left));
            }
        }
        symbols.texts().map(str::to_owned).collect()
    }

    /// What makes one of a symbol and the next, where the file joins them.
    fn merge(&self, symbols: &Symbols<'_>, left: usize) -> Option<Merge> {
        let [middle, end] = symbols.ends(left)?;
        let [first, second] = [symbols.begins[left]..middle, middle..end];
        let rank = self.ranks.get(&symbols.text[first])?.get(&symbols.text[second])?;
        Some(Reverse((*rank, left, [middle, end])))
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

/// A merge's rank, the number of the left symbol, and where both symbols end: the lowest rank first, then the
/// leftmost.
type Merge = Reverse<(usize, usize, [usize; 2])>;

/// The symbols of a word, each named by the number of the character that it begins with.
struct Symbols<'t> {
    text: &'t str,
    begins: &'t [usize],
    before: Vec<Option<usize>>,
    /// The number of the next symbol, that of characters after the last; `None` where the symbol before has it.
    after: Vec<Option<usize>>,
}

impl<'t> Symbols<'t> {
    fn new(text: &'t str, begins: &'t [usize]) -> Self {
        let before = (0..begins.len()).map(|at| at.checked_sub(1)).collect();
        Self { text, begins, before, after: (1..=begins.len()).map(Some).collect() }
    }

    fn begin(&self, at: usize) -> usize {
        self.begins.get(at).copied().unwrap_or(self.text.len())
    }

    /// Where a symbol and the next one end.
    fn ends(&self, left: usize) -> Option<[usize; 2]> {
        let right = self.after[left]?;
        let after = (*self.after.get(right)?)?;
        Some([self.begin(right), self.begin(after)])
    }

    /// Makes one of a symbol and the next if they still end where they did.
    fn join(&mut self, left: usize, ends: [usize; 2]) -> bool {
        if self.ends(left) != Some(ends) {
            return false;
        }
        let after = self.after[left].and_then(|right| self.after[right].take());
        self.after[left] = after;
        if let Some(before) = after.and_then(|after| self.before.get_mut(after)) {
            *before = Some(left);
        }
        true
    }

    fn texts(&self) -> impl Iterator<Item = &'t str> {
        let all = self.begins.iter().enumerate();
        all.filter_map(|(at, begin)| Some(&self.text[*begin..self.begin(self.after[at]?)]))
    }
}

#[cfg(test)]
mod tests;
