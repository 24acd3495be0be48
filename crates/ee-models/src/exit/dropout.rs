use crate::kernels::Dropout;

/// From which every dropout mask of one forward pass follows, so that a resumed run draws the same masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey(u64);

impl DropoutKey {
    /// The key of one forward pass, for example of `(seed, step)`.
    pub fn new(parts: &[u64]) -> Self {
        Self(parts.iter().fold(0x9e37_79b9_7f4a_7c15, |key, &part| mix(key ^ mix(part))))
    }

    /// The seed of one place of the model, told apart by the layer's index and a number within it.
    pub fn site(self, layer: usize, number: u64) -> u64 {
        Self::new(&[self.0, layer as u64, number]).0
    }

    /// The key of an encoder's pass beside its decoder's.
    pub fn of_source(self) -> Self {
        self.part(0)
    }

    /// The key of one part of what shares this one; exits are parts from 1.
    pub fn part(self, number: usize) -> Self {
        Self::new(&[self.0, number as u64])
    }
}

/// The dropout of one place of the model, as [`DropoutKey::site`] numbers them; none outside training.
pub(crate) fn dropout_at(
    key: Option<DropoutKey>,
    probability: f32,
    layer: usize,
    site: u64,
) -> Dropout {
    key.map_or(Dropout::NONE, |key| Dropout { probability, seed: key.site(layer, site) })
}

/// The finalizer of splitmix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keys_differ_by_step_layer_and_site() {
        let (a, b) = (DropoutKey::new(&[1, 2]), DropoutKey::new(&[1, 3]));
        assert_ne!(a, b);
        assert_ne!(a.site(0, 0), a.site(0, 1));
        assert_ne!(a.site(0, 1), a.site(1, 0));
        assert_eq!(a.site(1, 1), DropoutKey::new(&[1, 2]).site(1, 1));
    }
}
