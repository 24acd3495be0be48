//! What can be typed: one file per verb, with its flags, what it does with them, and what it prints.

mod beams;
mod bench;
mod calibrate;
mod compare;
mod decode;
mod gates;
mod generate;
mod groups;
mod ideal;
mod recommend;
mod speculate;
mod speed;
mod trace;
mod values;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures early exits of Transformers: what every layer already knows, which gates find it, and what
/// that is worth on the clock.
#[derive(Debug, Parser)]
#[command(name = "ee-eval", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a model over a task once and keep the signals of every exit.
    Trace(trace::Flags),
    /// Continue a prompt, or those of a task, and print the text as it comes.
    Generate(generate::Flags),
    /// Decode with early exit that takes effect, beside plain decoding. Texts may change: it is not lossless.
    Decode(decode::Flags),
    /// Decode in rounds of drafting and verifying, beside plain decoding. Lossless: the texts stay the same.
    Speculate(speculate::Flags),
    /// Ideal exits and scores of one or many traces in one table; needs no model.
    Ideal(ideal::Flags),
    /// Ideal exits, and every gate at its exact best threshold, from a trace; needs no model.
    Gates(gates::Flags),
    /// Thresholds of every gate with a guaranteed risk, from a trace; needs no model.
    Calibrate(calibrate::Flags),
    /// Run gates for real and time them against the full model.
    Speed(speed::Flags),
    /// All of the above for several checkpoints, in one report.
    Compare(compare::Flags),
    /// Which way of decoding to use for a model and a task, measured, or none.
    Recommend(recommend::Flags),
    /// Time the building blocks on random weights.
    Bench(bench::Flags),
}

/// Does what was typed.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Trace(flags) => trace::run(flags)?,
        Command::Generate(flags) => generate::run(flags)?,
        Command::Decode(flags) => decode::run(flags)?,
        Command::Speculate(flags) => speculate::run(flags)?,
        Command::Ideal(flags) => ideal::run(flags)?,
        Command::Gates(flags) => gates::run(flags)?,
        Command::Calibrate(flags) => calibrate::run(flags)?,
        Command::Speed(flags) => speed::run(flags)?,
        Command::Compare(flags) => compare::run(flags)?,
        Command::Recommend(flags) => recommend::run(flags)?,
        Command::Bench(flags) => bench::run(flags)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ee_decode::gates::rules;

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_gate() {
        let mut command = Arguments::command();
        let speed = command.find_subcommand_mut("speed").unwrap();
        let help = speed.render_long_help().to_string();
        for gate in rules() {
            assert!(help.contains(&format!("{}:", gate.name())), "{}", gate.name());
        }
    }

    #[test]
    fn nothing_is_asked_of_nothing() {
        let parse = |limit: &str| {
            let words = [
                "ee-eval", "trace", "--model", "m", "--task", "t", "--output", "o", "--limit",
                limit,
            ];
            Arguments::try_parse_from(words)
        };
        assert!(parse("1").is_ok());
        assert!(parse("0").unwrap_err().to_string().contains("from 1"));
    }
}
