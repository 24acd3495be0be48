//! A trace as one Parquet file: plain columns and list columns over exits 1..=N, so that pyarrow,
//! pandas, DuckDB, Polars or Spark read it as it is.
//!
//! The run's facts are JSON under the key `ee.trace` of the file's metadata, and of its Arrow schema's,
//! where Arrow's readers look. The file appears whole or not at all; the cost is that a killed run keeps
//! nothing, which `--shard` makes bearable.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use ee_files::write_whole;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::columns::{ExitColumns, column};
use super::facts::{FORMAT, TraceFacts};
use super::record::Trace;
use crate::error::{EvalError, Result};

/// The key of the facts in the file's metadata.
const FACTS_KEY: &str = "ee.trace";

pub(crate) fn write(trace: &Trace, path: &Path) -> Result<()> {
    trace.check().map_err(|reason| EvalError::NotATrace { path: path.to_owned(), reason })?;
    let facts = serde_json::to_string(&trace.facts)
        .map_err(|source| EvalError::Encode { path: path.to_owned(), source })?;
    let failed = |source| EvalError::Parquet { path: path.to_owned(), source };
    let table = to_table(trace, &facts).map_err(|error| failed(error.into()))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(vec![KeyValue::new(FACTS_KEY.to_owned(), facts)]))
        .build();
    write_whole(path, |file| {
        let mut writer =
            ArrowWriter::try_new(file, table.schema(), Some(properties)).map_err(failed)?;
        writer.write(&table).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(())
    })
}

/// Reads a trace.
///
/// # Errors
/// [`EvalError::Io`] when the file cannot be opened, [`EvalError::Parquet`] when it is not a Parquet
/// file, [`EvalError::NotATrace`] when it is not one of ours or says what no run can say.
pub fn read(path: &Path) -> Result<Trace> {
    guarded(path, || read_rows(path))
}

/// What reading gives; a panic of the library on a broken file names it.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    ee_files::caught(read)
        .unwrap_or_else(|reason| Err(EvalError::NotATrace { path: path.to_owned(), reason }))
}

fn read_rows(path: &Path) -> Result<Trace> {
    let not_a_trace = |reason: String| EvalError::NotATrace { path: path.to_owned(), reason };
    let failed = |source| EvalError::Parquet { path: path.to_owned(), source };
    let (builder, facts) = open(path)?;
    let mut trace = Trace {
        facts,
        example: vec![],
        position: vec![],
        gold: vec![],
        prompt_tokens: vec![],
        signals: ExitColumns::default(),
    };
    for batch in builder.build().map_err(failed)? {
        let batch = batch.map_err(|error| failed(error.into()))?;
        append(&mut trace, &batch).map_err(not_a_trace)?;
    }
    trace.check().map_err(not_a_trace)?;
    Ok(trace)
}

/// Reads the facts of a trace alone, whatever its size.
pub(crate) fn read_facts(path: &Path) -> Result<TraceFacts> {
    guarded(path, || open(path).map(|(_, facts)| facts))
}

/// A trace's file, opened, and its facts.
fn open(path: &Path) -> Result<(ParquetRecordBatchReaderBuilder<File>, TraceFacts)> {
    let not_a_trace = |reason: String| EvalError::NotATrace { path: path.to_owned(), reason };
    let failed = |source| EvalError::Parquet { path: path.to_owned(), source };
    let file = File::open(path).map_err(EvalError::read(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let facts = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == FACTS_KEY)?.value.clone())
        .ok_or_else(|| {
            not_a_trace(format!("its metadata has no key `{FACTS_KEY}`; `ee-eval trace` writes it"))
        })?;
    let facts = parse_facts(&facts).map_err(not_a_trace)?;
    Ok((builder, facts))
}

/// The facts, once their format is known to be one that we read.
fn parse_facts(text: &str) -> std::result::Result<TraceFacts, String> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| format!("`{FACTS_KEY}` is not JSON: {error}"))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(FORMAT)) {
        let found = format.map_or("no number".to_owned(), |format| format.to_string());
        return Err(format!("its format is {found}, this build reads format {FORMAT}"));
    }
    serde_json::from_value(value).map_err(|error| format!("`{FACTS_KEY}`: {error}"))
}

fn to_table(
    trace: &Trace,
    facts: &str,
) -> std::result::Result<RecordBatch, arrow_schema::ArrowError> {
    let plain = |values: &[u32]| Arc::new(UInt32Array::from(values.to_vec())) as ArrayRef;
    let mut columns: Vec<(&str, ArrayRef)> =
        vec![("example", plain(&trace.example)), ("position", plain(&trace.position))];
    if trace.facts.generation.is_some() {
        columns.push(("prompt_tokens", plain(&trace.prompt_tokens)));
    }
    if trace.facts.has_gold {
        columns.push(("gold", plain(&trace.gold)));
    }
    columns.extend(trace.signals.to_lists(trace.layers()));
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let metadata = HashMap::from([(FACTS_KEY.to_owned(), facts.to_owned())]);
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, metadata)), arrays)
}

/// Appends one record batch to the trace.
fn append(trace: &mut Trace, batch: &RecordBatch) -> std::result::Result<(), String> {
    let layers = trace.facts.layers;
    plain(batch, "example", &mut trace.example)?;
    plain(batch, "position", &mut trace.position)?;
    if trace.facts.has_gold {
        plain(batch, "gold", &mut trace.gold)?;
    }
    if trace.facts.generation.is_some() {
        plain(batch, "prompt_tokens", &mut trace.prompt_tokens)?;
    }
    trace.signals.read(batch, layers)
}

fn plain(batch: &RecordBatch, name: &str, into: &mut Vec<u32>) -> std::result::Result<(), String> {
    let column = column(batch, name)?;
    let values = column
        .as_primitive_opt::<UInt32Type>()
        .filter(|values| values.null_count() == 0)
        .ok_or_else(|| {
            format!(
                "column `{name}` is {}, expected {} without nulls",
                column.data_type(),
                UInt32Type::DATA_TYPE
            )
        })?;
    into.extend_from_slice(values.values());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.parquet");
        let trace = sample::random(37, 5, 3, 1);
        write(&trace, &path).unwrap();
        assert_eq!(read(&path).unwrap(), trace);
    }

    #[test]
    fn a_broken_footer_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.parquet");
        write(&sample::random(5, 3, 2, 1), &path).unwrap();
        let sound = std::fs::read(&path).unwrap();
        for at in sound.len().saturating_sub(1500)..sound.len() {
            let mut broken = sound.clone();
            broken[at] ^= 0xff;
            std::fs::write(&path, broken).unwrap();
            for error in [read(&path).err(), read_facts(&path).err()].into_iter().flatten() {
                assert!(error.to_string().contains("trace.parquet"), "{error}");
            }
        }
    }

    #[test]
    fn a_trace_without_gold_keeps_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.parquet");
        let mut trace = sample::random(7, 4, 3, 1);
        (trace.facts.has_gold, trace.gold) = (false, vec![]);
        write(&trace, &path).unwrap();
        assert_eq!(read(&path).unwrap(), trace);
        let half = trace.select(&[4, 2]);
        assert_eq!((half.rows(), half.gold.len()), (2, 0));
        assert_eq!(half.reference(0), trace.prediction(4, 4));
        // A file that has gold does not mention it, as files always have.
        let facts = serde_json::to_string(&sample::random(7, 4, 3, 1).facts).unwrap();
        assert!(!facts.contains("has_gold"), "{facts}");
    }

    #[test]
    fn generated_text_keeps_its_prompts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.parquet");
        let trace = sample::generated(&[3, 5], 4, 50, 2);
        write(&trace, &path).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read, trace);
        assert_eq!(read.prompt_tokens, [10, 10, 10, 11, 11, 11, 11, 11]);
        assert_eq!(read_facts(&path).unwrap(), trace.facts);
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.parquet");
        std::fs::write(&path, "hello").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("notes.parquet"));
        let missing = read(&folder.path().join("absent.parquet")).unwrap_err();
        assert!(missing.to_string().contains("absent.parquet"));
    }

    #[test]
    fn a_parquet_file_without_facts_is_not_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let table = to_table(&sample::random(3, 2, 2, 1), "{}").unwrap();
        assert_eq!(table.schema().metadata()[FACTS_KEY], "{}");
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), table.schema(), None).unwrap();
        writer.write(&table).unwrap();
        writer.close().unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("ee.trace"), "{message}");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let mut facts = serde_json::to_value(sample::random(1, 2, 2, 1).facts).unwrap();
        facts["format"] = 99.into();
        assert!(parse_facts(&facts.to_string()).unwrap_err().contains("99"));
    }

    #[test]
    fn signals_that_are_not_finite_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut trace = sample::random(3, 2, 2, 1);
        trace.signals.entropy[3] = f32::NAN;
        let message = write(&trace, &folder.path().join("trace.parquet")).unwrap_err().to_string();
        assert!(message.contains("example 1") && message.contains("exit 2"), "{message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
