//! tokenizer.perl, as sacremoses' `MosesTokenizer.tokenize` has it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{ALNUM, ALPHA};
use crate::text::is_space;

/// Patterns with what takes their place.
type Rules = Vec<(Regex, &'static str)>;

fn rules(rules: &[(&str, &'static str)]) -> Rules {
    let regex = |pattern: &str| {
        let pattern = pattern.replace("ALPHA", ALPHA).replace("ALNUM", ALNUM);
        Regex::new(&pattern).expect("a sound pattern")
    };
    rules.iter().map(|(pattern, with)| (regex(pattern), *with)).collect()
}

fn apply(rules: &Rules, text: String) -> String {
    rules.iter().fold(text, |text, (regex, with)| regex.replace_all(&text, *with).into_owned())
}

static SPACES: LazyLock<Rules> = LazyLock::new(|| rules(&[(r"[\s\x1C-\x1F]+", " ")]));
static BEFORE: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[(r"[\x00-\x1F]", ""), (r"^ +| +$", ""), (r"([^ALNUM\s.'`,\-])", " $1 ")])
});
static COMMAS: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[(r"(\P{N}),", "$1 , "), (r",(\P{N})", " , $1"), (r"(\p{N}),$", "$1 , ")])
});
static ENGLISH: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[
        (r"([^ALPHA])'([^ALPHA])", "$1 ' $2"),
        (r"([^ALPHA\p{N}])'(ALPHA)", "$1 ' $2"),
        (r"(ALPHA)'([^ALPHA])", "$1 ' $2"),
        (r"(ALPHA)'(ALPHA)", "$1 '$2"),
        (r"(\p{N})'(s)", "$1 '$2"),
    ])
});
static FRENCH: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[
        (r"([^ALPHA])'([^ALPHA])", "$1 ' $2"),
        (r"([^ALPHA])'(ALPHA)", "$1 ' $2"),
        (r"(ALPHA)'([^ALPHA])", "$1 ' $2"),
        (r"(ALPHA)'(ALPHA)", "$1' $2"),
    ])
});
static OTHER: LazyLock<Rules> = LazyLock::new(|| rules(&[(r"'", " ' ")]));
static END: LazyLock<Rules> = LazyLock::new(|| rules(&[(r"\.' ?$", " . ' ")]));
static DOTS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\.{2,}").expect("a sound pattern"));
static MARKED_DOTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:DOT)+MULTI").expect("a sound pattern"));
static IS_ALNUM: LazyLock<Regex> = LazyLock::new(|| Regex::new(ALNUM).expect("a sound pattern"));
static HAS_ALPHA: LazyLock<Regex> = LazyLock::new(|| Regex::new(ALPHA).expect("a sound pattern"));

/// What XML and Moses' own formats give a meaning to, and how it is written then.
const ESCAPES: [(&str, &str); 8] = [
    ("&", "&amp;"),
    ("|", "&#124;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("'", "&apos;"),
    ("\"", "&quot;"),
    ("[", "&#91;"),
    ("]", "&#93;"),
];

/// The tokens of a text with a space between them; `dashes` cuts words at hyphens too (`@-@`).
pub(crate) fn tokenize(text: &str, language: &str, dashes: bool) -> String {
    let mut text = apply(&BEFORE, apply(&SPACES, text.to_owned()));
    if dashes {
        text = with_dashes_apart(&text);
    }
    let text = apply(&COMMAS, with_marked_dots(&text));
    let text = match language {
        "en" => apply(&ENGLISH, text),
        "fr" | "it" => apply(&FRENCH, text),
        _ => apply(&OTHER, text),
    };
    let text = with_periods_apart(&text, Prefixes::of(language));
    let text = apply(&END, apply(&SPACES, text).trim_matches(is_space).to_owned());
    let restored =
        MARKED_DOTS.replace_all(&text, |found: &Captures<'_>| ".".repeat((found[0].len() - 5) / 3));
    let text =
        ESCAPES.iter().fold(restored.into_owned(), |text, (from, to)| text.replace(from, to));
    text.split(is_space).filter(|token| !token.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A hyphen between two letters or digits is a token of its own.
fn with_dashes_apart(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let is_alnum = |at: usize| {
        let character = characters.get(at).map(|character| character.to_string());
        character.is_some_and(|character| IS_ALNUM.is_match(&character))
    };
    let mut apart = String::with_capacity(text.len());
    for (at, character) in characters.iter().enumerate() {
        match *character == '-' && at > 0 && is_alnum(at - 1) && is_alnum(at + 1) {
            true => apart.push_str(" @-@ "),
            false => apart.push(*character),
        }
    }
    apart
}

/// Runs of dots stay together: they stand as a word until the rest is done.
fn with_marked_dots(text: &str) -> String {
    let marked = DOTS.replace_all(text, |found: &Captures<'_>| {
        let run = found.get(0).expect("the whole match");
        let after = if run.end() < text.len() { " " } else { "" };
        format!(" {}MULTI{after}", "DOT".repeat(run.len()))
    });
    marked.into_owned()
}

/// Abbreviations of a language: a period after one belongs to it.
struct Prefixes {
    always: BTreeSet<&'static str>,
    /// Those that are abbreviations before a number alone.
    before_numbers: BTreeSet<&'static str>,
}

static PREFIXES: LazyLock<[Prefixes; 3]> = LazyLock::new(|| {
    let files = [
        include_str!("prefixes/en.txt"),
        include_str!("prefixes/de.txt"),
        include_str!("prefixes/fr.txt"),
    ];
    files.map(|file| {
        let numeric = |line: &&'static str| line.contains(" #NUMERIC_ONLY#");
        let before_numbers = file.lines().filter(numeric).filter_map(|line| line.rsplit_once(' '));
        Prefixes {
            always: file.lines().filter(|line| !numeric(line)).collect(),
            before_numbers: before_numbers.map(|(word, _)| word).collect(),
        }
    })
});

impl Prefixes {
    fn of(language: &str) -> &'static Self {
        let [english, german, french] = &*PREFIXES;
        match language {
            "de" => german,
            "fr" => french,
            _ => english,
        }
    }

    /// Whether the period after a word belongs to it.
    fn keeps(&self, word: &str, next: Option<&str>) -> bool {
        let is_numeric = self.before_numbers.contains(word);
        (word.contains('.') && HAS_ALPHA.is_match(word))
            || (self.always.contains(word) && !is_numeric)
            || next.is_some_and(|next| next.starts_with(char::is_lowercase))
            || (is_numeric
                && next.is_some_and(|next| next.starts_with(|char: char| char.is_ascii_digit())))
    }
}

fn with_periods_apart(text: &str, prefixes: &Prefixes) -> String {
    let tokens: Vec<&str> = text.split(is_space).filter(|token| !token.is_empty()).collect();
    let apart = tokens.iter().enumerate().map(|(at, token)| match token.strip_suffix('.') {
        Some(word) if !word.is_empty() && !prefixes.keeps(word, tokens.get(at + 1).copied()) => {
            format!("{word} .")
        }
        _ => (*token).to_owned(),
    });
    apart.collect::<Vec<_>>().join(" ")
}
