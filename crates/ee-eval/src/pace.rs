//! What a timing can be trusted for: how often it was repeated and how far its rounds lie apart, and, from
//! [`crate::machine`], whether other programs had the machine meanwhile.

use crate::machine::Load;
use crate::report::table::Cell;
use crate::speed::Speed;
use crate::spread::Spread;

/// Fewer rounds than this show no range, and nothing is called faster or slower by them.
pub const ROUNDS: usize = 3;

/// Says that there were too few rounds for a range.
#[must_use]
pub fn few(rounds: usize) -> Option<String> {
    (rounds < ROUNDS).then(|| {
        let plural = if rounds == 1 { "" } else { "s" };
        format!("{rounds} timed round{plural}: nothing can be called faster or slower by it, {ROUNDS} are the least")
    })
}

/// What a reader of measured times should know, a sentence each.
#[must_use]
pub fn notices(speeds: &[Speed]) -> Vec<String> {
    let taken = |load: &Load| load.others + load.stolen;
    let loads = speeds.iter().filter_map(|speed| speed.load);
    let busiest = loads.max_by(|a, b| taken(a).total_cmp(&taken(b)));
    let rounds = speeds.iter().map(|speed| speed.rounds).min();
    [busiest.and_then(|load| load.notice()), rounds.and_then(few)].into_iter().flatten().collect()
}

/// A factor with the range of its rounds.
#[must_use]
pub fn factor(spread: Spread) -> Cell {
    let Spread { median, min, max } = spread;
    Cell::Number { value: median, text: format!("{median:.2}× ({min:.2} to {max:.2})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_rounds_need_no_word_and_show_their_range() {
        assert_eq!(few(3), None);
        assert!(few(1).unwrap().starts_with("1 timed round:"));
        assert_eq!(
            factor(Spread { median: 1.5, min: 1.25, max: 2.0 }).shown(),
            "1.50× (1.25 to 2.00)"
        );
    }
}
