//! Keys and values of the tokens seen so far.
//!
//! Every layer has room for the same number of slots from the beginning, and fills them in order. Rows of a
//! batch share slots: a short prompt is padded on the left, so that the position of a token is its slot less
//! its row's padding. A layer knows how many slots it holds of each row, and layers may hold different
//! numbers: a token that left early is missing above its exit until it is computed later. Where rows take
//! different numbers of tokens in a step, the slots of those that took fewer are renumbered, so that all
//! rows go on at one slot: no key moves, the row's padding and its shift, slot less place in memory, grow by
//! as much.

mod memory;
mod places;

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

pub use self::memory::MemoryKv;
use self::places::Places;
use crate::indices::indices;
use crate::kernels::{self, CachePlace, Move};

/// The cache of a batch: one [`LayerKv`] per layer.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerKv>,
    padding: Arc<[usize]>,
    shifts: Arc<[usize]>,
    places: Places,
}

impl KvCache {
    /// Room for `capacity` slots per row in every layer, of keys and values of `d_kv` numbers each; row r
    /// leaves its first `padding[r]` slots unused.
    pub fn new(
        n_layers: usize,
        d_kv: usize,
        capacity: usize,
        padding: Arc<[usize]>,
        device: &Device,
    ) -> Self {
        let slots = padding.len() * capacity;
        let empty = || Some(Tensor::<2>::zeros([slots, d_kv], device));
        let (lens, shifts) = (vec![0; padding.len()], Arc::from(vec![0; padding.len()]));
        let places = Places::in_order(padding.len());
        let layer = |_| LayerKv {
            key: empty(),
            value: empty(),
            shifts: Arc::clone(&shifts),
            places: places.clone(),
            capacity,
            lens: lens.clone(),
            memory: None,
        };
        Self { layers: (0..n_layers).map(layer).collect(), padding, shifts, places }
    }

    /// The cache of layer `index`.
    pub fn layer(&mut self, index: usize) -> &mut LayerKv {
        &mut self.layers[index]
    }

    /// Unused slots at the beginning of each row.
    pub fn padding(&self) -> &Arc<[usize]> {
        &self.padding
    }

    /// Gives layer `index` what its rows attend to besides their own tokens.
    ///
    /// # Panics
    /// If there is not one text per row.
    pub fn remember(&mut self, index: usize, memory: MemoryKv) {
        assert_eq!(memory.n_rows(), self.padding.len(), "texts, one per row");
        self.layers[index].memory = Some(memory);
    }

    /// Keeps the given rows alone, in the given order; a row may be named several times. On the CPU only what copies
    /// of a row hold is moved.
    ///
    /// # Panics
    /// If a row is not there.
    pub fn keep(&mut self, rows: &[usize]) {
        let mut places = self.places.keep(rows);
        for layer in &mut self.layers {
            places = layer.keep(rows, places);
        }
        self.places = places;
        self.padding = rows.iter().map(|&row| self.padding[row]).collect();
        self.shifts = rows.iter().map(|&row| self.shifts[row]).collect();
        for layer in &mut self.layers {
            layer.shifts = self.shifts.clone();
        }
    }

    /// Forgets, in every layer, what row r holds in its last `lags[r]` slots, and renumbers its slots so
    /// that the row also continues after the last slot. Layers must hold the same number of slots.
    ///
    /// # Panics
    /// If there is not one lag per row.
    pub fn fall_behind(&mut self, lags: &[usize]) {
        assert_eq!(lags.len(), self.padding.len(), "lags, one per row");
        if lags.iter().all(|&lag| lag == 0) {
            return;
        }
        let more =
            |numbers: &Arc<[usize]>| numbers.iter().zip(lags).map(|(n, lag)| n + lag).collect();
        (self.padding, self.shifts) = (more(&self.padding), more(&self.shifts));
        for layer in &mut self.layers {
            layer.shifts = self.shifts.clone();
        }
    }
}

/// Keys and values of one layer.
#[derive(Clone, Debug)]
pub struct LayerKv {
    /// `[batch * capacity, kv_heads * head_dim]`; absent only while it is being written to.
    key: Option<Tensor<2>>,
    value: Option<Tensor<2>>,
    /// Per row, the number of a slot less its place in memory.
    shifts: Arc<[usize]>,
    places: Places,
    capacity: usize,
    /// Slots filled so far, per row.
    lens: Vec<usize>,
    memory: Option<MemoryKv>,
}

impl LayerKv {
    /// Slots filled so far in every row.
    pub fn len(&self) -> usize {
        self.lens.iter().copied().min().unwrap_or(0)
    }

    /// Slots filled so far, per row.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Whether some row has no slot filled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the rows attend to besides their own tokens, where there is an encoder.
    pub fn memory(&self) -> Option<&MemoryKv> {
        self.memory.as_ref()
    }

    /// Slots per row.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Writes the keys and values of `width` tokens per row behind those that are there, to some rows, one per
    /// row of the block, or to all; keys are rotated.
    ///
    /// # Shapes
    /// `[rows * width, kv_heads * head_dim]`
    ///
    /// # Panics
    /// If there is no room, or the tokens do not begin at slot `start`: a layer fills its slots in order.
    pub fn append_rows(
        &mut self,
        rows: Option<&[usize]>,
        key: Tensor<2>,
        value: Tensor<2>,
        start: usize,
        width: usize,
    ) {
        for index in 0..rows.map_or(self.lens.len(), <[usize]>::len) {
            let row = rows.map_or(index, |rows| rows[index]);
            assert_eq!(start, self.lens[row], "slots are filled in order");
            let start = start - self.shifts[row];
            assert!(
                start + width <= self.capacity,
                "{width} tokens from {start} in {}",
                self.capacity
            );
            self.lens[row] += width;
        }
        let origins = self.origins(rows);
        let place = CachePlace { capacity: self.capacity, width, start };
        let write = |cache: Option<Tensor<2>>, block| {
            cache.map(|cache| kernels::write_cache(cache, block, place, origins.as_deref()))
        };
        self.key = write(self.key.take(), key);
        self.value = write(self.value.take(), value);
    }

    /// Where slot 0 of some rows, of all if absent, lies in memory, counted in slots: before the beginning
    /// where the first slots hold no token. `None` where all rows follow each other.
    pub fn origins(&self, rows: Option<&[usize]>) -> Option<Arc<[isize]>> {
        let is_shifted = || self.shifts.iter().any(|&shift| shift > 0);
        if rows.is_none() && self.places.are_in_order() && !is_shifted() {
            return None;
        }
        Some(match rows {
            Some(rows) => rows.iter().map(|&row| self.origin(row)).collect(),
            None => (0..self.lens.len()).map(|row| self.origin(row)).collect(),
        })
    }

    fn origin(&self, row: usize) -> isize {
        (self.places.of_rows[row] * self.capacity) as isize - self.shifts[row] as isize
    }

    /// See [`KvCache::keep`]; gives the places that the rows have.
    #[expect(clippy::result_large_err, reason = "what is declined is given back")]
    fn keep(&mut self, rows: &[usize], places: Places) -> Places {
        let grows = places.n > self.places.n;
        let moves: Vec<Move> = (rows.iter().zip(&places.of_rows[..]))
            .filter(|&(&row, &to)| grows || self.places.of_rows[row] != to)
            .map(|(&row, &to)| Move {
                from: self.places.of_rows[row] * self.capacity,
                to: to * self.capacity,
                n: self.lens[row] - self.shifts[row],
            })
            .collect();
        let n_slots = places.n * self.capacity;
        let copy = |tensor: Option<Tensor<2>>| {
            kernels::copy_slots(tensor.expect("a cache is whole between writes"), &moves, n_slots)
        };
        let places = match (copy(self.key.take()), copy(self.value.take())) {
            (Ok(key), Ok(value)) => {
                (self.key, self.value) = (Some(key), Some(value));
                places
            }
            (Ok(key) | Err(key), Ok(value) | Err(value)) => {
                let slots = rows.iter().flat_map(|&row| {
                    let from = self.places.of_rows[row] * self.capacity;
                    from..from + self.capacity
                });
                let slots = indices(slots, &key.device());
                self.key = Some(key.select(0, slots.clone()));
                self.value = Some(value.select(0, slots));
                Places::in_order(rows.len())
            }
        };
        self.places = places.clone();
        self.lens = rows.iter().map(|&row| self.lens[row]).collect();
        if let Some(memory) = &mut self.memory {
            memory.keep(rows);
        }
        places
    }

    /// Keys and values that stand at the slots from `start` on in some rows.
    ///
    /// # Shapes
    /// `[rows.len() * width, kv_heads * head_dim]` each.
    ///
    /// # Panics
    /// If one of the rows holds fewer slots.
    pub fn block(&self, rows: &[usize], start: usize, width: usize) -> [Tensor<2>; 2] {
        let mut slots = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            assert!(start + width <= self.lens[row], "row {row} holds {} slots", self.lens[row]);
            let from = self.places.of_rows[row] * self.capacity + start - self.shifts[row];
            slots.extend(from..from + width);
        }
        let key = self.key();
        let slots = indices(slots, &key.device());
        [key.select(0, slots.clone()), self.value().select(0, slots)]
    }

    /// Forgets the slots from `len` on.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn crop(&mut self, len: usize) {
        assert!(len <= self.len(), "{len} slots to keep of {}", self.len());
        self.lens.fill(len);
    }

    /// Forgets the slots from `len` on of one row.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn crop_row(&mut self, row: usize, len: usize) {
        assert!(len <= self.lens[row], "{len} slots to keep of {}", self.lens[row]);
        self.lens[row] = len;
    }

    /// All keys, `[batch * capacity, kv_heads * head_dim]`; those from [`LayerKv::len`] on mean nothing.
    pub fn key(&self) -> Tensor<2> {
        self.key.clone().expect("a cache is whole between writes")
    }

    /// All values, as [`LayerKv::key`].
    pub fn value(&self) -> Tensor<2> {
        self.value.clone().expect("a cache is whole between writes")
    }
}

#[cfg(test)]
mod tests;
