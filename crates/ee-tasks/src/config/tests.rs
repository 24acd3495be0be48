use super::*;

/// Reads what a small run file has and returns the complaints as text.
fn complaints(text: &str, overrides: &[&str]) -> Vec<String> {
    let mut document = Document::parse(text, "run.toml");
    overrides.iter().for_each(|assignment| document.set(assignment));
    let root = document.root();
    let _: String = root.required("task");
    let _: Vec<String> = root.or("labels", Vec::new());
    let training = root.section("training");
    let _: f64 = training.required("learning_rate");
    let _: usize = training.or("epochs", 3);
    training.choice("schedule", &[("linear", 0), ("cosine", 1)], 0);
    for (_, split) in root.sections("splits") {
        let _: String = split.required("file");
    }
    match document.finish() {
        Ok(()) => Vec::new(),
        Err(error) => error.complaints.iter().map(Complaint::to_string).collect(),
    }
}

const GOOD: &str =
    "task = 'cola'\n[training]\nlearning_rate = 2e-5\nepochs = 3\n[splits.dev]\nfile = 'dev.tsv'\n";

#[test]
fn a_sound_file_has_no_complaint() {
    assert_eq!(complaints(GOOD, &[]), Vec::<String>::new());
    assert_eq!(complaints(GOOD, &["training.epochs=5", "task=mrpc"]), Vec::<String>::new());
}

#[test]
fn every_fault_is_reported_at_once_with_its_line_and_key() {
    let text = "labels = ['a', 3]\ntsk = 'cola'\n[training]\nlerning_rate = 1\nepochs = -1\nschedule = 'cosin'\n[splits]\ndev = 'x'\n";
    assert_eq!(
        complaints(text, &[]),
        [
            "run.toml:1: `labels`: item 2: expected a string, found the integer 3",
            "run.toml:2: `tsk`: unknown key, did you mean `task`? (known: labels, splits, task, training)",
            "run.toml:4: `training.lerning_rate`: unknown key, did you mean `learning_rate`? (known: epochs, learning_rate, schedule)",
            "run.toml:5: `training.epochs`: expected a whole number, 0 or more, found the integer -1",
            "run.toml:6: `training.schedule`: unknown value `cosin`, did you mean `cosine`? (known: linear, cosine)",
            "run.toml:8: `splits.dev`: expected a table, found the string \"x\"",
            "run.toml: `task`: missing, expected a string",
            "run.toml: `training.learning_rate`: missing, expected a finite number",
            "run.toml: `splits.dev.file`: missing, expected a string",
        ]
    );
}

#[test]
fn duplicates_and_syntax_errors_do_not_hide_the_rest() {
    let text = "task = 'a'\ntask = 'b'\nlabels = []\n[training]\nlearning_rate = 1e-5\nepocs = 2\nepochs = = 4\n";
    let found = complaints(text, &[]);
    assert!(found.contains(&"run.toml:2: `task`: duplicate key".to_owned()), "{found:#?}");
    assert!(found.iter().any(|line| line.starts_with("run.toml:7: not TOML")), "{found:#?}");
    assert!(
        found.iter().any(|line| line.starts_with("run.toml:6: `training.epocs`: unknown key")),
        "{found:#?}"
    );
}

#[test]
fn an_override_is_read_as_toml_then_as_a_string_and_must_be_known() {
    let mut document = Document::parse(GOOD, "run.toml");
    for assignment in ["training.learning_rate=3e-5", "task=sst2", "labels=['x', 'y']"] {
        document.set(assignment);
    }
    let root = document.root();
    assert_eq!(root.required::<String>("task"), "sst2");
    assert_eq!(root.required::<Vec<String>>("labels"), ["x", "y"]);
    assert_eq!(root.section("training").required::<f64>("learning_rate"), 3e-5);
    assert_eq!(
        complaints(GOOD, &["training.lr=1", "epochs", "task.x=1"]),
        [
            "--set: `epochs`: expected key=value",
            "--set: `task.x`: leads through the string \"cola\", not a table",
            "--set: `training.lr`: unknown key, did you mean `learning_rate`? (known: epochs, learning_rate, schedule)",
        ]
    );
}
