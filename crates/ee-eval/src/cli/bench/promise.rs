//! How often the promise of `recommend` holds in simulated worlds.

use clap::Args;
use serde_json::json;

use super::super::groups::{Confidence, Keep};
use super::super::values::positive;
use super::line;
use crate::advise::simulation::{Demand, World, simulate};
use crate::error::Result;

/// `ee-eval bench promise`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Recommendations in each world.
    #[arg(long, default_value = "500", value_parser = positive)]
    runs: usize,
    #[command(flatten)]
    quality: Keep,
    #[command(flatten)]
    promise: Confidence,
    /// Texts that each recommendation rests on; one half chooses, the other tries.
    #[arg(long, value_name = "N", default_value = "600", value_parser = positive)]
    texts: usize,
    /// Settings that are tried.
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    tries: usize,
}

/// One JSON line with the results of every world.
pub(super) fn run(flags: &Flags) -> Result<String> {
    let Flags { runs, texts, tries, .. } = *flags;
    let (keep, confidence) = (flags.quality.keep, flags.promise.confidence);
    let demand = Demand { keep, confidence, texts, tries };
    let worlds = World::ALL.map(|world| {
        let found = simulate(world, demand, runs as u64)?;
        Ok((world.name().to_owned(), json!(found)))
    });
    let worlds: serde_json::Map<_, _> = worlds.into_iter().collect::<Result<_>>()?;
    let measured = json!({"may_be_broken": 1.0 - confidence, "worlds": worlds, "verb": "promise"});
    Ok(line(json!(demand), measured))
}
