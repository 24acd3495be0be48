//! MeCab's compiled dictionaries: words in a double-array trie, kinds of characters, costs of neighbours.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// Bytes before the trie of a dictionary.
const HEADER: usize = 72;
/// How a dictionary's first word follows from its size.
const MAGIC: u32 = 0xef71_8f77;
/// The version of the format.
const VERSION: u32 = 102;
/// Bytes of a word's entry.
const ENTRY: usize = 16;
/// Bytes of a kind's name.
const NAME: usize = 32;
/// Characters whose kind is known, by code point.
const CHARACTERS: usize = 0xffff;

/// What a word brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// Its number as a right neighbour.
    pub(super) left: u16,
    /// Its number as a left neighbour.
    pub(super) right: u16,
    pub(super) cost: i16,
}

pub(super) struct Words {
    bytes: Vec<u8>,
    /// Where the trie ends and the entries begin.
    entries: usize,
}

impl Words {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let field = |at: usize| u32_at(&bytes, 4 * at).unwrap_or(0);
        let (trie, entries) = (field(6) as usize, field(7) as usize);
        let is_sound = field(0) ^ MAGIC == bytes.len() as u32
            && field(1) == VERSION
            && HEADER + trie + entries <= bytes.len()
            && bytes[40..HEADER].to_ascii_lowercase().starts_with(b"utf");
        if !is_sound {
            let expected = "expected a dictionary compiled by MeCab 0.996 in UTF-8";
            return Err(Error::file(path, expected));
        }
        Ok(Self { entries: HEADER + trie, bytes })
    }

    /// How many words it has.
    pub(super) fn entries(&self) -> u32 {
        u32_at(&self.bytes, 12).unwrap_or(0)
    }

    /// The words that a text begins with, by their length in bytes, shortest first.
    pub(super) fn prefixes(&self, text: &[u8]) -> Vec<(usize, Vec<Word>)> {
        let mut found = Vec::new();
        let Some((mut base, _)) = self.node(0) else { return found };
        for length in 0..=text.len() {
            if let Some(words) = self.words_at(base) {
                found.push((length, words));
            }
            let Some(byte) = text.get(length) else { break };
            match self.step(base, *byte) {
                Some(next) => base = next,
                None => break,
            }
        }
        found
    }

    /// The words that are written so.
    pub(super) fn exact(&self, text: &[u8]) -> Vec<Word> {
        let mut bytes = text.iter();
        let last = self
            .node(0)
            .and_then(|(base, _)| bytes.try_fold(base, |base, byte| self.step(base, *byte)));
        last.and_then(|base| self.words_at(base)).unwrap_or_default()
    }

    fn step(&self, base: i32, byte: u8) -> Option<i32> {
        let (next, check) = self.node(base.checked_add(i32::from(byte) + 1)?)?;
        (check == base).then_some(next)
    }

    fn words_at(&self, base: i32) -> Option<Vec<Word>> {
        let (value, check) = self.node(base)?;
        if check != base || value >= 0 {
            return None;
        }
        // Where the entries begin, and how many there are.
        let value = -(value + 1) as usize;
        let entry = |at: usize| {
            let at = self.entries + ENTRY * ((value >> 8) + at);
            let number = |place: usize| {
                Some(u16::from_le_bytes(
                    self.bytes.get(at + place..at + place + 2)?.try_into().ok()?,
                ))
            };
            Some(Word { left: number(0)?, right: number(2)?, cost: number(6)?.cast_signed() })
        };
        (0..value & 0xff).map(entry).collect()
    }

    /// Base and check of a node of the trie.
    fn node(&self, at: i32) -> Option<(i32, i32)> {
        let at = HEADER + 8 * usize::try_from(at).ok()?;
        if at + 8 > self.entries {
            return None;
        }
        Some((u32_at(&self.bytes, at)?.cast_signed(), u32_at(&self.bytes, at + 4)?.cast_signed()))
    }
}

/// The kind of a character, and how unknown words are made of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u32);

impl Kind {
    /// Whether both share a kind.
    pub(super) fn is_like(self, other: Self) -> bool {
        self.0 & other.0 & 0x3_ffff != 0
    }

    /// The number of the kind under which unknown words are looked up.
    pub(super) fn default(self) -> usize {
        (self.0 >> 18 & 0xff) as usize
    }

    /// The longest unknown words besides whole runs, in characters.
    pub(super) fn longest(self) -> usize {
        (self.0 >> 26 & 0xf) as usize
    }

    /// Whether a run of such characters is a word.
    pub(super) fn is_grouped(self) -> bool {
        self.0 >> 30 & 1 == 1
    }

    /// Whether unknown words are considered besides known ones.
    pub(super) fn is_always_unknown(self) -> bool {
        self.0 >> 31 == 1
    }
}

pub(super) struct Characters {
    names: Vec<String>,
    kinds: Vec<u32>,
}

impl Characters {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let n = u32_at(&bytes, 0).unwrap_or(0) as usize;
        if bytes.len() != 4 + NAME * n + 4 * CHARACTERS {
            return Err(Error::file(path, "expected kinds of characters compiled by MeCab 0.996"));
        }
        let (names, kinds) = bytes[4..].split_at(NAME * n);
        let name = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(NAME);
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let kind = |bytes: &[u8]| u32_at(bytes, 0).unwrap_or(0);
        Ok(Self {
            names: names.chunks(NAME).map(name).collect(),
            kinds: kinds.chunks(4).map(kind).collect(),
        })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The kind of a text's first character, and how many bytes that has. Beyond the first 65,535 code points
    /// all are of the kind of the first.
    pub(super) fn of(&self, text: &[u8]) -> (Kind, usize) {
        let at = |place: usize| u32::from(text.get(place).copied().unwrap_or(0));
        let (code, length) = match at(0) {
            first @ 0..0x80 => (first, 1),
            first @ 0x80..0xe0 => ((first & 0x1f) << 6 | at(1) & 0x3f, 2),
            first @ 0xe0..0xf0 => ((first & 0xf) << 12 | (at(1) & 0x3f) << 6 | at(2) & 0x3f, 3),
            _ => (0, 4),
        };
        (Kind(self.kinds.get(code as usize).copied().unwrap_or(self.kinds[0])), length)
    }

    /// Where a run of characters ends, each like the one before it, and how many it has.
    pub(super) fn run(&self, text: &[u8], from: usize, mut kind: Kind) -> (usize, usize) {
        let (mut end, mut n) = (from, 0);
        while end < text.len() {
            let (next, length) = self.of(&text[end..]);
            if !kind.is_like(next) {
                break;
            }
            (end, n, kind) = (end + length, n + 1, next);
        }
        (end, n)
    }
}

/// The cost of one word following another.
pub(super) struct Costs {
    n_left: usize,
    costs: Vec<i16>,
}

impl Costs {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let mut numbers =
            bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let sizes = [numbers.next(), numbers.next()].map(|size| size.map_or(0, usize::from));
        let costs: Vec<i16> = numbers.map(u16::cast_signed).collect();
        if costs.is_empty() || costs.len() != sizes[0] * sizes[1] {
            return Err(Error::file(path, "expected costs compiled by MeCab 0.996"));
        }
        Ok(Self { n_left: sizes[0], costs })
    }

    pub(super) fn between(&self, right: u16, left: u16) -> i64 {
        let at = usize::from(right) + self.n_left * usize::from(left);
        self.costs.get(at).copied().map_or(0, i64::from)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::io(path, source))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
