//! An attention of a test, and its values and gradients by the formulas in f64.

use super::*;
use crate::reference::{assert_close, numbers};

#[derive(Clone)]
pub(super) struct Case {
    pub(super) shape: AttentionShape,
    /// Query, key, value, bias.
    pub(super) inputs: [Vec<f32>; 4],
    pub(super) out_gradient: Vec<f32>,
}

impl Case {
    /// Rows of right-padded queries and keys, all of which are seen.
    pub(super) fn whole(
        [queries, slots]: [usize; 2],
        [heads, kv_heads, head_dim]: [usize; 3],
        lengths: &[(usize, usize)],
    ) -> Self {
        let [of_queries, of_keys]: [Vec<usize>; 2] = [
            lengths.iter().map(|pair| pair.0).collect(),
            lengths.iter().map(|pair| pair.1).collect(),
        ];
        let shape = AttentionShape::whole(queries, heads, head_dim, &of_queries);
        Self::new(AttentionShape { kv_heads, ..shape.over(slots, &of_keys) })
    }

    /// Queries that stand at the slots from `first` on; rows hold tokens in the given slots.
    pub(super) fn causal(
        [queries, slots]: [usize; 2],
        [heads, kv_heads, head_dim]: [usize; 3],
        first: usize,
        window: Option<usize>,
        held: &[Range<usize>],
    ) -> Self {
        let shape = AttentionShape::whole(queries, heads, head_dim, &[]);
        let shape = shape.causal(slots, first, window, held.into());
        Self::new(AttentionShape { kv_heads, ..shape })
    }

    fn new(shape: AttentionShape) -> Self {
        let of_queries = shape.held.len() * shape.queries * shape.heads * shape.head_dim;
        let of_keys = shape.held.len() * shape.slots * shape.kv_heads * shape.head_dim;
        let inputs = [numbers(of_queries, 1), numbers(of_keys, 2), numbers(of_keys, 3), Vec::new()];
        let shape = AttentionShape { scale: 0.7, ..shape };
        Self { shape, inputs, out_gradient: numbers(of_queries, 4) }
    }

    pub(super) fn with_bias(mut self) -> Self {
        let AttentionShape { heads, queries, slots, .. } = self.shape;
        self.inputs[3] = numbers(heads * queries * slots, 5);
        self
    }

    pub(super) fn with_dropout(mut self, dropout: Dropout) -> Self {
        self.shape.dropout = dropout;
        self
    }

    fn views(&self) -> AttentionInputs<'_> {
        let [query, key, value, bias] = &self.inputs;
        AttentionInputs { query, key, value, bias: Some(&bias[..]).filter(|b| !b.is_empty()) }
    }

    /// Output and log Σ exp.
    pub(super) fn forward(&self) -> [Vec<f32>; 2] {
        let n = self.inputs[0].len();
        let (mut out, mut log_sum_exp) = (vec![f32::NAN; n], vec![0.0; n / self.shape.head_dim]);
        attention_forward(&self.shape, self.views(), &mut out, &mut log_sum_exp);
        [out, log_sum_exp]
    }

    /// dQ, dK, dV and the gradient of the bias.
    pub(super) fn backward(&self) -> [Vec<f32>; 4] {
        let [out, log_sum_exp] = self.forward();
        let mut found = self.inputs.clone().map(|input| vec![f32::NAN; input.len()]);
        let [query, key, value, bias] = &mut found;
        let bias = Some(&mut bias[..]).filter(|bias| !bias.is_empty());
        let gradients = AttentionGradients { query, key, value, bias };
        let inputs = self.views();
        let of_out = &self.out_gradient;
        attention_backward(&self.shape, inputs, &out, &log_sum_exp, of_out, gradients);
        found
    }

    fn sees(&self, row: usize, query: usize) -> Vec<usize> {
        let slots = self.shape.held[row].clone();
        let seen = |&slot: &usize| match self.shape.sight {
            Sight::Whole => true,
            Sight::Causal { first, window } => {
                slot <= first + query && window.is_none_or(|n| slot + n > first + query)
            }
        };
        slots.filter(seen).collect()
    }

    /// Output, dQ, dK, dV and the gradient of the bias, element by element.
    fn expected(&self) -> [Vec<f64>; 5] {
        let [query, key, value, bias] = self.inputs.each_ref().map(|input| vec![0.0; input.len()]);
        let mut found = [query.clone(), query, key, value, bias];
        for row in 0..self.shape.held.len() {
            for query in self.shape.live[row].clone() {
                for head in 0..self.shape.heads {
                    self.expected_query(row, query, head, &mut found);
                }
            }
        }
        found
    }

    fn expected_query(&self, row: usize, query: usize, head: usize, found: &mut [Vec<f64>; 5]) {
        let AttentionShape { heads, kv_heads, head_dim: d, .. } = self.shape;
        let [out, dq, dk, dv, db] = found;
        let [q, k, v, b] = &self.inputs;
        let q_at = ((row * self.shape.queries + query) * heads + head) * d;
        let origin =
            self.shape.origins.as_ref().map_or((row * self.shape.slots) as isize, |all| all[row]);
        let k_at = |slot: usize| {
            ((origin + slot as isize) as usize * kv_heads + head / (heads / kv_heads)) * d
        };
        let b_at = |slot: usize| (head * self.shape.queries + query) * self.shape.slots + slot;
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let scale = f64::from(self.shape.scale);
        let mask = self.shape.mask(row, (row * self.shape.queries + query) * heads + head);
        let seen = self.sees(row, query);
        let score = |&slot: &usize| {
            let bias = b.get(b_at(slot)).copied().unwrap_or_default();
            (scale * dot(&q[q_at..q_at + d], &k[k_at(slot)..k_at(slot) + d]) + f64::from(bias))
                .exp()
        };
        let e: Vec<f64> = seen.iter().map(score).collect();
        let z: f64 = e.iter().sum();
        let factor = |slot: usize| mask.map_or(1.0, |mask| f64::from(mask.factor(slot as u32)));
        let dy = &self.out_gradient[q_at..q_at + d];
        let dp = |&slot: &usize| factor(slot) * dot(dy, &v[k_at(slot)..k_at(slot) + d]);
        let dp: Vec<f64> = seen.iter().map(dp).collect();
        let along: f64 = dp.iter().zip(&e).map(|(dp, e)| dp * e / z).sum();
        for (index, &slot) in seen.iter().enumerate() {
            let p = e[index] / z;
            let ds = p * (dp[index] - along);
            if let Some(db) = db.get_mut(b_at(slot)) {
                *db += ds;
            }
            for i in 0..d {
                out[q_at + i] += factor(slot) * p * f64::from(v[k_at(slot) + i]);
                dq[q_at + i] += scale * ds * f64::from(k[k_at(slot) + i]);
                dk[k_at(slot) + i] += scale * ds * f64::from(q[q_at + i]);
                dv[k_at(slot) + i] += factor(slot) * p * f64::from(dy[i]);
            }
        }
    }

    /// Values equal the formula.
    #[track_caller]
    pub(super) fn check_values(&self, tolerance: f64) {
        let [found, _] = self.forward();
        assert_close(&found, &self.expected()[0], tolerance);
    }

    /// Values and gradients equal the formulas; padding queries and unseen slots give exactly 0.
    #[track_caller]
    pub(super) fn check(&self) {
        self.check_within(1e-5);
    }

    /// The same, with dK and dV within a tolerance.
    #[track_caller]
    pub(super) fn check_within(&self, of_keys: f64) {
        let [out, dq, dk, dv, db] = self.expected();
        let [found, _] = self.forward();
        assert_close(&found, &out, 2e-6);
        let [found_dq, found_dk, found_dv, found_db] = self.backward();
        assert_close(&found_dq, &dq, 5e-6);
        assert_close(&found_dk, &dk, of_keys);
        assert_close(&found_dv, &dv, of_keys);
        assert_close(&found_db, &db, 1e-5);
        let AttentionShape { heads, kv_heads, head_dim: d, .. } = self.shape;
        for row in 0..self.shape.held.len() {
            for query in
                (0..self.shape.queries).filter(|query| !self.shape.live[row].contains(query))
            {
                let at = (row * self.shape.queries + query) * heads * d;
                assert!([&found, &found_dq].iter().all(|all| all[at] == 0.0), "query {query}");
            }
            let is_held = |slot: &usize| self.shape.held[row].contains(slot);
            for slot in
                (0..self.shape.slots).filter(|slot| self.shape.origins.is_none() && !is_held(slot))
            {
                let at = (row * self.shape.slots + slot) * kv_heads * d;
                assert!([&found_dk, &found_dv].iter().all(|all| all[at] == 0.0), "slot {slot}");
            }
        }
    }
}
