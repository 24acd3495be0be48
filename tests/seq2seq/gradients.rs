//! Losses and gradients against PyTorch.

use burn::module::Module;
use ee_models::DropoutKey;
use ee_models::arch::seq2seq::{Loaded, Seq2Seq};
use ee_models::loss::{Objective, Pass, PassConfig, pass};
use serde::Deserialize;

use crate::goldens::{self, by_name, check_gradients};
use crate::{Case, GOLDENS, load};

/// On losses of size 5.
const LOSS_TOLERANCE: f64 = 1e-5;
/// Relative to the largest gradient of the parameter.
const GRADIENT_TOLERANCE: f32 = 1e-4;

/// Those whose last exit has a file of gradients of its own, beside that of all exits.
const OF_LAST: [&str; 4] = ["marian-tiny", "bart-tiny", "t5-tiny", "t5-gated-tiny"];

#[derive(Deserialize)]
struct Golden {
    #[serde(flatten)]
    case: Case,
    smoothing: f64,
    exit_losses: Vec<f64>,
    smoothed_losses: Vec<f64>,
}

fn golden(name: &str) -> Golden {
    goldens::read(&format!("{name}/golden.json"))
}

fn config(golden: &Golden, objective: Objective) -> PassConfig {
    PassConfig {
        weights: objective.weights(golden.exit_losses.len()),
        watch: true,
        dropout: None,
        scale: 1.0,
        label_smoothing: golden.smoothing,
        gradient_checkpointing: false,
    }
}

fn run(model: &Seq2Seq, golden: &Golden, config: &PassConfig) -> Pass {
    pass(model, &golden.case.batch.batch(), &golden.case.batch.targets(), config)
}

#[test]
fn losses_and_every_gradient_equal_pytorch() {
    for name in GOLDENS {
        let golden = golden(name);
        let Loaded { model, names, .. } = load(name);
        let model = model.train();
        let of_last = OF_LAST.contains(&name).then_some((Objective::FINAL, "gradients-final"));
        for (objective, file) in
            std::iter::once((Objective::JOINT, "gradients-joint")).chain(of_last)
        {
            let pass = run(&model, &golden, &config(&golden, objective));
            for (exit, reading) in pass.exits.iter().enumerate() {
                let reading = reading.unwrap();
                let expected = [golden.exit_losses[exit], golden.smoothed_losses[exit]];
                for (found, expected) in [reading.loss, reading.smoothed].into_iter().zip(expected)
                {
                    assert!(
                        (found - expected).abs() < LOSS_TOLERANCE,
                        "{name}: {found} {expected}"
                    );
                }
            }
            let found = by_name(&model, &names, pass.gradients);
            // The bias of the logits is not trained.
            let trained = names.iter().filter(|(_, name)| *name != "final_logits_bias").count();
            assert_eq!(found.len(), trained, "{name}: all parameters");
            check_gradients(
                &found,
                &format!("{name}/{file}.safetensors"),
                GRADIENT_TOLERANCE,
                1e-2,
            );
        }
    }
}

#[test]
fn layers_run_again_and_dropout_give_the_gradients_that_they_should() {
    for name in GOLDENS {
        let golden = golden(name);
        let Loaded { names, config: mut dropping, .. } = load(name);
        dropping.options.dropouts.hidden = 0.3;
        dropping.options.dropouts.attention = 0.2;
        dropping.options.dropouts.activation = 0.1;
        let loaded = crate::files::reload(&goldens::folder(name), &dropping);
        let model = loaded.model.train();
        let with = |key: u64, gradient_checkpointing| {
            let dropout = Some(DropoutKey::new(&[key]));
            let config = config(&golden, Objective::JOINT);
            let config = PassConfig { dropout, gradient_checkpointing, ..config };
            by_name(&model, &loaded.names, run(&model, &golden, &config).gradients)
        };
        let (once, again, other) = (with(1, false), with(1, true), with(2, false));
        assert_eq!(once.len(), other.len());
        assert_eq!(once.len(), names.iter().filter(|(_, n)| *n != "final_logits_bias").count());
        for (parameter, gradient) in &once {
            let error = goldens::worst(gradient, &again[parameter]);
            assert!(error < 1e-5, "{name}: {parameter} run again: {error:e}");
        }
        assert!(once.iter().any(|(parameter, gradient)| gradient != &other[parameter]));
    }
}

#[test]
fn an_exit_alone_moves_nothing_above_it_and_the_whole_encoder() {
    let golden = golden("marian-tiny");
    let Loaded { model, names, .. } = load("marian-tiny");
    let model = model.train();
    let weights = vec![0.0, 1.0, 0.0];
    let config = PassConfig { weights, watch: false, ..config(&golden, Objective::FINAL) };
    let found = by_name(&model, &names, run(&model, &golden, &config).gradients);
    let moves = |part: &str| {
        let of_part = found.iter().filter(|(name, _)| name.contains(part));
        of_part.flat_map(|(_, gradient)| gradient).any(|&value| value != 0.0)
    };
    assert!(moves("decoder.layers.0.") && moves("decoder.layers.1."));
    assert!(!moves("decoder.layers.2."));
    assert!(moves("encoder.layers.0.") && moves("encoder.layers.1.") && moves("shared"));
}
