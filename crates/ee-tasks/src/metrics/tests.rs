use serde::Deserialize;

use super::*;
use crate::fixture;

/// Predictions and gold labels with scikit-learn's scores, from scripts/goldens_metrics.py.
#[derive(Deserialize)]
struct Golden {
    name: String,
    n_labels: usize,
    prediction: Vec<usize>,
    gold: Vec<usize>,
    scores: std::collections::BTreeMap<String, f64>,
}

/// Ours and scikit-learn's differ by rounding alone; worst measured 4e-16.
const TOLERANCE: f64 = 1e-9;

/// Every registered metric that takes this number of labels.
fn registered(n_labels: usize) -> impl Iterator<Item = Box<dyn Metric>> {
    names().filter_map(move |name| by_name(name, n_labels).ok())
}

#[test]
fn every_metric_equals_scikit_learn() {
    let mut compared = 0;
    for golden in fixture::read::<Vec<Golden>>("metrics.json") {
        for metric in registered(golden.n_labels) {
            let expected = golden.scores[metric.name()];
            let found = score(metric.as_ref(), &golden.prediction, &golden.gold);
            let case =
                format!("{} of {}: {found}, scikit-learn {expected}", metric.name(), golden.name);
            assert!((found - expected).abs() <= TOLERANCE, "{case}");
            compared += 1;
        }
    }
    assert!(compared > 60, "only {compared} scores compared");
}

#[test]
fn every_metric_is_perfect_on_identity_and_better_there_than_elsewhere() {
    for n_labels in 2..6 {
        let gold: Vec<usize> = (0..60).map(|index| index % n_labels).collect();
        let wrong: Vec<usize> = gold.iter().map(|label| (label + 1) % n_labels).collect();
        for metric in registered(n_labels) {
            assert_eq!(score(metric.as_ref(), &gold, &gold), 1.0, "{}", metric.name());
            assert!(score(metric.as_ref(), &wrong, &gold) < 0.1, "{}", metric.name());
        }
    }
}

#[test]
fn every_metric_signs_itself_and_is_found_by_its_name() {
    for name in names() {
        let metric = by_name(name, 2).expect("registered");
        assert_eq!(metric.name(), name);
        assert!(metric.signature().starts_with(&format!("{name}|")), "{}", metric.signature());
    }
    let expected =
        format!("f1|average:binary|positive:1|labels:2|ee-tasks:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(by_name("f1", 2).expect("registered").signature(), expected);
}

#[test]
fn unknown_and_unfit_names_are_explained() {
    let unknown = by_name("mathews", 2).err().expect("unknown").to_string();
    assert!(
        unknown.contains("did you mean `matthews`? (known: accuracy, f1, f1_macro, matthews)"),
        "{unknown}"
    );
    let unfit = by_name("f1", 3).err().expect("unfit").to_string();
    assert!(unfit.contains("use `f1_macro`"), "{unfit}");
}

#[test]
fn the_interval_of_an_accuracy_is_near_the_normal_approximation() {
    let metric = by_name("accuracy", 2).expect("registered");
    let statistics: Vec<Vec<f64>> =
        (0..1000).map(|index| metric.statistics(usize::from(index % 5 == 0), 0)).collect();
    let interval = bootstrap(metric.as_ref(), &statistics, 1);
    // 0.8 ± 1.96 √(0.8 · 0.2 / 1000), and a percentile of 1000 resamples is good to about 0.003.
    let half = 1.96 * (0.8 * 0.2 / 1000.0_f64).sqrt();
    assert!((interval.low - (0.8 - half)).abs() < 0.005, "{interval:?}");
    assert!((interval.high - (0.8 + half)).abs() < 0.005, "{interval:?}");
    assert_eq!(interval, bootstrap(metric.as_ref(), &statistics, 1));
    assert_ne!(interval, bootstrap(metric.as_ref(), &statistics, 2));
}

#[test]
fn every_metric_has_an_interval_around_its_score() {
    for n_labels in [2, 4] {
        for metric in registered(n_labels) {
            let prediction = |index: usize| {
                if index.is_multiple_of(3) { (index / 3 + 1) % n_labels } else { index % n_labels }
            };
            let statistics: Vec<Vec<f64>> = (0..300)
                .map(|index| metric.statistics(prediction(index), index % n_labels))
                .collect();
            let predictions: Vec<usize> = (0..300).map(prediction).collect();
            let gold: Vec<usize> = (0..300).map(|index| index % n_labels).collect();
            let score = score(metric.as_ref(), &predictions, &gold);
            let interval = bootstrap(metric.as_ref(), &statistics, 0);
            assert!(
                interval.low < score && score < interval.high,
                "{} {score} {interval:?}",
                metric.name()
            );
        }
    }
}
