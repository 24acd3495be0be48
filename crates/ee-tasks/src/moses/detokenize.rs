//! detokenizer.perl, as sacremoses' `MosesDetokenizer.detokenize` has it.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::ALPHA;
use crate::text::is_space;

const ESCAPES: [(&str, &str); 11] = [
    ("&bar;", "|"),
    ("&#124;", "|"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&bra;", "["),
    ("&ket;", "]"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&#91;", "["),
    ("&#93;", "]"),
    ("&amp;", "&"),
];

/// Characters of Chinese, Japanese and Korean: none of them has a space before the next.
const CJK: [(u32, u32); 11] = [
    (4352, 4607),
    (11904, 42191),
    (43072, 43135),
    (44032, 55215),
    (63744, 64255),
    (65072, 65103),
    (65381, 65500),
    (94208, 101_119),
    (110_592, 110_895),
    (110_960, 111_359),
    (131_072, 196_607),
];

struct Patterns {
    opening: Regex,
    punctuation: Regex,
    french_punctuation: Regex,
    english_contraction: Regex,
    french_contraction: Regex,
    word: Regex,
    quote: Regex,
    typographic_quote: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex =
        |pattern: &str| Regex::new(&pattern.replace("ALPHA", ALPHA)).expect("a sound pattern");
    Patterns {
        opening: regex(r"^[\p{Sc}(\[{¿¡]+$"),
        punctuation: regex(r"^[,.?!:;\\%}\])]+$"),
        french_punctuation: regex(r"^[?!:;\\%]$"),
        english_contraction: regex(r"^'ALPHA"),
        french_contraction: regex(r"ALPHA'$"),
        word: regex(r"^ALPHA"),
        quote: regex(r#"^['"„“`]+$"#),
        typographic_quote: regex(r"^[„“”]+$"),
    }
});

/// The text whose tokens these are.
pub(crate) fn detokenize(text: &str, language: &str) -> String {
    let text = format!(" {} ", words(text).join(" ")).replace(" @-@ ", "-");
    let text = ESCAPES.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let tokens = words(&text);
    let mut joined = Joined { text: String::new(), space: " ", quotes: HashMap::new() };
    for at in 0..tokens.len() {
        joined.push(&tokens, at, language);
    }
    words_of_spaces(&joined.text).trim_matches(is_space).to_owned()
}

fn words(text: &str) -> Vec<&str> {
    text.split(is_space).filter(|token| !token.is_empty()).collect()
}

/// A text in which several spaces are one.
fn words_of_spaces(text: &str) -> String {
    let mut one = String::with_capacity(text.len());
    for character in text.chars() {
        if character != ' ' || !one.ends_with(' ') {
            one.push(character);
        }
    }
    one
}

struct Joined {
    text: String,
    /// What stands before the next token unless it is drawn to the one before.
    space: &'static str,
    /// How often each quotation mark was seen: every other one opens.
    quotes: HashMap<String, usize>,
}

impl Joined {
    fn push(&mut self, tokens: &[&str], at: usize, language: &str) {
        let (token, patterns) = (tokens[at], &*PATTERNS);
        let before = at.checked_sub(1).map(|before| tokens[before]);
        let next = tokens.get(at + 1);
        if token.starts_with(is_cjk) && language != "ko" {
            match before.is_some_and(|before| before.ends_with(is_cjk)) {
                true => self.left(token),
                false => self.word(token),
            }
        } else if patterns.opening.is_match(token) {
            self.right(token);
        } else if patterns.punctuation.is_match(token) {
            if language == "fr" && patterns.french_punctuation.is_match(token) {
                self.text.push(' ');
            }
            self.left(token);
        } else if language == "en" && at > 0 && patterns.english_contraction.is_match(token) {
            self.left(token);
        } else if matches!(language, "fr" | "it" | "ga")
            && patterns.french_contraction.is_match(token)
            && next.is_some_and(|next| patterns.word.is_match(next))
        {
            self.right(token);
        } else if patterns.quote.is_match(token) {
            self.quote(token, before.filter(|_| language == "en"));
        } else {
            self.word(token);
        }
    }

    /// A quotation mark; in English, `'` after a word that ends with s is a possessive.
    fn quote(&mut self, token: &str, before: Option<&str>) {
        let mark = if PATTERNS.typographic_quote.is_match(token) { "\"" } else { token };
        let count = self.quotes.entry(mark.to_owned()).or_default();
        if *count % 2 == 1 {
            *count += 1;
            self.left(token);
        } else if token == "'" && before.is_some_and(|before| before.ends_with('s')) {
            self.left(token);
        } else {
            *count += 1;
            self.right(token);
        }
    }

    fn word(&mut self, token: &str) {
        self.text.push_str(self.space);
        self.text.push_str(token);
        self.space = " ";
    }

    /// Next to the token before it.
    fn left(&mut self, token: &str) {
        self.text.push_str(token);
        self.space = " ";
    }

    /// Next to the token after it.
    fn right(&mut self, token: &str) {
        self.word(token);
        self.space = "";
    }
}

fn is_cjk(character: char) -> bool {
    CJK.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(character)))
}
