//! Small sound files, damaged thousands of times: no panic, no hang, and every message names the file.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Bytes that mean something to one of the formats.
const TELLING: &[u8] = b"\0\"\\\n\r\t,;{}[]:-+.0179eEnNuIP\x15\x19\x80\xc3\xef\xff";

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/tables");
    fs::read(folder.join(name)).expect("a golden")
}

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
    let csv = b"text,label\n\"a, \"\"b\"\"\nc\",1\nd,0\n".to_vec();
    let array = b"{\"v\": 1, \"data\": [{\"text\": \"a\\u00e9\", \"label\": 1, \"x\": [NaN, 1e3]}, {\"text\": \"b\", \"label\": 0}]}".to_vec();
    let files = [
        (Format::Csv, csv.clone()),
        (Format::QuotedTsv, csv.iter().map(|b| if *b == b',' { b'\t' } else { *b }).collect()),
        (Format::Tsv, b"text\tlabel\na\t1\nb\t0\n".to_vec()),
        (
            Format::Jsonl,
            b"{\"text\": \"a\", \"label\": -12}\n{\"text\": NaN, \"label\": 1}\n".to_vec(),
        ),
        (Format::Json, array),
        (Format::Json, b"{\"text\": [\"a\", \"b\"], \"label\": {\"0\": 1}}".to_vec()),
        (Format::Parquet, golden("none.parquet")),
        (Format::Parquet, golden("zstd.parquet")),
        (Format::Parquet, golden("brotli.parquet")),
        (Format::Parquet, golden("lz4.parquet")),
        (Format::Parquet, golden("gzip.parquet")),
        (Format::Parquet, golden("snappy.parquet")),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("damaged");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for round in 0..9_000 {
        let (format, sound) = &files[round % files.len()];
        let bytes = damaged(sound, &mut random);
        fs::write(&path, &bytes).expect("written");
        let layout = Layout { format: *format, header: true, skip_short_lines: false };
        let started = Instant::now();
        let rows = read(&path, layout, &["text", "label"]).map(drop);
        let records = read_records(&path, layout, &["text", "label"]).map(drop);
        slowest = slowest.max(started.elapsed());
        for error in [rows, records].into_iter().filter_map(Result::err) {
            refused += 1;
            assert!(error.to_string().contains("damaged"), "{format:?}: {error}");
        }
    }
    assert!(refused > 3_000, "{refused} complaints: the damage was no damage");
    assert!(slowest < Duration::from_secs(5), "{slowest:?} for one small file");
}
