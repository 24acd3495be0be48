//! Writing to disjoint parts of one slice from several threads.
//!
//! Rayon's chunks cover contiguous parts; tiles of a matrix and column ranges are strided. This hands out
//! raw access, and leaves the proof that parts do not overlap to the caller.

use std::marker::PhantomData;

/// A mutable slice that several threads may write to, each to its own part.
#[derive(Clone, Copy)]
pub(super) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` split by its users, who promise to take parts that do not overlap.
unsafe impl Send for Disjoint<'_> {}
// SAFETY: as above.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The numbers from `offset` to `offset + len`.
    ///
    /// # Safety
    /// No two parts alive at the same time may overlap.
    pub(super) unsafe fn part(&self, offset: usize, len: usize) -> &'a mut [f32] {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} numbers from {offset} on of {} numbers", self.len);
        // SAFETY: inside the slice by the assertion; disjointness is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The address of the number at `offset`, which may be one past the end.
    pub(super) fn at(&self, offset: usize) -> *mut f32 {
        assert!(offset <= self.len, "offset {offset} of {} numbers", self.len);
        // SAFETY: inside the slice, or one past its end, by the assertion.
        unsafe { self.start.add(offset) }
    }
}
