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
    /// Layers, including those that a policy runs later; for speculation, those that verify.
    Layers,
    /// The whole head, and the signals of its logits; for speculation, on what is verified.
    Heads,
    /// Deciding: pruned heads, numbers of states, thresholds.
    Gates,
    /// Keys and values above an exit.
    Kv,
    /// The layers up to the draft exit, one token per row at a time.
    DraftLayers,
    /// The head on drafts, and drawing them.
    DraftHeads,
    /// The head on exits that do not draft, to learn which of them agree.
    Looks,
}

/// Time and bytes of the steps after the prompts.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// None where parts are not timed.
    device: Option<Device>,
    started: Option<Instant>,
    spent: [Duration; 7],
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
    pub fn new(device: Device) -> Self {
        Self { device: Some(device), ..Self::default() }
    }

    /// Does some work and records its time, where times are taken.
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
    pub fn spent(&self, part: Part) -> Duration {
        self.spent[part as usize]
    }

    /// Time of the steps that is not attributed to any part.
    pub fn rest(&self) -> Duration {
        self.steps.saturating_sub(self.spent.iter().sum())
    }

    /// Of all that was timed, prompts included.
    pub fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / (self.prompts + self.steps).as_secs_f64()
    }

    /// Begins with the prompts.
    pub(crate) fn start(&mut self) {
        self.started = self.device.is_some().then(Instant::now);
    }

    /// Forgets what was recorded, and begins again.
    pub(crate) fn restart(&mut self) {
        *self = Self { device: self.device.take(), ..Self::default() };
        self.start();
    }

    /// Attributes all that was done so far to the prompts, but for looks at exits: they are a step's.
    pub(crate) fn end_prompts(&mut self) {
        let (device, looks, lap) = (self.device.clone(), self.spent(Part::Looks), self.lap());
        let started = self.started.map(|now| now - looks);
        *self = Self { device, started, prompts: lap.saturating_sub(looks), ..Self::default() };
        self.spent[Part::Looks as usize] = looks;
    }

    /// Books all since then as steps.
    pub(crate) fn end_steps(&mut self) {
        self.steps = self.lap();
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

    fn lap(&mut self) -> Duration {
        let Some(started) = &mut self.started else { return Duration::ZERO };
        let now = Instant::now();
        now - std::mem::replace(started, now)
    }

    fn wait(&self) {
        if let Some(device) = &self.device {
            // A device that cannot be waited for has nothing queued either.
            let _ = device.sync();
        }
    }
}
