//! Small sound files, damaged thousands of times: no panic, no hang, and every message names the file.

use std::fs;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tests::layout;
use super::*;
use crate::fixture;

/// Bytes that mean something to one of the formats.
const TELLING: &[u8] = b"\0\"\\\n\r\t,;{}[]:-+.0179eEnNuIP\x15\x19\x80\xc3\xef\xff";

/// A copy in which a few bytes are other ones, or are gone, or are there twice.
fn damaged(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..random.random_range(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        let end = (at + random.random_range(1..16)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = TELLING[random.random_range(0..TELLING.len())],
            2 => bytes.insert(at, TELLING[random.random_range(0..TELLING.len())]),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.splice(at..at, sound[..end - at].to_vec()).for_each(drop),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn damaged_files_are_read_or_refused_by_name() {
    let csv = "text,label\n\"a, \"\"b\"\"\nc\",1\nd,0\n";
    let array = r#"{"v": 1, "data": [{"text": "a\u00e9", "label": 1, "x": [NaN, 1e3]}, {"text": "b", "label": 0}]}"#;
    let texts = [
        (Format::Csv, csv),
        (Format::QuotedTsv, &csv.replace(',', "\t")),
        (Format::Tsv, "text\tlabel\na\t1\nb\t0\n"),
        (Format::Jsonl, "{\"text\": \"a\", \"label\": -12}\n{\"text\": NaN, \"label\": 1}\n"),
        (Format::Json, array),
        (Format::Json, r#"{"text": ["a", "b"], "label": {"0": 1}}"#),
    ]
    .map(|(format, text)| (format, text.as_bytes().to_vec()));
    let codecs = ["none", "zstd", "brotli", "lz4", "gzip", "snappy"].map(|codec| {
        let path = fixture::golden("tables").join(format!("{codec}.parquet"));
        (Format::Parquet, fs::read(path).expect("a golden"))
    });
    let files = [texts, codecs].concat();
    let folder = fixture::folder(&[]);
    let path = folder.path().join("damaged");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for (format, sound) in files.iter().cycle().take(9_000) {
        fixture::write(&folder, "damaged", damaged(sound, &mut random));
        let started = Instant::now();
        let rows = read(&path, layout(*format), &["text", "label"]).map(drop);
        let records = read_records(&path, layout(*format), &["text", "label"]).map(drop);
        slowest = slowest.max(started.elapsed());
        for error in [rows, records].into_iter().filter_map(Result::err) {
            refused += 1;
            assert!(error.to_string().contains("damaged"), "{format:?}: {error}");
        }
    }
    assert!(refused > 3_000, "{refused} complaints: the damage was no damage");
    assert!(slowest < Duration::from_secs(5), "{slowest:?} for one small file");
}
