//! Generated texts beside their trace: one JSON object per line and example.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ee_files::write_text;
use serde::{Deserialize, Serialize};

use crate::error::{EvalError, Result};

/// One example's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextRecord {
    /// The example's number in its split, from 0.
    pub example: u32,
    /// What the model was given.
    pub prompt: String,
    /// What it answered, up to the first stop text; empty in a teacher-forced trace.
    pub prediction: String,
    /// What it is compared with.
    pub references: Vec<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// New tokens, an end token included.
    pub new_tokens: usize,
    /// Whether the text ended by itself: by an end token or a stop text.
    pub ended: bool,
    /// By metric, numbers whose sum over examples a score is computed from.
    pub statistics: BTreeMap<String, Vec<f64>>,
}

/// Where the texts of a trace lie: `x.parquet` has `x.texts.jsonl`.
pub(crate) fn texts_path(trace: &Path) -> PathBuf {
    // Only this ending goes: a name may hold dots of its own.
    let name = trace.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".parquet").unwrap_or(&name);
    trace.with_file_name(format!("{stem}.texts.jsonl"))
}

pub(crate) fn write_texts(trace: &Path, texts: &[TextRecord]) -> Result<()> {
    let path = texts_path(trace);
    let mut lines = String::new();
    for text in texts {
        let line = serde_json::to_string(text)
            .map_err(|source| EvalError::Encode { path: path.clone(), source })?;
        lines.push_str(&line);
        lines.push('\n');
    }
    Ok(write_text(&path, &lines)?)
}

/// Reads the texts of a trace.
///
/// # Errors
/// [`EvalError::Io`] and [`EvalError::Decode`], naming the file.
pub fn read_texts(trace: &Path) -> Result<Vec<TextRecord>> {
    let path = texts_path(trace);
    let text = std::fs::read_to_string(&path).map_err(EvalError::read(&path))?;
    text.lines()
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|source| EvalError::Decode { path: path.clone(), source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lie_beside_their_trace() {
        assert_eq!(texts_path(Path::new("a/b.parquet")), Path::new("a/b.texts.jsonl"));
        assert_eq!(texts_path(Path::new("a.1/b.2")), Path::new("a.1/b.2.texts.jsonl"));
    }
}
