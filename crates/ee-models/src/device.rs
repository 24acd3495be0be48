//! Device names as users type them, and what a process used of the machine.

use burn::tensor::Device;
use ee_kernels::InstructionSet;

pub use ee_kernels::{keep_freed_memory, prefer_large_pages};

use crate::error::{Error, Result};

/// Checks what the environment asks of the CPU's kernels, to be called once at the start of a program:
/// `EE_INSTRUCTIONS` names one of the sets of vector instructions that this machine has.
///
/// # Errors
/// When the name is unknown, or the machine lacks what it needs.
pub fn check_environment() -> Result<()> {
    InstructionSet::chosen().map(|_| ()).map_err(Error::Environment)
}

/// The device of a name: `cpu`, and with the matching feature `cuda:I`, `tch:cpu`, `tch:cuda:I`.
///
/// # Errors
/// When the name is unknown or this build has no backend for it.
pub fn device(name: &str) -> Result<Device> {
    let complain = |complaint: String| Error::Device { name: name.to_owned(), complaint };
    let index = |text: &str| {
        text.parse::<usize>()
            .map_err(|_| complain(format!("expected a device number, found '{text}'")))
    };
    match name.split(':').collect::<Vec<_>>().as_slice() {
        ["cpu"] => Ok(Device::flex()),
        ["cuda"] => cuda(0).map_err(complain),
        ["cuda", number] => cuda(index(number)?).map_err(complain),
        ["tch", "cpu"] => tch(None).map_err(complain),
        ["tch", "cuda", number] => tch(Some(index(number)?)).map_err(complain),
        _ => Err(complain("known are cpu, cuda:I, tch:cpu and tch:cuda:I".to_owned())),
    }
}

/// Several devices, separated by commas; a number alone is one more of the kind before: `cuda:0,1,2,3`.
///
/// # Errors
/// As [`device`].
pub fn devices(names: &str) -> Result<Vec<Device>> {
    let mut kind = "";
    names
        .split(',')
        .map(|name| match name.parse::<usize>() {
            Ok(number) if !kind.is_empty() => device(&format!("{kind}:{number}")),
            _ => {
                kind = name.rsplit_once(':').map_or("", |(kind, _)| kind);
                device(name)
            }
        })
        .collect()
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> std::result::Result<Device, String> {
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> std::result::Result<Device, String> {
    Err("this build has no CUDA backend; build with --features cuda".to_owned())
}

#[cfg(feature = "tch")]
fn tch(index: Option<usize>) -> std::result::Result<Device, String> {
    Ok(match index {
        None => Device::libtorch(),
        Some(index) => Device::libtorch_cuda(index),
    })
}

#[cfg(not(feature = "tch"))]
fn tch(_index: Option<usize>) -> std::result::Result<Device, String> {
    Err("this build has no LibTorch backend; build with --features tch".to_owned())
}

/// The most memory this process has had resident so far, in MiB; `None` where `/proc` does not say.
pub fn peak_memory_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// The memory this process has resident now, in MiB; `None` where `/proc` does not say.
pub fn memory_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

fn status_mib(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_list_the_known_ones() {
        assert!(device("cpu").is_ok());
        let error = device("gpu").unwrap_err().to_string();
        assert!(error.contains("'gpu'") && error.contains("cuda:I"), "{error}");
        assert!(device("cuda:x").unwrap_err().to_string().contains("'x'"));
        assert_eq!(devices("cpu,cpu").unwrap().len(), 2);
        let error = devices("cpu,1").unwrap_err().to_string();
        assert!(error.contains("'1'"), "{error}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_number_alone_is_one_more_device_of_the_kind() {
        let error = devices("cuda:0,1").unwrap_err().to_string();
        assert!(error.contains("cuda:0") && error.contains("--features cuda"), "{error}");
    }
}
