//! Where the time of a decoding goes, and what it has to read of the weights.
//!
//! A device that works behind the caller's back is waited for at both ends of a span; the CPU backend never
//! is behind. Waiting costs time that users do not spend, so that what is timed runs with a clock that only
//! counts ([`Clock::default`]), and a run of its own says where the time goes ([`Clock::new`]).

use std::time::{Duration, Instant};

use burn::tensor::Device;

/// What a span of time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Layers, those made up for by `deferred` included.
    Layers,
    /// The whole head, and the signals of its logits.
    Heads,
    /// Deciding: pruned heads, numbers of states, thresholds.
    Gates,
    /// Keys and values above an exit.
    Kv,
}

/// Time and bytes of the steps after the prompts.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// None where parts are not timed.
    device: Option<Device>,
    spent: [Duration; 4],
    /// The prompts' pass and the first tokens' head.
    pub prompts: Duration,
    /// All steps after it.
    pub steps: Duration,
    /// Bytes of weights that the steps read.
    pub weight_bytes: u64,
    /// Reads of the whole head.
    pub head_reads: u64,
}

impl Clock {
    /// A clock that times the parts of work on some device; the default one only counts.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device: Some(device), ..Self::default() }
    }

    /// Does some work and books its time, where it times anything.
    pub fn time<T>(&mut self, part: Part, work: impl FnOnce() -> T) -> T {
        if self.device.is_none() {
            return work();
        }
        self.wait();
        let started = Instant::now();
        let result = work();
        self.wait();
        self.spent[part as usize] += started.elapsed();
        result
    }

    /// The time booked on a part.
    #[must_use]
    pub fn spent(&self, part: Part) -> Duration {
        self.spent[part as usize]
    }

    /// Books all that was done so far as the prompts', which took so long.
    pub fn end_prompts(&mut self, prompts: Duration) {
        *self = Self { device: self.device.clone(), prompts, ..Self::default() };
    }

    /// Adds another clock's time and bytes.
    pub fn add(&mut self, other: &Self) {
        for (spent, more) in self.spent.iter_mut().zip(other.spent) {
            *spent += more;
        }
        self.prompts += other.prompts;
        self.steps += other.steps;
        self.weight_bytes += other.weight_bytes;
        self.head_reads += other.head_reads;
    }

    fn wait(&self) {
        if let Some(device) = &self.device {
            // A device that cannot wait has nothing queued either.
            let _ = device.sync();
        }
    }
}
