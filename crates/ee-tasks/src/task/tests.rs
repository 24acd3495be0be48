use super::*;

const GENERATION: &str = r#"
name = "echo"
kind = "generation"
prompt = "{text}"
references = ["text"]
metrics = ["exact_match"]
max_new_tokens = 5

[splits.dev]
files = ["dev.jsonl"]
"#;

const CLASSIFICATION: &str = r#"
name = "pairs"
text = ["text"]
label = "gold"
labels = ["wrong", "right"]
metrics = ["accuracy"]

[splits.dev]
files = ["dev.tsv"]
"#;

fn document(text: &str) -> Document {
    Document::parse(text, "task.toml")
}

#[test]
fn a_task_file_is_read_as_the_kind_that_it_states() {
    let any = |text: &str| AnyTask::from_document(document(text), Path::new(""));
    let generation = any(GENERATION).expect("a sound task");
    assert!(matches!(&generation, AnyTask::Generation(task) if task.max_new_tokens == 5));
    assert_eq!((generation.name(), generation.split_names()), ("echo", vec!["dev"]));
    let classification = any(CLASSIFICATION).expect("a sound task");
    assert!(matches!(&classification, AnyTask::Classification(task) if task.n_labels() == 2));
    assert_eq!(classification.evaluation_split(), "dev");
}

#[test]
fn the_wrong_kind_is_the_only_complaint() {
    let folder = Path::new("");
    let message = Task::from_document(document(GENERATION), folder).expect_err("other kind");
    assert_eq!(
        message.to_string(),
        "task.toml:3: `kind`: expected a classification task, found a generation task"
    );
    let stated = format!("kind = \"classification\"\n{CLASSIFICATION}");
    let message = GenerationTask::from_document(document(&stated), folder).expect_err("other kind");
    assert_eq!(
        message.to_string(),
        "task.toml:1: `kind`: expected a generation task, found a classification task"
    );
    let typo = GENERATION.replace("\"generation\"", "\"generatoin\"");
    let message = AnyTask::from_document(document(&typo), folder).expect_err("no such kind");
    assert_eq!(
        message.to_string(),
        "task.toml:3: `kind`: unknown value `generatoin`, did you mean `generation`? \
         (known: classification, generation)"
    );
}
