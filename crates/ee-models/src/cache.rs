//! Keys and values of the tokens seen so far.
//!
//! Every layer has room for the same number of slots from the beginning, and fills them in order. Rows of a
//! batch share slots: a short prompt is padded on the left, so that the position of a token is its slot less
//! its row's padding. A layer knows how many slots it holds of each row, and layers may hold different
//! numbers: a token that left early is missing above its exit until it is computed later. Where rows take
//! different numbers of tokens in a step, the slots of those that took fewer are renumbered, so that all
//! rows go on at one slot: no key moves, the row's padding and its shift, slot less place in memory, grow by
//! as much.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::indices::indices;
use crate::kernels::{self, CachePlace};

/// The cache of a batch: one [`LayerKv`] per layer.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerKv>,
    padding: Arc<[usize]>,
    shifts: Arc<[usize]>,
    capacity: usize,
}

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
        let layer = |_| LayerKv {
            key: empty(),
            value: empty(),
            shifts: Arc::clone(&shifts),
            capacity,
            lens: lens.clone(),
            memory: None,
        };
        Self { layers: (0..n_layers).map(layer).collect(), padding, shifts, capacity }
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
        assert_eq!(memory.texts.len(), self.padding.len(), "texts, one per row");
        self.layers[index].memory = Some(memory);
    }

    /// Keeps the given rows alone, in the given order; a row may be named several times.
    ///
    /// # Panics
    /// If a row is not there.
    pub fn keep(&mut self, rows: &[usize]) {
        let slots = rows.iter().flat_map(|row| row * self.capacity..(row + 1) * self.capacity);
        let slots = indices(slots, &self.layers[0].key().device());
        self.padding = rows.iter().map(|&row| self.padding[row]).collect();
        self.shifts = rows.iter().map(|&row| self.shifts[row]).collect();
        for layer in &mut self.layers {
            layer.shifts = self.shifts.clone();
            let keep =
                |tensor: Option<Tensor<2>>| tensor.map(|tensor| tensor.select(0, slots.clone()));
            (layer.key, layer.value) = (keep(layer.key.take()), keep(layer.value.take()));
            layer.lens = rows.iter().map(|&row| layer.lens[row]).collect();
            if let Some(memory) = &mut layer.memory {
                memory.texts = rows.iter().map(|&row| memory.texts[row]).collect();
            }
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
        if rows.is_none() && self.shifts.iter().all(|&shift| shift == 0) {
            return None;
        }
        let origin = |row: usize| (row * self.capacity) as isize - self.shifts[row] as isize;
        Some(match rows {
            Some(rows) => rows.iter().map(|&row| origin(row)).collect(),
            None => (0..self.lens.len()).map(origin).collect(),
        })
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
            let from = row * self.capacity + start - self.shifts[row];
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
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn block(values: Vec<f32>) -> Tensor<2> {
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n, 1]), &Device::flex())
    }

    #[test]
    fn blocks_follow_each_other_and_rows_can_go() {
        let device = Device::flex();
        let mut cache = KvCache::new(1, 1, 4, Arc::from([0, 1]), &device);
        let layer = cache.layer(0);
        layer.append_rows(None, block(vec![1., 2., 3., 4.]), block(vec![5., 6., 7., 8.]), 0, 2);
        layer.append_rows(None, block(vec![9., 10.]), block(vec![11., 12.]), 2, 1);
        assert_eq!(values(layer.key()), [1., 2., 9., 0., 3., 4., 10., 0.]);
        assert_eq!(values(layer.value()), [5., 6., 11., 0., 7., 8., 12., 0.]);
        cache.keep(&[1]);
        assert_eq!(&cache.padding()[..], [1]);
        let layer = cache.layer(0);
        layer.crop(1);
        layer.append_rows(None, block(vec![20.]), block(vec![21.]), 1, 1);
        assert_eq!(values(layer.key()), [3., 20., 10., 0.]);
        assert_eq!(layer.len(), 2);
    }

    #[test]
    fn rows_hold_different_numbers_of_slots() {
        let device = Device::flex();
        let mut cache = KvCache::new(1, 1, 3, Arc::from([0, 0]), &device);
        let layer = cache.layer(0);
        layer.append_rows(None, block(vec![1., 2.]), block(vec![3., 4.]), 0, 1);
        layer.append_rows(Some(&[1]), block(vec![5., 6.]), block(vec![7., 8.]), 1, 2);
        assert_eq!((layer.lens(), layer.len()), (&[1, 3][..], 1));
        let [key, value] = layer.block(&[1, 0], 0, 1);
        assert_eq!((values(key), values(value)), (vec![2., 1.], vec![4., 3.]));
        layer.crop_row(1, 2);
        layer.append_rows(Some(&[1]), block(vec![9.]), block(vec![10.]), 2, 1);
        assert_eq!(values(layer.key()), [1., 0., 0., 2., 5., 9.]);
        assert_eq!(values(layer.value()), [3., 0., 0., 4., 7., 10.]);
    }

    #[test]
    #[should_panic(expected = "slots are filled in order")]
    fn a_row_cannot_skip_a_slot() {
        let device = Device::flex();
        let mut cache = KvCache::new(1, 1, 3, Arc::from([0, 0]), &device);
        let one = || Tensor::<2>::zeros([1, 1], &device);
        cache.layer(0).append_rows(Some(&[0]), one(), one(), 0, 1);
        cache.layer(0).append_rows(Some(&[1]), one(), one(), 1, 1);
    }

    #[test]
    fn rows_kept_twice_attend_to_the_same_text() {
        let device = Device::flex();
        let mut cache = KvCache::new(1, 1, 1, Arc::from([0, 0]), &device);
        let hidden = Tensor::<2>::zeros([6, 1], &device);
        cache.remember(0, MemoryKv::new(Arc::from([3, 2]), 3, hidden.clone(), hidden));
        cache.keep(&[1, 1, 0]);
        let memory = cache.layer(0).memory().unwrap();
        assert_eq!(
            (memory.lengths(None), &memory.origins(None)[..]),
            (vec![2, 2, 3], &[3, 3, 0][..])
        );
        assert_eq!(&memory.origins(Some(&[2]))[..], [0]);
    }

    #[test]
    fn rows_that_fall_behind_go_on_at_the_common_slot() {
        let device = Device::flex();
        let mut cache = KvCache::new(1, 1, 5, Arc::from([0, 1, 0]), &device);
        let tokens = || block(vec![1., 2., 3., 4., 5., 6., 7., 8., 9.]);
        cache.layer(0).append_rows(None, tokens(), tokens(), 0, 3);
        // The second row takes one token of three, the others all.
        cache.fall_behind(&[0, 2, 0]);
        assert_eq!(&cache.padding()[..], [0, 3, 0]);
        assert_eq!(cache.layer(0).origins(None).as_deref(), Some(&[0, 3, 10][..]));
        let more = || block(vec![10., 11., 12.]);
        cache.layer(0).append_rows(None, more(), more(), 3, 1);
        let expected = [1., 2., 3., 10., 0., 4., 11., 6., 0., 0., 7., 8., 9., 12., 0.];
        assert_eq!(values(cache.layer(0).key()), expected);
        cache.keep(&[1]);
        let layer = cache.layer(0);
        layer.append_rows(None, block(vec![13.]), block(vec![13.]), 4, 1);
        assert_eq!(values(layer.value()), [4., 11., 13., 0., 0.]);
    }
}
