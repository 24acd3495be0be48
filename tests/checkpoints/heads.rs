//! Heads that are there, absent, of another task or in another order.

use ee_models::arch::bert::{Head, LabelOrder, TaskLabels};
use ee_models::checkpoint::{self};
use serde_json::json;

use crate::goldens;
use crate::{Stored, edit_config, folder, load, logits, new_head, stored};

#[test]
fn bare_encoders_get_an_announced_head() {
    for (golden, keeps_pooler) in
        [("bert-tiny", true), ("bert-tiny", false), ("roberta-tiny", false)]
    {
        for with_prefix in [true, false] {
            let tensors: Vec<Stored> = stored(golden)
                .into_iter()
                .filter(|tensor| !tensor.name.starts_with("classifier."))
                .filter(|tensor| keeps_pooler || !tensor.name.contains("pooler"))
                .map(|mut tensor| {
                    if !with_prefix {
                        tensor.name = tensor.name.split_once('.').unwrap().1.to_owned();
                    }
                    tensor
                })
                .collect();
            let folder = folder(golden, &tensors);
            let complaint = load(folder.path(), &Head::Required).unwrap_err();
            assert!(complaint.contains("no classification head"), "{complaint}");
            let loaded = load(folder.path(), &new_head()).unwrap();
            let expected = if keeps_pooler { 2 } else { 4 };
            assert_eq!(loaded.new_head.len(), expected, "{golden}: {:?}", loaded.new_head);
            assert_eq!(loaded.config.labels(), ["no", "yes"]);
            let again = load(folder.path(), &new_head()).unwrap();
            assert_eq!(logits(&loaded), logits(&again), "the seed alone decides");
        }
    }
}

#[test]
fn a_head_answers_in_the_order_of_the_task() {
    for golden in ["bert-tiny", "roberta-tiny"] {
        let folder = folder(golden, &stored(golden));
        let mut loaded = load(folder.path(), &Head::Required).unwrap();
        let n_labels = loaded.config.n_labels();
        let own: Vec<String> = (0..n_labels).map(|label| format!("Name{label}")).collect();
        let task: Vec<String> = own.iter().rev().map(|name| name.to_lowercase()).collect();
        let before = logits(&loaded);
        let labels = TaskLabels { names: &task, written: None, head_order: None };
        loaded.answer_in(&LabelOrder::of(&own, labels).unwrap());
        // Every dot product is computed as before, for another place.
        let turned: Vec<f32> =
            before.chunks(n_labels).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(logits(&loaded), turned);
        let names: Vec<String> = own.iter().rev().cloned().collect();
        assert_eq!(loaded.config.labels(), names);
        // And so it is written.
        let saved = tempfile::tempdir().unwrap();
        checkpoint::save(&loaded.model, loaded.config.to_json(), &loaded.names, saved.path())
            .unwrap();
        assert_eq!(logits(&load(saved.path(), &Head::Required).unwrap()), turned);
        // The two files have the same permissions.
        let mode = |name: &str| std::fs::metadata(saved.path().join(name)).unwrap().permissions();
        assert_eq!(mode("model.safetensors"), mode("config.json"));
    }
}

#[test]
fn a_head_of_another_task_makes_room_for_a_new_one() {
    let fresh = Head::New { labels: vec!["no".to_owned(), "yes".to_owned()], seed: 5 };
    // RoBERTa's head is two products, BERT's one after the pooler, which belongs to the encoder.
    for (golden, drawn) in [("bert-tiny", 2), ("roberta-tiny", 4)] {
        let loaded = load(&goldens::folder(golden), &fresh).unwrap();
        assert_eq!((loaded.new_head.len(), loaded.replaced.len()), (drawn, drawn), "{golden}");
        assert_eq!(loaded.config.labels(), ["no", "yes"]);
        let old = load(&goldens::folder(golden), &Head::Required).unwrap();
        assert_ne!(logits(&loaded), logits(&old));
        // A head that is there stays where no other is asked for.
        let kept = load(&goldens::folder(golden), &new_head()).unwrap();
        assert_eq!(logits(&kept), logits(&old));
    }
}

/// What transformers 4 and 5 ignore in `AutoModelForSequenceClassification.from_pretrained`, and what they draw.
#[test]
fn heads_of_other_classes_are_ignored_or_named() {
    let backbone = |golden: &str| -> Vec<Stored> {
        let tensors = stored(golden).into_iter();
        tensors.filter(|t| !t.name.contains("classifier") && !t.name.contains("pooler")).collect()
    };
    let tensor = |name: &str| {
        let (shape, values) = (vec![2, 16], vec![0.5; 32]);
        Stored { name: name.to_owned(), shape, values }
    };
    for (golden, others) in [
        ("bert-tiny", &["qa_outputs.weight", "qa_outputs.bias"][..]),
        ("bert-tiny", &["cls.predictions.transform.dense.weight", "cls.seq_relationship.weight"]),
        ("roberta-tiny", &["qa_outputs.weight", "qa_outputs.bias"]),
        ("roberta-tiny", &["lm_head.dense.weight", "lm_head.bias", "roberta.pooler.dense.weight"]),
    ] {
        let tensors: Vec<Stored> =
            backbone(golden).into_iter().chain(others.iter().map(|name| tensor(name))).collect();
        let folder = folder(golden, &tensors);
        let loaded = load(folder.path(), &new_head()).unwrap();
        assert_eq!((loaded.new_head.len(), loaded.unused.len()), (4, others.len()), "{others:?}");
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains("no classification head"), "{complaint}");
    }
    // A classifier of tokens has the same names and another meaning.
    let tokens: Vec<Stored> =
        backbone("roberta-tiny").into_iter().chain([tensor("classifier.weight")]).collect();
    let folder = folder("roberta-tiny", &tokens);
    edit_config(folder.path(), |config| {
        config.insert("architectures".to_owned(), json!(["RobertaForTokenClassification"]));
    });
    for head in [Head::Required, new_head()] {
        let complaint = load(folder.path(), &head).unwrap_err();
        assert!(complaint.contains("RobertaForTokenClassification"), "{complaint}");
    }
    let fresh = Head::New { labels: vec!["no".to_owned(), "yes".to_owned()], seed: 5 };
    assert_eq!(load(folder.path(), &fresh).unwrap().replaced, ["classifier.weight"]);
}
