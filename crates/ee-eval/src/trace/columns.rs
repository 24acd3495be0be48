//! The columns of a trace that have a value per exit, declared once: a signal that is declared here is stored, read,
//! merged and handed to gates.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, PrimitiveBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::Field;
use ee_models::signal::{Agreement, Signal};

/// A number that a column holds.
trait Value: Copy {
    type Arrow: ArrowPrimitiveType<Native = Self>;
}

impl Value for u32 {
    type Arrow = UInt32Type;
}

impl Value for f32 {
    type Arrow = Float32Type;
}

macro_rules! columns {
    (
        Signal {
            $($(#[$of_signal:meta])* $signal:ident: $signal_type:ty $(, within $signal_range:expr)?;)*
        }
        Agreement {
            $($(#[$of_agreement:meta])*
            $agreement:ident: $agreement_type:ty $(, within $agreement_range:expr)?;)*
        }
    ) => {
        /// Per-exit columns, each `[rows × layers]`.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct ExitColumns {
            $($(#[$of_signal])* pub $signal: Vec<$signal_type>,)*
            $($(#[$of_agreement])* pub $agreement: Vec<$agreement_type>,)*
        }

        impl ExitColumns {
            /// Appends one exit of the row that is being filled.
            pub(crate) fn push(&mut self, signal: Signal, agreement: Agreement) {
                $(self.$signal.push(signal.$signal);)*
                $(self.$agreement.push(agreement.$agreement);)*
            }

            /// The signal at a place of the columns.
            pub(super) fn signal(&self, at: usize) -> Signal {
                Signal { $($signal: self.$signal[at]),* }
            }

            /// The given places of every column, `width` values each.
            pub(super) fn pick(&self, places: &[usize], width: usize) -> Self {
                Self {
                    $($signal: pick(&self.$signal, places, width),)*
                    $($agreement: pick(&self.$agreement, places, width),)*
                }
            }

            /// Appends all that `more` holds.
            pub(super) fn extend(&mut self, more: Self) {
                $(self.$signal.extend(more.$signal);)*
                $(self.$agreement.extend(more.$agreement);)*
            }

            /// Every column's name and length.
            pub(super) fn lengths(&self) -> Vec<(&'static str, usize)> {
                vec![
                    $((stringify!($signal), self.$signal.len()),)*
                    $((stringify!($agreement), self.$agreement.len()),)*
                ]
            }

            /// That every number at a place of the columns lies in its range.
            pub(super) fn check(&self, at: usize, outputs: usize) -> Result<(), String> {
                let of = Place {
                    outputs: outputs as f32,
                    confidence: self.confidence[at],
                    is_last: self.final_rank[at] == 1,
                };
                $($(within(stringify!($signal), self.$signal[at], range($signal_range, &of))?;)?)*
                $($(within(stringify!($agreement), self.$agreement[at], range($agreement_range, &of))?;)?)*
                Ok(())
            }

            /// List columns, one list of `layers` values per row.
            pub(super) fn to_lists(&self, layers: usize) -> Vec<(&'static str, ArrayRef)> {
                vec![
                    $((stringify!($signal), to_lists::<<$signal_type as Value>::Arrow>(&self.$signal, layers)),)*
                    $((stringify!($agreement), to_lists::<<$agreement_type as Value>::Arrow>(&self.$agreement, layers)),)*
                ]
            }

            /// Appends the lists of a batch.
            pub(super) fn read(&mut self, batch: &RecordBatch, layers: usize) -> Result<(), String> {
                $(read_lists::<<$signal_type as Value>::Arrow>(batch, stringify!($signal), layers, &mut self.$signal)?;)*
                $(read_lists::<<$agreement_type as Value>::Arrow>(batch, stringify!($agreement), layers, &mut self.$agreement)?;)*
                Ok(())
            }
        }
    };
}

columns! {
    Signal {
        /// The exit's label.
        prediction: u32;
        /// Probability of the exit's label.
        confidence: f32, within |of| [1.0 / of.outputs, 1.0];
        /// Difference of the two highest probabilities.
        margin: f32, within |of| [0.0, of.confidence];
        /// Entropy in nats.
        entropy: f32, within |of| [0.0, of.outputs.ln()];
    }
    Agreement {
        /// Rank, from 1, that this exit gives to the last exit's label.
        final_rank: u32;
        /// Probability that this exit gives to the last exit's label.
        final_probability: f32,
            within |of| [if of.is_last { of.confidence } else { 0.0 }, of.confidence];
    }
}

/// What ranges depend on.
struct Place {
    outputs: f32,
    confidence: f32,
    /// Whether the last exit's label is this one's.
    is_last: bool,
}

fn range(of: impl Fn(&Place) -> [f32; 2], place: &Place) -> [f32; 2] {
    of(place)
}

/// How much rounding may add to a probability: sums of some 100,000 numbers in F32 are off by less.
const ROUNDING: f32 = 1e-4;

/// A number from `least` to `most`, up to rounding; never NaN.
fn within(name: &str, value: f32, [least, most]: [f32; 2]) -> Result<(), String> {
    let slack = ROUNDING * most.max(1.0);
    // Nothing rounds below 0.
    let lowest = if least > 0.0 { least - slack } else { 0.0 };
    if value >= lowest && value <= most + slack {
        return Ok(());
    }
    Err(format!("{name} {value}, expected a number from {least} to {most}"))
}

/// The values of the given rows of a column with `width` values per row.
pub(super) fn pick<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
    rows.iter().flat_map(|&row| &values[row * width..(row + 1) * width]).copied().collect()
}

fn to_lists<T: ArrowPrimitiveType>(values: &[T::Native], layers: usize) -> ArrayRef {
    let item = Field::new("element", T::DATA_TYPE, false);
    let builder = PrimitiveBuilder::<T>::with_capacity(values.len());
    let mut lists = ListBuilder::new(builder).with_field(item);
    for row in values.chunks(layers) {
        lists.values().append_slice(row);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// The column called `name`.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))
}

/// Appends a list column, checking that every list has one value per exit.
fn read_lists<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
    layers: usize,
    into: &mut Vec<T::Native>,
) -> Result<(), String> {
    let column = column(batch, name)?;
    let wrong_type = || {
        format!(
            "column `{name}` is {}, expected lists of {} without nulls",
            column.data_type(),
            T::DATA_TYPE
        )
    };
    let rows =
        column.as_list_opt::<i32>().filter(|rows| rows.null_count() == 0).ok_or_else(wrong_type)?;
    let values = rows
        .values()
        .as_primitive_opt::<T>()
        .filter(|values| values.null_count() == 0)
        .ok_or_else(wrong_type)?;
    for (row, window) in rows.value_offsets().windows(2).enumerate() {
        let (start, end) = (window[0] as usize, window[1] as usize);
        let found = end - start;
        if found != layers {
            return Err(format!("column `{name}`, row {row}: {found} values, expected {layers}"));
        }
        into.extend_from_slice(&values.values()[start..end]);
    }
    Ok(())
}
