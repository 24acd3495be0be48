//! Parquet as the Hugging Face hub, pandas and Spark store their sets.
//!
//! Only the wanted columns are decoded. Values become JSON, so that a nested set reads the same
//! whichever of the two holds it: decimals, dates and times become text, bytes text where they are UTF-8,
//! maps objects. The file's own types count, not the Arrow types that its writer noted beside them: a
//! dictionary is a way of storing text, and reads as text.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use ee_files::caught;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde_json::{Map, Number, Value};

use super::{Record, locate};
use crate::error::Error;

/// Reads the columns in which the wanted fields lie.
pub(super) fn read(path: &Path, fields: &[&str]) -> Result<Vec<Record>, Error> {
    // The library assumes much that a broken file does not satisfy.
    caught(|| read_columns(path, fields)).unwrap_or_else(|panic| Err(damaged(path, &panic)))
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::file(path, format!("not a readable Parquet file: {reason}"))
}

fn read_columns(path: &Path, fields: &[&str]) -> Result<Vec<Record>, Error> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(|error| damaged(path, &error))?;
    let names: Vec<String> =
        builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let wanted = locate(path, &names, fields)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).build().map_err(|error| damaged(path, &error))?;
    let mut records = Vec::new();
    for batch in reader {
        let batch = StructArray::from(batch.map_err(|error| damaged(path, &error))?);
        for index in 0..batch.len() {
            let line = records.len() + 1;
            let fields = object(&batch, index).map_err(|Unreadable { column, found }| {
                let column = column.map_or(String::new(), |name| format!("column `{name}`: "));
                Error::line(path, line, format!("{column}{found}"))
            })?;
            records.push(Record { line, fields });
        }
    }
    Ok(records)
}

/// A value that has no JSON form.
struct Unreadable {
    /// The outermost field that holds it.
    column: Option<String>,
    found: String,
}

impl From<String> for Unreadable {
    fn from(found: String) -> Self {
        Self { column: None, found }
    }
}

/// One row of a struct.
fn object(array: &StructArray, index: usize) -> Result<Map<String, Value>, Unreadable> {
    let mut fields = Map::new();
    for (column, name) in array.columns().iter().zip(array.column_names()) {
        let named = |unreadable: Unreadable| Unreadable {
            column: Some(name.to_owned()),
            found: unreadable.found,
        };
        let value = value(column, index).map_err(named)?;
        insert(&mut fields, name.to_owned(), value)?;
    }
    Ok(fields)
}

fn insert(fields: &mut Map<String, Value>, key: String, value: Value) -> Result<(), Unreadable> {
    match fields.contains_key(&key) {
        true => Err(format!("the key `{key}` occurs twice").into()),
        false => {
            fields.insert(key, value);
            Ok(())
        }
    }
}

/// One value.
fn value(array: &ArrayRef, index: usize) -> Result<Value, Unreadable> {
    fn whole<T: ArrowPrimitiveType<Native: Into<Number>>>(array: &ArrayRef, index: usize) -> Value {
        Value::Number(array.as_primitive::<T>().value(index).into())
    }
    if array.is_null(index) || *array.data_type() == DataType::Null {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(index).into(),
        DataType::Binary => bytes(array.as_binary::<i32>().value(index))?,
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(index))?,
        DataType::Boolean => array.as_boolean().value(index).into(),
        DataType::Int8 => whole::<Int8Type>(array, index),
        DataType::Int16 => whole::<Int16Type>(array, index),
        DataType::Int32 => whole::<Int32Type>(array, index),
        DataType::Int64 => whole::<Int64Type>(array, index),
        DataType::UInt8 => whole::<UInt8Type>(array, index),
        DataType::UInt16 => whole::<UInt16Type>(array, index),
        DataType::UInt32 => whole::<UInt32Type>(array, index),
        DataType::UInt64 => whole::<UInt64Type>(array, index),
        // The shortest decimal that is this number, not its 64-bit neighbour.
        DataType::Float16 => decimal(f64::from(array.as_primitive::<Float16Type>().value(index))),
        DataType::Float32 => decimal(array.as_primitive::<Float32Type>().value(index)),
        DataType::Float64 => decimal(array.as_primitive::<Float64Type>().value(index)),
        DataType::Decimal32(..) => {
            array.as_primitive::<Decimal32Type>().value_as_string(index).into()
        }
        DataType::Decimal64(..) => {
            array.as_primitive::<Decimal64Type>().value_as_string(index).into()
        }
        DataType::Decimal128(..) => {
            array.as_primitive::<Decimal128Type>().value_as_string(index).into()
        }
        DataType::Decimal256(..) => {
            array.as_primitive::<Decimal256Type>().value_as_string(index).into()
        }
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => written(array, index)?,
        DataType::List(_) => list(&array.as_list::<i32>().value(index))?,
        DataType::Struct(_) => Value::Object(object(array.as_struct(), index)?),
        DataType::Map(..) => map(&array.as_map().value(index))?,
        other => return Err(format!("expected text or numbers, found {other}").into()),
    })
}

fn list(items: &ArrayRef) -> Result<Value, Unreadable> {
    (0..items.len()).map(|index| value(items, index)).collect()
}

/// A map as an object; its keys become text.
fn map(entries: &StructArray) -> Result<Value, Unreadable> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let mut fields = Map::new();
    for index in 0..entries.len() {
        let key = match value(keys, index)? {
            Value::String(text) => text,
            number @ (Value::Number(_) | Value::Bool(_)) => number.to_string(),
            _ => return Err("expected a map with text as keys".to_owned().into()),
        };
        insert(&mut fields, key, value(values, index)?)?;
    }
    Ok(Value::Object(fields))
}

/// Bytes that older writers meant as text.
fn bytes(bytes: &[u8]) -> Result<Value, Unreadable> {
    let text = std::str::from_utf8(bytes);
    Ok(text.map_err(|_| "expected text, found bytes that are not UTF-8".to_owned())?.into())
}

/// Dates and times as ISO 8601 writes them.
fn written(array: &ArrayRef, index: usize) -> Result<Value, Unreadable> {
    let one = array.slice(index, 1);
    let one = match one.data_type() {
        // The file has no other zone; the formatter knows zones by their distance.
        DataType::Timestamp(unit, Some(_)) => {
            cast(&one, &DataType::Timestamp(*unit, Some("+00:00".into())))
        }
        _ => Ok(one),
    };
    let options = FormatOptions::new();
    let text = one
        .and_then(|one| ArrayFormatter::try_new(one.as_ref(), &options)?.value(0).try_to_string());
    Ok(text.map_err(|error| error.to_string())?.into())
}

fn decimal(number: impl ToString) -> Value {
    number.to_string().parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests;
