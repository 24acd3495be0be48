//! `ee-eval generate`: texts on stdout as they come.

use std::io::Write;
use std::time::Instant;

use ee_models::generate::{Choice, Options, Sampling, generate};
use ee_tasks::GenerationTask;

use super::{DecoderSubject, Room, TextWatcher};
use crate::arguments::GenerateArguments;
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;

/// New tokens where neither the command line nor a task says how many.
pub(crate) const DEFAULT_NEW_TOKENS: usize = 128;

/// What to continue, and how far.
struct Work {
    prompts: Vec<String>,
    stop: Vec<String>,
    max_new_tokens: usize,
}

/// Continues prompts, or those of a task's examples, one after the other.
///
/// # Errors
/// What opening the checkpoint or reading the task says; a prompt that does not fit; an interrupt.
pub fn run(arguments: &GenerateArguments) -> Result<()> {
    let work = work(arguments)?;
    let subject = DecoderSubject::open(&arguments.model, arguments.weights, &arguments.device)?;
    let room = Room {
        positions: subject.max_positions(),
        new_tokens: work.max_new_tokens,
        truncate: arguments.truncate,
    };
    let interrupt = Interrupt::listen()?;
    let (mut tokens, started) = (0, Instant::now());
    for (number, prompt) in work.prompts.iter().enumerate() {
        let ids = room.fit(number, subject.encode(prompt)?)?.ids;
        if arguments.show_prompt {
            print!("{prompt}");
        }
        let options = Options {
            max_new_tokens: work.max_new_tokens,
            choice: choice(arguments),
            ends: subject.ends().to_vec(),
            first_number: number as u64,
        };
        let mut show = |_: usize, piece: &str| {
            print!("{piece}");
            // A reader that went away shows at the next print.
            let _ = std::io::stdout().flush();
        };
        let mut watcher = TextWatcher::new(&subject, 1, &work.stop, false, &interrupt, &mut show);
        if arguments.show_prompt {
            watcher.follow(0, &ids)?;
        }
        let found = generate(subject.model(), &[ids], &options, &mut watcher)?;
        watcher.finish()?;
        tokens += found[0].len();
        println!();
        if interrupt.is_pressed() {
            let what = format!("interrupted after {number} whole texts");
            return Err(EvalError::Interrupted { what });
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{tokens} tokens in {seconds:.2} s, {:.1} tokens/s", tokens as f64 / seconds);
    Ok(())
}

fn work(arguments: &GenerateArguments) -> Result<Work> {
    let Some(path) = &arguments.task else {
        return Ok(Work {
            prompts: arguments.prompt.clone(),
            stop: arguments.stop.clone(),
            max_new_tokens: arguments.max_new_tokens.unwrap_or(DEFAULT_NEW_TOKENS),
        });
    };
    let task = GenerationTask::read(path)?;
    let split = arguments.split.as_deref().unwrap_or(&task.evaluation_split);
    let examples = task.read_split(split, arguments.data_dir.as_deref(), arguments.limit)?.examples;
    Ok(Work {
        prompts: examples.into_iter().map(|example| example.prompt).collect(),
        stop: [task.stop, arguments.stop.clone()].concat(),
        max_new_tokens: arguments.max_new_tokens.unwrap_or(task.max_new_tokens),
    })
}

/// How the command line has tokens chosen.
pub(crate) fn choice(arguments: &GenerateArguments) -> Choice {
    match arguments.temperature {
        None => Choice::Greedy,
        Some(temperature) => Choice::Sample(Sampling {
            temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
            seed: arguments.seed,
        }),
    }
}
