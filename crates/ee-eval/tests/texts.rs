//! Generated text from outside: `generate`, and traces of tokens.

mod fixture;

use std::process::{Command, Stdio};
use std::time::Duration;

use ee_eval::trace;
use ee_eval::trace::read_texts;
use ee_tasks::TextTokenizer;
use fixture::{World, array, decoder, number};
use serde_json::{Value, json};

const EXAMPLES: usize = 20;

/// A folder with a random decoder `model`, its tokenizer, and a task of short lines `task.toml`.
fn world() -> World {
    let splits = [("dev", EXAMPLES), ("many", 200)];
    decoder::world((5, 0.3), "\"chrf\", \"bleu\"", 12, &splits)
}

#[test]
fn generate_repeats_itself_and_its_draws() {
    let world = world();
    let greedy = world.succeed("generate --model model --prompt The --max-new-tokens 20");
    assert_eq!(greedy, world.succeed("generate --model model --prompt The --max-new-tokens 20"));
    let sampled = |seed: u32| {
        world.succeed(&format!(
                "generate --model model --task task.toml --limit 2 --temperature 1.5 --top-k 50 --seed {seed}"
            ),
        )
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn a_row_of_a_trace_does_not_depend_on_its_batch() {
    let world = world();
    for (batch, name) in [(1, "one"), (7, "seven")] {
        world.succeed(&format!(
            "trace --model model --task task.toml --batch {batch} --output {name}.parquet"
        ));
    }
    let read = |name: &str| trace::read(&world.path(name)).unwrap();
    let (one, seven) = (read("one.parquet"), read("seven.parquet"));
    assert_eq!(one.rows(), EXAMPLES * 12, "no token ends a text here");
    assert_eq!((&one.signals, &one.gold), (&seven.signals, &seven.gold));
    let texts = read_texts(&world.path("one.parquet")).unwrap();
    assert_eq!(texts, read_texts(&world.path("seven.parquet")).unwrap());
    assert_eq!(texts.len(), EXAMPLES);
    assert_eq!(texts[3].statistics.keys().collect::<Vec<_>>(), ["bleu", "chrf"]);
    assert!(!world.path("one.parquet.parts").exists());

    for shard in 1..=2 {
        let words = format!(
            "trace --model model --task task.toml --shard {shard}/2 --output part-{shard}.parquet"
        );
        world.succeed(&words);
    }
    let parts = [world.path("part-1.parquet"), world.path("part-2.parquet")];
    let merged = trace::read_all(&parts).unwrap();
    assert_eq!((merged.notices.len(), merged.trace.signals), (0, one.signals));
}

#[test]
fn teacher_forcing_predicts_each_token_that_training_learns_from_those_before() {
    let world = world();
    let name = "tokenizer_config.json";
    std::fs::copy(format!("{}/{name}", decoder::TOKENIZER), world.path("model").join(name))
        .unwrap();
    let words = "trace --model model --task task.toml --teacher-forced --max-new-tokens 100";
    world.succeed(&format!("{words} --output gold.parquet"));
    let gold = trace::read(&world.path("gold.parquet")).unwrap();
    let tokenizer = TextTokenizer::from_folder(&world.path("model")).unwrap();
    let task = ee_tasks::GenerationTask::read(&world.path("task.toml")).unwrap();
    let examples = task.read_split("dev", None, None).unwrap().examples;
    let end = tokenizer.end_id();
    let (learned, _) = ee_tasks::causal::instructions(&tokenizer, &examples, 256, end).unwrap();
    for (example, row) in (0_u32..).zip(&learned) {
        let rows = (0..gold.rows()).filter(|&row| gold.example[row] == example);
        let found: Vec<u32> = rows.map(|row| gold.gold[row]).collect();
        assert_eq!(found, row.ids[row.learned[0].clone()], "the end token is one of them");
        assert_eq!(found.last().copied(), end);
    }
    let first: usize = gold.example.iter().position(|&example| example == 0).unwrap();
    assert_eq!(gold.prompt_tokens[first] as usize, learned[0].learned[0].start);
    let n_learned: usize = learned.iter().map(ee_tasks::causal::CausalRow::n_learned).sum();
    assert_eq!(gold.rows(), n_learned);
}

#[test]
fn a_task_s_scores_are_the_same_in_every_command_and_stop_texts_cut_before_scoring() {
    let world = world();
    let spoken = |words: &str| {
        world.succeed(&format!("{words} --model model --task task.toml --limit 4 --stop e"))
    };
    let generated = spoken("generate");
    let task = world.read("task.toml");
    std::fs::write(
        world.path("stop.toml"),
        task.replace("[splits.dev]", "stop = [\"e\"]\n[splits.dev]"),
    )
    .unwrap();
    world.succeed("trace --model model --task stop.toml --limit 4 --output stop.parquet");
    let table = world.succeed("ideal --trace stop.parquet --output ideal");
    let found = world.results("ideal");
    let speculated = spoken("speculate --draft-exit 2 --draft-length 3");
    let decoded = spoken("decode --gate none");
    for score in array(&found["summaries"][0]["scores"]) {
        let (name, score) = (score["name"].as_str().unwrap(), number(&score["score"]));
        let shown = format!("{score:.3}");
        // No four tokens match: BLEU is 0.
        assert!(score > 0.0 || name == "bleu", "{table}");
        assert!(generated.contains(&format!("{name} {shown} (")), "{generated}");
        let line = speculated.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line.matches(&shown).count(), 2, "{line}");
        assert!(decoded.contains(&shown[..shown.len() - 2]), "{shown}: {decoded}");
    }
}

/// Starts a long trace and gives it a signal when it has done two batches.
fn disturbed(world: &World, signal: &str) -> std::process::Output {
    let done = || {
        let parts = std::fs::read_dir(world.path("long.parquet.parts"));
        let names = parts.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".parquet")).count()
    };
    let before = done();
    let words = "trace --model model --task task.toml --split many --batch 1 --max-new-tokens 150 --output long.parquet";
    let mut command = world.command(words);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while done() < before + 2 {
        // No clock: on a busy machine two batches take as long as they take.
        assert!(child.try_wait().unwrap().is_none(), "the trace ended before it was disturbed");
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupted_trace_goes_on_where_it_was() {
    let world = world();
    let words =
        "trace --model model --task task.toml --split many --batch 1 --max-new-tokens 150 --output";
    world.succeed(&format!("{words} whole.parquet"));
    let whole = trace::read(&world.path("whole.parquet")).unwrap();

    assert!(!disturbed(&world, "-KILL").status.success());
    let other = "trace --model model --task task.toml --split many --batch 2 --max-new-tokens 150 --output long.parquet";
    world.fail(other, 1, &["long.parquet.parts", "`batch 1` there", "`batch 2` here"]);
    let output = disturbed(&world, "-INT");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("are done and kept; the same command goes on"), "{message}");
    assert!(!output.status.success());
    world.succeed(&format!("{words} long.parquet"));
    let resumed = trace::read(&world.path("long.parquet")).unwrap();
    assert_eq!((resumed.signals, resumed.gold), (whole.signals, whole.gold));
    assert_eq!(
        read_texts(&world.path("long.parquet")).unwrap(),
        read_texts(&world.path("whole.parquet")).unwrap()
    );
}

#[test]
fn what_cannot_be_done_is_said_with_its_place() {
    let world = world();
    let task = world.read("task.toml");
    world.write("long.toml", task.replace("= 12", "= 250"));
    let trace = "trace --model model --output o.parquet --task";
    world.fail(&format!("{trace} long.toml"), 1, &["example 0", "250 new", "256 positions"]);
    world.succeed(&format!("{trace} long.toml --truncate"));
    world.write("code.toml", task.replace("\"chrf\", \"bleu\"", "\"pass@1\""));
    let (_, message) = world.say("trace --model model --task code.toml --output code.parquet");
    assert!(message.contains("--allow-code-execution"), "{message}");
    std::fs::remove_file(world.path("model/tokenizer.json")).unwrap();
    world.fail(&format!("{trace} task.toml"), 1, &["model", "expected tokenizer.json"]);
    world.fail("generate --model model", 2, &["--prompt"]);
}

#[test]
fn thresholds_are_certified_by_text() {
    let world = world();
    world.succeed("trace --model model --task task.toml --split many --output many.parquet");
    let words = "calibrate --trace many.parquet --risk 0.4 --output calibrated";
    let (_, message) = world.say(words);
    assert!(message.contains("the full model's own context"), "{message}");
    let found = world.results("calibrated");
    assert_eq!((&found["n"], &found["promised"]["n"]), (&json!(200), &json!(100)));
    assert_eq!(found["promised"]["split"]["held_out"], 100);
    let page = world.read("calibrated/report.md");
    assert!(page.contains("the mean over texts of the share of its tokens"), "{page}");
    world.fail(&format!("{words} --against gold"), 1, &["echo", "--teacher-forced"]);
}

#[test]
fn ideal_exits_of_texts_stand_with_their_scores() {
    let world = world();
    let task = world.read("task.toml");
    world.write("other.toml", task.replace("\"echo\"", "\"other\""));
    let traced =
        world.succeed("trace --model model --task task.toml --task other.toml --output traces");
    world.succeed("trace --model model --task task.toml --teacher-forced --output gold.parquet");
    let both = "ideal --trace traces/echo.parquet traces/other.parquet";
    let table = world.succeed(both);
    assert!(traced.ends_with(&table) && table.lines().count() == 3, "{traced}");

    world.succeed(&format!("{both} gold.parquet --output ideal"));
    let found = world.results("ideal");
    let [greedy, _, gold] = array(&found["summaries"]) else { panic!("{found}") };
    let facts = |of: &Value| ["mode", "examples", "tokens"].map(|key| of[key].clone());
    let texts = read_texts(&world.path("traces/echo.parquet")).unwrap();
    let new_tokens: usize = texts.iter().map(|text| text.new_tokens).sum();
    assert_eq!(facts(greedy), [json!("greedy"), json!(EXAMPLES), json!(new_tokens)]);
    assert_eq!(
        array(&greedy["scores"]).iter().map(|score| &score["name"]).collect::<Vec<_>>(),
        ["chrf", "bleu"]
    );
    let chrf = &greedy["scores"][0];
    let [low, high, score] = [&chrf["interval"][0], &chrf["interval"][1], &chrf["score"]]
        .map(|number| number.as_f64().unwrap());
    assert!(0.0 < low && low <= score && score <= high && high < 100.0, "{chrf:?}");
    assert_eq!(facts(gold)[..2], [json!("teacher-forced"), json!(EXAMPLES)]);
    assert_eq!(gold["scores"], json!([]));
    for (trace, context) in [("gold.parquet", "gold text"), ("traces/echo.parquet", "own text")] {
        let printed = world.succeed(&format!("gates --trace {trace} --keep 0.5 --output gates"));
        assert!(printed.contains("leaves at") && printed.contains("cut"), "{printed}");
        let replay = world.results("gates");
        assert!(replay["notices"][0].as_str().unwrap().contains(context), "{}", replay["notices"]);
        // A depth at which the model could be cut off stands beside the four gates where one keeps enough.
        assert_eq!(
            replay["gates"].as_object().unwrap().len(),
            4 + usize::from(printed.contains("fixed"))
        );
        let page = world.read("gates/report.html");
        assert!(page.contains("agreement with the full model"), "said in the report, too");
    }
}
