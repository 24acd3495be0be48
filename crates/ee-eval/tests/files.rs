//! What `ee-eval` does to files, folders and streams that are not its own.

mod fixture;

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fixture::{World, decoder, files};

/// An encoder `model` with `task.toml`, its trace `t.parquet`, and a decoder `writer` with `texts/task.toml`.
fn world() -> World {
    let world = fixture::world();
    world.succeed("trace --model model --task task.toml --output t.parquet");
    decoder::checkpoint(&world.path("writer"), 4, 0.3, 5);
    fs::create_dir(world.path("texts")).unwrap();
    decoder::task(&world.path("texts"), "\"chrf\"", 8, &[("dev", 6), ("many", 300)]);
    world
}

/// Every command that writes a report into a folder.
const REPORTS: [&str; 8] = [
    "gates --trace t.parquet",
    "ideal --trace t.parquet",
    "calibrate --trace t.parquet",
    "speed --model model --task task.toml --gate patience:1 --rounds 1",
    "compare --model a=model --task task.toml --rounds 1 --speed-batch 8",
    "recommend --model writer --task texts/task.toml --data-dir texts --tries 1 --rounds 1 --min-tokens 1",
    "decode --model writer --prompt The --max-new-tokens 3 --gate none",
    "speculate --model writer --prompt The --max-new-tokens 3 --adaptive",
];

#[test]
fn a_folder_that_is_not_ours_is_refused_and_stays_as_it_is() {
    let world = world();
    fs::create_dir(world.path("theirs")).unwrap();
    world.write("theirs/results.json", "precious");
    for report in REPORTS {
        world.fail(
            &format!("{report} --output theirs"),
            1,
            &["theirs", "results.json", "not a report"],
        );
        assert_eq!(files(&world.path("theirs")), [world.path("theirs/results.json")], "{report}");
        assert_eq!(world.read("theirs/results.json"), "precious");
    }
}

#[test]
fn a_report_may_be_written_again_by_its_own_command_alone() {
    let world = world();
    for report in REPORTS {
        world.succeed(&format!("{report} --output {}", report.split(' ').next().unwrap()));
        world.succeed(&format!("{report} --output {}", report.split(' ').next().unwrap()));
    }
    let before = fs::read(world.path("gates/results.json")).unwrap();
    world.fail(&format!("{} --output gates", REPORTS[1]), 1, &["gates", "ee-eval ideal"]);
    assert_eq!(fs::read(world.path("gates/results.json")).unwrap(), before);
}

#[test]
fn devices_pipes_and_links_are_written_to_and_stay() {
    let world = world();
    let label = "trace --model model --task task.toml --output";
    let text = "trace --model writer --task texts/task.toml --data-dir texts --output";
    symlink("/dev/null", world.path("null")).unwrap();
    symlink("elsewhere.parquet", world.path("link")).unwrap();
    fs::create_dir(world.path("kept")).unwrap();
    let pipe = world.path("kept/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let before = files(world.folder()).len();
    for trace in [label, text] {
        world.succeed(&format!("{trace} null"));
        assert!(fs::metadata(world.path("null")).unwrap().file_type().is_char_device());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        world.succeed(&format!("{trace} kept/pipe"));
        let through = reader.join().unwrap();
        assert_eq!((&through[..4], &through[through.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(files(world.folder()).len(), before, "nothing lies beside a stream");
    }
    world.succeed(&format!("{label} link"));
    assert!(fs::symlink_metadata(world.path("link")).unwrap().is_symlink());
    world.succeed("ideal --trace elsewhere.parquet");
}

#[test]
fn a_foreign_folder_of_parts_stays() {
    let world = world();
    fs::create_dir(world.path("x.parquet.parts")).unwrap();
    world.write("x.parquet.parts/precious", "x");
    let text = "trace --model writer --task texts/task.toml --data-dir texts --output x.parquet";
    world.fail(text, 1, &["x.parquet.parts", "precious"]);
    assert_eq!(world.read("x.parquet.parts/precious"), "x");
}

#[test]
fn a_file_that_is_no_trace_is_not_replaced() {
    let world = world();
    world.write("notes.txt", "precious");
    symlink("notes.txt", world.path("link.parquet")).unwrap();
    let label = "trace --model model --task task.toml";
    let text = "trace --model writer --task texts/task.toml --data-dir texts";
    for (words, output) in
        [label, text].iter().flat_map(|of| [(of, "notes.txt"), (of, "link.parquet")])
    {
        world.fail(&format!("{words} --output {output}"), 2, &[output, "is no trace"]);
        assert_eq!(world.read("notes.txt"), "precious");
    }
}

#[test]
fn a_second_trace_into_one_output_hears_of_the_first() {
    let world = world();
    let words = "trace --model writer --task texts/task.toml --data-dir texts --split many --batch 1 \
                 --max-new-tokens 150 --output long.parquet";
    let mut first =
        world.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !world.path("long.parquet.parts/batch-000000.sha256").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "a batch takes no minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    world.fail(words, 1, &["long.parquet.parts is in use by ee-eval, process", "since"]);
    first.kill().unwrap();
    first.wait().unwrap();
}

/// Runs a command whose readers go away before it says anything.
fn unread(world: &World, words: &str) -> Output {
    let mut child =
        world.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    child.wait_with_output().unwrap()
}

/// Every command that prints, without a report.
fn printing() -> Vec<String> {
    let mut commands: Vec<String> = REPORTS.map(|report| format!("{report} --output @")).to_vec();
    commands.retain(|words| !words.starts_with("recommend"));
    commands.push("generate --model writer --prompt The --prompt A --max-new-tokens 3".to_owned());
    commands.push("trace --model model --task task.toml --output again.parquet".to_owned());
    commands.push(
        "bench encoder-trace --layers 1 --dim 32 --seq 4 --batch 1 --vocab 40 --steps 1".to_owned(),
    );
    commands
}

#[test]
fn a_reader_that_goes_away_ends_no_command() {
    let world = world();
    for (number, words) in printing().iter().enumerate() {
        let folder = format!("unread-{number}");
        let output = unread(&world, &words.replace('@', &folder));
        assert_eq!(output.status.code(), Some(0), "{words}");
        if words.contains('@') {
            assert!(world.path(&folder).join("results.json").exists(), "{words}");
        }
    }
    assert!(world.path("again.parquet").exists());
    // An unread error is still an error.
    assert_eq!(unread(&world, "ideal --trace absent.parquet").status.code(), Some(1));
}

#[test]
fn output_that_a_full_disk_swallows_is_told_when_the_files_are_safe() {
    let world = world();
    for (number, words) in printing().iter().enumerate() {
        let folder = format!("full-{number}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = world.command(&words.replace('@', &folder)).stdout(full).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {message}");
        assert!(message.contains("cannot write to standard output"), "{words}: {message}");
        assert!(!message.contains("panicked"), "{words}: {message}");
        if words.contains('@') {
            assert!(world.path(&folder).join("results.json").exists(), "{words}");
        }
    }
}
