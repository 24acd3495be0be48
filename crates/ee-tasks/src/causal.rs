//! Rows that a decoder learns from: instructions with their responses, and running text.
//!
//! The state at a token's place is asked for the token after it; which tokens are asked for is a row's
//! `learned`. Decided: a response is learned with the end token after it, a prompt is not learned, a row
//! longer than the limit loses its end, and what then has nothing left to learn is left out, counted
//! and named. Packed examples share a row and see those before them, as in running text: the price of no
//! padding is an attention that is not separated by example.

use std::ops::Range;
use std::path::Path;

use crate::error::Error;
use crate::task::TextExample;
use crate::text;
use crate::tokenizer::TextTokenizer;

/// Tokens, and which of them are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CausalRow {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Places of the learned tokens, from 1: the state before each of them is asked for it.
    pub learned: Vec<Range<usize>>,
}

/// What the length limit did to the examples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shortened {
    /// Examples that lost their end.
    pub truncated: usize,
    /// Lines of the examples whose prompt alone fills the row: nothing is left to learn.
    pub dropped: Vec<usize>,
}

impl CausalRow {
    /// Number of learned tokens.
    pub fn n_learned(&self) -> usize {
        self.learned.iter().map(ExactSizeIterator::len).sum()
    }
}

/// Prompts with their responses, of at most `max_length` tokens; `end` is added after each response.
///
/// # Errors
/// A text that the tokenizer cannot spell.
pub fn instructions(
    tokenizer: &TextTokenizer,
    examples: &[TextExample],
    max_length: usize,
    end: Option<u32>,
) -> Result<(Vec<CausalRow>, Shortened), Error> {
    let (mut rows, mut shortened) = (Vec::with_capacity(examples.len()), Shortened::default());
    for example in examples {
        let TextExample { prompt, response, .. } = example;
        let encoding = tokenizer.encode_prompted_within(prompt, response, max_length + 1)?;
        let mut ids = encoding.ids;
        ids.extend(end);
        shortened.truncated += usize::from(ids.len() > max_length);
        ids.truncate(max_length);
        let first = encoding.prompt_length.max(1);
        if first < ids.len() {
            rows.push(CausalRow { learned: std::iter::once(first..ids.len()).collect(), ids });
        } else {
            shortened.dropped.push(example.line);
        }
    }
    Ok((rows, shortened))
}

/// Documents one after the other, cut into rows of `length` tokens; every token but a row's first is
/// learned. In a file a blank line ends a document.
///
/// # Errors
/// A file that cannot be read or holds no text, and a text that the tokenizer cannot spell.
pub fn running_text(
    tokenizer: &TextTokenizer,
    paths: &[impl AsRef<Path>],
    length: usize,
    end: Option<u32>,
) -> Result<Vec<CausalRow>, Error> {
    let mut stream = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let text = text::read(path)?;
        let before = stream.len();
        for document in documents(&text) {
            stream.extend(tokenizer.encode_prompt(&document)?);
            stream.extend(end);
        }
        if stream.len() == before {
            return Err(Error::file(path, "no text in it"));
        }
    }
    let rows = stream.chunks(length).filter(|ids| ids.len() > 1);
    let learned = |ids: &[u32]| std::iter::once(1..ids.len()).collect();
    Ok(rows.map(|ids| CausalRow { ids: ids.to_vec(), learned: learned(ids) }).collect())
}

/// The documents of a text, without the blank lines around them.
fn documents(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines
        .split(|line| line.is_empty())
        .filter(|lines| !lines.is_empty())
        .map(|lines| lines.join("\n"))
        .collect()
}

/// Rows joined, in their order, as long as they fit `length` together.
pub fn packed(rows: Vec<CausalRow>, length: usize) -> Vec<CausalRow> {
    let mut packed: Vec<CausalRow> = Vec::new();
    for row in rows {
        match packed.last_mut() {
            Some(last) if last.ids.len() + row.ids.len() <= length => {
                let offset = last.ids.len();
                let moved = row.learned.iter().map(|span| span.start + offset..span.end + offset);
                last.learned.extend(moved);
                last.ids.extend(row.ids);
            }
            _ => packed.push(row),
        }
    }
    packed
}

#[cfg(test)]
mod tests;
