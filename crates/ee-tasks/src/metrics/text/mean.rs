//! Metrics that judge every example alone: the best value over its references, then the mean.
//!
//! ROUGE, exact match, token F1 and yes/no are all of this kind, so what differs between them is
//! one function from two texts to a value, and a name.

use super::TextMetric;
use crate::error::Error;

/// The mean over examples of the best value over an example's references.
pub(super) struct MeanOfBest {
    pub(super) name: &'static str,
    /// The signature's first fields: what is computed per example.
    pub(super) method: &'static str,
    /// The value, in 0..1, of a hypothesis against one reference.
    pub(super) value: fn(&str, &str) -> Result<f64, Error>,
}

impl TextMetric for MeanOfBest {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self, _n_references: Option<usize>) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("{}|aggregation:mean|references:max|ee-tasks:{version}", self.method)
    }

    /// The value and a 1, which counts the example.
    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error> {
        let mut best: Option<f64> = None;
        for reference in references {
            let value = (self.value)(hypothesis, reference)?;
            best = Some(best.map_or(value, |best| best.max(value)));
        }
        let best = best.ok_or_else(|| {
            let name = self.name;
            Error::Request(format!("metric `{name}` expects at least one reference, found none"))
        })?;
        Ok(vec![best, 1.0])
    }

    fn score(&self, sum: &[f64]) -> f64 {
        sum[0] / sum[1]
    }
}
