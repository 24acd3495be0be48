//! How sacreBLEU cuts a text into tokens before it counts n-grams.
//!
//! Every tokenization puts spaces around what is to stand alone; tokens are what lies between
//! white space afterwards. The patterns are sacreBLEU's own, oddities included, because numbers are
//! compared across papers: 13a follows `mteval-v13a.pl`, intl follows `mteval-v14.pl`. What counts
//! as punctuation, symbol or number for intl is the `regex` crate's Unicode, now version 16;
//! sacreBLEU's depends on what it is installed with, and may know characters assigned since.

use std::sync::LazyLock;

use regex::Regex;

use crate::metrics::text::mecab;

/// One of sacreBLEU's tokenizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::metrics::text) enum Tokenization {
    /// For languages that write spaces: ASCII punctuation stands alone, numbers stay whole.
    V13a,
    /// Chinese characters stand alone, the rest is cut as by 13a.
    Zh,
    /// Punctuation and symbols of any script stand alone, numbers stay whole.
    Intl,
    /// Every character is a token.
    Char,
    /// Japanese words as MeCab cuts them; only for those who opened its dictionary.
    JaMecab,
    /// The text has been cut already.
    None,
}

/// What to look for, and what to write in its place.
type Rule = (Regex, &'static str);

/// The part of mteval that is meant for Western languages.
static WESTERN: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[
        (r"([{-~\[-` -&(-+:-@/])", " $1 "),
        // A period or comma stays only between digits.
        (r"([^0-9])([.,])", "$1 $2 "),
        (r"([.,])([^0-9])", " $1 $2"),
        // A dash goes after a digit.
        (r"([0-9])(-)", "$1 $2 "),
    ])
});

static INTERNATIONAL: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[(r"(\P{N})(\p{P})", "$1 $2 "), (r"(\p{P})(\P{N})", " $1 $2"), (r"(\p{S})", " $1 ")])
});

/// Ranges of characters that stand alone in [`Tokenization::Zh`].
const CHINESE: &[(char, char)] = &[
    // sacreBLEU means U+20000..U+2A6D6 (CJK extension B) here, but writes the two characters
    // U+2000 and `0`, which compare like this range: general punctuation, arrows, mathematics.
    ('\u{2001}', '\u{2a6d}'),
    ('\u{2e80}', '\u{2eff}'), // CJK radicals
    ('\u{2f00}', '\u{2fdf}'), // Kangxi radicals
    ('\u{2ff0}', '\u{2fff}'), // descriptions of characters
    ('\u{3000}', '\u{303f}'), // CJK punctuation
    ('\u{3100}', '\u{312f}'), // Bopomofo
    ('\u{31a0}', '\u{31bf}'), // Bopomofo, extended
    ('\u{31c0}', '\u{31ef}'), // CJK strokes
    ('\u{3200}', '\u{33ff}'), // enclosed and squared characters
    ('\u{3400}', '\u{4db5}'), // CJK extension A
    ('\u{4e00}', '\u{9fbb}'), // CJK
    ('\u{f900}', '\u{fa2d}'), // CJK compatibility
    ('\u{fa30}', '\u{fa6a}'),
    ('\u{fa70}', '\u{fad9}'),
    ('\u{fe10}', '\u{fe1f}'), // vertical forms
    ('\u{fe30}', '\u{fe4f}'),
    ('\u{ff00}', '\u{ffef}'), // full and half width
];

impl Tokenization {
    /// sacreBLEU's name of it, as in the signature.
    pub(in crate::metrics::text) fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::Zh => "zh",
            Self::Intl => "intl",
            Self::Char => "char",
            Self::JaMecab => "ja-mecab-0.996-IPA",
            Self::None => "none",
        }
    }

    /// The text with white space between tokens; [`words`] yields them.
    pub(in crate::metrics::text) fn apply(self, text: &str) -> String {
        let text = text.trim_end_matches(is_space);
        match self {
            Self::V13a => substitute(format!(" {} ", unescape(text)), &WESTERN),
            Self::Zh => {
                substitute(isolate(text.trim_start_matches(is_space), is_chinese), &WESTERN)
            }
            Self::Intl => substitute(text.to_owned(), &INTERNATIONAL),
            Self::Char => isolate(text, |_| true),
            Self::JaMecab => {
                let dictionary = mecab::ipadic().expect("opened with the metric");
                dictionary.words(text.trim_start_matches(is_space)).join(" ")
            }
            Self::None => text.to_owned(),
        }
    }
}

/// What lies between white space, never empty.
pub(in crate::metrics::text) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// White space as Python's `str.split` knows it: Unicode's, and four ASCII separators.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn is_chinese(character: char) -> bool {
    CHINESE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

fn rules(patterns: &[(&str, &'static str)]) -> Vec<Rule> {
    let compile = |pattern| Regex::new(pattern).expect("a constant pattern");
    patterns.iter().map(|(pattern, form)| (compile(pattern), *form)).collect()
}

fn substitute(text: String, rules: &[Rule]) -> String {
    rules.iter().fold(text, |text, (pattern, form)| pattern.replace_all(&text, *form).into_owned())
}

/// What mteval's SGML files wrote in place of plain characters; in its order, so that
/// `&amp;lt;` becomes `<` and `&amp;quot;` becomes `&quot;`.
fn unescape(text: &str) -> String {
    text.replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
}

/// The text with spaces around some characters.
fn isolate(text: &str, alone: fn(char) -> bool) -> String {
    let mut isolated = String::with_capacity(2 * text.len());
    for character in text.chars() {
        if alone(character) {
            isolated.extend([' ', character, ' ']);
        } else {
            isolated.push(character);
        }
    }
    isolated
}
