use super::*;
use crate::fixture;

/// A tokenizer that puts a beginning before each text.
fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_folder(&fixture::golden("tokenizer-pieces")).unwrap()
}

fn example(prompt: &str, response: &str, line: usize) -> TextExample {
    TextExample { prompt: prompt.into(), response: response.into(), references: vec![], line }
}

const END: u32 = 2;

fn learned_ids(row: &CausalRow) -> Vec<u32> {
    row.learned.iter().flat_map(|span| row.ids[span.clone()].to_vec()).collect()
}

#[test]
fn the_response_and_its_end_are_learned_and_nothing_else() {
    let tokenizer = tokenizer();
    let examples = [example("Say yes:", " yes, yes", 1)];
    let (rows, shortened) = instructions(&tokenizer, &examples, 100, Some(END)).unwrap();
    let whole = tokenizer.encode_prompted("Say yes:", " yes, yes").unwrap();
    assert_eq!(rows[0].ids, [whole.ids.clone(), vec![END]].concat());
    let response = &whole.ids[whole.prompt_length..];
    assert!(!response.is_empty());
    assert_eq!(learned_ids(&rows[0]), [response, &[END]].concat());
    assert_eq!(rows[0].n_learned(), response.len() + 1);
    assert_eq!(shortened, Shortened::default());
}

#[test]
fn long_rows_lose_their_end_and_those_with_nothing_left_are_named() {
    let tokenizer = tokenizer();
    let examples = [
        example("Say yes:", " yes", 1),
        example("a very long prompt that fills the row on its own, word by word", " no", 2),
        example("Say:", " yes yes yes yes yes yes yes yes yes yes yes yes", 3),
    ];
    let short = instructions(&tokenizer, &examples[..1], 100, Some(END)).unwrap().0;
    let limit = short[0].ids.len();
    let (rows, shortened) = instructions(&tokenizer, &examples, limit, Some(END)).unwrap();
    assert_eq!(rows[0], short[0], "exactly at the limit nothing is cut");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].ids.len(), limit);
    assert!(!learned_ids(&rows[1]).contains(&END), "its end was cut");
    assert_eq!(shortened, Shortened { truncated: 2, dropped: vec![2] });
}

#[test]
fn running_text_is_learned_whole_but_for_the_first_token_of_a_row() {
    // A byte-order mark is no text.
    let folder = fixture::folder(&[("text.txt", "\u{FEFF}\none two\nthree\n\n\nfour\n")]);
    let path = folder.path().join("text.txt");
    let tokenizer = tokenizer();
    let rows = running_text(&tokenizer, &[&path], 4, Some(END)).unwrap();
    let stream: Vec<u32> = ["one two\nthree", "four"]
        .iter()
        .flat_map(|document| [tokenizer.encode_prompt(document).unwrap(), vec![END]].concat())
        .collect();
    let joined: Vec<u32> = rows.iter().flat_map(|row| row.ids.clone()).collect();
    assert_eq!(joined, stream[..joined.len()]);
    assert!(stream.len() - joined.len() < 2, "a single token at the end has nothing to learn");
    for row in &rows {
        assert!(row.ids.len() <= 4);
        assert_eq!(learned_ids(row), row.ids[1..]);
    }
    fixture::write(&folder, "text.txt", "\n \n");
    let error = running_text(&tokenizer, &[&path], 4, None).unwrap_err().to_string();
    assert!(error.contains("text.txt") && error.contains("no text"), "{error}");
}

#[test]
fn packed_rows_keep_what_each_example_learns() {
    let row = |ids: &[u32], learned: Range<usize>| CausalRow {
        ids: ids.to_vec(),
        learned: std::iter::once(learned).collect(),
    };
    let rows = vec![row(&[1, 5, 6], 1..3), row(&[1, 7], 1..2), row(&[1, 8, 9, 10], 2..4)];
    let packed = packed(rows, 6);
    assert_eq!(packed.len(), 2);
    assert_eq!(packed[0].ids, [1, 5, 6, 1, 7]);
    assert_eq!(packed[0].learned, [1..3, 4..5]);
    assert_eq!(learned_ids(&packed[0]), [5, 6, 7]);
    assert_eq!(learned_ids(&packed[1]), [9, 10]);
}
