//! Parquet as the Hugging Face hub stores its sets: flat columns, labels as whole numbers.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Row, Rows, locate};
use crate::error::Error;

/// Reads the wanted columns; the others are not decoded.
pub(super) fn read(path: &Path, columns: &[&str]) -> Result<Rows, Error> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let damaged = |error: &dyn std::fmt::Display| {
        Error::file(path, format!("not a readable Parquet file: {error}"))
    };
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
    let names: Vec<String> =
        builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let wanted = locate(path, &names, columns)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).build().map_err(|error| damaged(&error))?;
    let mut rows = Rows::default();
    for batch in reader {
        let batch = batch.map_err(|error| damaged(&error))?;
        let cells = |column: &&str| {
            let array = batch.column_by_name(column).expect("the column is in the projection");
            texts(array).map_err(|kind| {
                Error::file(
                    path,
                    format!("column `{column}`: expected text or whole numbers, found {kind}"),
                )
            })
        };
        let texts: Vec<Vec<Option<String>>> =
            columns.iter().map(cells).collect::<Result<_, _>>()?;
        for index in 0..batch.num_rows() {
            let cells = texts.iter().map(|column| column[index].clone()).collect();
            rows.rows.push(Row { line: rows.rows.len() + 1, cells });
        }
    }
    Ok(rows)
}

/// A column as text; its type if it cannot be one.
fn texts(array: &ArrayRef) -> Result<Vec<Option<String>>, DataType> {
    macro_rules! whole_numbers {
        ($kind:ty) => {
            array
                .as_primitive::<$kind>()
                .iter()
                .map(|value| value.map(|number| number.to_string()))
                .collect()
        };
    }
    let owned = |value: Option<&str>| value.map(str::to_owned);
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(owned).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(owned).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(owned).collect(),
        DataType::Boolean => {
            array.as_boolean().iter().map(|value| value.map(|truth| truth.to_string())).collect()
        }
        DataType::Int8 => whole_numbers!(Int8Type),
        DataType::Int16 => whole_numbers!(Int16Type),
        DataType::Int32 => whole_numbers!(Int32Type),
        DataType::Int64 => whole_numbers!(Int64Type),
        DataType::UInt8 => whole_numbers!(UInt8Type),
        DataType::UInt16 => whole_numbers!(UInt16Type),
        DataType::UInt32 => whole_numbers!(UInt32Type),
        DataType::UInt64 => whole_numbers!(UInt64Type),
        other => return Err(other.clone()),
    })
}
