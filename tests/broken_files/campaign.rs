//! Gives readers broken files and counts what must not happen: a panic, an endless wait, memory beyond the
//! file's, and a message that does not name its file. An abort ends the process; the input is
//! then still where the readers found it, under the target folder's `tmp/broken-files`.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::memory::measured;
use crate::mutate::{Kind, mutate};

/// Broken forms of each file, where `EE_BROKEN_FILES` does not say another number; `EE_BROKEN_FILES_ONLY`
/// chooses files by a part of their name and shows every message.
const INPUTS: u64 = 25;
/// Bytes that a reader may take beside four times its file: models, buffers, threads.
const ALLOWANCE: usize = 64 << 20;
/// Seconds after which an input counts as one that is never read; busy machines are slow.
const PATIENCE: u64 = 120;

pub(crate) type Reader = Box<dyn Fn(&Path) -> Result<(), String>>;

/// A reader and one sound file of what it reads.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The folder in which all is sound.
    pub(crate) folder: PathBuf,
    /// The file in it that is broken.
    pub(crate) file: &'static str,
    pub(crate) kind: Kind,
    /// What a message may name instead: a part of its text.
    pub(crate) or_named: &'static [&'static str],
    /// Whether reading changes the folder.
    pub(crate) writes: bool,
    /// Forms of the file that random changes would not find.
    pub(crate) hostile: Vec<Vec<u8>>,
    /// Reads the file in a copy of the folder; the error is the message that users see.
    pub(crate) read: Reader,
}

/// What one case came to.
#[derive(Default)]
struct Tally {
    inputs: u64,
    refused: u64,
    slowest: Duration,
    most_memory: usize,
    faults: Vec<String>,
}

/// Milliseconds since the beginning at which the current input was begun; 0 between inputs.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs all cases and fails with every fault found.
pub(crate) fn run(cases: &[Case]) {
    let inputs = std::env::var("EE_BROKEN_FILES").map_or(INPUTS, |number| {
        number.parse().expect("EE_BROKEN_FILES is a number of inputs per file")
    });
    let only = std::env::var("EE_BROKEN_FILES_ONLY").ok();
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken-files");
    watch(work.clone());
    let (mut total, mut refused, mut faults) = (0, 0, Vec::new());
    for case in
        cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only)))
    {
        let tally = run_case(case, inputs, &work.join(case.name));
        println!(
            "{:28} {} inputs, {} refused, slowest {:.2} s, most memory {:.1} MiB, {} faults",
            case.name,
            tally.inputs,
            tally.refused,
            tally.slowest.as_secs_f64(),
            tally.most_memory as f64 / f64::from(1 << 20),
            tally.faults.len()
        );
        total += tally.inputs;
        refused += tally.refused;
        faults.extend(tally.faults);
    }
    println!("{total} inputs, {refused} refused, {} faults", faults.len());
    assert!(total > 0, "no case was run");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn run_case(case: &Case, inputs: u64, folder: &Path) -> Tally {
    let sound = fs::read(case.folder.join(case.file)).unwrap_or_else(|error| {
        panic!("{}: {}: {error}", case.name, case.folder.join(case.file).display())
    });
    copy(&case.folder, folder);
    if let Err(message) = (case.read)(folder) {
        panic!("{}: the sound file is refused: {message}", case.name);
    }
    let mut tally = Tally::default();
    let random = (0..inputs).map(|number| {
        let mut seed = DefaultHasher::new();
        (case.name, number).hash(&mut seed);
        mutate(&sound, case.kind, &mut ChaCha8Rng::seed_from_u64(seed.finish()))
    });
    let broken = hostile(&sound).into_iter().chain(case.hostile.iter().cloned()).chain(random);
    for (number, broken) in broken.enumerate() {
        if case.writes {
            copy(&case.folder, folder);
        }
        fs::write(folder.join(case.file), &broken).expect("the work folder takes files");
        let fault = one(case, folder, broken.len(), &mut tally);
        if let Some(fault) = fault {
            let kept = folder.with_extension(format!("{number}"));
            fs::write(&kept, &broken).expect("the work folder takes files");
            tally.faults.push(format!("{} {number} ({}): {fault}", case.name, kept.display()));
        }
    }
    fs::remove_dir_all(folder).expect("the work folder can go");
    tally
}

/// Forms of any file that random changes would not find.
fn hostile(sound: &[u8]) -> Vec<Vec<u8>> {
    let deep = |bracket: &str| bracket.repeat(100_000).into_bytes();
    vec![
        Vec::new(),
        vec![0; 64],
        vec![b'"'; 1 << 14],
        [b"\xef\xbb\xbf", sound].concat(),
        [sound, sound].concat(),
        deep("["),
        deep("{\"a\":"),
        deep("a."),
        [b"a = ".to_vec(), deep("[")].concat(),
        [b"a = ".to_vec(), deep("{a=")].concat(),
        b"[a]\n".repeat(10_000),
        u64::MAX.to_le_bytes().to_vec(),
        [&1000_u64.to_le_bytes()[..], &deep("[")].concat(),
    ]
}

/// Reads one broken file; gives what is wrong with how it was read.
fn one(case: &Case, folder: &Path, length: usize, tally: &mut Tally) -> Option<String> {
    let started = Instant::now();
    BEGUN.store(now(), SeqCst);
    let (result, memory) = measured(|| catch_unwind(AssertUnwindSafe(|| (case.read)(folder))));
    BEGUN.store(0, SeqCst);
    tally.inputs += 1;
    tally.slowest = tally.slowest.max(started.elapsed());
    tally.most_memory = tally.most_memory.max(memory);
    if memory > 4 * length + ALLOWANCE {
        return Some(format!("{} MiB for a file of {length} bytes", memory >> 20));
    }
    match result {
        Ok(Ok(())) => None,
        Ok(Err(message)) => {
            tally.refused += 1;
            if std::env::var_os("EE_BROKEN_FILES_ONLY").is_some() {
                println!("{}: {message:.300}", case.name);
            }
            let name = Path::new(case.file).file_name().expect("a file").to_string_lossy();
            let is_named = message.contains(&*name)
                || case.or_named.iter().any(|other| message.contains(other));
            (!is_named).then(|| format!("a message that does not name {name}: {message:.400}"))
        }
        Err(_) => Some(format!("panic: {}", PANIC.lock().expect("no panic while held"))),
    }
}

fn now() -> u64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    1 + START.elapsed().as_millis() as u64
}

/// Keeps the place of panics, and ends the process when an input takes forever.
fn watch(work: PathBuf) {
    std::panic::set_hook(Box::new(|info| {
        if BEGUN.load(SeqCst) == 0 {
            eprintln!("{info}");
        }
        let mut place = PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *place = info.to_string();
    }));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let begun = BEGUN.load(SeqCst);
            if begun > 0 && now() > begun + 1000 * PATIENCE {
                eprintln!("a file is not read within {PATIENCE} s; it lies in {}", work.display());
                std::process::exit(101);
            }
        }
    });
}

/// Makes `to` hold what `from` holds, and nothing else.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("the work folder can go");
    }
    fs::create_dir_all(to).expect("the work folder can be made");
    for entry in fs::read_dir(from).expect("the sound folder") {
        let entry = entry.expect("the sound folder");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("the sound folder");
        if kind.is_symlink() {
            let link = fs::read_link(entry.path()).expect("a link");
            std::os::unix::fs::symlink(link, target).expect("the work folder takes links");
        } else if kind.is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the work folder takes files");
        }
    }
}
