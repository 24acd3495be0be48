//! NaN and infinity stop every command that reads what an exit says, and say where they are: in a weight, or at an
//! exit of an example.

mod fixture;

use std::path::Path;

use ee_decode::policy::POLICIES;
use ee_decode::rule::names;
use fixture::{World, checkpoint, decoder, poison, task};

const LAYERS: usize = 5;
const INNER: usize = 48;
const D_MODEL: usize = 32;

/// A decoder `model` with a task of two texts.
fn texts() -> World {
    decoder::world((LAYERS, 0.3), "\"chrf\"", 8, &[("dev", 4)])
}

/// Finite weights whose products overflow in the third layer: states are infinite from exit 3 on.
fn overflow(model: &Path) {
    for name in ["up_proj", "down_proj"] {
        let tensor = format!("model.layers.2.mlp.{name}.weight");
        poison(model, &tensor, 0..D_MODEL * INNER, 1e30);
    }
}

/// Finite weights that make one logit of every exit infinite.
fn one_logit(model: &Path) {
    let lm_head = "lm_head.weight";
    poison(model, lm_head, 7 * D_MODEL..8 * D_MODEL, 3e38);
}

/// Every rule of decoding with a threshold at which it leaves somewhere.
fn rules() -> Vec<String> {
    let parameter = |name: &str| match name {
        "none" | "ideal" => "",
        "fixed" => ":2",
        "patience" => ":1",
        "entropy" => ":2.0",
        "cosine" => ":0.5",
        _ => ":0.2",
    };
    let known = names().into_iter().filter(|name| *name != "learned");
    known.map(|name| format!("{name}{}", parameter(name))).collect()
}

/// Every command that runs a decoder.
fn commands() -> Vec<String> {
    let of_task = "--model model --task task.toml";
    let mut commands = vec![
        "generate --model model --prompt The --max-new-tokens 4".to_owned(),
        "generate --model model --prompt The --max-new-tokens 4 --temperature 1".to_owned(),
        format!("trace {of_task} --output t.parquet"),
        format!("trace {of_task} --teacher-forced --output t.parquet"),
        format!("speculate {of_task} --adaptive"),
        format!("speculate {of_task} --draft-exit 1 --draft-length 3"),
        format!("speculate {of_task} --draft-exit 4 --draft-length 3 --temperature 1"),
        "compare --model a=model --task task.toml --output compared".to_owned(),
        format!("recommend {of_task} --output advice"),
    ];
    for rule in rules() {
        for policy in POLICIES {
            let policy = policy.name();
            commands.push(format!("decode {of_task} --show 0 --gate {rule} --kv {policy}"));
        }
    }
    for head in ["full", "pruned:8"] {
        commands.push(format!("decode {of_task} --show 0 --gate margin:0.2 --head {head}"));
    }
    commands
}

#[test]
fn a_weight_that_is_no_number_is_named_by_whoever_loads_it() {
    let tensor = "model.layers.1.self_attn.q_proj.weight";
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let world = texts();
        poison(&world.path("model"), tensor, 37..38, value);
        let shown = format!("{value} at [1, 5]");
        for command in [&commands()[0], &commands()[2], &commands()[4], &commands()[9]] {
            world.fail(command, 1, &[tensor, &shown]);
        }
        assert!(!world.path("t.parquet").exists());
    }
    let world = fixture::world();
    poison(&world.path("model"), "classifier.bias", 1..2, f32::NAN);
    let trace = "trace --model model --task task.toml --output t.parquet";
    world.fail(trace, 1, &["classifier.bias", "NaN at [1]"]);
}

#[test]
fn a_weight_that_does_not_fit_sixteen_bits_is_named() {
    let world = texts();
    poison(&world.path("model"), "model.layers.1.self_attn.q_proj.weight", 3..4, 1e6);
    let generate = "generate --model model --prompt The --max-new-tokens 2 --weights";
    world.fail(&format!("{generate} f16"), 1, &["q_proj", "inf at [0, 3]", "F16"]);
    world.succeed(&format!("{generate} bf16"));
}

#[test]
fn states_that_overflow_stop_every_command() {
    let world = texts();
    world.succeed(&commands()[0]);
    overflow(&world.path("model"));
    for command in commands() {
        world.fail(&command, 1, &["example ", "new token 0", "gives NaN or infinity"]);
    }
    for teacher_forced in ["", "--teacher-forced"] {
        let trace =
            format!("trace --model model --task task.toml --output t.parquet {teacher_forced}");
        world.fail(&trace, 1, &["exit 3 gives"]);
    }
    assert!(!world.path("t.parquet").exists());
}

#[test]
fn one_logit_that_overflows_stops_every_command() {
    let world = texts();
    one_logit(&world.path("model"));
    for command in commands() {
        world.fail(&command, 1, &["example ", "gives NaN or infinity"]);
    }
    let trace = "trace --model model --task task.toml --output t.parquet";
    world.fail(trace, 1, &["new token 0: exit 1 gives"]);
}

#[test]
fn one_label_that_overflows_stops_every_command_on_every_set_of_instructions() {
    let world = World::new();
    checkpoint(&world.path("model"), 16);
    task(world.folder(), &["no", "yes"]);
    poison(&world.path("model"), "classifier.weight", 24..48, 3e38);
    let of_task = "--model model --task task.toml";
    world.fail(&format!("speed {of_task} --gate patience:1 --batch 4"), 1, &["example ", "exit 1"]);
    world.fail(&format!("speed {of_task} --gate ideal"), 1, &["example ", "exit 1"]);
    let compare = "compare --model a=model --task task.toml --output compared";
    world.fail(compare, 1, &["example ", "exit 1"]);
    for instructions in ["avx2", "portable"] {
        let output = world
            .command(&format!("trace {of_task} --output t.parquet"))
            .env("EE_INSTRUCTIONS", instructions)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{instructions}: {message}");
        assert!(message.contains("exit 1 gives NaN or infinity"), "{instructions}: {message}");
    }
    assert!(!world.path("t.parquet").exists());
}
