//! normalize-punctuation.perl and the scripts around it, as transformers' `FSMTTokenizer` calls sacremoses.

use std::sync::LazyLock;

use regex::Regex;

use crate::text::is_space;

/// Patterns with what takes their place, in their order.
type Rules = Vec<(Regex, &'static str)>;

fn rules(rules: &[(&str, &'static str)]) -> Rules {
    let regex = |pattern| Regex::new(pattern).expect("a sound pattern");
    rules.iter().map(|(pattern, with)| (regex(pattern), *with)).collect()
}

fn apply(rules: &Rules, text: String) -> String {
    rules.iter().fold(text, |text, (regex, with)| regex.replace_all(&text, *with).into_owned())
}

static ALL: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[
        (r"\r", ""),
        (r"\(", " ("),
        (r"\)", ") "),
        (r" +", " "),
        (r"\) ([.!:?;,])", ")$1"),
        (r"\( ", "("),
        (r" \)", ")"),
        (r"(\p{Nd}) %", "$1%"),
        (r" :", ":"),
        (r" ;", ";"),
        (r"`", "'"),
        (r"''", " \" "),
        (r"[„“”]", "\""),
        (r"–", "-"),
        (r"—", " - "),
        (r" +", " "),
        (r"´", "'"),
        (r"([a-zA-Z])‘([a-zA-Z])", "$1'$2"),
        (r"([a-zA-Z])’([a-zA-Z])", "$1'$2"),
        (r"[‘‚’]", "'"),
        (r"''", "\""),
        (r"´´", "\""),
        (r"…", "..."),
        (r"\x{A0}«\x{A0}", "\""),
        (r"«\x{A0}", "\""),
        (r"«", "\""),
        (r"\x{A0}»\x{A0}", "\""),
        (r"\x{A0}»", "\""),
        (r"»", "\""),
        (r"\x{A0}%", "%"),
        (r"nº\x{A0}", "nº "),
        (r"\x{A0}:", ":"),
        (r"\x{A0}ºC", " ºC"),
        (r"\x{A0}cm", " cm"),
        (r"\x{A0}\?", "?"),
        (r"\x{A0}!", "!"),
        (r"\x{A0};", ";"),
        (r",\x{A0}", ", "),
        (r" +", " "),
    ])
});
static ENGLISH: LazyLock<Rules> = LazyLock::new(|| rules(&[("\"([,.]+)", "$1\"")]));
static CONTINENTAL: LazyLock<Rules> =
    LazyLock::new(|| rules(&[(",\"", "\","), (r#"(\.+)"([\s\x1C-\x1F]*[^<])"#, "\"$1$2")]));
static POINTS: LazyLock<Rules> = LazyLock::new(|| rules(&[(r"(\p{Nd})\x{A0}(\p{Nd})", "$1.$2")]));
static COMMAS: LazyLock<Rules> = LazyLock::new(|| rules(&[(r"(\p{Nd})\x{A0}(\p{Nd})", "$1,$2")]));
static WIDE: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[(r"。[\s\x1C-\x1F]*", ". "), (r"．[\s\x1C-\x1F]*", ". "), (r"…", "...")])
});

/// Punctuation in its plain form.
pub(crate) fn normalized(text: &str, language: &str) -> String {
    let text = apply(&ALL, text.to_owned());
    let text = match language {
        "en" => apply(&ENGLISH, text),
        "de" | "es" | "fr" => apply(&CONTINENTAL, text),
        _ => text,
    };
    let text = match language {
        "de" | "es" | "cz" | "cs" | "fr" => apply(&COMMAS, text),
        _ => apply(&POINTS, text),
    };
    text.trim_matches(is_space).to_owned()
}

/// replace-unicode-punctuation.perl: the punctuation of Chinese and Japanese as that of English.
pub(crate) fn without_other_punctuation(text: &str) -> String {
    let plain = |character| match character {
        '，' | '、' => ',',
        '”' | '“' | '《' | '》' | '」' | '「' => '"',
        '∶' | '：' => ':',
        '？' => '?',
        '）' => ')',
        '！' => '!',
        '（' => '(',
        '；' => ';',
        '０'..='９' => char::from(b'0' + (u32::from(character) - u32::from('０')) as u8),
        '～' => '~',
        '’' => '\'',
        '━' => '-',
        '〈' => '<',
        '〉' => '>',
        '【' => '[',
        '】' => ']',
        '％' => '%',
        other => other,
    };
    apply(&WIDE, text.chars().map(plain).collect())
}
