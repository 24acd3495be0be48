//! Parquet as the Hugging Face hub stores its sets: text, numbers, truth values, and structs and
//! lists of those.
//!
//! Only the wanted columns are decoded. Values become JSON, so that a nested set reads the same
//! whichever of the two holds it.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Number, Value};

use super::{Record, locate};
use crate::error::Error;

/// Reads the columns in which the wanted fields lie.
pub(super) fn read(path: &Path, fields: &[&str]) -> Result<Vec<Record>, Error> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let damaged = |error: &dyn std::fmt::Display| {
        Error::file(path, format!("not a readable Parquet file: {error}"))
    };
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
    let names: Vec<String> =
        builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let wanted = locate(path, &names, fields)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).build().map_err(|error| damaged(&error))?;
    let mut records = Vec::new();
    for batch in reader {
        let batch = StructArray::from(batch.map_err(|error| damaged(&error))?);
        for index in 0..batch.len() {
            let fields = object(&batch, index).map_err(|(column, kind)| {
                let message = format!("column `{column}`: expected text or numbers, found {kind}");
                Error::file(path, message)
            })?;
            records.push(Record { line: records.len() + 1, fields });
        }
    }
    Ok(records)
}

/// One row of a struct; the name and type of a field that has no JSON form.
fn object(array: &StructArray, index: usize) -> Result<Map<String, Value>, (String, DataType)> {
    let field = |(column, name): (&ArrayRef, &&str)| match value(column, index) {
        Ok(value) => Ok(((*name).to_owned(), value)),
        Err(kind) => Err(((*name).to_owned(), kind)),
    };
    array.columns().iter().zip(&array.column_names()).map(field).collect()
}

/// One value; its type if that has no JSON form.
fn value(array: &ArrayRef, index: usize) -> Result<Value, DataType> {
    fn whole<T: ArrowPrimitiveType<Native: Into<Number>>>(array: &ArrayRef, index: usize) -> Value {
        Value::Number(array.as_primitive::<T>().value(index).into())
    }
    if array.is_null(index) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(index).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(index).into(),
        DataType::Utf8View => array.as_string_view().value(index).into(),
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
        DataType::Float32 => decimal(array.as_primitive::<Float32Type>().value(index)),
        DataType::Float64 => decimal(array.as_primitive::<Float64Type>().value(index)),
        DataType::List(_) => list(&array.as_list::<i32>().value(index))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(index))?,
        DataType::Struct(_) => {
            Value::Object(object(array.as_struct(), index).map_err(|(_, kind)| kind)?)
        }
        other => return Err(other.clone()),
    })
}

fn list(items: &ArrayRef) -> Result<Value, DataType> {
    (0..items.len()).map(|index| value(items, index)).collect()
}

fn decimal(number: impl ToString) -> Value {
    number.to_string().parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}
