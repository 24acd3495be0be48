use std::path::{Path, PathBuf};

use super::length::{Bin, Place};
use super::report::IdealResults;
use super::tables::columns;
use super::*;
use crate::trace::{
    MetricFacts, Shard, TextRecord, Trace, sample, write as write_trace, write_texts,
};

/// Right ÷ asked: two statistics.
fn right(name: &str) -> Result<ee_tasks::metrics::text::ScoreFunction> {
    assert!(["right", "run"].contains(&name), "{name} is not asked for");
    Ok(Box::new(|sum| sum[0] / sum[1]))
}

fn metric(name: &str) -> MetricFacts {
    MetricFacts { name: name.to_owned(), signature: format!("{name}|test") }
}

/// Two texts: one of 1 token with ideal exit 2, one of 3 tokens with ideal exits 1, 3, 1.
fn text_trace() -> Trace {
    let rows: [&[u32]; 4] = [&[5, 7, 7], &[1, 1, 1], &[2, 3, 4], &[4, 2, 4]];
    let mut trace = sample::as_text(sample::of_predictions(&rows, &[7, 1, 4, 4], 9), &[1, 3]);
    trace.facts.metrics = vec![metric("right"), metric("run")];
    trace
}

fn two_texts() -> [TextRecord; 2] {
    let mut texts = [
        sample::text(0, 1, &[("right", &[1.0, 2.0])]),
        sample::text(1, 3, &[("right", &[2.0, 2.0])]),
    ];
    texts[1].ended = false;
    texts
}

/// Writes a trace, and its texts if there are any.
fn store(folder: &Path, name: &str, trace: &Trace, of: &[TextRecord]) -> PathBuf {
    let path = folder.join(format!("{name}.parquet"));
    write_trace(trace, &path).unwrap();
    if !of.is_empty() {
        write_texts(&path, of).unwrap();
    }
    path
}

/// The three kinds of traces: greedy with texts, teacher-forced, classification.
fn three(folder: &Path) -> [PathBuf; 3] {
    let mut forced = text_trace();
    forced.facts.generation.as_mut().unwrap().teacher_forced = true;
    let texts = two_texts().map(|text| TextRecord { statistics: Default::default(), ..text });
    let mut labels = sample::of_predictions(&[&[1, 0, 1], &[0, 0, 1]], &[1, 0], 2);
    labels.facts.task = "labels".to_owned();
    [
        store(folder, "greedy", &text_trace(), &two_texts()),
        store(folder, "forced", &forced, &texts),
        store(folder, "labels", &labels, &[]),
    ]
}

#[test]
fn figures_of_two_texts_that_can_be_checked_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path(), "greedy", &text_trace(), &two_texts());
    let found = &summaries_with(&[path], &right).unwrap()[0];
    assert_eq!((found.model.as_str(), found.mode), ("sample", Mode::Greedy));
    assert_eq!((found.layers, found.tokens, found.examples), (3, 4, 2));
    let ideal = &found.ideal;
    assert_eq!((ideal.max, ideal.average, ideal.perc), (3, 1.75, 0.75));
    assert_eq!((&ideal.histogram[..], ideal.saturation_average), (&[2, 1, 1][..], 2.25));
    let place = |position, average_exit, tokens| Place { position, average_exit, tokens };
    let bin = |length: u32, average_exit| Bin {
        from: length,
        to: length,
        average: f64::from(length),
        average_exit,
        count: 1,
    };
    let expected = Generated {
        average_length: 2.0,
        average_prompt_length: 10.5,
        ended: Some(0.5),
        by_position: vec![place(0, 1.5, 2), place(1, 3.0, 1), place(2, 1.0, 1)],
        by_length: vec![bin(1, 2.0), bin(3, 5.0 / 3.0)],
    };
    assert_eq!(found.generated, Some(expected));
    // Two texts can be drawn as 0 0, 0 1 or 1 1.
    let expected = MetricScore {
        name: "right".to_owned(),
        signature: "right|test".to_owned(),
        score: Some(0.75),
        interval: Some([0.5, 1.0]),
        constant: None,
        examples: 2,
    };
    assert_eq!(found.scores[0], expected);
    assert_eq!((found.scores[1].score, found.scores[1].examples), (None, 0));
    assert_eq!(found.notices, ["run was not computed when the texts were made"]);
}

#[test]
fn the_table_has_the_papers_shape() {
    let folder = tempfile::tempdir().unwrap();
    let found = summaries_with(&three(folder.path()), &right).unwrap();
    assert_eq!(
        table(&found).plain(),
        "\
task    split       mode            model   exits  Max   Avg    Perc  score                constant         length
sample  validation  greedy          sample      3    3  1.75  75.0 %  right 0.7500, run –  –                  2.00
sample  validation  teacher-forced  sample      3    3  1.75  75.0 %  –                    –                  2.00
labels  validation  classification  sample      3    3  2.00  50.0 %  accuracy 0.5000      accuracy 0.5000       –
"
    );
    let csv = columns(&found).csv();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "task,split,mode,model,objective,exits,max,average,perc,chance_average,saturation_average,tokens,examples,\
         length,prompt_length,ended,right,right_low,right_high,right_constant,run,run_low,run_high,run_constant,\
         accuracy,accuracy_low,accuracy_high,accuracy_constant"
    );
    assert_eq!(
        lines.next().unwrap(),
        "sample,validation,greedy,sample,unknown,3,3,1.75,0.75,2.515625,2.25,4,2,2,10.5,0.5,0.75,0.5,1,,,,,,,,,"
    );
    assert!(lines.next().unwrap().ends_with(",10.5,,,,,,,,,,,,,"));
    assert!(lines.next().unwrap().ends_with(",2,2,,,,,,,,,,,,0.5,0,1,0.5"));
}

#[test]
fn shards_among_other_traces_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [greedy, forced, labels] = three(folder.path());
    let whole = text_trace();
    let parts: Vec<PathBuf> = [1_u32, 2]
        .into_iter()
        .map(|index| {
            let shard = Shard { index, count: 2 };
            let rows: Vec<usize> =
                (0..4).filter(|&row| shard.holds(whole.example[row] as usize)).collect();
            let mut part = whole.select(&rows);
            part.facts.shard = shard;
            part.facts.seconds = 0.5;
            let text = &two_texts()[index as usize - 1];
            store(folder.path(), &format!("part-{index}"), &part, std::slice::from_ref(text))
        })
        .collect();
    let order = [&parts[1], &forced, &parts[0], &labels].map(Clone::clone);
    let merged = summaries_with(&order, &right).unwrap();
    let alone = summaries_with(&[greedy], &right).unwrap();
    assert_eq!(merged.len(), 3);
    assert_eq!(
        (&merged[0].ideal, &merged[0].scores, &merged[0].generated, &merged[0].notices),
        (&alone[0].ideal, &alone[0].scores, &alone[0].generated, &alone[0].notices)
    );
    assert_eq!(merged[1].mode, Mode::TeacherForced);
    assert_eq!(merged[2].mode, Mode::Classification);

    let part = &summaries_with(&parts[1..], &right).unwrap()[0];
    assert!(part.notices.iter().any(|notice| notice.contains("shard 1/2")), "{:?}", part.notices);
    assert_eq!((part.examples, part.scores[0].score), (1, Some(1.0)));
}

#[test]
fn without_texts_there_are_no_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path(), "greedy", &text_trace(), &[]);
    let found = summaries_with(&[path], &right).unwrap();
    assert_eq!(found[0].scores.iter().map(|score| score.score).collect::<Vec<_>>(), [None, None]);
    assert_eq!(found[0].generated.as_ref().unwrap().ended, None);
    let [notice] = notices(&found).try_into().unwrap();
    assert!(notice.contains("greedy.texts.jsonl is missing"), "{notice}");
    assert!(
        table(&found).plain().contains("75.0 %  –      –           2.00"),
        "{}",
        table(&found).plain()
    );
}

#[test]
fn empty_texts_count_as_examples() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [&two_texts()[..], &[sample::text(2, 0, &[("right", &[0.0, 2.0])])]].concat();
    let path = store(folder.path(), "greedy", &text_trace(), &texts);
    let found = &summaries_with(&[path], &right).unwrap()[0];
    let generated = found.generated.as_ref().unwrap();
    assert_eq!((found.examples, found.tokens, found.scores[0].score), (3, 4, Some(0.5)));
    assert_eq!((generated.average_length, generated.average_prompt_length), (4.0 / 3.0, 11.0));
    assert_eq!(generated.by_length.iter().map(|bin| bin.count).sum::<usize>(), 2);
}

#[test]
fn texts_of_another_run_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |texts: &[TextRecord]| {
        let path = store(folder.path(), "greedy", &text_trace(), texts);
        summaries_with(&[path], &right).unwrap_err().to_string()
    };
    let [first, second] = two_texts();
    let longer = TextRecord { new_tokens: 9, ..second.clone() };
    assert!(refused(&[first.clone(), longer]).contains("9 new tokens here and 3 in the trace"));
    assert!(refused(std::slice::from_ref(&first)).contains("example 1 of the trace has no text"));
    let twice = refused(&[first.clone(), second.clone(), second.clone()]);
    assert!(twice.contains("greedy.texts.jsonl: example 1 stands twice"), "{twice}");
    let mut uneven = second;
    uneven.statistics.insert("right".to_owned(), vec![1.0]);
    assert!(refused(&[first, uneven]).contains("2 and 1 statistics"));
}

#[test]
fn a_metric_of_some_texts_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let [first, mut second] = two_texts();
    second.statistics.clear();
    let path = store(folder.path(), "greedy", &text_trace(), &[first, second]);
    let found = &summaries_with(&[path], &right).unwrap()[0];
    assert_eq!((found.scores[0].score, found.scores[0].examples), (Some(0.5), 1));
    assert!(found.notices[0].contains("1 of 2 examples"), "{:?}", found.notices);
}

#[test]
fn registered_metrics_score_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let bleu = ee_tasks::metrics::text::by_name("bleu", false).unwrap();
    let says = |text: &str| bleu.statistics(text, &["the cat sat on the mat"]).unwrap();
    let texts = |answer: &str| {
        let mut texts = two_texts();
        for text in &mut texts {
            text.statistics = [
                ("bleu".to_owned(), says(answer)),
                ("pass@1".to_owned(), vec![f64::from(text.example), 1.0]),
            ]
            .into();
        }
        texts
    };
    let mut trace = text_trace();
    trace.facts.metrics = vec![metric("bleu"), metric("pass@1")];
    let scores = |answer: &str| {
        let path = store(folder.path(), "greedy", &trace, &texts(answer));
        summaries(&[path]).unwrap().remove(0).scores
    };
    let [found, passed] = scores("the cat sat on the mat").try_into().unwrap();
    let is_perfect = |score: f64| (score - 100.0).abs() < 1e-9;
    assert!(
        is_perfect(found.score.unwrap()) && found.interval.unwrap().map(is_perfect) == [true; 2]
    );
    // Stored results of programs are scored with no permission to run any.
    assert_eq!((passed.score, passed.interval), (Some(0.5), Some([0.0, 1.0])));
    let score = scores("the cat sat on a mat")[0].score.unwrap();
    assert!(0.0 < score && score < 100.0, "{score}");
}

#[test]
fn an_unknown_metric_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path(), "greedy", &text_trace(), &two_texts());
    let error = summaries(&[path]).unwrap_err();
    assert!(matches!(&error, EvalError::Metric { name, .. } if name == "right"), "{error}");
}

#[test]
fn no_trace_is_an_error() {
    assert!(matches!(summaries(&[]), Err(EvalError::Empty { .. })));
}

#[test]
fn models_are_told_apart_by_the_folders_above() {
    let facts = |model: &str, sha: &str| {
        let mut facts = sample::facts(1, 2, 2);
        facts.model = model.to_owned();
        facts.checkpoint_sha256 = sha.to_owned();
        facts
    };
    let three = [facts("/runs/a/best", "1"), facts("runs/b/best/", "2"), facts("runs/c", "3")];
    assert_eq!(names(&three.each_ref()), ["a/best", "b/best", "c"]);
    let moved = [facts("best", "1"), facts("best", "2"), facts("x/best", "1")];
    assert_eq!(names(&moved.each_ref()), ["best", "best", "x/best"]);
}

#[test]
fn the_report_holds_every_task() {
    let folder = tempfile::tempdir().unwrap();
    let found = summaries_with(&three(folder.path()), &right).unwrap();
    let output = folder.path().join("ideal");
    let page = write(found.clone(), &output).unwrap();
    let read = |name: &str| std::fs::read_to_string(output.join(name)).unwrap();
    let stored: IdealResults = serde_json::from_str(&read("results.json")).unwrap();
    assert_eq!(stored.summaries, found);
    assert_eq!(read("ideal.csv"), columns(&found).csv());
    // Three plots for each of the two traces of text, one for the classification.
    assert_eq!(std::fs::read_dir(output.join("plots")).unwrap().count(), 7);
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 7);
    for text in
        ["Ideal exits: labels, validation, classification", "right 0.7500, run –", "right|test"]
    {
        assert!(
            page.contains(text) && read("report.md").contains(&text.replace('|', "\\|")),
            "{text}"
        );
    }
}
