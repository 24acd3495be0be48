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

/// The types that one kind of value can have, with what is expected.
macro_rules! from_value {
    ($($type:ty: $expected:literal, $($value:pat $(if $holds:expr)? => $read:expr),+;)+) => {$(
        impl FromValue for $type {
            fn expected() -> String {
                $expected.to_owned()
            }
            fn from_value(value: &Tree) -> Result<Self, String> {
                match value {
                    $($value $(if $holds)? => Ok($read),)+
                    other => Err(mismatch::<Self>(other)),
                }
            }
        }
    )+};
}
from_value! {
    String: "a string", Tree::Text(text) => text.clone();
    PathBuf: "a path", Tree::Text(text) => text.into();
    bool: "true or false", Tree::Truth(truth) => *truth;
    f64: "a finite number",
        Tree::Float(number) if number.is_finite() => *number,
        Tree::Integer(number) => *number as f64;
    i64: "a whole number", Tree::Integer(number) => *number;
    u64: "a whole number, 0 or more", Tree::Integer(number) if *number >= 0 => *number as u64;
}

macro_rules! smaller {
    ($($integer:ty),*) => {$(
        impl FromValue for $integer {
            fn expected() -> String {
                u64::expected()
            }
            fn from_value(value: &Tree) -> Result<Self, String> {
                Self::try_from(u64::from_value(value)?).map_err(|_| mismatch::<Self>(value))
            }
        }
    )*};
}
smaller!(usize, u32);

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
