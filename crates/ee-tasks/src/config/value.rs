//! What a key's value may be read as.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::parse::Tree;

/// A type that a configuration key can hold.
pub trait FromValue: Sized {
    /// What is expected, in words: "a whole number".
    fn expected() -> String;

    /// Reads the value.
    fn from_value(value: &Tree) -> Result<Self, String>;
}

fn mismatch<T: FromValue>(found: &Tree) -> String {
    format!("expected {}, found {}", T::expected(), found.describe())
}

impl FromValue for String {
    fn expected() -> String {
        "a string".to_owned()
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        match value {
            Tree::Text(text) => Ok(text.clone()),
            other => Err(mismatch::<Self>(other)),
        }
    }
}

impl FromValue for PathBuf {
    fn expected() -> String {
        "a path".to_owned()
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        match value {
            Tree::Text(text) => Ok(text.into()),
            other => Err(mismatch::<Self>(other)),
        }
    }
}

impl FromValue for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        match value {
            Tree::Truth(truth) => Ok(*truth),
            other => Err(mismatch::<Self>(other)),
        }
    }
}

impl FromValue for f64 {
    fn expected() -> String {
        "a finite number".to_owned()
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        match value {
            Tree::Float(number) if number.is_finite() => Ok(*number),
            Tree::Integer(number) => Ok(*number as f64),
            other => Err(mismatch::<Self>(other)),
        }
    }
}

impl FromValue for i64 {
    fn expected() -> String {
        "a whole number".to_owned()
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        match value {
            Tree::Integer(number) => Ok(*number),
            other => Err(mismatch::<Self>(other)),
        }
    }
}

macro_rules! unsigned {
    ($($integer:ty),*) => {$(
        impl FromValue for $integer {
            fn expected() -> String {
                "a whole number, 0 or more".to_owned()
            }
            fn from_value(value: &Tree) -> Result<Self, String> {
                match value {
                    Tree::Integer(number) => {
                        <$integer>::try_from(*number).map_err(|_| mismatch::<Self>(value))
                    }
                    other => Err(mismatch::<Self>(other)),
                }
            }
        }
    )*};
}
unsigned!(usize, u64, u32);

impl<T: FromValue> FromValue for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        let Tree::List(items) = value else { return Err(mismatch::<Self>(value)) };
        let read = |(position, item)| {
            T::from_value(item).map_err(|error| format!("item {}: {error}", position + 1))
        };
        items.iter().enumerate().map(read).collect()
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn expected() -> String {
        format!("a table, each value {}", T::expected())
    }
    fn from_value(value: &Tree) -> Result<Self, String> {
        let Tree::Table(entries) = value else { return Err(mismatch::<Self>(value)) };
        let read = |(key, node): (&String, &super::parse::Node)| {
            let value = T::from_value(&node.tree).map_err(|error| format!("`{key}`: {error}"))?;
            Ok((key.clone(), value))
        };
        entries.iter().map(read).collect()
    }
}
