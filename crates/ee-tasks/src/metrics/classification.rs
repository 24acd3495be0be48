//! Accuracy, F1 and Matthews correlation, with scikit-learn's conventions for zero divisions.

use super::{Entry, Metric};

pub(super) const METRICS: &[Entry] = &[
    Entry { name: ACCURACY, labels: None, build: |n_labels| Box::new(Accuracy { n_labels }) },
    Entry { name: F1.name, labels: F1.labels, build: |n_labels| F1.of(n_labels) },
    Entry { name: F1_MACRO.name, labels: None, build: |n_labels| F1_MACRO.of(n_labels) },
    Entry { name: MATTHEWS.name, labels: None, build: |n_labels| MATTHEWS.of(n_labels) },
];

const ACCURACY: &str = "accuracy";

/// Share of correct predictions.
struct Accuracy {
    n_labels: usize,
}

/// A score of the whole confusion table.
struct Table {
    name: &'static str,
    details: &'static str,
    /// How many labels there must be, and which metric takes others.
    labels: Option<(usize, &'static str)>,
    /// From each label's hits, predictions and golds.
    score: fn(&[[f64; 3]]) -> f64,
}

/// F1 of label 1.
const F1: Table = Table {
    name: "f1",
    details: "average:binary|positive:1|",
    labels: Some((2, F1_MACRO.name)),
    score: |margins| f1(margins[1]),
};

/// Mean over labels of their F1; over those labels that occur, as scikit-learn's `average="macro"`.
const F1_MACRO: Table = Table {
    name: "f1_macro",
    details: "average:macro|",
    labels: None,
    score: |margins| {
        let occurs = |[_, predicted, gold]: &&[f64; 3]| predicted + gold > 0.0;
        let occurring: Vec<[f64; 3]> = margins.iter().filter(occurs).copied().collect();
        occurring.iter().copied().map(f1).sum::<f64>() / occurring.len() as f64
    },
};

/// Matthews correlation for any number of labels (Gorodkin 2004):
/// `(c s − Σ p_k t_k) / √((s² − Σ p_k²)(s² − Σ t_k²))`.
const MATTHEWS: Table = Table {
    name: "matthews",
    details: "",
    labels: None,
    score: |margins| {
        let over = |term: fn(&[f64; 3]) -> f64| margins.iter().map(term).sum::<f64>();
        let total = over(|m| m[1]);
        let covariance = over(|m| m[0]) * total - over(|m| m[1] * m[2]);
        let predicted = total * total - over(|m| m[1] * m[1]);
        let gold = total * total - over(|m| m[2] * m[2]);
        // One label alone, predicted or gold, correlates with nothing.
        if predicted * gold == 0.0 { 0.0 } else { covariance / (predicted * gold).sqrt() }
    },
};

/// One of them for a number of labels.
struct OfTable {
    table: &'static Table,
    n_labels: usize,
}

impl Table {
    fn of(&'static self, n_labels: usize) -> Box<dyn Metric> {
        Box::new(OfTable { table: self, n_labels })
    }
}

/// What the averages need of a confusion table: per label the hits, predictions and golds.
fn margins(n_labels: usize, table: &[f64]) -> Vec<[f64; 3]> {
    let predicted = |label: usize| (0..n_labels).map(|gold| table[label * n_labels + gold]).sum();
    let gold =
        |label: usize| (0..n_labels).map(|prediction| table[prediction * n_labels + label]).sum();
    (0..n_labels)
        .map(|label| [table[label * n_labels + label], predicted(label), gold(label)])
        .collect()
}

/// `2 tp / (2 tp + fp + fn)`; 0 where the label neither occurs nor is predicted.
fn f1([hits, predicted, gold]: [f64; 3]) -> f64 {
    if predicted + gold == 0.0 { 0.0 } else { 2.0 * hits / (predicted + gold) }
}

fn check(n_labels: usize, prediction: usize, gold: usize) {
    assert!(prediction < n_labels && gold < n_labels, "labels are below {n_labels}");
}

fn sign(name: &str, details: &str, n_labels: usize) -> String {
    format!("{name}|{details}labels:{n_labels}|ee-tasks:{}", env!("CARGO_PKG_VERSION"))
}

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        ACCURACY
    }

    fn signature(&self) -> String {
        sign(ACCURACY, "", self.n_labels)
    }

    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64> {
        check(self.n_labels, prediction, gold);
        vec![f64::from(prediction == gold), 1.0]
    }

    fn score(&self, sum: &[f64]) -> f64 {
        sum[0] / sum[1]
    }
}

impl Metric for OfTable {
    fn name(&self) -> &'static str {
        self.table.name
    }

    fn signature(&self) -> String {
        sign(self.table.name, self.table.details, self.n_labels)
    }

    /// The confusion table `[prediction, gold]` of one example, flattened.
    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64> {
        check(self.n_labels, prediction, gold);
        let mut table = vec![0.0; self.n_labels * self.n_labels];
        table[prediction * self.n_labels + gold] = 1.0;
        table
    }

    fn score(&self, sum: &[f64]) -> f64 {
        (self.table.score)(&margins(self.n_labels, sum))
    }
}
