//! How often the promise of `recommend` holds in made-up worlds.

use serde_json::json;

use crate::cli::PromiseBenchArguments;
use crate::error::Result;
use crate::recommend::simulation::{Demand, World, simulate};

/// One JSON line with what came of every world.
///
/// # Errors
/// A demand that no trace can be asked for.
pub fn promise(arguments: &PromiseBenchArguments) -> Result<String> {
    let PromiseBenchArguments { runs, keep, confidence, texts, tries } = *arguments;
    let demand = Demand { keep, confidence, texts, tries };
    let worlds = World::ALL.map(|world| {
        let found = simulate(world, demand, runs as u64)?;
        Ok((world.name().to_owned(), json!(found)))
    });
    let worlds: serde_json::Map<_, _> = worlds.into_iter().collect::<Result<_>>()?;
    let line = json!({
        "verb": "promise", "keep": keep, "confidence": confidence, "texts": texts, "tries": tries,
        "may_be_broken": 1.0 - confidence, "worlds": worlds,
    });
    Ok(line.to_string())
}
