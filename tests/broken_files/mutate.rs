//! Sound files broken on purpose: by bits, bytes and lengths, and where a file is JSON or text, by its values.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// What a file is made of, as far as it matters for breaking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One JSON value.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// Any other text.
    Text,
    /// An eight-byte length, that much JSON, and numbers.
    Safetensors,
    /// Bytes whose table of contents is at the end.
    Binary,
    /// Bytes whose table of contents is at the beginning.
    Leading,
}

/// Whole numbers at which sizes turn.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    127,
    255,
    65_535,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFFE,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// Numbers and words that stand in for those of a text.
const WORDS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "0.5",
    "1e308",
    "-1e999",
    "NaN",
    "Infinity",
    "4294967296",
    "2147483648",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1000000000",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\u{0}",
    "\u{feff}",
    "é\u{301}\u{202e}",
    "\"",
    "\r",
];

/// A broken form of `bytes`.
pub(crate) fn mutate(bytes: &[u8], kind: Kind, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut broken = bytes.to_vec();
    for _ in 0..random.random_range(1..=3) {
        broken = match kind {
            Kind::Json if random.random_bool(0.6) => json_value(&broken, random),
            Kind::JsonLines if random.random_bool(0.6) => json_line(&broken, random),
            Kind::Safetensors if random.random_bool(0.6) => header(&broken, random),
            Kind::Json | Kind::JsonLines | Kind::Text if random.random_bool(0.6) => {
                text(&broken, random)
            }
            _ => raw(&broken, kind, random),
        };
    }
    broken
}

/// A place in `0..n`; in files with a table of contents at one end often there.
fn place(n: usize, kind: Kind, random: &mut ChaCha8Rng) -> usize {
    let place = random.random_range(0..n.max(1));
    let tail = n.min(2000);
    if kind == Kind::Binary && random.random_bool(0.6) {
        n - tail + place % tail.max(1)
    } else if kind == Kind::Leading && random.random_bool(0.8) {
        place % n.clamp(1, 8000)
    } else {
        place
    }
}

fn raw(bytes: &[u8], kind: Kind, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let n = bytes.len();
    if n == 0 {
        return vec![random.random(); random.random_range(0..40)];
    }
    let at = place(n, kind, random);
    let some = random.random_range(1..=n.min(64)).min(n - at);
    match random.random_range(0..10) {
        0 | 1 => out[at] ^= 1 << random.random_range(0..8),
        2 => {
            out[at] = *[0, 0x7F, 0x80, 0xFF, b'"', b'{', b'[', b'\n'].choose(random).expect("some")
        }
        3 => out.truncate(at),
        4 => drop(out.drain(at..at + some)),
        5 => {
            let from = random.random_range(0..=n - some);
            let part = bytes[from..from + some].to_vec();
            out.splice(at..at, part);
        }
        6 => {
            let from = random.random_range(0..=n - some);
            let part = bytes[from..from + some].to_vec();
            out[at..at + some].copy_from_slice(&part);
        }
        7 => {
            let edge = *EDGES.choose(random).expect("some");
            let width = *[1, 2, 4, 8].choose(random).expect("some");
            let width = std::cmp::min(width, n - at);
            out[at..at + width].copy_from_slice(&edge.to_le_bytes()[..width]);
        }
        8 => {
            let part: Vec<u8> = (0..some).map(|_| random.random()).collect();
            out[at..at + some].copy_from_slice(&part);
        }
        _ => {
            let part = bytes[at..at + some].repeat(random.random_range(2..200));
            out.splice(at..at, part);
        }
    }
    out
}

/// Breaks a text by its words and lines.
fn text(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    match random.random_range(0..8) {
        // One number or word becomes another.
        0..=3 => {
            let is_part = |c: char| c.is_alphanumeric() || c == '.' || c == '_';
            let mut words: Vec<std::ops::Range<usize>> = Vec::new();
            for (at, c) in text.char_indices().filter(|(_, c)| is_part(*c)) {
                match words.last_mut() {
                    Some(word) if word.end == at => word.end = at + c.len_utf8(),
                    _ => words.push(at..at + c.len_utf8()),
                }
            }
            let Some(word) = words.choose(random) else { return raw(bytes, Kind::Text, random) };
            let other = words.choose(random).expect("there is one").clone();
            let new = if random.random_bool(0.3) {
                text[other].to_owned()
            } else {
                (*WORDS.choose(random).expect("some")).to_owned()
            };
            [&text[..word.start], &new, &text[word.end..]].concat().into_bytes()
        }
        // A line goes, comes twice, or changes place.
        4..=6 => {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            let at = random.random_range(0..lines.len().max(1));
            if lines.is_empty() {
                return text.into_bytes();
            }
            let line = lines.remove(at);
            for _ in 0..random.random_range(0..3) {
                lines.insert(random.random_range(0..=lines.len()), line);
            }
            lines.concat().into_bytes()
        }
        // Brackets deeper than any stack.
        _ => {
            let at = random.random_range(0..=text.len());
            let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let bracket = *["[", "{\"a\":", "(", "a.", "[["].choose(random).expect("some");
            let deep = bracket.repeat(*[3, 200, 100_000].choose(random).expect("some"));
            [&text[..at], &deep, &text[at..]].concat().into_bytes()
        }
    }
}

/// Breaks one value of a JSON text and leaves it JSON.
fn json_value(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return text(bytes, random);
    };
    let n = count(&value);
    let (mut from, mut to) = (random.random_range(0..n), random.random_range(0..n));
    let other = at(&mut value, &mut from).expect("counted").clone();
    let target = at(&mut value, &mut to).expect("counted");
    *target = replacement(target, other, random);
    serde_json::to_vec(&value).expect("a value serializes")
}

fn json_line(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let at = random.random_range(0..lines.len());
    lines[at] = json_value(&lines[at], random);
    lines.join(&b'\n')
}

/// Breaks the header of a safetensors file; its length mostly fits.
fn header(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let Some((length, rest)) = bytes.split_at_checked(8) else {
        return raw(bytes, Kind::Safetensors, random);
    };
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let Some((header, data)) = rest.split_at_checked(length) else {
        return raw(bytes, Kind::Safetensors, random);
    };
    let header = json_value(header, random);
    let length = if random.random_bool(0.9) {
        header.len() as u64
    } else {
        *EDGES.choose(random).expect("some")
    };
    [&length.to_le_bytes()[..], &header, data].concat()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(items) => items.values().map(count).sum(),
        _ => 0,
    }
}

/// The value that comes `left` places after this one.
fn at<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| at(item, left)),
        Value::Object(items) => items.values_mut().find_map(|item| at(item, left)),
        _ => None,
    }
}

/// Something else in the place of a value; `other` stands elsewhere in the same text.
fn replacement(value: &Value, other: Value, random: &mut ChaCha8Rng) -> Value {
    let edge = *EDGES.choose(random).expect("some");
    match random.random_range(0..12) {
        0 => Value::Null,
        1 => json!(random.random_bool(0.5)),
        2 => json!(edge),
        3 => json!(-((edge >> 1) as i64)),
        4 => json!(*[0.0, -0.5, 1e-300, 1e300, 0.1].choose(random).expect("some")),
        5 => json!(*WORDS.choose(random).expect("some")),
        6 => json!([]),
        7 => json!({}),
        8 => json!([value, other]),
        9 => match value {
            Value::Object(items) if !items.is_empty() => {
                let mut items = items.clone();
                let gone = items.keys().nth(random.random_range(0..items.len())).cloned();
                items.remove(&gone.expect("one of them"));
                Value::Object(items)
            }
            Value::Array(items) if !items.is_empty() => {
                let mut items = items.clone();
                items.remove(random.random_range(0..items.len()));
                Value::Array(items)
            }
            Value::Number(number) => json!(number.as_f64().unwrap_or(0.0) + 1.0),
            Value::String(text) => json!(text.repeat(3)),
            _ => other,
        },
        _ => other,
    }
}
