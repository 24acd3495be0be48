use std::sync::Arc;

/// Where the rows lie in memory. Rows that are kept stay where they are, and one that is kept twice is copied to where
/// one has gone: nothing else is moved.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// By row, its place.
    pub(super) of_rows: Arc<[usize]>,
    /// How many there are.
    pub(super) n: usize,
}

impl Places {
    pub(super) fn in_order(n: usize) -> Self {
        Self { of_rows: (0..n).collect(), n }
    }

    pub(super) fn are_in_order(&self) -> bool {
        self.of_rows.len() == self.n && self.of_rows.iter().copied().eq(0..self.n)
    }

    /// Those of the given rows: the first to name a place keeps it.
    pub(super) fn keep(&self, rows: &[usize]) -> Self {
        let mut is_taken = vec![false; self.n];
        let stay: Vec<bool> = (rows.iter())
            .map(|&row| !std::mem::replace(&mut is_taken[self.of_rows[row]], true))
            .collect();
        let mut free = (0..self.n).filter(|&place| !is_taken[place]).chain(self.n..);
        let mut place = |(&row, &stays): (&usize, &bool)| match stays {
            true => self.of_rows[row],
            false => free.next().expect("there are always more"),
        };
        let of_rows: Arc<[usize]> = rows.iter().zip(&stay).map(&mut place).collect();
        let n = of_rows.iter().map(|place| place + 1).fold(self.n, usize::max);
        Self { of_rows, n }
    }
}
