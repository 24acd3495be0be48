//! The normaliser of a model file: a table of replacements, and what is done with spaces.
//!
//! The table is a double array (darts-clone) from bytes to places in a block of texts that end with NUL. Of the
//! entries that begin the rest of a text the longest counts.

use super::SPACE;
use super::proto::NormalizerSpec;

#[derive(Debug)]
pub(super) struct Normalizer {
    units: Vec<u32>,
    texts: Vec<u8>,
    /// Symbols that are taken over as they are, the longest first.
    own: Vec<String>,
    /// Whether a space is put before a text (or after it).
    pub(super) adds_space: bool,
    space_follows: bool,
    removes_spaces: bool,
    escapes_spaces: bool,
}

impl Normalizer {
    pub(super) fn new(
        spec: &NormalizerSpec,
        mut own: Vec<String>,
        space_follows: bool,
    ) -> Result<Self, String> {
        own.sort_by(|left, right| right.len().cmp(&left.len()).then(left.cmp(right)));
        let (units, texts) = table(spec.precompiled_charsmap())?;
        Ok(Self {
            units,
            texts,
            own,
            adds_space: spec.add_dummy_prefix(),
            space_follows,
            removes_spaces: spec.remove_extra_whitespaces(),
            escapes_spaces: spec.escape_whitespaces(),
        })
    }

    pub(super) fn normalize(&self, text: &str) -> String {
        let space = if self.escapes_spaces { SPACE } else { " " };
        let mut rest = text;
        while self.removes_spaces && !rest.is_empty() {
            let (replaced, length) = self.prefix(rest);
            if replaced != " " {
                break;
            }
            rest = &rest[length..];
        }
        let mut normalized = String::with_capacity(3 * text.len());
        if rest.is_empty() {
            return normalized;
        }
        if self.adds_space && !self.space_follows {
            normalized.push_str(space);
        }
        let mut after_space = self.removes_spaces;
        while !rest.is_empty() {
            let (replaced, length) = self.prefix(rest);
            let replaced = if after_space { replaced.trim_start_matches(' ') } else { replaced };
            if !replaced.is_empty() {
                match self.escapes_spaces {
                    true => normalized.push_str(&replaced.replace(' ', SPACE)),
                    false => normalized.push_str(replaced),
                }
                after_space = replaced.ends_with(' ');
            }
            after_space &= self.removes_spaces;
            rest = &rest[length..];
        }
        while self.removes_spaces && normalized.ends_with(space) {
            normalized.truncate(normalized.len() - space.len());
        }
        if self.adds_space && self.space_follows {
            normalized.push_str(space);
        }
        normalized
    }

    /// What the beginning of a text becomes, and how many bytes of the text that is.
    fn prefix<'t>(&'t self, text: &'t str) -> (&'t str, usize) {
        if let Some(symbol) = self.own_prefix(text) {
            return (symbol, symbol.len());
        }
        match self.longest(text.as_bytes()) {
            // An entry that ends within a character would leave a broken one; no table has such.
            Some((replaced, length)) if text.is_char_boundary(length) => (replaced, length),
            _ => {
                let length = text.chars().next().map_or(0, char::len_utf8);
                (&text[..length], length)
            }
        }
    }

    /// The longest of the model's own symbols that begins a text.
    pub(super) fn own_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        let symbol = self.own.iter().find(|symbol| text.starts_with(symbol.as_str()))?;
        Some(&text[..symbol.len()])
    }

    fn longest(&self, text: &[u8]) -> Option<(&str, usize)> {
        let unit = |at: usize| self.units.get(at).copied();
        let mut at = offset(unit(0)?);
        let mut found = None;
        for (index, byte) in text.iter().enumerate() {
            at ^= usize::from(*byte);
            let Some(node) = unit(at) else { break };
            if node & ((1 << 31) | 0xFF) != u32::from(*byte) {
                break;
            }
            at ^= offset(node);
            if node >> 8 & 1 == 1 {
                found = unit(at).map(|leaf| ((leaf & ((1 << 31) - 1)) as usize, index + 1));
            }
        }
        let (begin, length) = found?;
        let text = self.texts.get(begin..)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        Some((std::str::from_utf8(&text[..end]).ok()?, length))
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// The double array and the texts of a table: the array's bytes are counted before it.
fn table(bytes: &[u8]) -> Result<(Vec<u32>, Vec<u8>), String> {
    if bytes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let broken = || "its normaliser's table is broken".to_owned();
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
    let size = u32::from_le_bytes(*size) as usize;
    if !size.is_multiple_of(4) || size > rest.len() {
        return Err(broken());
    }
    let (units, texts) = rest.split_at(size);
    let units = units.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    Ok((units, texts.to_vec()))
}
