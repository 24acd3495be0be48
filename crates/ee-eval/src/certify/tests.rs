use super::*;
use crate::trace::sample;

const REQUEST: Request =
    Request { risk: 0.1, confidence: 0.9, against: Against::Full, keep: 0.98, seed: 1 };

#[test]
fn a_certified_threshold_is_the_last_that_passed() {
    let trace = sample::random(600, 6, 2, 8);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    let promised = &found.promised;
    assert_eq!((promised.n, promised.needed, found.n), (300, 22, 600));
    // Five lines: ln 0.02 / ln 0.9.
    assert_eq!((promised.lines, promised.level_of_all, promised.needed_of_all), (5, 0.02, 38));
    assert_eq!(promised.split, Split { seed: 1, calibration: 300, held_out: 300 });
    let halves = Halves::draw(&trace, 1);
    for (name, gate) in &found.gates {
        let (last, passed) = gate.tested.split_last().unwrap();
        assert!(passed.iter().all(|tested| tested.p_value <= 0.1), "{name}");
        assert!(last.p_value > 0.1, "{name}: exit 1 of random logits is no answer");
        assert_eq!(gate.alone.certified, passed.last().copied(), "{name}");
        let among_all = passed.iter().take_while(|tested| tested.p_value <= 0.02).last();
        assert_eq!(gate.among_all.certified, among_all.copied(), "{name}");
        for line in [gate.alone, gate.among_all] {
            let Some(certified) = line.certified else { continue };
            let set = format!("{name}:{}", certified.threshold).parse().unwrap();
            let on = |half: &Trace| Point::of(half, set, Against::Full);
            assert_eq!(on(&halves.calibration).risk, certified.risk, "{name}");
            assert_eq!(on(&halves.held_out), line.held_out, "{name}");
            assert!(line.held_out.average_exit < 6.0, "{name}");
        }
    }
    let best = found.best.unwrap();
    for gate in found.gates.values().filter(|gate| gate.among_all.certified.is_some()) {
        assert!(best.held_out.average_exit <= gate.among_all.held_out.average_exit);
    }
    assert_eq!(found.gates[&best.gate].among_all.certified, Some(best.certified));
}

#[test]
fn two_labels_certify_the_same_whatever_ranks_them() {
    // Logits that are not round numbers; the surer an exit is, the more often it agrees with the last one.
    let trace = sample::continuous(3000, 6, 5);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    let of = |name: &str| {
        let gate = &found.gates[name];
        let certified = gate.alone.certified.unwrap();
        (certified.risk, certified.p_value, gate.alone.held_out, gate.among_all.held_out)
    };
    assert_eq!(of("confidence"), of("margin"));
    assert_eq!(of("confidence"), of("entropy"));
    assert!(of("confidence").2.average_exit < 5.9, "{:?}", of("confidence"));
}

#[test]
fn what_is_tested_follows_from_the_half_that_does_not_decide() {
    let trace = sample::continuous(400, 5, 3);
    let tried = |trace: &Trace| -> Vec<f32> {
        let found = calibrate(trace, &Request { risk: 0.9, ..REQUEST }, vec![]).unwrap();
        found.gates["margin"].tested.iter().map(|tested| tested.threshold).collect()
    };
    let thresholds = tried(&trace);
    let deciding = Halves::draw(&trace, 1).calibration.example;
    // Other signals of the deciding half change nothing, the same of the other half do.
    let mut other = trace.clone();
    for &row in &deciding {
        let row = row as usize;
        other.signals.margin[5 * row..5 * row + 5].iter_mut().for_each(|margin| *margin /= 2.0);
    }
    let same = tried(&other);
    let n = same.len().min(thresholds.len());
    assert!(n > 50 && same[..n] == thresholds[..n]);
    let mut other = trace.clone();
    other.signals.margin.iter_mut().for_each(|margin| *margin /= 2.0);
    assert_ne!(tried(&other)[..5], thresholds[..5]);
}

#[test]
fn examples_that_chose_the_checkpoint_are_named() {
    let mut trace = sample::random(100, 4, 2, 1);
    let said = |trace: &Trace| calibrate(trace, &REQUEST, vec![]).unwrap().notices.join("\n");
    assert!(!said(&trace).contains("chose this checkpoint"));
    trace.facts.training = crate::trace::TrainedOn {
        task: Some("sample".into()),
        training_split: Some("train".into()),
        chosen_on: Some("validation".into()),
    };
    assert!(said(&trace).contains("`validation` also chose this checkpoint"), "{}", said(&trace));
    trace.facts.split = "train".into();
    assert!(said(&trace).contains("`train` taught this checkpoint"), "{}", said(&trace));
    trace.facts.split = "test".into();
    assert!(!said(&trace).contains("this checkpoint"), "{}", said(&trace));
}

#[test]
fn the_rule_that_a_constant_answer_keeps_is_not_praised() {
    // Exit 1 answers label 1 for all and is right on nine of ten, exits 2 and 3 are right on one more of twenty.
    let rows: Vec<&[u32]> = (0..200)
        .map(|row| match row % 20 {
            0 => &[1, 0, 0][..],
            _ => &[1, 1, 1][..],
        })
        .collect();
    let gold: Vec<u32> = (0..200).map(|row| u32::from(row % 20 > 1)).collect();
    let trace = sample::of_predictions(&rows, &gold, 2);
    let found = calibrate(&trace, &Request { keep: 0.9, ..REQUEST }, vec![]).unwrap();
    for (name, gate) in &found.gates {
        assert_eq!(gate.rule.only_label.as_deref(), Some("label_1"), "{name}");
    }
    let said = found.notices.join("\n");
    for part in ["exit 1 gives every example", "that is the constant answer", "shows nothing here"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(table(&found).plain().contains("always `label_1`"));
}

#[test]
fn the_rule_beside_it_is_that_of_gates_on_the_same_half() {
    let trace = sample::random(400, 5, 3, 2);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    let half = Halves::draw(&trace, 1).calibration;
    let results = crate::labels::results::Results::of_trace(&half, 0.98, vec![]).unwrap();
    for (name, gate) in &found.gates {
        assert_eq!(gate.rule.threshold, results.gates[name].threshold, "{name}");
        assert_eq!(gate.rule.metric, "accuracy");
    }
}

#[test]
fn texts_are_calibrated_by_text() {
    let lengths: Vec<u32> = (0..120).map(|text| 1 + text % 9).collect();
    let trace = sample::generated(&lengths, 4, 12, 3);
    let found = calibrate(&trace, &Request { risk: 0.5, ..REQUEST }, vec![]).unwrap();
    assert_eq!((found.n, found.promised.n), (120, 60));
    assert!(found.notices[0].contains("full model's own context"), "{:?}", found.notices);
    for gate in ee_decode::gates::GATES {
        let (name, gate) = (gate.name(), &found.gates[gate.name()]);
        assert!(gate.alone.certified.is_some(), "{name}");
        assert_eq!(gate.rule.metric, "agreement", "{name}");
        assert!(
            gate.rule.held_out.risk < gate.alone.held_out.risk,
            "{name}: 2 % of tokens are less"
        );
    }
}

#[test]
fn too_few_examples_say_how_many_are_needed() {
    let trace = sample::random(100, 4, 2, 1);
    let request = Request { risk: 0.05, confidence: 0.95, ..REQUEST };
    let found = calibrate(&trace, &request, vec![]).unwrap();
    assert_eq!(found.notices.len(), 1);
    for part in ["50 calibration examples are too few, 59 are needed", "118 in the whole trace"] {
        assert!(found.notices[0].contains(part), "{:?}", found.notices);
    }
    for (name, gate) in &found.gates {
        assert_eq!((gate.alone.certified, gate.tested.len()), (None, 1), "{name}");
        assert_eq!(gate.alone.held_out, Point { risk: 0.0, average_exit: 4.0 }, "{name}");
    }
    assert_eq!(found.best, None);
    // Enough for one line, not for the best of five: ln 0.01 / ln 0.95.
    let found = calibrate(&sample::random(140, 4, 2, 1), &request, vec![]).unwrap();
    let said = found.notices.join("\n");
    assert!(said.contains("the best of 5 lines") && said.contains("90 are needed"), "{said}");
}

#[test]
fn a_gate_that_is_always_wrong_is_named() {
    let wrong: Vec<&[u32]> = vec![&[0, 1]; 200];
    let trace = sample::of_predictions(&wrong, &[1; 200], 2);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    let said = found.notices.join("\n");
    for gate in rules() {
        let part = format!("no threshold of {} could be certified", gate.name());
        assert!(said.contains(&part), "{said}");
    }
    for part in ["the risk is 1.0000 on 100 examples", "more would not help"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_text_that_the_model_wrote_is_no_gold() {
    let mut trace = sample::generated(&[2, 2, 2], 3, 9, 1);
    let request = Request { against: Against::Gold, ..REQUEST };
    let error = calibrate(&trace, &request, vec![]).unwrap_err();
    assert!(error.to_string().contains("--teacher-forced"), "{error}");
    trace.facts.generation.as_mut().unwrap().teacher_forced = true;
    assert_eq!(calibrate(&trace, &request, vec![]).unwrap().promised.against, Against::Gold);
    let one = sample::generated(&[5], 3, 9, 1);
    assert!(matches!(calibrate(&one, &REQUEST, vec![]), Err(EvalError::Empty { .. })));
}

#[test]
fn what_is_written_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let found = calibrate(&sample::random(600, 6, 2, 8), &REQUEST, vec![]).unwrap();
    let page = std::fs::read_to_string(write(&found, folder.path()).unwrap()).unwrap();
    let stored = std::fs::read_to_string(folder.path().join("results.json")).unwrap();
    assert_eq!(stored, serde_json::to_string_pretty(&found).unwrap() + "\n");
    // Reading may round the last digit of a number.
    let read: Calibration = serde_json::from_str(&stored).unwrap();
    assert_eq!((read.promised, read.notices), (found.promised.clone(), found.notices.clone()));
    for part in ["With 90 % confidence", "at most 0.1", "these 300 were", "not lossless"] {
        assert!(page.contains(part), "{part}");
    }
    let csv = std::fs::read_to_string(folder.path().join("calibration.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + rules().count());
}
