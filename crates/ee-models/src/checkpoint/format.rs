//! Formats of stored numbers.

use burn::tensor::{DType, Element, TensorData};
use half::{bf16, f16};

use crate::parameters::Precision;

/// Number format of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    F64,
    F32,
    F16,
    Bf16,
    /// Integers, flags and what is quantized, by its name: buffers, never parameters.
    Other(&'static str),
}

impl From<safetensors::Dtype> for Format {
    fn from(dtype: safetensors::Dtype) -> Self {
        use safetensors::Dtype;
        match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::BOOL => Self::Other("BOOL"),
            Dtype::U8 => Self::Other("U8"),
            Dtype::I8 => Self::Other("I8"),
            Dtype::I16 | Dtype::U16 => Self::Other("16-bit integers"),
            Dtype::I32 | Dtype::U32 => Self::Other("32-bit integers"),
            Dtype::I64 | Dtype::U64 => Self::Other("64-bit integers"),
            Dtype::C64 => Self::Other("complex numbers"),
            Dtype::F8_E5M2
            | Dtype::F8_E4M3
            | Dtype::F8_E8M0
            | Dtype::F8_E4M3FNUZ
            | Dtype::F8_E5M2FNUZ => Self::Other("F8"),
            _ => Self::Other("numbers of fewer than 8 bits"),
        }
    }
}

impl From<pytorch_reader::DType> for Format {
    fn from(dtype: pytorch_reader::DType) -> Self {
        use pytorch_reader::DType;
        match dtype {
            DType::F64 => Self::F64,
            DType::F32 => Self::F32,
            DType::F16 => Self::F16,
            DType::BF16 => Self::Bf16,
            DType::I64 | DType::U64 => Self::Other("64-bit integers"),
            DType::I32 | DType::U32 => Self::Other("32-bit integers"),
            DType::I16 | DType::U16 => Self::Other("16-bit integers"),
            DType::I8 => Self::Other("I8"),
            DType::U8 => Self::Other("U8"),
            DType::Bool => Self::Other("BOOL"),
        }
    }
}

impl Format {
    /// How many numbers this many bytes are; `None` where they are not a whole number of them.
    pub(super) fn count(self, bytes: usize) -> Option<usize> {
        match self {
            Self::F64 => Some(bytes / 8),
            Self::F32 => Some(bytes / 4),
            Self::F16 | Self::Bf16 => Some(bytes / 2),
            Self::Other(_) => None,
        }
    }
}

/// Bytes as numbers of the wanted format.
pub(super) fn decode(
    bytes: &[u8],
    shape: &[usize],
    format: Format,
    precision: Precision,
) -> TensorData {
    fn each<const N: usize, T: Element>(
        bytes: &[u8],
        shape: &[usize],
        convert: impl Fn([u8; N]) -> T,
    ) -> TensorData {
        let values: Vec<T> = bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect();
        TensorData::new(values, shape)
    }
    let stored = match format {
        Format::F64 => each(bytes, shape, |chunk| f64::from_le_bytes(chunk) as f32),
        Format::F32 => each(bytes, shape, f32::from_le_bytes),
        Format::F16 => each(bytes, shape, f16::from_le_bytes),
        Format::Bf16 => each(bytes, shape, bf16::from_le_bytes),
        Format::Other(_) => unreachable!("the caller has counted floating-point numbers"),
    };
    match precision {
        Precision::Stored => stored,
        Precision::F32 => stored.convert_dtype(DType::F32),
        Precision::F16 => stored.convert_dtype(DType::F16),
        Precision::Bf16 => stored.convert_dtype(DType::BF16),
    }
}
