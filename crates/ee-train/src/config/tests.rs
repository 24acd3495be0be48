use super::*;

fn read(text: &str, overrides: &Overrides) -> Result<RunConfig, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    RunConfig::read(&path, overrides).map_err(|error| {
        let prefix = format!("{}/", folder.path().display());
        error
            .complaints
            .iter()
            .map(|complaint| complaint.to_string().replace(&prefix, ""))
            .collect()
    })
}

const SMALLEST: &str = "[model]\npath = 'model'\n[task]\nfile = 'cola.toml'\n";

#[test]
fn a_small_file_gets_the_defaults_and_absolute_paths() {
    let config = read(SMALLEST, &Overrides::default()).unwrap();
    assert_eq!((config.objective, config.seed), (Objective::FINAL, 42));
    assert_eq!(config.training.batch, BatchConfig::Rows { batch: 32, micro_batch: 32 });
    let ModelConfig::Checkpoint { path, .. } = config.model else {
        panic!("a checkpoint was asked for")
    };
    assert!(path.is_absolute() && path.ends_with("model"));
    assert!(matches!(&config.task.lessons, Lessons::Task { file } if file.is_absolute()));
}

#[test]
fn the_resolved_file_reads_back_as_the_same_run() {
    let scratch = "[model]\nlayers = 2\nd_model = 128\ntokenizer = 'tokenizer'\n[task]\nfile = 't.toml'\n\
                   [schedule]\nkind = 'cosine'\nwarm_up_ratio = 0.1\n[training]\npatience = 3\n";
    let text = "precision = 'bf16'\n[model]\nlayers = 2\nd_model = 128\nkv_heads = 1\ntokenizer = 'tokenizer'\n\
                [lora]\nrank = 4\n[task]\ntext = ['a.txt', 'b.txt']\nvalidation_text = ['c.txt']\npacking = true\n\
                [training]\ngradient_checkpointing = true\nwatch_every_steps = 7\n";
    let tokens = "[model]\npath = 'model'\n[task]\nfile = 't.toml'\n[optimizer]\ndecay_all = true\n\
                  [schedule]\nkind = 'inverse_sqrt'\nwarm_up_steps = 4000\nwarm_up_from = 1e-7\n\
                  [training]\nbatch_tokens = 4096\nbatches_per_step = 2\nlabel_smoothing = 0.1\naverage_checkpoints = 5\n\
                  [validation]\nmetric = 'bleu'\nbeam = 5\nmax_length = [1.2, 10]\n";
    for text in [SMALLEST, scratch, text, tokens] {
        let config = read(text, &Overrides { joint: true, ..Overrides::default() }).unwrap();
        assert_eq!(read(&config.to_toml(), &Overrides::default()), Ok(config));
    }
}

#[test]
fn flags_are_written_over_the_file() {
    let overrides = Overrides {
        joint: true,
        set: vec!["optimizer.learning_rate=3e-5".into(), "training.epochs=5".into()],
        device: Some("cuda:1".into()),
        seed: Some(7),
        data_dir: Some("/data/glue".into()),
        model: Some("/models/b e r t".into()),
        new_head: false,
    };
    let config = read("[task]\nfile = 'cola.toml'\n", &overrides).unwrap();
    assert_eq!((config.objective, config.seed), (Objective::JOINT, 7));
    assert_eq!(config.device, "cuda:1");
    assert_eq!((config.optimizer.learning_rate, config.training.epochs), (3e-5, 5));
    assert_eq!(config.task.data_dir, Some("/data/glue".into()));
    assert_eq!(
        config.model,
        ModelConfig::Checkpoint {
            path: "/models/b e r t".into(),
            new_head: false,
            label_order: None
        }
    );
}

#[test]
fn every_fault_is_reported_at_once() {
    let text = "objective = 'jont'\n[model]\npath = 'm'\nlayers = 0\nd_model = 100\nheads = 3\n\
                [task]\nlimit = 0\n[optimizer]\nlearning_rate = -1\nbeta_1 = 1.0\n\
                [schedule]\nwarm_up_steps = 3\nwarm_up_ratio = 2.0\n[training]\nbatch = 4\nmicro_batch = 8\nepocs = 3\nrecompute = true\n";
    let expected = [
        "run.toml:1: `objective`: unknown value `jont`, did you mean `joint`?",
        "run.toml:3: `model.path`: a checkpoint has its own sizes",
        "run.toml:4: `model.layers`: expected a whole number above 0, found 0",
        "run.toml:6: `model.heads`: 3 heads do not divide d_model 100",
        "run.toml:8: `task.limit`: expected a whole number above 0, found 0",
        "run.toml:10: `optimizer.learning_rate`: expected a number above 0, found -1",
        "run.toml:11: `optimizer.beta_1`: expected a number 0 or more, below 1, found 1",
        "run.toml:14: `schedule.warm_up_ratio`: expected a number 0 to 1, found 2",
        "run.toml:14: `schedule.warm_up_ratio`: expected either warm_up_ratio or warm_up_steps",
        "run.toml:17: `training.micro_batch`: 8 rows exceed the batch of 4",
        "run.toml:18: `training.epocs`: unknown key, did you mean `epochs`?",
        "run.toml:19: `training.recompute`: is called `gradient_checkpointing`",
        "run.toml: `model.tokenizer`: missing, expected a path",
        "run.toml: `task.file`: missing, expected a path",
    ];
    let complaints = read(text, &Overrides::default()).unwrap_err();
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (found, expected) in complaints.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn a_model_must_come_from_somewhere() {
    let complaints = read("[task]\nfile = 'cola.toml'\n", &Overrides::default()).unwrap_err();
    assert!(complaints[0].contains("--model"), "{complaints:?}");
    let misspelt = "[model]\npth = 'm'\n[task]\nfile = 't'\n";
    let complaints = read(misspelt, &Overrides::default()).unwrap_err();
    assert!(complaints[0].contains("did you mean `path`"), "{complaints:?}");
    assert!(complaints[0].contains("d_model"), "the sizes are known keys, too: {complaints:?}");
}

#[test]
fn warm_up_shares_are_rounded_up() {
    assert_eq!(WarmUp::Ratio(0.1).steps(101), 11);
    assert_eq!(WarmUp::Steps(5).steps(101), 5);
}

#[test]
fn what_cannot_be_learned_or_written_is_refused() {
    for (text, expected) in [
        (
            "[training]\nlabel_smoothing = 1.0",
            "`training.label_smoothing`: expected a number 0 or more, below 1, found 1",
        ),
        ("[training]\nlabel_smoothing = -0.1", "`training.label_smoothing`: expected a number"),
        (
            "[training]\nbatch_tokens = 0",
            "`training.batch_tokens`: expected a whole number above 0, found 0",
        ),
        ("[training]\nbatch = 4\nbatch_tokens = 64", "`training.batch`: counts rows"),
        (
            "[training]\nbatches_per_step = 2",
            "`training.batches_per_step`: counts batches by tokens",
        ),
        (
            "[training]\naverage_checkpoints = 0",
            "`training.average_checkpoints`: expected a whole number above 0",
        ),
        (
            "[schedule]\nkind = 'inverse_sqrt'",
            "`schedule.warm_up_steps`: the inverse square root starts after",
        ),
        (
            "[schedule]\nwarm_up_from = 1e-7",
            "`schedule.warm_up_from`: begins a warm-up, expected warm_up_steps",
        ),
        (
            "[schedule]\nwarm_up_from = -1\nwarm_up_steps = 2",
            "`schedule.warm_up_from`: expected a number 0 or more, found -1",
        ),
        ("[validation]\nbeam = 2", "`validation.metric`: missing"),
        (
            "[validation]\nmetric = 'blue'",
            "`validation.metric`: unknown metric `blue`, did you mean `bleu`?",
        ),
        (
            "[validation]\nmetric = 'bleu'\nbeam = 0",
            "`validation.beam`: expected a whole number above 0",
        ),
        (
            "[validation]\nmetric = 'bleu'\nmax_length = [1.2]",
            "`validation.max_length`: expected two numbers",
        ),
    ] {
        let complaints = read(&format!("{SMALLEST}{text}\n"), &Overrides::default()).unwrap_err();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains(expected), "{complaints:?}");
    }
}
