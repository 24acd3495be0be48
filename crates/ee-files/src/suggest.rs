//! Which known name did the user mean?
//!
//! One rule for keys, columns, labels, metrics and splits: the nearest by Jaro–Winkler
//! similarity, and silence when nothing is near.

/// Similarity below which a suggestion confuses more than it helps.
const NEAR: f64 = 0.7;

/// The known name nearest to `name`, if one is near enough to be what was meant.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// `" (did you mean `x`?) known: a, b, x"`: the end of every message about an unknown name.
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let hint = nearest(name, known.iter().copied())
        .map(|meant| format!(", did you mean `{meant}`?"))
        .unwrap_or_default();
    format!("{hint} (known: {})", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["learning_rate", "batch_size", "epochs"];
        assert_eq!(nearest("lerning_rate", known), Some("learning_rate"));
        assert_eq!(nearest("Batchsize", known), Some("batch_size"));
        assert_eq!(nearest("zzz", known), None);
    }
}
