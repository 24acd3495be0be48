use super::*;
use crate::trace::sample;

const REQUEST: Request =
    Request { risk: 0.1, confidence: 0.9, against: Against::Full, step: 0.05, keep: 0.98, seed: 1 };

#[test]
fn a_certified_threshold_is_the_last_that_passed() {
    let trace = sample::random(600, 6, 2, 8);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    let certificate = &found.certificate;
    assert_eq!((certificate.n, certificate.needed, found.n), (300, 22, 600));
    assert_eq!(certificate.split, Split { seed: 1, calibration: 300, held_out: 300 });
    let halves = Halves::draw(&trace, 1);
    for (name, gate) in &found.gates {
        let (last, passed) = gate.tested.split_last().unwrap();
        assert!(passed.iter().all(|tested| tested.p_value <= 0.1), "{name}");
        assert!(last.p_value > 0.1, "{name}: exit 1 of random logits is no answer");
        assert_eq!(gate.certified, passed.last().copied(), "{name}");
        if let Some(certified) = gate.certified {
            let set = format!("{name}:{}", certified.threshold).parse().unwrap();
            let on = |half: &Trace| Point::of(half, set, Against::Full);
            assert_eq!(on(&halves.calibration).risk, certified.risk, "{name}");
            assert_eq!(on(&halves.held_out), gate.held_out, "{name}");
            assert!(gate.held_out.average_exit < 6.0, "{name}");
        }
    }
    assert!(found.gates.values().any(|gate| gate.certified.is_some()));
}

#[test]
fn the_rule_beside_it_is_that_of_gates_on_the_same_half() {
    let trace = sample::random(400, 5, 3, 2);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    let half = Halves::draw(&trace, 1).calibration;
    let results = crate::results::Results::of_trace(&half, 0.98, vec![]).unwrap();
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
    assert_eq!((found.n, found.certificate.n), (120, 60));
    assert!(found.notices[0].contains("full model's own context"), "{:?}", found.notices);
    for (name, gate) in &found.gates {
        assert!(gate.certified.is_some(), "{name}");
        assert_eq!(gate.rule.metric, "agreement", "{name}");
        assert!(gate.rule.held_out.risk < gate.held_out.risk, "{name}: 2 % of tokens are less");
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
        assert_eq!((gate.certified, gate.tested.len()), (None, 1), "{name}");
        assert_eq!(gate.held_out, Point { risk: 0.0, average_exit: 4.0 }, "{name}");
    }
}

#[test]
fn a_gate_that_is_always_wrong_is_named() {
    let wrong: Vec<&[u32]> = vec![&[0, 1]; 200];
    let trace = sample::of_predictions(&wrong, &[1; 200], 2);
    let found = calibrate(&trace, &REQUEST, vec![]).unwrap();
    // Two exits leave patience one threshold, which always fires.
    assert_eq!(found.notices.len(), 4, "{:?}", found.notices);
    let notice = &found.notices[0];
    assert!(notice.contains("confidence:0.95") && notice.contains("1.0000"), "{notice}");
    assert!(
        notice.contains("on 100 examples") && notice.contains("a smaller --step may"),
        "{notice}"
    );
    assert!(found.notices[3].ends_with("more would not help"), "{:?}", found.notices);
}

#[test]
fn a_text_that_the_model_wrote_is_no_gold() {
    let mut trace = sample::generated(&[2, 2, 2], 3, 9, 1);
    let request = Request { against: Against::Gold, ..REQUEST };
    let error = calibrate(&trace, &request, vec![]).unwrap_err();
    assert!(error.to_string().contains("--teacher-forced"), "{error}");
    trace.facts.generation.as_mut().unwrap().teacher_forced = true;
    assert_eq!(calibrate(&trace, &request, vec![]).unwrap().certificate.against, Against::Gold);
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
    assert_eq!(
        (read.certificate, read.notices),
        (found.certificate.clone(), found.notices.clone())
    );
    for part in ["With 90 % confidence", "at most 0.1", "these 300 were", "not lossless"] {
        assert!(page.contains(part), "{part}");
    }
    let csv = std::fs::read_to_string(folder.path().join("calibration.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + GATES.len());
}
