//! `ee-eval decode`: early exit that takes effect, beside plain decoding.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use ee_decode::gates::{all_rules, fitted};
use ee_decode::generate::Choice;
use ee_decode::head::{HEADS, Head};
use ee_decode::policy::POLICIES;
use ee_decode::rule::{DECAY, PLAIN_RULES};
use ee_decode::{ExitRule, HeadChoice, PolicyChoice, Settings};
use ee_models::gate::GATE_FILE;
use ee_tasks::GenerationTask;

use super::beams::BeamArguments;
use super::generate::TextArguments;
use super::groups::{Batch, Certificates, OptionalReport, Permission, Rounds, Start};
use super::values::{listed, positive};
use crate::certify::certificate::Certificate;
use crate::decoding::Beams;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::report::passage::legend;
use crate::subject::DecoderSubject;
use crate::trial::beams;
use crate::trial::decode::{self, DecodeResults, report};
use crate::trial::material::{Material, Terms};

/// What is said of early exits in greedy decoding alone.
const OF_EXITS: [&str; 6] = ["kv", "head", "gate_file", "exits", "min_tokens", "certificate"];

/// `ee-eval decode`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("greedy").multiple(true).args(OF_EXITS).conflicts_with("beam"))]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) texts: TextArguments,
    #[arg(long, value_name = "GATE", required_unless_present_any = ["certificate", "beam"], help = gates())]
    pub(crate) gate: Vec<ExitRule>,
    #[command(flatten)]
    beams: BeamArguments,
    #[command(flatten)]
    certified: Certificates,
    #[arg(long, value_name = "POLICY", default_value = ee_decode::policy::DEFAULT.name(), help = policies())]
    pub(crate) kv: Vec<PolicyChoice>,
    #[arg(
        long,
        value_name = "HEAD",
        default_value = HEADS[0].name(),
        conflicts_with = "certificate",
        help = heads()
    )]
    pub(crate) head: HeadChoice,
    /// The safetensors file of the gate learned:T; by default gate.safetensors of the checkpoint's folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) gate_file: Option<PathBuf>,
    /// The exits at which gates are read [default: all].
    #[arg(long, value_name = "D,…", value_delimiter = ',', value_parser = positive, conflicts_with = "certificate")]
    pub(crate) exits: Vec<usize>,
    #[command(flatten)]
    start: Start,
    #[command(flatten)]
    together: Batch,
    #[command(flatten)]
    timed: Rounds,
    /// Print the first N texts of every setting, with their exits [default: all, of a task 3].
    #[arg(long, value_name = "N")]
    pub(crate) show: Option<usize>,
    #[command(flatten)]
    permission: Permission,
    #[command(flatten)]
    report: OptionalReport,
}

fn gates() -> String {
    let set = all_rules().map(|gate| (format!("{}:T", gate.name()), gate.rule()));
    let plain = PLAIN_RULES.iter().map(|(typed, does)| ((*typed).to_owned(), *does));
    let list = listed("When a token leaves", plain.chain(set));
    format!(
        "{list}. A gate followed by {DECAY} has a threshold that decays with the position (CALM). Repeatable"
    )
}

fn policies() -> String {
    let what = "What becomes of the keys and values of skipped layers";
    let list = listed(what, POLICIES.iter().map(|policy| (policy.name(), policy.rule())));
    format!("{list}. Repeatable")
}

fn heads() -> String {
    let typed = |head: &&dyn Head| match head.has_number() {
        true => format!("{}:K", head.name()),
        false => head.name().to_owned(),
    };
    let what = "How the head is read before the last exit";
    listed(what, HEADS.iter().map(|head| (typed(head), head.rule())))
}

/// Texts of a task that are printed.
const SHOWN_OF_TASK: usize = 3;

/// Decodes, prints texts and tables, and writes what was asked for.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let kind = "a report of ee-eval decode";
    let _lock = flags.report.claim(kind)?;
    let subject = flags.texts.decoder.open()?;
    if let Some(beams) = flags.beams.beams() {
        return search(flags, &subject, beams);
    }
    let settings = settings(flags, &subject)?;
    for settings in &settings {
        settings.check(subject.model())?;
    }
    let material = material(flags, &subject)?;
    let results = decode::run(&subject, &material, &settings, &Interrupt::listen()?)?;
    show(&results, &subject, flags)?;
    if let Some(folder) = &flags.report.output {
        let page = report::write(&results, subject.tokenizer(), folder)?;
        ee_files::say!("\n{}", page.display());
    }
    Ok(())
}

fn material(flags: &Flags, subject: &DecoderSubject) -> Result<Material> {
    let terms = Terms {
        choice: Choice::Greedy,
        batch: flags.together.batch,
        rounds: flags.timed.rounds,
        allow_code_execution: flags.permission.allow_code_execution,
    };
    Material::new(subject, flags.texts.request()?, terms)
}

/// The same with beams.
fn search(flags: &Flags, subject: &DecoderSubject, beams: Beams) -> Result<()> {
    let material = material(flags, subject)?;
    let results = beams::run(subject, &material, (beams, &flags.gate), &Interrupt::listen()?)?;
    ee_files::show!("{}", beams::report::texts(&results, flags.shown(material.prompts.len())));
    for notice in beams::report::notices(&results) {
        ee_files::note!("notice: {notice}");
    }
    ee_files::show!("{}", beams::report::table(&results).plain());
    if let Some(folder) = &flags.report.output {
        ee_files::say!("\n{}", beams::report::write(&results, folder)?.display());
    }
    Ok(())
}

impl Flags {
    /// Texts of every setting to print, of so many.
    fn shown(&self, all: usize) -> usize {
        self.show.unwrap_or(if self.texts.task.is_some() { SHOWN_OF_TASK } else { all })
    }
}

/// What a certificate of texts certifies for this model.
fn certified(path: &Path, subject: &DecoderSubject, flags: &Flags) -> Result<ExitRule> {
    let certificate = Certificate::read(path)?;
    let task = flags.texts.task.as_deref().map(GenerationTask::read).transpose()?;
    let rule = certificate.rule(path, subject.checksum(), task.as_ref().map(|task| &*task.name))?;
    ee_files::note!(
        "notice: the certificate judges each token on the full model's own context; what early exits change of the \
         context while decoding is not in its promise"
    );
    Ok(rule.to_string().parse()?)
}

/// Every rule with every policy.
fn settings(flags: &Flags, subject: &DecoderSubject) -> Result<Vec<Settings>> {
    let model = subject.model();
    let layers = model.n_layers();
    let exits = match flags.exits.is_empty() {
        true => (1..layers).collect(),
        // The last exit is always read.
        false => flags.exits.iter().copied().filter(|&exit| exit != layers).collect(),
    };
    let needs_file = |rule: &ExitRule| rule.gate().is_some_and(|(open, _)| open.gate.is_fitted());
    let mut gates = flags.gate.clone();
    for path in &flags.certified.certificate {
        gates.push(certified(path, subject, flags)?);
    }
    let learned = if gates.iter().any(needs_file) {
        let path = flags.gate_file.clone().unwrap_or(flags.texts.decoder.of.model.join(GATE_FILE));
        Some(fitted(&path, model)?)
    } else {
        None
    };
    let pairs = gates.iter().flat_map(|gate| flags.kv.iter().map(move |kv| (gate, kv)));
    let settings = pairs.map(|(gate, kv)| Settings {
        rule: *gate,
        policy: kv.0,
        head: flags.head,
        exits: Vec::clone(&exits),
        min_tokens: flags.start.min_tokens,
        fitted: learned.clone(),
    });
    Ok(settings.collect())
}

/// Texts, then tables.
fn show(results: &DecodeResults, subject: &DecoderSubject, flags: &Flags) -> Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    let shown = flags.shown(results.plain.outputs.len());
    if is_terminal && shown > 0 {
        ee_files::say!("exits {}\n", legend(results.facts.run.layers).terminal());
    }
    for passage in report::passages(results, subject.tokenizer(), shown)? {
        ee_files::say!("{}", passage.title);
        ee_files::say!("{}", if is_terminal { passage.terminal() } else { passage.text() });
        ee_files::say!("{}\n", passage.exits());
    }
    for notice in report::notices(results) {
        ee_files::note!("notice: {notice}");
    }
    ee_files::say!(
        "true early exit, head {}: texts may differ from the full model's\n",
        results.facts.head
    );
    ee_files::show!("{}\n{}", report::speed(results).plain(), report::fidelity(results).plain());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::cli::{Arguments, Command};
    use crate::trial::Way;
    use ee_decode::speculate::Plan;
    use ee_decode::{PolicyChoice, Settings, head, policy, rule};

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
        for of_task in ["--limit 1", "--split s", "--data-dir d", "--allow-code-execution"] {
            assert!(parse(&format!("--prompt a --gate ideal {of_task}")).is_err(), "{of_task}");
            assert!(parse(&format!("--task t --gate ideal {of_task}")).is_ok(), "{of_task}");
        }
        let error = parse("--prompt a --gate confidance:0.9").unwrap_err().to_string();
        assert!(error.contains("did you mean `confidence`?"), "{error}");
    }

    #[test]
    fn commands_can_be_typed_and_mean_the_way() {
        let settings = Settings {
            rule: "entropy:0.25".parse().unwrap(),
            policy: "deferred".parse::<PolicyChoice>().unwrap().0,
            head: "pruned:64".parse().unwrap(),
            exits: vec![2, 4],
            min_tokens: 3,
            fitted: None,
        };
        let parse = |[verb, words]: [String; 2]| {
            let line = format!("ee-eval {verb} --model m --prompt a {words}");
            Arguments::parse_from(line.split(' ')).command
        };
        let Command::Decode(parsed) = parse(Way::Exits(settings).command()) else {
            panic!("another command")
        };
        assert_eq!(parsed.gate[0].to_string(), "entropy:0.25");
        assert_eq!((parsed.exits, parsed.start.min_tokens), (vec![2, 4], 3));
        assert_eq!(
            (parsed.kv[0].0.name(), parsed.head.to_string()),
            ("deferred", "pruned:64".to_owned())
        );
        for plan in [None, Some(Plan { exit: 2, drafts: 5 })] {
            let Command::Speculate(parsed) = parse(Way::Speculation(plan).command()) else {
                panic!("another command")
            };
            assert_eq!(parsed.draft.plan(), plan);
        }
    }
}
