//! Encoder-decoders from outside: every verb on a translator whose sides have dictionaries of their own.

mod fixture;

use ee_eval::trace::{self, Trace, read_texts};
use ee_tasks::TextTokenizer;
use fixture::{World, array, checkpoint, decoder, number, translator};

const PAIRS: usize = 16;
const EXITS: usize = translator::LAYERS[1];

fn world() -> World {
    translator::world(PAIRS, 12)
}

fn read(world: &World, name: &str) -> Trace {
    trace::read(&world.path(name)).unwrap()
}

#[test]
fn a_trace_has_the_decoder_s_exits_and_no_row_depends_on_its_batch() {
    let world = world();
    for (batch, name) in [(1, "one"), (7, "seven")] {
        world.succeed(&format!(
            "trace --model model --task task.toml --batch {batch} --output {name}.parquet"
        ));
    }
    let (one, seven) = (read(&world, "one.parquet"), read(&world, "seven.parquet"));
    assert_eq!(one.facts.layers, EXITS);
    assert_eq!((&one.signals, &one.gold), (&seven.signals, &seven.gold));
    let generation = one.facts.generation.as_ref().unwrap();
    assert_eq!(generation.encoder_layers, Some(translator::LAYERS[0]));
    assert_eq!(generation.vocabulary, translator::TARGET.len() + 3);
    let texts = read_texts(&world.path("one.parquet")).unwrap();
    assert_eq!(texts, read_texts(&world.path("seven.parquet")).unwrap());
    // A prompt is the encoder's: its words and the end token.
    for text in &texts {
        assert_eq!(text.prompt_tokens, text.prompt.split(' ').count() + 1, "{}", text.prompt);
    }
    // Texts differ, or nothing is tested here.
    let mut predictions: Vec<&str> = texts.iter().map(|text| &*text.prediction).collect();
    predictions.sort_unstable();
    predictions.dedup();
    assert!(predictions.len() > 3, "{predictions:?}");
    for command in ["ideal --trace one.parquet", "gates --trace one.parquet"] {
        world.succeed(&format!("{command} --output {}", &command[..5].trim()));
    }
    let found = world.results("ideal");
    assert_eq!(found["summaries"][0]["layers"], EXITS);
    world.succeed("calibrate --trace one.parquet --risk 0.9 --confidence 0.6 --output certificate");
}

#[test]
fn teacher_forced_with_its_own_texts_a_model_says_what_it_said_when_it_wrote_them() {
    let world = world();
    world.succeed("trace --model model --task task.toml --output own.parquet");
    let own = read(&world, "own.parquet");
    let texts = read_texts(&world.path("own.parquet")).unwrap();
    let lines: String = texts.iter().map(|text| format!("{}\n", text.prediction)).collect();
    world.write("dev.en", lines.replace("\n\n", "\nthe\n"));
    world.succeed("trace --model model --task task.toml --teacher-forced --output gold.parquet");
    let gold = read(&world, "gold.parquet");
    assert!(gold.facts.generation.as_ref().unwrap().teacher_forced);
    let tokenizer = TextTokenizer::of_pair(&world.path("model")).unwrap();
    let rows_of = |trace: &Trace, example: u32| -> Vec<usize> {
        (0..trace.rows()).filter(|&row| trace.example[row] == example).collect()
    };
    let (mut compared, mut worst) = (0, 0_f32);
    for text in &texts {
        let (own_rows, gold_rows) = (rows_of(&own, text.example), rows_of(&gold, text.example));
        if text.prediction.is_empty() {
            continue;
        }
        let taught: Vec<u32> = gold_rows.iter().map(|&row| gold.gold[row]).collect();
        let mut answer = tokenizer.encode_answer(&text.prediction).unwrap();
        answer.truncate(12);
        assert_eq!(taught, answer, "the end token is one of them");
        let own_tokens: Vec<u32> = own_rows.iter().map(|&row| own.gold[row]).collect();
        assert_eq!(taught, own_tokens, "{}", text.prediction);
        for (&ours, &theirs) in own_rows.iter().zip(&gold_rows) {
            assert_eq!(own.predictions(ours), gold.predictions(theirs));
            for index in 0..EXITS {
                let of = |trace: &Trace, row: usize| trace.signals.confidence[row * EXITS + index];
                worst = worst.max((of(&own, ours) - of(&gold, theirs)).abs());
            }
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
    // Whole texts are added up in another order; these wide weights make much of it.
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn translations_stand_below_what_they_translate_and_one_beam_is_greedy() {
    let world = world();
    let words = "generate --model model --task task.toml";
    let greedy = world.succeed(words);
    assert!(greedy.contains("\nchrf ") && greedy.contains("\nbleu "), "{greedy}");
    assert_eq!(greedy, world.succeed(&format!("{words} --beam 1 --beam-rule transformers:true")));
    let shown =
        world.succeed("generate --model model --prompt hund --max-new-tokens 9 --show-prompt");
    assert_eq!(shown.lines().next(), Some("hund"), "{shown}");
    let drawn =
        |seed: u32| world.succeed(&format!("{words} --limit 4 --temperature 1.5 --seed {seed}"));
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn exits_take_effect_under_every_policy_and_batches_change_nothing() {
    let world = world();
    let words = "decode --model model --task task.toml --gate none --gate ideal --gate confidence:0.2 --gate fixed:2 \
                 --kv recompute --kv copy --kv deferred --kv full --min-tokens 1 --rounds 3 --show 1";
    for batch in [1, 5] {
        world.succeed(&format!("{words} --batch {batch} --output batch-{batch}"));
    }
    let (one, five) = (world.results("batch-1"), world.results("batch-5"));
    assert_eq!(one["facts"]["encoder_layers"], translator::LAYERS[0]);
    assert_eq!(one["plain"]["outputs"], five["plain"]["outputs"]);
    let mut left = 0;
    for (one_run, five_run) in array(&one["runs"]).iter().zip(array(&five["runs"])) {
        let what = format!("{} with {}", one_run["gate"], one_run["kv"]);
        assert_eq!(one_run["texts"]["outputs"], five_run["texts"]["outputs"], "{what}");
        let is_exact = one_run["gate"] == "none"
            || one_run["kv"] == "full" && one_run["gate"] == "ideal"
            || one_run["kv"] == "deferred" && one_run["gate"] == "ideal";
        if is_exact {
            assert_eq!(one_run["fidelity"]["same_tokens"], true, "{what}");
            assert_eq!(one_run["texts"]["scores"], one["plain"]["scores"], "{what}");
        }
        left += usize::from(number(&one_run["average_exit"]) < EXITS as f64);
        // With and without the encoder's pass.
        assert!(one_run["speed"]["step_speed_up"].is_number(), "{what}");
    }
    assert!(left > 6, "{left}");
    assert!(world.read("batch-1/report.html").contains("count the encoder"));
}

#[test]
fn exits_of_beams_are_scored() {
    let world = world();
    let gates: Vec<String> = (1..=EXITS).map(|exit| format!("--gate fixed:{exit}")).collect();
    let words = format!(
        "decode --model model --task task.toml --beam 3 --length-penalty 0.6 --rounds 1 --batch 4 {}",
        gates.join(" ")
    );
    world.succeed(&format!("{words} --output out"));
    let found = world.results("out");
    let runs = array(&found["runs"]);
    assert_eq!(runs.len(), 1 + EXITS);
    assert_eq!(runs[0]["outputs"], runs[EXITS]["outputs"]);
    assert_eq!(runs[1]["scores"][0]["name"], "chrf");
    world.succeed(&words.replace("--batch 4", "--batch 16 --output whole"));
    for (run, whole) in runs.iter().zip(array(&world.results("whole")["runs"])) {
        assert_eq!(run["outputs"], whole["outputs"], "{}", run["gate"]);
    }
}

#[test]
fn speculation_keeps_every_token() {
    let world = world();
    let words = "speculate --model model --task task.toml --rounds 1 --batch 3 --output";
    for draft in
        ["--draft-exit 1 --draft-length 3", "--draft-exit 3 --draft-length 2", "--adaptive"]
    {
        world.succeed(&format!("{words} out {draft}"));
        let found = world.results("out");
        assert_eq!(found["same_tokens"], true, "{draft}");
        assert_eq!(found["encoder_layers"], translator::LAYERS[0]);
        assert!(found["step_speed_up"].is_number());
    }
}

#[test]
fn a_comparison_has_the_shape_of_the_paper_s_table_2_and_figure_8() {
    let world = world();
    translator::checkpoint(&world.path("joint"), 12);
    world.write("joint/ee_training.json", "{\"ee_objective\": \"joint\"}");
    world.succeed(
        "compare --model plain=model --model joint=joint --task task.toml --speed-rows 4 --rounds 1 --keep 0.6 \
         --min-tokens 1 --output out",
    );
    let table = world.read("out/table2.csv");
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("model,trained,task,layer,avg,perc,chrf,bleu"));
    let found = world.results("out");
    for (name, trained) in [("plain", "unknown"), ("joint", "joint")] {
        let cells: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!(cells[..4], [name, trained, "words", "2-4"]);
        // From the trace that lies beside it.
        let trace = read(&world, &format!("out/traces/{name}.parquet"));
        let exits = ee_eval::ideal_exits(&trace);
        let mean = exits.iter().sum::<usize>() as f64 / exits.len() as f64;
        let early = exits.iter().filter(|&&exit| exit < EXITS).count() as f64;
        assert!((cells[4].parse::<f64>().unwrap() - mean).abs() < 1e-9, "{table}");
        assert!((cells[5].parse::<f64>().unwrap() - early / exits.len() as f64).abs() < 1e-9);
        let scores = &found["models"][name]["summary"]["scores"];
        assert_eq!(cells[6].parse::<f64>().unwrap(), number(&scores[0]["score"]));
    }
    let gates = world.read("out/gates.csv");
    let header = gates.lines().next().unwrap();
    assert!(header.contains("distance to ideal") && header.ends_with("speed-up,without prompts"));
    let page = world.read("out/report.html");
    assert!(page.contains("the paper&#39;s Figure 8") || page.contains("the paper's Figure 8"));
    assert!(page.contains("count the encoder"), "speed-ups with and without it");
    assert!(world.path("out/plots/gate_distance.svg").exists());
    assert!(world.path("out/plots/gate_speed_up.svg").exists());
}

#[test]
fn a_recommendation_can_be_made() {
    let world = world();
    let printed = world.succeed(
        "recommend --model model --task task.toml --keep 0.5 --tries 3 --live-rows 4 --rounds 1 --min-tokens 1 \
         --output advice",
    );
    assert!(printed.contains("early exit") || printed.contains("Use "), "{printed}");
    let found = world.results("advice");
    assert_eq!(found["trace"]["generation"]["encoder_layers"], translator::LAYERS[0]);
    assert!(number(&found["times"]["prompt"]) > 0.0);
}

#[test]
fn an_empty_source_is_kept_and_translated_as_empty() {
    let world = world();
    world.write("dev.de", "hund\n\n \nkatze und hund\n");
    world.write("dev.en", "dog\ncat\nhouse\ncat and dog\n");
    let said = "an empty source is translated as empty, lines 2, 3";
    let words = "--model model --task task.toml";
    let (lines, notices) = world.say(&format!("generate {words}"));
    assert!(notices.contains(said), "{notices}");
    let written: Vec<&str> = lines.lines().take(4).collect();
    assert!(written[1].is_empty() && written[2].is_empty(), "{lines}");
    assert!(!written[0].is_empty(), "{lines}");
    for forced in ["", " --teacher-forced"] {
        let (_, notices) =
            world.say(&format!("trace {words}{forced} --batch 1 --output t.parquet"));
        assert!(notices.contains(said), "{notices}");
        let trace = read(&world, "t.parquet");
        assert!(trace.example.iter().all(|example| [0, 3].contains(example)));
        assert_eq!(trace.facts.examples, 4);
        let texts = read_texts(&world.path("t.parquet")).unwrap();
        let empty: Vec<bool> =
            texts.iter().map(|text| text.new_tokens == 0 && text.ended).collect();
        assert_eq!(empty, [false, true, true, false], "{forced}");
        world.succeed("ideal --trace t.parquet --output ideal");
        world.succeed("gates --trace t.parquet --output gates");
    }
    for words in ["decode --gate ideal --rounds 1", "decode --beam 2 --rounds 1"] {
        world.succeed(&format!("{words} --model model --task task.toml --batch 2 --output out"));
        let found = world.results("out");
        let plain = if words.contains("beam") { &found["runs"][0] } else { &found["plain"] };
        assert!(array(&plain["outputs"][1]["tokens"]).is_empty());
        assert_eq!(plain["outputs"][1]["ended"], true);
        // The score is that of all four lines.
        let line = lines.lines().find(|line| line.starts_with("chrf")).unwrap();
        let score = format!("chrf {:.3} ", number(&plain["scores"][0]["score"]));
        assert!(words.contains("beam") || line.starts_with(&score), "{line} {score}");
    }
    world.write("dev.de", "\n\n\n\n");
    world.fail(&format!("trace {words} --output x.parquet"), 1, &["every source is empty"]);
}

#[test]
fn what_does_not_fit_is_named() {
    let world = world();
    let long = vec!["hund"; 40].join(" ");
    world.write("dev.de", format!("hund\n{long}\n"));
    world.write("dev.en", "dog\ndog\n");
    let trace = "trace --model model --task task.toml --output x.parquet";
    let message = "41 tokens do not fit the encoder's 24 positions";
    world.fail(trace, 1, &["example 1", message, "--truncate cuts its end"]);
    let (_, said) = world.say(&format!("{trace} --truncate"));
    assert!(said.contains("1 prompt of words was cut"), "{said}");
    let new = "24 new tokens do not fit the decoder's";
    world.succeed("generate --model model --prompt hund --max-new-tokens 24");
    world.fail(
        "generate --model model --prompt hund --max-new-tokens 25",
        1,
        &["the prompt of example 0", &new.replace("24", "25"), "24 positions"],
    );
    let beam = "generate --model model --prompt hund --max-new-tokens 5 --beam";
    world.fail(&format!("{beam} 40"), 2, &["a beam of 40", "the vocabulary has 18"]);
    std::fs::remove_file(world.path("model/tokenizer.target.json")).unwrap();
    world.fail("generate --model model --prompt hund", 1, &["tokenizer.target.json"]);
    std::fs::remove_file(world.path("model/tokenizer.source.json")).unwrap();
    world.fail("generate --model model --prompt hund", 1, &["no tokenizer of an encoder-decoder"]);
}

#[test]
fn models_of_another_kind_are_refused() {
    let world = world();
    checkpoint(&world.path("encoder"), 16);
    let kind = "expected a model that generates";
    world.fail("generate --model encoder --prompt w1", 1, &["config.json", "'bert'", kind]);
    let labels = "name = \"labels\"\nkind = \"classification\"\nformat = \"tsv\"\nlabels = [\"no\", \"yes\"]\n\
                  text = [\"text\"]\nlabel = \"label\"\nmetrics = [\"accuracy\"]\nevaluation_split = \"dev\"\n\
                  data_dir = \".\"\n\n[splits.dev]\nfiles = [\"dev.tsv\"]\n";
    world.write("labels.toml", labels);
    world.write("dev.tsv", "text\tlabel\nhund\tno\n");
    let words = "trace --model model --task labels.toml --output x.parquet";
    world.fail(words, 1, &["config.json", "'marian'"]);
    // A decoder's tokenizer has one side and is no translator's.
    decoder::checkpoint(&world.path("decoder"), 2, 0.3, 1);
    world.succeed("generate --model decoder --prompt The --max-new-tokens 2");
}

#[test]
fn numbers_that_are_not_finite_are_placed() {
    let world = world();
    // The norm of such a sum is no number.
    fixture::poison(&world.path("model"), "model.decoder.layers.1.fc2.bias", 0..2, 3e38);
    let nan = "gives NaN or infinity";
    for (words, exit) in [
        ("trace --output x.parquet", "exit 2"),
        ("trace --teacher-forced --output x.parquet", "exit 2"),
        // Beams read the last exit alone.
        ("generate --beam 2", "exit 4"),
    ] {
        let words = format!("{words} --model model --task task.toml");
        world.fail(&words, 1, &["new token 0", &format!("{exit} {nan}")]);
    }
}

#[test]
fn a_checkpoint_of_fairseq_is_a_folder_as_any_other() {
    let world = world();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let folder = golden.join("fairseq-tiny");
    let folder = folder.display();
    let words = format!("generate --model {folder} --prompt w7 --max-new-tokens 4");
    let (said, noted) = world.say(&words);
    assert!(noted.contains("checkpoint_best.pt is read, a checkpoint of fairseq"), "{noted}");
    // Whole words of dict.en.txt, those that end in `@@` joined to what follows.
    assert!(said.contains('w'), "{said}");
    world.write("dev.de", "w1 w7\nw0 w2\n");
    world.write("dev.en", "w3 w4\nw5\n");
    for command in
        ["trace --output fairseq.parquet", "decode --gate confidence:0.5 --output decode"]
    {
        world.succeed(&format!("{command} --model {folder} --task task.toml"));
    }
    let trace = read(&world, "fairseq.parquet");
    assert_eq!(trace.facts.layers, 3);
    assert_eq!(trace.facts.generation.as_ref().unwrap().vocabulary, 40);
}
