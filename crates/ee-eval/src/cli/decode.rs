//! What can be typed after `ee-eval decode`.

use std::path::PathBuf;

use clap::Args;
use ee_decode::{ExitRule, HeadChoice, PolicyChoice};

use super::TextArguments;
use super::values::positive;

/// `ee-eval decode`.
#[derive(Debug, Args)]
pub struct DecodeArguments {
    /// What to continue.
    #[command(flatten)]
    pub texts: TextArguments,
    /// When a token leaves: none; ideal (the whole model runs, then the exit that it shows is taken); fixed:D;
    /// a gate on the head's signals, confidence:T, entropy:T, margin:T, patience:K; or on states, cosine:T
    /// (of the state and the one a layer before), learned:T (see --gate-file). A gate followed by @decay has
    /// a threshold that decays with the position (CALM). Repeatable.
    #[arg(long, value_name = "GATE", required_unless_present = "certificate")]
    pub gate: Vec<ExitRule>,
    /// What a `certificate.json` of `ee-eval calibrate` certifies for these very weights, which is of the full model's
    /// own context and of every exit read whole. Repeatable.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exits", "decay", "head"])]
    pub certificate: Vec<PathBuf>,
    /// What becomes of the keys and values of skipped layers: recompute (projected from the exit state), copy
    /// (those of the exit's layer), deferred (the missing layers run later, when a token goes deeper: exact),
    /// full (no exit takes effect). Repeatable.
    #[arg(long, value_name = "POLICY", default_value = "recompute")]
    pub kv: Vec<PolicyChoice>,
    /// How the head is read before the last exit: full; pruned:K (whole at the first exit read, its K best
    /// outputs alone at later ones, whole again before leaving); gate (not at all: for gates on states).
    #[arg(long, value_name = "HEAD", default_value = "full")]
    pub head: HeadChoice,
    /// The safetensors file of the gate learned:T; by default gate.safetensors of the checkpoint's folder.
    #[arg(long, value_name = "FILE")]
    pub gate_file: Option<PathBuf>,
    /// Let every gate's threshold decay, as @decay does for one.
    #[arg(long)]
    pub decay: bool,
    /// The exits at which gates are read [default: all].
    #[arg(long, value_name = "D,…", value_delimiter = ',', value_parser = positive)]
    pub exits: Vec<usize>,
    /// The first N new tokens never leave; the first one never does, as all layers read the prompt.
    #[arg(long, value_name = "N", default_value = "4")]
    pub min_tokens: usize,
    /// Texts per batch.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub batch: usize,
    /// Timed rounds, each of plain decoding and every setting in turn.
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive)]
    pub rounds: usize,
    /// Print the first N texts of every setting, with their exits [default: all, of a task 3].
    #[arg(long, value_name = "N")]
    pub show: Option<usize>,
    /// Run programs that the model wrote, each walled in, to score them.
    #[arg(long)]
    pub allow_code_execution: bool,
    /// A folder for results.json, tables as CSV and a report with coloured texts.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use ee_decode::{head, policy, rule};

    use crate::cli::{Arguments, Command};

    #[test]
    fn the_help_names_every_rule_policy_and_head() {
        let mut command = Arguments::command();
        let decode = command.find_subcommand_mut("decode").unwrap();
        let help = decode.render_long_help().to_string();
        let policies = policy::POLICIES.iter().map(|policy| policy.name());
        let heads = head::HEADS.iter().map(|head| head.name());
        for name in rule::names().into_iter().chain(policies).chain(heads) {
            assert!(help.contains(name), "{name}");
        }
    }

    #[test]
    fn gates_and_policies_can_be_many_and_texts_are_needed() {
        let parse = |words: &str| {
            Arguments::try_parse_from(format!("ee-eval decode --model m {words}").split(' '))
        };
        let parsed =
            parse("--prompt a --gate ideal --gate entropy:0.3 --kv copy --kv full --exits 1,3");
        let Command::Decode(parsed) = parsed.unwrap().command else { panic!("another command") };
        assert_eq!((parsed.gate.len(), parsed.kv.len(), parsed.exits), (2, 2, vec![1, 3]));
        assert!(parse("--gate ideal").is_err());
        assert!(parse("--prompt a --task t --gate ideal").is_err());
        let error = parse("--prompt a --gate confidance:0.9").unwrap_err().to_string();
        assert!(error.contains("did you mean `confidence`?"), "{error}");
    }
}
