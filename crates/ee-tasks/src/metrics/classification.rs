//! Accuracy, F1 and Matthews correlation, with scikit-learn's conventions for zero divisions.

use super::Metric;

/// Share of correct predictions.
pub(super) struct Accuracy {
    pub(super) n_labels: usize,
}

/// F1 of label 1: `2 tp / (2 tp + fp + fn)`.
pub(super) struct F1 {
    pub(super) n_labels: usize,
}

/// Mean over labels of their F1; over those labels that occur, as scikit-learn's `average="macro"`.
pub(super) struct F1Macro {
    pub(super) n_labels: usize,
}

/// Matthews correlation for any number of labels (Gorodkin 2004):
/// `(c s − Σ p_k t_k) / √((s² − Σ p_k²)(s² − Σ t_k²))`.
pub(super) struct Matthews {
    pub(super) n_labels: usize,
}

/// The confusion table `[prediction, gold]` of one example, flattened.
fn cell(n_labels: usize, prediction: usize, gold: usize) -> Vec<f64> {
    assert!(prediction < n_labels && gold < n_labels, "labels are below {n_labels}");
    let mut table = vec![0.0; n_labels * n_labels];
    table[prediction * n_labels + gold] = 1.0;
    table
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

/// F1 from hits, predictions and golds; 0 where the label neither occurs nor is predicted.
fn f1([hits, predicted, gold]: [f64; 3]) -> f64 {
    if predicted + gold == 0.0 { 0.0 } else { 2.0 * hits / (predicted + gold) }
}

fn sign(name: &str, details: &str, n_labels: usize) -> String {
    format!("{name}|{details}labels:{n_labels}|ee-tasks:{}", env!("CARGO_PKG_VERSION"))
}

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }
    fn signature(&self) -> String {
        sign(self.name(), "", self.n_labels)
    }
    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64> {
        assert!(
            prediction < self.n_labels && gold < self.n_labels,
            "labels are below {}",
            self.n_labels
        );
        vec![f64::from(prediction == gold), 1.0]
    }
    fn score(&self, sum: &[f64]) -> f64 {
        sum[0] / sum[1]
    }
}

impl Metric for F1 {
    fn name(&self) -> &'static str {
        "f1"
    }
    fn signature(&self) -> String {
        sign(self.name(), "average:binary|positive:1|", self.n_labels)
    }
    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64> {
        cell(self.n_labels, prediction, gold)
    }
    fn score(&self, sum: &[f64]) -> f64 {
        f1(margins(self.n_labels, sum)[1])
    }
}

impl Metric for F1Macro {
    fn name(&self) -> &'static str {
        "f1_macro"
    }
    fn signature(&self) -> String {
        sign(self.name(), "average:macro|", self.n_labels)
    }
    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64> {
        cell(self.n_labels, prediction, gold)
    }
    fn score(&self, sum: &[f64]) -> f64 {
        let occurring: Vec<[f64; 3]> = margins(self.n_labels, sum)
            .into_iter()
            .filter(|[_, predicted, gold]| predicted + gold > 0.0)
            .collect();
        occurring.iter().copied().map(f1).sum::<f64>() / occurring.len() as f64
    }
}

impl Metric for Matthews {
    fn name(&self) -> &'static str {
        "matthews"
    }
    fn signature(&self) -> String {
        sign(self.name(), "", self.n_labels)
    }
    fn statistics(&self, prediction: usize, gold: usize) -> Vec<f64> {
        cell(self.n_labels, prediction, gold)
    }
    fn score(&self, sum: &[f64]) -> f64 {
        let margins = margins(self.n_labels, sum);
        let total: f64 = sum.iter().sum();
        let over = |term: fn(&[f64; 3]) -> f64| margins.iter().map(term).sum::<f64>();
        let covariance = over(|m| m[0]) * total - over(|m| m[1] * m[2]);
        let predicted = total * total - over(|m| m[1] * m[1]);
        let gold = total * total - over(|m| m[2] * m[2]);
        // One label alone, predicted or gold, correlates with nothing.
        if predicted * gold == 0.0 { 0.0 } else { covariance / (predicted * gold).sqrt() }
    }
}
