//! The tokenizer, the detokenizer and the punctuation normaliser of Moses, as sacremoses 0.2 has them.
//!
//! Many published translation models were trained on text in this form, and their BLEU was counted on it. English,
//! German and French have rules of their own; other languages have the tokenizer's default ones with English
//! abbreviations, as sacremoses. Letters are those of its tables: the basic plane without Han and Hangul.

mod detokenize;
mod normalize;
mod tokenize;

pub(crate) use normalize::{normalized, without_other_punctuation};
pub(crate) use tokenize::tokenize;

pub(crate) use detokenize::detokenize;

/// Letters, with `$more`: those of the basic plane that are not Han or Hangul, and the vowel killers and dots of
/// Indic scripts.
macro_rules! letters {
    ($more:literal) => {
        concat!(
            r"[[[\p{Alphabetic}",
            $more,
            r"\x{93C}\x{94D}\x{9BC}\x{9CD}\x{A3C}\x{A4D}\x{ABC}\x{ACD}\x{AFD}\x{AFE}\x{AFF}\x{B3C}\x{B",
            r"4D}\x{BCD}\x{C4D}\x{CBC}\x{CCD}\x{D3B}\x{D3C}\x{D4D}\x{DCA}\x{EBA}\x{1039}\x{1714}\x{1BA",
            r"B}\x{1C37}\x{A8C4}\x{A8F3}\x{A8F4}\x{A953}\x{AAF6}",
            r"]&&[\x{0}-\x{FFFF}]]--[\p{Han}\x{AC00}-\x{D7A3}]]",
        )
    };
}

/// Characters of which words begin and end.
const ALPHA: &str = letters!("");

/// The same and decimal digits.
const ALNUM: &str = letters!(r"\p{Nd}");

/// How a task's texts are detokenized before they are scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detokenization {
    /// Two lower-case letters.
    language: [u8; 2],
}

impl Detokenization {
    /// Takes it from what a task file says: `moses:en`.
    ///
    /// # Errors
    /// Another tool, and a language whose rules are not here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("moses", language @ ("cs" | "fi"))) => {
                return Err(format!("the rules of `{language}` are not here"));
            }
            Some(("moses", language)) if language.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                language.as_bytes().try_into().ok().map(|language| Self { language })
            }
            _ => None,
        }
        .ok_or_else(|| format!("expected `moses:` and a language of two letters, found `{text}`"))
    }

    fn language(&self) -> &str {
        std::str::from_utf8(&self.language).expect("ASCII letters")
    }

    /// The text as it is written; `@@ ` of sub-words goes with it.
    pub fn apply(&self, text: &str) -> String {
        detokenize(&crate::text::joined_words(text), self.language())
    }

    /// What a metric's signature says of it.
    pub(crate) fn signature(&self) -> String {
        format!("detok:moses-{}", self.language())
    }
}

#[cfg(test)]
mod tests;
