//! Whether other programs used the processors while something was timed.
//!
//! Linux counts the time of all processors in `/proc/stat` and that of this process in `/proc/self/stat`, in the
//! same unit. What processors did beyond this process was others' work; what a virtual machine wanted and did
//! not get is "stolen". Other systems report nothing here, so nothing is said about them.

use ee_models::device::prefer_large_pages;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::spread::timed;

/// From this share of the processors on a machine is called busy.
const BUSY: f64 = 0.1;
/// Ticks of all processors from which on a share of them means something: a fifth of a second of one.
const ENOUGH: u64 = 20;

/// What processors did beside the work of this process, on average over some time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) processors: usize,
    /// Processors that other programs used.
    pub(crate) others: f64,
    /// Processors that were given to other virtual machines.
    pub(crate) stolen: f64,
}

impl Load {
    /// A sentence where the machine was too busy for the times to be trusted.
    pub(crate) fn notice(&self) -> Option<String> {
        let Self { processors, others, stolen } = *self;
        let taken = others + stolen;
        (taken > BUSY * processors as f64).then(|| {
            format!(
                "the machine was busy while this was timed: others took {taken:.1} of its {processors} processors on average \
                 (/proc/stat without this process); times may be off, and speed-ups, too"
            )
        })
    }
}

/// Counts since some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadWatch(Option<Counts>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Counts {
    processors: usize,
    total: u64,
    /// Waiting for disks included.
    idle: u64,
    stolen: u64,
    own: u64,
}

impl LoadWatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(Counts::now())
    }

    /// The load since then; none where the system does not say or too little time has passed.
    pub(crate) fn read(&self) -> Option<Load> {
        Load::between(self.0?, Counts::now()?)
    }
}

impl Load {
    fn between(before: Counts, after: Counts) -> Option<Self> {
        let since = |of: fn(&Counts) -> u64| of(&after).saturating_sub(of(&before));
        let total = since(|counts| counts.total);
        if total < ENOUGH {
            return None;
        }
        let [idle, stolen, own] = [since(|of| of.idle), since(|of| of.stolen), since(|of| of.own)];
        let others = total.saturating_sub(idle + stolen + own);
        let share = |ticks: u64| after.processors as f64 * ticks as f64 / total as f64;
        Some(Self { processors: after.processors, others: share(others), stolen: share(stolen) })
    }
}

impl Counts {
    fn now() -> Option<Self> {
        let read = |path| std::fs::read_to_string(path).ok();
        Self::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    /// From the texts of `/proc/stat` and `/proc/self/stat`, see proc(5).
    fn parse(machine: &str, process: &str) -> Option<Self> {
        let mut lines = machine.lines().filter(|line| line.starts_with("cpu"));
        let all: Vec<u64> = lines
            .next()?
            .split_whitespace()
            .skip(1)
            .map_while(|field| field.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        let [.., idle, iowait, _, _, stolen] = *all.get(..8)? else { return None };
        // The name in brackets may hold anything; user and system time are the 14th and 15th field.
        let fields: Vec<&str> = process.rsplit_once(')')?.1.split_whitespace().collect();
        let own = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
        Some(Self {
            processors: lines.count(),
            total: all[..8].iter().sum(),
            idle: idle + iowait,
            stolen,
            own: own(14)? + own(15)?,
        })
    }
}

/// The most memory that is read to measure how fast memory is.
pub(crate) const MOST_READ: usize = 512 << 20;

/// Bytes per second at which all threads together read memory that no cache holds.
pub(crate) fn read_bandwidth(bytes: usize, steps: usize) -> f64 {
    let memory = vec![1.0_f32; bytes / 4];
    prefer_large_pages(memory.as_slice());
    let chunk = memory.len().div_ceil(4 * rayon::current_num_threads()).max(64);
    let spread = timed(steps, || {
        let sum: f32 = memory.par_chunks(chunk).with_max_len(1).map(sum_of).sum();
        assert!(sum > 0.0);
    });
    bytes as f64 / spread.min
}

/// A sum that the compiler keeps in registers.
fn sum_of(numbers: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 64];
    for block in numbers.as_chunks::<64>().0 {
        for (sum, number) in sums.iter_mut().zip(block) {
            *sum += number;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: &str = "7 (a) name) S 1 7 7 0 -1 0 1 2 3 4 300 100 9 9 20 0";

    fn counts(cpu: &str, process: &str) -> Counts {
        Counts::parse(&format!("cpu  {cpu} 0 0\ncpu0 1 2\ncpu1 3 4\nintr 5\n"), process).unwrap()
    }

    #[test]
    fn others_are_what_is_not_idle_stolen_or_ours() {
        let before = counts("100 0 50 800 50 0 0 0", PROCESS);
        assert_eq!(before, Counts { processors: 2, total: 1000, idle: 850, stolen: 0, own: 400 });
        // A thousand ticks later: 200 idle, 100 stolen, 400 ours, so that 300 were others'.
        let after = counts("600 0 250 900 150 0 0 100", &PROCESS.replace("300 100", "600 200"));
        let load = Load::between(before, after).unwrap();
        assert_eq!(load, Load { processors: 2, others: 0.6, stolen: 0.2 });
        assert!(load.notice().unwrap().contains("0.8 of its 2 processors"));
        assert_eq!(Load { others: 0.1, stolen: 0.05, ..load }.notice(), None);
        assert_eq!(Load::between(before, before), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        for (machine, process) in
            [("", PROCESS), ("cpu 1 2 3", PROCESS), ("cpu 1 2 3 4 5 6 7 8", "7")]
        {
            assert_eq!(Counts::parse(machine, process), None, "{machine} {process}");
        }
    }
}
