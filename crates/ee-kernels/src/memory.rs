//! How the system handles memory, controlled through C calls.

/// Lets freed memory stay with this process, to be called once at the start of a program.
///
/// Activations of one layer have the same sizes as the next one's. The GNU allocator gives them back to the
/// system in between, and getting them again, page by page, takes a seventh of a forward pass. The cost
/// is that memory once used is not returned before the process ends. Elsewhere nothing happens.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest threshold that the allocator accepts.
        const LARGEST_FROM_HEAP: i32 = 32 << 20;
        // SAFETY: both parameters exist and take any number; a refused one is left as it was.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_FROM_HEAP);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}

/// Asks that some memory lie in large pages, 2 MiB rather than 4 KiB each: weights are then read a tenth
/// faster. Failures are ignored; elsewhere nothing happens.
pub fn prefer_large_pages<T>(memory: &[T]) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const PAGE: usize = 2 << 20;
        let start = memory.as_ptr().addr().next_multiple_of(PAGE);
        let end = (memory.as_ptr().addr() + size_of_val(memory)) / PAGE * PAGE;
        if start < end {
            let address = std::ptr::with_exposed_provenance_mut(start);
            // SAFETY: whole pages inside the given memory; the advice changes no content.
            unsafe {
                libc::madvise(address, end - start, libc::MADV_HUGEPAGE);
                libc::madvise(address, end - start, libc::MADV_COLLAPSE);
            }
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = memory;
}
