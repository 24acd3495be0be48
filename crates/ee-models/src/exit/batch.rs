use std::sync::Arc;

use crate::error::{Error, Result};

/// Right-padded token ids of one batch, on the host.
#[derive(Clone, Debug)]
pub struct Batch {
    token_ids: Vec<u32>,
    type_ids: Vec<u32>,
    lengths: Arc<[usize]>,
    width: usize,
    source: Option<Arc<Batch>>,
}

impl Batch {
    /// Checks and takes the rows of one batch.
    ///
    /// # Shapes
    /// `token_ids` and `type_ids`: `lengths.len() * width`, row after row, padded on the right.
    ///
    /// # Errors
    /// When the sizes disagree, a row is empty or longer than `width`.
    pub fn new(
        token_ids: Vec<u32>,
        type_ids: Vec<u32>,
        lengths: Vec<usize>,
        width: usize,
    ) -> Result<Self> {
        let expected = lengths.len() * width;
        if token_ids.len() != expected || type_ids.len() != expected {
            return Err(Error::Batch(format!(
                "a batch of {} rows of width {width} needs {expected} token ids and type ids, found {} and {}",
                lengths.len(),
                token_ids.len(),
                type_ids.len()
            )));
        }
        if let Some(row) = lengths.iter().position(|&length| length == 0 || length > width) {
            return Err(Error::Batch(format!(
                "row {row} of a batch of width {width} has length {}",
                lengths[row]
            )));
        }
        Ok(Self { token_ids, type_ids, lengths: lengths.into(), width, source: None })
    }

    /// The same, each row a decoder's text about what its encoder reads in the same row of `source`.
    ///
    /// # Errors
    /// When there is not one source per row.
    pub fn with_source(self, source: Self) -> Result<Self> {
        let (rows, sources) = (self.n_rows(), source.n_rows());
        if rows != sources {
            return Err(Error::Batch(format!("{sources} sources for a batch of {rows} rows")));
        }
        Ok(Self { source: Some(Arc::new(source)), ..self })
    }

    /// What an encoder reads, row by row.
    pub fn source(&self) -> Option<&Self> {
        self.source.as_deref()
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens per row, padding included.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens of each row, padding not included.
    pub fn lengths(&self) -> &Arc<[usize]> {
        &self.lengths
    }

    /// Token ids, row after row.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// Segment ids, row after row.
    pub fn type_ids(&self) -> &[u32] {
        &self.type_ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_checks_its_sizes() {
        assert!(Batch::new(vec![1; 6], vec![0; 6], vec![3, 2], 3).is_ok());
        let wrong = Batch::new(vec![1; 5], vec![0; 6], vec![3, 2], 3).unwrap_err();
        assert!(wrong.to_string().contains("needs 6"), "{wrong}");
        let empty = Batch::new(vec![1; 6], vec![0; 6], vec![3, 0], 3).unwrap_err();
        assert!(empty.to_string().contains("row 1"), "{empty}");
        let rows = |n: usize| Batch::new(vec![1; n], vec![0; n], vec![1; n], 1).unwrap();
        assert_eq!(rows(2).with_source(rows(2)).unwrap().source().unwrap().n_rows(), 2);
        let wrong = rows(2).with_source(rows(3)).unwrap_err().to_string();
        assert!(wrong.contains("3 sources for a batch of 2 rows"), "{wrong}");
    }
}
