//! `ee-eval generate`: texts on stdout as they come.

use std::io::Write;
use std::time::Instant;

use ee_models::generate::{Options, generate};

use super::{DecoderSubject, Request, TextWatcher};
use crate::arguments::GenerateArguments;
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;

/// Continues prompts, or those of a task's examples, one after the other.
///
/// # Errors
/// What opening the checkpoint or reading the task says; a prompt that does not fit; an interrupt.
pub fn run(arguments: &GenerateArguments) -> Result<()> {
    let GenerateArguments { texts, sampling, show_prompt } = arguments;
    let request = Request::read(texts)?;
    let subject = DecoderSubject::open(&texts.model, texts.weights, &texts.device)?;
    let interrupt = Interrupt::listen()?;
    let (mut tokens, started) = (0, Instant::now());
    for (place, (number, example)) in request.examples.iter().enumerate() {
        let ids = request.ids(&subject, place)?;
        if *show_prompt {
            print!("{}", example.prompt);
        }
        let options = Options {
            max_new_tokens: request.max_new_tokens,
            choice: sampling.choice(),
            ends: subject.ends().to_vec(),
            first_number: *number as u64,
        };
        let mut show = |_: usize, piece: &str| {
            print!("{piece}");
            // A reader that went away shows at the next print.
            let _ = std::io::stdout().flush();
        };
        let mut watcher =
            TextWatcher::new(&subject, 1, &request.stop, false, &interrupt, &mut show);
        if *show_prompt {
            watcher.follow(0, &ids)?;
        }
        let found = generate(subject.model(), &[ids], &options, &mut watcher)?;
        watcher.finish()?;
        tokens += found[0].len();
        println!();
        if interrupt.is_pressed() {
            let what = format!("interrupted after {place} whole texts");
            return Err(EvalError::Interrupted { what });
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{tokens} tokens in {seconds:.2} s, {:.1} tokens/s", tokens as f64 / seconds);
    Ok(())
}
