//! Japanese words as MeCab cuts them with the dictionary IPADIC, for BLEU as sacreBLEU's `ja-mecab` has it.
//!
//! MeCab is C++ and IPADIC holds 50 MB, so neither is shipped: the dictionary is read where `EE_IPADIC` says,
//! in MeCab's own compiled form (of Python's package `ipadic`, or of a system's `mecab-ipadic`), and the search
//! is MeCab's (Kudo, Yamamoto and Matsumoto 2004): of all ways to cut a text into words, known and unknown, the
//! one whose words and neighbours cost least. Of ways that cost the same it takes the one that MeCab takes.

mod dictionary;

use std::path::Path;
use std::sync::OnceLock;

use self::dictionary::{Characters, Costs, Kind, Word, Words};
use crate::error::Error;

/// Names the folder of the compiled dictionary.
pub(super) const VARIABLE: &str = "EE_IPADIC";

/// Entries of the dictionary that sacreBLEU's scores are computed with.
const ENTRIES: u32 = 392_126;

/// A run of unknown characters of one kind is a word up to this many.
const LONGEST_RUN: usize = 24;

/// Bytes that are searched for words at a place.
const WINDOW: usize = 65_535;

/// A dictionary with what it says of unknown words and of neighbours.
pub(super) struct Mecab {
    words: Words,
    /// By kind of character.
    unknown: Vec<Vec<Word>>,
    characters: Characters,
    costs: Costs,
}

/// A word at a place of the text; what is skipped before it are spaces.
struct Node {
    begin: usize,
    end: usize,
    word: Word,
    /// Of the cheapest way up to its end.
    cost: i64,
    /// The word before on that way.
    previous: usize,
}

/// IPADIC, opened once.
pub(super) fn ipadic() -> Result<&'static Mecab, Error> {
    static OPENED: OnceLock<Result<Mecab, String>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let folder = std::env::var_os(VARIABLE).ok_or_else(|| {
            format!(
                "metric `bleu:ja-mecab` needs the dictionary IPADIC: `pip install ipadic`, then \
                 {VARIABLE}=$(python -c 'import ipadic; print(ipadic.DICDIR)')"
            )
        })?;
        let mecab = Mecab::open(Path::new(&folder)).map_err(|error| error.to_string())?;
        match mecab.words.entries() {
            ENTRIES => Ok(mecab),
            other => Err(format!(
                "{}: expected IPADIC with {ENTRIES} entries, as sacreBLEU does, found {other}",
                Path::new(&folder).display()
            )),
        }
    });
    opened.as_ref().map_err(|message| Error::Request(message.clone()))
}

impl Mecab {
    /// Reads a compiled dictionary.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let characters = Characters::open(&folder.join("char.bin"))?;
        let unknown = Words::open(&folder.join("unk.dic"))?;
        let of_kind = |name: &String| unknown.exact(name.as_bytes());
        Ok(Self {
            words: Words::open(&folder.join("sys.dic"))?,
            unknown: characters.names().iter().map(of_kind).collect(),
            costs: Costs::open(&folder.join("matrix.bin"))?,
            characters,
        })
    }

    /// The words of a text, in its order.
    pub(super) fn words<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let edge = Word { left: 0, right: 0, cost: 0 };
        let mut nodes = vec![Node { begin: 0, end: 0, word: edge, cost: 0, previous: 0 }];
        let mut ending: Vec<Vec<usize>> = vec![Vec::new(); text.len() + 1];
        ending[0].push(0);
        for place in 0..text.len() {
            if ending[place].is_empty() {
                continue;
            }
            // The last found comes first, here and among those that end: ties depend on it.
            for (begin, end, word) in self.at(text, place).into_iter().rev() {
                let (previous, cost) = self.cheapest(&nodes, &ending[place], word);
                ending[end].push(nodes.len());
                nodes.push(Node { begin, end, word, cost, previous });
            }
        }
        let last = ending.iter().rev().find(|ending| !ending.is_empty());
        let (mut at, _) = self.cheapest(&nodes, last.expect("the beginning is there"), edge);
        let mut words = Vec::new();
        while at != 0 {
            words.push(&text[nodes[at].begin..nodes[at].end]);
            at = nodes[at].previous;
        }
        words.reverse();
        words
    }

    /// The word before that makes the way up to `word` cheapest, and what that way costs.
    fn cheapest(&self, nodes: &[Node], before: &[usize], word: Word) -> (usize, i64) {
        let cost = |at: usize| nodes[at].cost + self.costs.between(nodes[at].word.right, word.left);
        let ways = before.iter().rev().map(|&at| (at, cost(at)));
        let (at, cost) = ways.min_by_key(|(_, cost)| *cost).expect("some word ends here");
        (at, cost + i64::from(word.cost))
    }

    /// The words that may stand at a place, after the spaces there: where each begins and ends.
    fn at(&self, text: &str, place: usize) -> Vec<(usize, usize, Word)> {
        let bytes = &text.as_bytes()[..text.len().min(place + WINDOW)];
        let space = self.characters.of(b" ").0;
        let (begin, _) = self.characters.run(bytes, place, space);
        if begin == bytes.len() {
            return Vec::new();
        }
        let (kind, length) = self.characters.of(&bytes[begin..]);
        let mut found: Vec<(usize, usize, Word)> = Vec::new();
        for (length, words) in self.words.prefixes(&bytes[begin..]) {
            found.extend(words.into_iter().map(|word| (begin, begin + length, word)));
        }
        if !found.is_empty() && !kind.is_always_unknown() {
            return found;
        }
        for end in self.unknown_ends(bytes, begin + length, kind, found.is_empty()) {
            let words = self.unknown.get(kind.default()).into_iter().flatten();
            found.extend(words.map(|word| (begin, end, *word)));
        }
        found
    }

    /// Where unknown words may end whose first character, of a kind, ends at `first`.
    fn unknown_ends(&self, bytes: &[u8], first: usize, kind: Kind, is_needed: bool) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut grouped = None;
        if kind.is_grouped() {
            let (end, n_characters) = self.characters.run(bytes, first, kind);
            if n_characters <= LONGEST_RUN {
                ends.push(end);
            }
            grouped = Some(end);
        }
        let mut end = first;
        for _ in 0..kind.longest() {
            if end > bytes.len() {
                break;
            }
            if grouped == Some(end) {
                continue;
            }
            ends.push(end);
            let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) else { break };
            let (next, length) = self.characters.of(rest);
            if !kind.is_like(next) {
                break;
            }
            end += length;
        }
        if ends.is_empty() && is_needed {
            ends.push(end);
        }
        ends
    }
}

#[cfg(test)]
mod tests;
