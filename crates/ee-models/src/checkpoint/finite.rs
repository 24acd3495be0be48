//! Whether a tensor holds only finite numbers: NaN or infinity in a weight makes every answer meaningless.

use burn::tensor::{DType, TensorData};
use rayon::prelude::*;

/// Bytes that one task looks at.
const PIECE: usize = 1 << 20;

/// The place and value of the first number that is NaN or infinite; a pass over the bits, on all cores.
pub(super) fn first_not_finite(data: &TensorData) -> Option<(Vec<usize>, f32)> {
    let bytes = data.as_bytes();
    let at = match data.dtype() {
        DType::F32 => find(bytes, |bits| u32::from_le_bytes(bits) & 0x7F80_0000 == 0x7F80_0000),
        DType::F16 => find(bytes, |bits| u16::from_le_bytes(bits) & 0x7C00 == 0x7C00),
        DType::BF16 => find(bytes, |bits| u16::from_le_bytes(bits) & 0x7F80 == 0x7F80),
        _ => None,
    }?;
    let value = data.iter::<f32>().nth(at).expect("it was found there");
    let mut place = vec![0; data.shape().len()];
    let mut rest = at;
    for (place, &size) in place.iter_mut().zip(data.shape().iter()).rev() {
        (*place, rest) = (rest % size, rest / size);
    }
    Some((place, value))
}

/// The first number whose bits are wrong.
fn find<const N: usize>(bytes: &[u8], is_wrong: impl Fn([u8; N]) -> bool + Sync) -> Option<usize> {
    // Without a branch per number, so that the compiler vectorises it; hits are rare.
    let holds = |piece: &[u8]| {
        piece.as_chunks::<N>().0.iter().fold(false, |found, &bits| found | is_wrong(bits))
    };
    let (number, piece) =
        bytes.par_chunks(PIECE).enumerate().find_first(|(_, piece)| holds(piece))?;
    let within = piece.as_chunks::<N>().0.iter().position(|&bits| is_wrong(bits))?;
    Some(number * (PIECE / N) + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_number_is_named_in_every_format_and_at_every_place() {
        // More than one piece, and the last one is not whole.
        let shape = [3, PIECE / 8 + 5];
        let n = shape[0] * shape[1];
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let numbers = |wrong: &[(usize, f32)]| {
                let mut values = vec![1.5_f32; n];
                values[7] = 6e4;
                values[8] = -1e-30;
                wrong.iter().for_each(|&(at, value)| values[at] = value);
                TensorData::new(values, shape).convert_dtype(dtype)
            };
            assert_eq!(first_not_finite(&numbers(&[])), None);
            for at in [0, 1, PIECE / 4 - 1, PIECE / 4, n - 1] {
                for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let (place, found) = first_not_finite(&numbers(&[(at, value)])).unwrap();
                    assert_eq!(place, [at / shape[1], at % shape[1]], "{dtype:?} {value}");
                    assert_eq!(
                        (found.is_nan(), found.is_infinite()),
                        (value.is_nan(), value.is_infinite())
                    );
                }
            }
            let two = numbers(&[(n - 1, f32::NAN), (9, f32::INFINITY)]);
            assert_eq!(first_not_finite(&two).unwrap().0, [0, 9]);
        }
    }
}
