//! Checked sizes: they keep a wrong shape from reaching memory outside its buffer.
//!
//! A kernel that writes through pointers asks these once per call. A product or a sum that wraps would pass
//! the very check it was made for, so here it panics.

/// The product of some sizes.
///
/// # Panics
/// If it does not fit this machine's integers.
#[track_caller]
pub(super) fn product<const N: usize>(sizes: [usize; N]) -> usize {
    let product = sizes.into_iter().try_fold(1_usize, usize::checked_mul);
    product.unwrap_or_else(|| panic!("sizes {sizes:?} are more numbers than a machine counts"))
}

/// Where `rows` rows of `columns` numbers, which begin at `offset` and are `stride` apart, end.
///
/// # Panics
/// If rows overlap, or the end does not fit this machine's integers.
#[track_caller]
pub(super) fn end_of_rows(offset: usize, rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return offset;
    }
    assert!(rows == 1 || columns <= stride, "rows of {columns} numbers, {stride} apart, overlap");
    let end = (rows - 1).checked_mul(stride).and_then(|n| n.checked_add(columns));
    let end = end.and_then(|n| n.checked_add(offset));
    end.unwrap_or_else(|| panic!("{rows} rows from {offset} on, {stride} apart, have no end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_fit_are_multiplied() {
        assert_eq!(product([3, 4, 5]), 60);
        assert_eq!(product([0, 7]), 0);
        assert_eq!(end_of_rows(2, 3, 4, 10), 26);
        assert_eq!(end_of_rows(2, 1, 4, 0), 6);
        assert_eq!(end_of_rows(9, 0, 4, 0), 9);
    }

    #[test]
    #[should_panic(expected = "more numbers than a machine counts")]
    fn a_product_does_not_wrap() {
        product([1 << 32, 1 << 32]);
    }

    #[test]
    #[should_panic(expected = "have no end")]
    fn an_end_does_not_wrap() {
        end_of_rows(1, 3, 1, usize::MAX / 2);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn rows_do_not_overlap() {
        end_of_rows(0, 2, 4, 3);
    }
}
