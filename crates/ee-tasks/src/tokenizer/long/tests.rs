use std::cell::Cell;

use tokenizers::Tokenizer;

use super::*;
use crate::fixture;

const SIZES: [usize; 2] = [600, 200];

fn golden(name: &str) -> Tokenizer {
    Tokenizer::from_file(fixture::golden(name).join("tokenizer.json")).expect("a sound tokenizer")
}

fn placed(tokenizer: &Tokenizer, text: &str) -> Vec<Placed> {
    let encoding = tokenizer.encode(text, false).expect("an encoding");
    let offsets = encoding.get_offsets().iter();
    encoding.get_ids().iter().zip(offsets).map(|(id, (from, to))| (*id, *from, *to)).collect()
}

/// Words, digits, breaks, runs of spaces, accents, emoji, Japanese.
fn text() -> String {
    let parts = [
        "The play was good, and the actors were better. ",
        "Grüße aus Köln 12345 €\n\n",
        "日本語と中文が混ざっている文章です。",
        "        indented\t\tand      spaced ",
        "👩‍👩‍👧 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa </s>one<|eot_id|> ",
    ];
    (0..400).map(|place| parts[place * place % 7 % parts.len()]).collect()
}

#[test]
fn pieces_join_to_the_whole() {
    let text = text();
    for name in ["tokenizer-bytes", "tokenizer-pieces"] {
        let tokenizer = golden(name);
        let whole = placed(&tokenizer, &text);
        let n_pieces = Cell::new(0);
        let spell = |piece: &str| {
            n_pieces.set(n_pieces.get() + 1);
            Ok(placed(&tokenizer, piece))
        };
        let joined = in_pieces(&text, None, SIZES, spell).expect("spelled");
        assert_eq!(joined.expect("joined"), (whole, true), "{name}");
        assert!(n_pieces.get() > 20);
    }
}

#[test]
fn what_is_enough_is_the_beginning_of_the_whole_and_ends_early() {
    let text = text();
    let tokenizer = golden("tokenizer-bytes");
    let whole = placed(&tokenizer, &text);
    for enough in [1, 50, 300] {
        let longest = Cell::new(0);
        let spell = |piece: &str| {
            longest.set(longest.get() + piece.len());
            Ok(placed(&tokenizer, piece))
        };
        let found = in_pieces(&text, Some(enough), SIZES, spell).expect("spelled");
        let (found, is_whole) = found.expect("joined");
        assert!(!is_whole);
        assert_eq!(found[..enough], whole[..enough]);
        assert!(longest.get() < text.len() / 2, "{enough}: {}", longest.get());
    }
}

#[test]
fn a_gap_without_tokens_is_no_obstacle_and_disagreement_is_seen() {
    // A token per word, none for spaces.
    let words = |text: &str| -> Vec<Placed> {
        let starts = text.split_whitespace().map(|word| {
            let begin = word.as_ptr() as usize - text.as_ptr() as usize;
            (word.len() as u32, begin, begin + word.len())
        });
        starts.collect()
    };
    let text =
        format!("{}{}{}", "one two three ".repeat(60), " ".repeat(2000), "four five ".repeat(60));
    let found = in_pieces(&text, None, SIZES, |piece| Ok(words(piece))).unwrap();
    assert_eq!(found.expect("joined"), (words(&text), true));
    // Ids that depend on where the piece begins never agree.
    let moody =
        |piece: &str| Ok(words(piece).into_iter().map(|(_, a, b)| (a as u32, a, b)).collect());
    assert_eq!(in_pieces(&text, None, SIZES, moody).unwrap(), None);
}

#[test]
fn short_texts_are_left_alone() {
    let text = "a ".repeat(LONG / 2);
    assert_eq!(spell(&text, None, |_| panic!("not asked")).unwrap(), None);
    let longer = format!("{text}a");
    assert!(spell(&longer, None, |piece| Ok(vec![(1, 0, piece.len())])).is_ok());
}
