//! A running gate is the traced gate: same rows leave at the same exits with the same labels, in order,
//! whatever the batch.

mod fixture;

use std::path::Path;

use ee_decode::gates::{GATES, SetGate};
use ee_eval::trace::{Shard, Trace};
use ee_eval::{
    Leaving, Scorer, Selection, Subject, Workload, answers, curve, exits_on, ideal_exits, observe,
};
use ee_models::ExitModel;
use ee_tasks::Task;

/// The model and the task of a world.
fn open(world: &Path, shard: Shard) -> (Subject, Workload) {
    let subject = Subject::open(&world.join("model"), "cpu").unwrap();
    let task = Task::read(&world.join("task.toml")).unwrap();
    let selection = Selection { data_dir: None, split: None, limit: None, shard };
    let workload = Workload::read(&task, &selection, &subject.tokenizer(128).unwrap()).unwrap();
    (subject, workload)
}

fn traced(world: &Path, batch: usize) -> (Subject, Workload, Trace) {
    let (subject, workload) = open(world, Shard::WHOLE);
    let trace = observe(&subject, &workload, batch, Shard::WHOLE).unwrap();
    (subject, workload, trace)
}

#[test]
fn every_gate_leaves_where_the_trace_says_in_batches_of_any_size() {
    let world = fixture::world();
    let (subject, workload, trace) = traced(world.folder(), 8);
    let scorer = Scorer::new("accuracy", 2).unwrap();
    let ideal = ideal_exits(&trace);
    assert!(
        ideal.iter().collect::<std::collections::HashSet<_>>().len() == 6,
        "the sample's exits agree: {ideal:?}"
    );
    for batch in [1, 7, 32] {
        let batches = workload.batches(batch).unwrap();
        let (model, rows) = (subject.model(), workload.rows());
        let run = |leaving| answers(model, &batches, rows, leaving).unwrap();
        for &gate in GATES {
            let points = curve(&trace, gate, &scorer);
            for candidate in points.iter().step_by(1 + points.len() / 6) {
                let gate = SetGate { gate, threshold: candidate.threshold };
                let found = run(Leaving::Gate(gate));
                let expected = exits_on(gate, &trace);
                assert_eq!(found.exits, expected, "{gate} at batch {batch}");
                let labels: Vec<u32> = expected
                    .iter()
                    .enumerate()
                    .map(|(row, &exit)| trace.prediction(row, exit))
                    .collect();
                assert_eq!(found.predictions, labels, "{gate} at batch {batch}");
            }
        }
        let found = run(Leaving::Given(&ideal));
        assert_eq!(found.exits, ideal);
        let last = vec![model.n_layers(); rows];
        let whole = run(Leaving::Given(&last));
        assert_eq!(
            found.predictions, whole.predictions,
            "the ideal exit gives the full model's answers"
        );
    }
}

#[test]
fn batches_and_shards_change_nothing() {
    let world = fixture::world();
    let (_, _, single) = traced(world.folder(), 1);
    let (_, _, many) = traced(world.folder(), 32);
    // On the CPU a row's numbers are the same bits in any batch, so that a gate's threshold means the same.
    assert_eq!(single.signals, many.signals);
    let mut rows = 0;
    for index in 1..=3 {
        let shard = Shard { index, count: 3 };
        let (subject, workload) = open(world.folder(), shard);
        let part = observe(&subject, &workload, 32, shard).unwrap();
        for (row, &example) in part.example.iter().enumerate() {
            assert_eq!(part.predictions(row), many.predictions(example as usize));
            assert_eq!(part.gold[row], many.gold[example as usize]);
        }
        rows += part.rows();
    }
    assert_eq!(rows, fixture::ROWS);
}
