//! How much of each device's memory a run would need, before anything is loaded.
//!
//! Parameters are counted on the model itself, built without values. Activations are counted as the CPU
//! kernels keep them; other backends keep somewhat more. The formulas are checked against measured peaks by
//! `tests/plan.rs`. Numbers are f64, exact up to any real memory size, so that no size of a file overflows them.

mod shape;

use std::fmt;

use ee_files::{say, show};
use ee_models::checkpoint::Precision;
use ee_models::loss::LOGIT_BYTES;

use self::shape::ModelShape;
use crate::config::{BatchConfig, ModelConfig, RunConfig};
use crate::error::{Error, Result};

const GIB: f64 = (1_u64 << 30) as f64;
const F32: f64 = 4.0;
/// What a process has resident before it has a model: the program, its tokenizer and its threads.
const PROGRAM: f64 = (24 << 20) as f64;

/// Bytes on each device, by what they are for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryPlan {
    pub(crate) devices: usize,
    /// Rows that travel through the model at once on each.
    pub(crate) rows: usize,
    /// Tokens of a row at most.
    pub(crate) length: usize,
    pub(crate) parameters: f64,
    pub(crate) trained: f64,
    pub(crate) weight_bytes: f64,
    pub(crate) gradient_bytes: f64,
    /// Moments and, of 16-bit weights, their F32 masters.
    pub(crate) optimizer_bytes: f64,
    /// What the layers keep for their backward passes.
    pub(crate) activation_bytes: f64,
    /// The chunk of logits, and what the backward pass of one layer works with.
    pub(crate) workspace_bytes: f64,
    pub(crate) program_bytes: f64,
}

impl MemoryPlan {
    /// The plan of a run.
    ///
    /// # Errors
    /// A model whose `config.json` cannot be read, or whose tokenizer cannot.
    pub fn new(config: &RunConfig) -> Result<Self> {
        Ok(Self::of_shape(config, &ModelShape::of(config)?))
    }

    fn of_shape(config: &RunConfig, shape: &ModelShape) -> Self {
        let devices = config.device.split(',').count();
        let training = &config.training;
        let (rows, length) = at_once(config, devices);
        let tokens = rows as f64 * length as f64;
        let is_rounded = config.precision != Precision::F32;
        let matrix_bytes = if is_rounded { 2.0 } else { F32 };
        let kept = if training.gradient_checkpointing { 1.0 } else { shape.model.layers };
        let states = if training.gradient_checkpointing { shape.model.layers } else { 0.0 };
        // An encoder's layers, of which all keep as much, read sources as long as the rows.
        let of_source = shape.model.kept_per_source_token
            / if training.gradient_checkpointing { shape.model.layers } else { 1.0 };
        // An optimizer's state: two moments, and the master of what is rounded.
        let state = 2.0 * F32 * shape.trained()
            + if is_rounded { F32 * shape.trained_matrices } else { 0.0 };
        let owners = if training.shard_optimizer { devices } else { 1 };
        let chunk =
            (LOGIT_BYTES as f64 / F32).min(tokens * shape.model.outputs).max(shape.model.outputs);
        // Beside the logits, two threads pack them for their products and keep the room. When the head is done
        // a layer's backward pass takes the logits' place: half of what the layer keeps, and more where the
        // layer is run again. Both factors are measured.
        let share = if training.gradient_checkpointing { 1.2 } else { 0.5 };
        let workspace = 2.0 * chunk + chunk.max(tokens * shape.model.kept_per_token * share);
        Self {
            devices,
            rows,
            length,
            parameters: shape.model.matrices + shape.model.vectors,
            trained: shape.trained(),
            weight_bytes: matrix_bytes * shape.model.matrices + F32 * shape.model.vectors,
            gradient_bytes: F32 * shape.trained(),
            optimizer_bytes: (state / owners as f64).ceil(),
            activation_bytes: F32
                * tokens
                * (kept * shape.model.kept_per_token + states * shape.model.d_model + of_source),
            workspace_bytes: F32 * workspace,
            program_bytes: PROGRAM,
        }
    }

    /// All of it.
    pub fn total(&self) -> f64 {
        self.weight_bytes
            + self.gradient_bytes
            + self.optimizer_bytes
            + self.activation_bytes
            + self.workspace_bytes
            + self.program_bytes
    }
}

/// Rows that travel at once on each device, and their tokens.
fn at_once(config: &RunConfig, devices: usize) -> (usize, usize) {
    let length = config.task.max_length;
    match config.training.batch {
        BatchConfig::Rows { batch, micro_batch } => {
            (micro_batch.min(batch.div_ceil(devices)), length)
        }
        // However long they are, together they have as many tokens.
        BatchConfig::Tokens { batch_tokens, batches_per_step } => {
            let share = batch_tokens.div_ceil(devices.div_ceil(batches_per_step));
            (share.div_ceil(length.min(share)), length.min(share))
        }
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { devices, rows, length, parameters, trained, .. } = *self;
        writeln!(
            f,
            "{:.3} billion parameters, {:.3} billion trained; {devices} × {rows} rows of {length} tokens at once",
            parameters / 1e9,
            trained / 1e9
        )?;
        let parts = [
            ("weights", self.weight_bytes),
            ("gradients", self.gradient_bytes),
            ("optimizer", self.optimizer_bytes),
            ("activations", self.activation_bytes),
            ("logits and workspace", self.workspace_bytes),
            ("program", self.program_bytes),
            ("on each device", self.total()),
        ];
        for (name, bytes) in parts {
            writeln!(f, "{name:<22}{:>9.3} GiB", bytes / GIB)?;
        }
        Ok(())
    }
}

struct Remedy {
    key: &'static str,
    apply: fn(&mut RunConfig) -> Option<String>,
}

/// What to change, the most harmless first: what costs only time, then the order of sums, then the method.
const REMEDIES: [Remedy; 6] = [
    Remedy {
        key: "training.gradient_checkpointing",
        apply: |config| {
            let applies = !config.training.gradient_checkpointing;
            config.training.gradient_checkpointing = true;
            applies.then(|| "true".to_owned())
        },
    },
    Remedy {
        key: "training.micro_batch",
        apply: |config| {
            let devices = config.device.split(',').count();
            let BatchConfig::Rows { batch, micro_batch } = &mut config.training.batch else {
                return None;
            };
            let rows = (*micro_batch).min(batch.div_ceil(devices));
            *micro_batch = (rows / 2).max(1);
            (rows > 1).then(|| micro_batch.to_string())
        },
    },
    Remedy {
        key: "training.batch_tokens",
        apply: |config| {
            let longest = config.task.max_length;
            let BatchConfig::Tokens { batch_tokens, batches_per_step } = &mut config.training.batch
            else {
                return None;
            };
            (*batch_tokens / 2 >= longest).then(|| {
                *batch_tokens /= 2;
                *batches_per_step *= 2;
                format!("{batch_tokens} --set training.batches_per_step={batches_per_step}")
            })
        },
    },
    Remedy {
        key: "training.shard_optimizer",
        apply: |config| {
            let applies = config.device.contains(',') && !config.training.shard_optimizer;
            config.training.shard_optimizer |= applies;
            applies.then(|| "true".to_owned())
        },
    },
    Remedy {
        key: "precision",
        apply: |config| {
            let applies = config.precision == Precision::F32;
            config.precision = Precision::Bf16;
            applies.then(|| "bf16".to_owned())
        },
    },
    Remedy {
        key: "lora.rank",
        apply: |config| {
            let applies = config.lora.is_none();
            config.lora.get_or_insert_with(crate::config::LoraConfig::default);
            applies.then(|| "8".to_owned())
        },
    },
];

/// The settings, `key=value`, with which a run fits `memory` bytes; `None` where none of them suffice.
pub(crate) fn changes_to_fit(config: &RunConfig, memory: f64) -> Result<Option<Vec<String>>> {
    let mut config = config.clone();
    let mut changes: Vec<(&str, String)> = Vec::new();
    let is_adaptable = ModelShape::of(&config)?.model.is_adaptable;
    for Remedy { key, apply } in REMEDIES {
        if !is_adaptable && matches!(key, "precision" | "lora.rank") {
            continue;
        }
        while MemoryPlan::new(&config)?.total() > memory {
            let Some(value) = apply(&mut config) else { break };
            changes.retain(|(earlier, _)| *earlier != key);
            changes.push((key, value));
        }
    }
    let fits = MemoryPlan::new(&config)?.total() <= memory;
    Ok(fits.then(|| changes.iter().map(|(key, value)| format!("{key}={value}")).collect()))
}

/// Bytes of a text such as `80GiB`, `512MiB` or `24GB`.
pub(crate) fn parse_memory(text: &str) -> std::result::Result<f64, String> {
    const UNITS: [(&str, f64); 4] = [("GiB", GIB), ("MiB", GIB / 1024.0), ("GB", 1e9), ("MB", 1e6)];
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let bytes = unit.and_then(|(number, bytes)| Some(number.trim().parse::<f64>().ok()? * bytes));
    match bytes {
        Some(bytes) if bytes > 0.0 && bytes.is_finite() => Ok(bytes.floor()),
        _ => Err("expected a size with its unit, e.g. 80GiB".to_owned()),
    }
}

/// Whether a new model's weights have room on this machine, where they are drawn one by one.
pub(crate) fn check_room(config: &RunConfig) -> Result<()> {
    let (Some(room), ModelConfig::Scratch(_) | ModelConfig::Pair(_)) = (room(), &config.model)
    else {
        return Ok(());
    };
    let plan = MemoryPlan::new(config)?;
    if plan.weight_bytes <= room {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "the new model's {:.3} billion parameters take {:.1} GiB, this machine has {:.1} GiB for them",
        plan.parameters / 1e9,
        plan.weight_bytes / GIB,
        room / GIB
    )))
}

/// Bytes of memory that this process can have at most, as far as the system says.
fn room() -> Option<f64> {
    let total = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = total.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0;
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    // `unlimited` is no number.
    let limit = limit.split_whitespace().next()?.parse::<f64>().unwrap_or(f64::INFINITY);
    Some(total.min(limit))
}

pub(crate) fn print(config: &RunConfig, memory: Option<f64>) -> Result<()> {
    let plan = MemoryPlan::new(config)?;
    show!("{plan}");
    let Some(memory) = memory else { return Ok(()) };
    let available = memory / GIB;
    if plan.total() <= memory {
        say!("fits {available:.1} GiB");
        return Ok(());
    }
    say!("does not fit {available:.1} GiB");
    match changes_to_fit(config, memory)? {
        Some(changes) => say!("it would with --set {}", changes.join(" --set ")),
        None => {
            say!("no setting makes it fit: more or larger devices, or shorter rows, are needed")
        }
    }
    Err(Error::Mismatch(format!(
        "the run needs {:.2} GiB on each device, {available:.2} GiB are there",
        plan.total() / GIB
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_memory("2GiB"), Ok(2.0 * GIB));
        assert_eq!(parse_memory("1.5 MiB"), Ok(1.5 * GIB / 1024.0));
        assert_eq!(parse_memory("3GB"), Ok(3e9));
        for text in ["80", "GiB", "-1GiB", "80 Gib", "infGB"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }
}
