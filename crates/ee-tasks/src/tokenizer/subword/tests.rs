use super::*;
use crate::fixture;

fn codes(lines: &str) -> Codes {
    let folder = fixture::folder(&[("codes", lines)]);
    Codes::read(&folder.path().join("codes")).expect("sound codes")
}

/// Merges as subword-nmt makes them: the two neighbours of the lowest rank, everywhere, again and again.
fn plainly(codes: &Codes, word: &str) -> Vec<String> {
    let mut symbols: Vec<String> = word.chars().map(String::from).collect();
    match symbols.last_mut() {
        Some(last) if !codes.separate_end => last.push_str(END),
        _ => symbols.push(END.to_owned()),
    }
    let rank = |two: &[String]| codes.ranks.get(&two[0])?.get(&two[1]).copied();
    while let Some(best) = symbols.windows(2).filter_map(rank).min() {
        let mut joined: Vec<String> = Vec::new();
        let mut at = 0;
        while at < symbols.len() {
            let two = symbols.get(at..at + 2).filter(|two| rank(two) == Some(best));
            joined.push(two.map_or_else(|| symbols[at].clone(), <[String]>::concat));
            at += if two.is_some() { 2 } else { 1 };
        }
        symbols = joined;
    }
    symbols
}

#[test]
fn merges_of_any_order_are_made_everywhere_before_the_next() {
    // A merge that names a joined symbol may stand before the one that joins it.
    let lines = "aa a\na a\nb a\naa b\na</w> b\nab aa\na b\naab a</w>\nb b\nbb bb\na </w>\n";
    for version in ["#version: 0.2\n", ""] {
        let codes = codes(&format!("{version}{lines}"));
        for number in 0..1 << 12_u32 {
            let letters = (0..number % 13).map(|at| if number >> at & 1 == 1 { 'a' } else { 'b' });
            let word: String = letters.collect();
            assert_eq!(codes.cut(&word), plainly(&codes, &word), "{word}");
        }
    }
}

#[test]
fn a_long_line_without_a_space_is_cut_in_its_length() {
    let codes = codes("#version: 0.2\na b\nab ab\nabab abab\n");
    let pieces = codes.cut(&"ab".repeat(200_000));
    // The last letter carries the word's end, and nothing joins it: 199,999 pairs are joined by twos, twice.
    assert_eq!(pieces.len(), 49_999 + 4);
    assert!(pieces[..49_999].iter().all(|piece| piece == "abababab"));
    assert_eq!(pieces[49_999..], ["abab", "ab", "a", "b</w>"]);
}
