use std::sync::Arc;

use burn::tensor::Tensor;

/// Keys and values of an encoder's states in one layer. Rows of a batch may share them: what rows attend to is not
/// copied when rows are.
#[derive(Clone, Debug)]
pub struct MemoryKv {
    /// `[texts * width, heads * head_dim]`
    pub key: Tensor<2>,
    /// As `key`.
    pub value: Tensor<2>,
    /// Tokens of each text.
    lengths: Arc<[usize]>,
    /// Tokens per text, padding included.
    width: usize,
    /// The text that each row of the cache attends to.
    texts: Arc<[usize]>,
}

impl MemoryKv {
    /// What a layer projects of an encoder's states, one text per row, of these lengths and padded to `width`.
    pub fn new(lengths: Arc<[usize]>, width: usize, key: Tensor<2>, value: Tensor<2>) -> Self {
        let texts = (0..lengths.len()).collect();
        Self { key, value, lengths, width, texts }
    }

    /// Tokens per text, padding included.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens of the texts that some rows of the cache attend to, all if absent.
    pub fn lengths(&self, rows: Option<&[usize]>) -> Vec<usize> {
        self.of_rows(rows, |text| self.lengths[text])
    }

    /// Where those texts begin, counted in tokens.
    pub fn origins(&self, rows: Option<&[usize]>) -> Arc<[isize]> {
        self.of_rows(rows, |text| (text * self.width) as isize)
    }

    fn of_rows<T, C: FromIterator<T>>(
        &self,
        rows: Option<&[usize]>,
        of_text: impl Fn(usize) -> T,
    ) -> C {
        match rows {
            Some(rows) => rows.iter().map(|&row| of_text(self.texts[row])).collect(),
            None => self.texts.iter().map(|&text| of_text(text)).collect(),
        }
    }

    /// Rows of the cache.
    pub(super) fn n_rows(&self) -> usize {
        self.texts.len()
    }

    /// Those of the given rows alone.
    pub(super) fn keep(&mut self, rows: &[usize]) {
        self.texts = rows.iter().map(|&row| self.texts[row]).collect();
    }
}
