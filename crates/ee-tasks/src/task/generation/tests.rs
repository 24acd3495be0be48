use tempfile::TempDir;

use super::*;
use crate::config::Document;
use crate::fixture::folder;

const QUESTIONS: &str = r#"
name = "questions"
kind = "generation"
prompt = "Q: {question}\nA:"
references = ["answers"]
metrics = ["exact_match"]
max_new_tokens = 8
stop = ["\n", "Q:"]

[splits.train]
files = ["train.jsonl"]

[splits.dev]
files = ["dev.jsonl", "more.jsonl"]
"#;

const TRAIN: &str = r#"{"question": "1+1?", "answers": ["2"]}
{"question": "2+2?", "answers": ["4", "four"]}
{"question": "3+3?", "answers": ["6"]}
"#;
const DEV: &str = r#"{"question": "4+4?", "answers": ["8", "eight"]}
"#;
const MORE: &str = r#"
{"question": "5+5?", "answers": "10"}
"#;

fn task(text: &str) -> GenerationTask {
    let document = Document::parse(text, "task.toml");
    GenerationTask::from_document(document, Path::new("")).unwrap_or_else(|error| panic!("{error}"))
}

fn complaints(text: &str) -> String {
    let document = Document::parse(text, "task.toml");
    let error = GenerationTask::from_document(document, Path::new("")).expect_err("a faulty task");
    error.to_string()
}

/// The task's text with keys before its splits.
fn with(keys: &str) -> String {
    QUESTIONS.replace("[splits.train]", &format!("{keys}\n[splits.train]"))
}

fn data() -> TempDir {
    folder(&[("train.jsonl", TRAIN), ("dev.jsonl", DEV), ("more.jsonl", MORE)])
}

fn examples(text: &str, split: &str, data: &TempDir) -> Vec<TextExample> {
    let split = task(text).read_split(split, Some(data.path()), None);
    split.unwrap_or_else(|error| panic!("{error}")).examples
}

/// The error about a split, without the data folder.
fn refused(text: &str, split: &str, data: &TempDir) -> String {
    let error = task(text).read_split(split, Some(data.path()), None).expect_err("refused");
    error.to_string().replace(&format!("{}/", data.path().display()), "")
}

#[test]
fn a_row_becomes_a_prompt_its_references_and_its_response() {
    let found = examples(QUESTIONS, "dev", &data());
    let expected = TextExample {
        prompt: "Q: 4+4?\nA:".to_owned(),
        response: "8".to_owned(),
        references: vec!["8".to_owned(), "eight".to_owned()],
        line: 1,
    };
    assert_eq!(found[0], expected);
    assert_eq!((found[1].references.clone(), found[1].line), (vec!["10".to_owned()], 2));
    let stated = with("response = \" {answers.0} ({{{question}}})\"");
    assert_eq!(examples(&stated, "train", &data())[0].response, " 2 ({1+1?})");
}

#[test]
fn a_limit_and_a_part_are_taken_in_the_order_of_rows() {
    let data = data();
    let limited = task(QUESTIONS).read_split("train", Some(data.path()), Some(2)).expect("sound");
    assert_eq!(limited.examples.iter().map(|example| example.line).collect::<Vec<_>>(), [1, 2]);
    let rows = QUESTIONS.replace("[splits.dev]", "rows = [2, 3]\n[splits.dev]");
    assert_eq!(examples(&rows, "train", &data)[0].prompt, "Q: 2+2?\nA:");
    let beyond = QUESTIONS.replace("[splits.dev]", "rows = [4, 9]\n[splits.dev]");
    assert_eq!(
        refused(&beyond, "train", &data),
        "split `train` of task `questions` has no example left"
    );
}

#[test]
fn few_shot_examples_lead_every_prompt_and_are_not_asked_themselves() {
    let keys = "example = \"Q: {question}\\nA: {answers.0}\\n\\n\"\nshots = { split = \"train\", count = 2 }";
    let shown = "Q: 1+1?\nA: 2\n\nQ: 2+2?\nA: 4\n\n";
    let dev = examples(&with(keys), "dev", &data());
    assert_eq!(dev[0].prompt, format!("{shown}Q: 4+4?\nA:"));
    assert_eq!(dev[1].prompt, format!("{shown}Q: 5+5?\nA:"));
    let train = examples(&with(keys), "train", &data());
    assert_eq!(train.len(), 1);
    assert_eq!(train[0].prompt, format!("{shown}Q: 3+3?\nA:"));
    let too_many = with(&keys.replace("count = 2", "count = 4"));
    assert_eq!(
        refused(&too_many, "dev", &data()),
        "task `questions`: expected 4 examples to show, found 3"
    );
}

#[test]
fn examples_may_stand_in_the_task_file_itself() {
    let keys = "example = \"{question} {answer};\"\n\
                examples = [{ question = \"a\", answer = \"b\" }, { question = \"c\", answer = \"d\" }]";
    assert_eq!(examples(&with(keys), "dev", &data())[0].prompt, "a b;c d;Q: 4+4?\nA:");
    let lacking = complaints(&with(&keys.replace("answer = \"d\"", "anser = \"d\"")));
    assert_eq!(
        lacking,
        "task.toml:11: `examples`: item 2: no field `answer`, did you mean `anser`? (known: anser, question)"
    );
}

#[test]
fn a_list_expands_into_an_example_per_element() {
    let text = QUESTIONS
        .replace("{question}", "{summary} {qa.question}")
        .replace("[\"answers\"]", "[\"qa.answers.*.text\"]\nexpand = \"qa\"");
    let rows = r#"{"summary": "s", "qa": [{"question": "a", "answers": [{"text": "1"}, {"text": "2"}]}, {"question": "b", "answers": [{"text": "3"}]}]}
{"summary": "t", "qa": []}
{"summary": "u", "qa": [{"question": "c", "answers": [{"text": "4"}]}]}
"#;
    let nested = folder(&[("train.jsonl", rows)]);
    let found = examples(&text, "train", &nested);
    let seen: Vec<_> = found
        .iter()
        .map(|found| (found.prompt.as_str(), found.references.len(), found.line))
        .collect();
    assert_eq!(seen, [("Q: s a\nA:", 2, 1), ("Q: s b\nA:", 1, 1), ("Q: u c\nA:", 1, 3)]);
    let flat = folder(&[("train.jsonl", "{\"summary\": \"s\", \"qa\": \"a\"}\n")]);
    assert_eq!(
        refused(&text, "train", &flat),
        "train.jsonl: line 1: field `qa`: expected a list to expand"
    );
}

#[test]
fn values_are_put_into_words_and_an_unknown_one_is_named() {
    let text = format!("{QUESTIONS}\n[values.answers]\ntrue = \"yes\"\nfalse = \"no\"\n");
    let rows =
        "{\"question\": \"a\", \"answers\": true}\n{\"question\": \"b\", \"answers\": [false]}\n";
    let found = examples(&text, "train", &folder(&[("train.jsonl", rows)]));
    assert_eq!((found[0].response.as_str(), found[1].response.as_str()), ("yes", "no"));
    assert_eq!(
        refused(&text, "train", &folder(&[("train.jsonl", &rows.replace("true", "\"tru\""))])),
        "train.jsonl: line 1: field `answers`: unknown value `tru`, did you mean `true`? (known: false, true)"
    );
}

#[test]
fn another_template_holds_where_a_field_is_empty() {
    let text = with("prompt_without = { input = \"only {question}\" }").replace("A:", "{input}");
    let rows = r#"{"question": "a", "input": "i", "answers": "x"}
{"question": "b", "input": " ", "answers": "x"}
{"question": "c", "input": null, "answers": "x"}
"#;
    let found = examples(&text, "train", &folder(&[("train.jsonl", rows)]));
    let prompts: Vec<&str> = found.iter().map(|example| example.prompt.as_str()).collect();
    assert_eq!(prompts, ["Q: a\ni", "only b", "only c"]);
}

#[test]
fn a_list_fills_a_placeholder_one_a_line() {
    let text = QUESTIONS.replace("{question}", "{answers}");
    assert_eq!(examples(&text, "dev", &data())[0].prompt, "Q: 8\neight\nA:");
}

/// A task of sources and references line by line.
const PARALLEL: &str = r#"
name = "translation"
kind = "generation"
format = "parallel"
prompt = "{source}"
metrics = ["bleu"]
max_new_tokens = 8

[splits.dev]
source = "dev.de"
references = ["dev.en"]
"#;

#[test]
fn parallel_files_give_sources_with_all_their_references() {
    let bare = PARALLEL.replace("[\"dev.en\"]", "[\"dev.a.en\", \"dev.b.en\"]");
    let text = &bare.replace("{source}", "{source} =");
    let files = [
        ("dev.de", "eins\u{2028}\r\n\nzwei"),
        ("dev.a.en", "one\n\ntwo\n"),
        ("dev.b.en", "1\n0\n2\n"),
    ];
    let found = examples(text, "dev", &folder(&files));
    let seen: Vec<_> =
        found.iter().map(|found| (found.prompt.as_str(), &found.references[..])).collect();
    let texts = |pair: [&str; 2]| pair.map(str::to_owned);
    let expected = [texts(["one", "1"]), texts(["", "0"]), texts(["two", "2"])];
    assert_eq!(
        seen,
        [("eins\u{2028} =", &expected[0][..]), (" =", &expected[1]), ("zwei =", &expected[2])]
    );
    let kept = examples(&bare, "dev", &folder(&files));
    let blank: Vec<_> =
        kept.iter().map(|example| (example.prompt.as_str(), example.is_blank())).collect();
    assert_eq!(blank, [("eins\u{2028}", false), ("", true), ("zwei", false)]);
    let short = [files[0], files[1], ("dev.b.en", "1\n0\n")];
    assert_eq!(
        refused(text, "dev", &folder(&short)),
        "dev.b.en: expected 3 lines, as many as dev.de has, found 2"
    );
}

#[test]
fn faults_of_data_name_file_line_and_field() {
    let message = |row: &str| {
        refused(QUESTIONS, "train", &folder(&[("train.jsonl", &format!("{TRAIN}\n{row}\n"))]))
    };
    for (row, expected) in [
        (
            "{\"qestion\": \"a\", \"answers\": \"b\"}",
            "no field `question`, did you mean `qestion`? (known: answers, qestion)",
        ),
        ("{\"question\": \"a\"}", "no field `answers` (known: question)"),
        (
            "{\"question\": null, \"answers\": \"b\"}",
            "field `question`: expected text, found a null or NaN",
        ),
        (
            "{\"question\": {}, \"answers\": \"b\"}",
            "field `question`: expected text or a number, found a list or an object",
        ),
        (
            "{\"question\": \"a\", \"answers\": []}",
            "no reference in `answers`, expected one or more",
        ),
        (
            "{\"question\": \"a\", \"answers\": [null]}",
            "field `answers`: expected text, found a null or NaN",
        ),
    ] {
        assert_eq!(message(row), format!("train.jsonl: line 5: {expected}"));
    }
}

#[test]
fn an_answer_ends_at_the_first_stop_text() {
    let task = task(QUESTIONS);
    assert_eq!(task.answer(" 8 Q: next\nmore"), " 8 ");
    assert_eq!(task.answer(" 8\nQ: next"), " 8");
    assert_eq!(task.answer("eight"), "eight");
}

#[test]
fn every_fault_of_a_task_file_is_reported_at_once() {
    let text = with("shots = { split = \"tran\", count = 0 }")
        .replace("{question}", "{question")
        .replace("[\"answers\"]", "[]")
        .replace("= 8", "= 0")
        .replace("\"Q:\"", "\"\"")
        .replace("[\"exact_match\"]", "[\"exact_mach\"]")
        .replace("files = [\"train.jsonl\"]", "files = [\"train.jsonl\"]\nrows = [0, 2]");
    let found = complaints(&text);
    for expected in [
        "task.toml:4: `prompt`: a `{` stands alone, expected `{field}` or a doubled brace",
        "task.toml:5: `references`: expected at least one field",
        "task.toml:6: `metrics`: unknown metric `exact_mach`, did you mean `exact_match`?",
        "task.toml:7: `max_new_tokens`: expected 1 or more, found 0",
        "task.toml:8: `stop`: an empty text would end every answer at once",
        "task.toml:10: `shots.split`: unknown split `tran`, did you mean `train`?",
        "task.toml:10: `shots.count`: expected 1 or more, found 0",
        "task.toml:13: `splits.train.rows`: expected the first and the last row",
        "`example`: missing, expected the form in which examples are shown",
    ] {
        assert!(found.contains(expected), "{expected}\nin\n{found}");
    }
    let bare = complaints("kind = \"generation\"");
    for key in ["name", "prompt", "max_new_tokens", "splits"] {
        assert!(bare.contains(&format!("`{key}`: missing")), "{key} in\n{bare}");
    }
}

#[test]
fn an_empty_line_of_parallel_text_is_named_and_files_may_have_marks_and_carriage_returns() {
    let split = |source: &str, references: &str| {
        let data = folder(&[("dev.de", source), ("dev.en", references)]);
        task(PARALLEL).read_split("dev", Some(data.path()), None).expect("a split")
    };
    let blank = &split("\n", "\n").examples[0];
    assert_eq!(task(PARALLEL).answer_to(blank, "Yes."), "");
    let marked = split("\u{FEFF}eins\r\n\r\nzwei\r\n", "\u{FEFF}one\r\n\r\ntwo\r\n");
    let plain = split("eins\n\nzwei\n", "one\n\ntwo\n");
    assert_eq!(marked, plain);
    let expected = "split `dev`: an empty source is translated as empty, line 2";
    assert_eq!(plain.notice().as_deref(), Some(expected));
    assert_eq!(split("eins\n", "one\n").notice(), None);
    let many = split(&"\n".repeat(12), &"x\n".repeat(12)).notice().expect("blank lines");
    assert!(many.ends_with("lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"), "{many}");
}

#[test]
fn detokenized_texts_are_scored_and_the_signature_says_so() {
    let metrics = "[\"bleu:none\", \"bleu\"]\ndetokenize = \"moses:en\"";
    let text = &PARALLEL.replace("[\"bleu\"]", metrics);
    let (hypothesis, reference) = ("it &apos;s a sm@@ all dog .", "it's a small dog.");
    let scores = |text: &str| {
        let metrics = task(text).build_metrics(false).expect("metrics");
        let score = |metric: &dyn crate::TextMetric| {
            metric.score(&metric.statistics(hypothesis, &[reference]).expect("statistics"))
        };
        metrics
            .iter()
            .map(|metric| (score(&**metric), metric.signature(Some(1))))
            .collect::<Vec<_>>()
    };
    let found = scores(text);
    assert!(found[0].0 < 50.0 && !found[0].1.contains("detok"), "{found:?}");
    assert!((found[1].0 - 100.0).abs() < 1e-9, "{found:?}");
    assert!(found[1].1.ends_with("|detok:moses-en"), "{found:?}");
    let plain = scores(&text.replace("detokenize = \"moses:en\"", ""));
    assert!(plain[1].0 < 50.0 && !plain[1].1.contains("detok"), "{plain:?}");
    let wrong = complaints(&text.replace("moses:en", "moses"));
    assert!(wrong.contains("`detokenize`: expected `moses:` and a language"), "{wrong}");
}
