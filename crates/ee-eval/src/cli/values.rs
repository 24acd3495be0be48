//! Values that flags take.

use ee_models::checkpoint::Precision;

pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number from 1".to_owned()),
    }
}

pub(super) fn weights(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        "bf16" => Ok(Precision::Bf16),
        "stored" => Ok(Precision::Stored),
        _ => Err("expected stored, f32, f16 or bf16".to_owned()),
    }
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a share above 0 and at most 1, e.g. 0.98".to_owned()),
    }
}

/// A number between 0 and 1.
pub(super) fn inside(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err("expected a number above 0 and below 1, e.g. 0.05".to_owned()),
    }
}

/// What can be typed, each with what it does, as help says it.
pub(super) fn listed<T: std::fmt::Display>(
    what: &str,
    choices: impl IntoIterator<Item = (T, &'static str)>,
) -> String {
    let choices = choices.into_iter().map(|(typed, does)| format!("{typed} ({does})"));
    format!("{what}: {}", choices.collect::<Vec<_>>().join(", "))
}
