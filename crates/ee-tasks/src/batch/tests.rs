use super::*;

fn encoding(ids: &[u32]) -> Encoding {
    Encoding { ids: ids.to_vec(), type_ids: ids.iter().map(|id| id % 2).collect() }
}

#[test]
fn a_batch_is_as_wide_as_its_longest_row_and_keeps_everything_of_a_row_together() {
    let encodings = [encoding(&[5]), encoding(&[7, 8, 9]), encoding(&[3, 4])];
    let batch = Batch::gather(&[2, 0], &encodings, 99);
    assert_eq!(batch.rows, [2, 0]);
    assert_eq!(batch.width, 2);
    assert_eq!(batch.token_ids, [3, 4, 5, 99]);
    assert_eq!(batch.type_ids, [1, 0, 1, 0]);
    assert_eq!(batch.lengths, [2, 1]);
    assert_eq!(batch.n_rows(), 2);
}

#[test]
fn evaluation_goes_from_long_to_short_and_keeps_the_order_of_equals() {
    assert_eq!(evaluation_order(&[2, 9, 2, 5], 2), [vec![1, 3], vec![0, 2]]);
}

/// Lengths 1..=20, over and over.
fn many(n: usize) -> Vec<usize> {
    (0..n).map(|index| 1 + index * 7 % 20).collect()
}

#[test]
fn training_visits_every_example_once_in_batches_of_like_length() {
    let lengths = many(1003);
    let batches = training_order(&lengths, 8, 1, 0);
    let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..1003).collect::<Vec<_>>());
    assert_eq!(batches.iter().filter(|batch| batch.len() < 8).count(), 1);
    let padded: usize = batches
        .iter()
        .map(|batch| batch.len() * batch.iter().map(|row| lengths[*row]).max().unwrap_or(0))
        .sum();
    let real: usize = lengths.iter().sum();
    assert!(padded as f64 <= 1.1 * real as f64, "{padded} cells for {real} tokens");
}

#[test]
fn the_training_order_depends_on_seed_and_epoch_alone() {
    let lengths = many(500);
    assert_eq!(training_order(&lengths, 8, 3, 2), training_order(&lengths, 8, 3, 2));
    assert_ne!(training_order(&lengths, 8, 3, 2), training_order(&lengths, 8, 3, 1));
    assert_ne!(training_order(&lengths, 8, 3, 2), training_order(&lengths, 8, 4, 2));
    let short_first = training_order(&lengths, 8, 3, 2);
    let means: Vec<f64> = short_first
        .iter()
        .map(|batch| batch.iter().map(|row| lengths[*row] as f64).sum::<f64>() / 8.0)
        .collect();
    assert!(!means.is_sorted(), "batches come in mixed lengths");
}

#[test]
fn the_training_order_is_the_same_on_every_machine_and_version() {
    // Written down once: a resumed run must meet the order that the first run began.
    assert_eq!(training_order(&[1; 6], 2, 7, 1), [vec![4, 3], vec![0, 5], vec![2, 1]]);
}

#[test]
fn mixed_batches_visit_every_example_once_and_follow_seed_and_epoch() {
    let batches = mixed_order(103, 8, 1, 0);
    assert_eq!(batches.iter().map(Vec::len).filter(|len| *len == 8).count(), 12);
    let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..103).collect::<Vec<_>>());
    assert_eq!(batches, mixed_order(103, 8, 1, 0));
    assert_ne!(batches, mixed_order(103, 8, 1, 1));
    assert_ne!(batches, mixed_order(103, 8, 2, 0));
}

#[test]
fn batches_by_tokens_hold_every_example_once_and_no_more_tokens_than_asked_for() {
    let sizes: Vec<[usize; 2]> = many(500).into_iter().map(|n| [n, 1 + n * 3 % 17]).collect();
    let width = |batch: &[usize]| batch.iter().flat_map(|row| sizes[*row]).max().unwrap();
    let batches = token_order(&sizes, 96, 3, 0);
    let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    assert!(batches.iter().all(|batch| batch.len() * width(batch) <= 96));
    let cells: usize = batches.iter().map(|batch| batch.len() * width(batch)).sum();
    assert!(cells * 10 >= batches.len() * 96 * 8, "{cells} tokens in {} batches", batches.len());
    assert_eq!(batches, token_order(&sizes, 96, 3, 0));
    let next = token_order(&sizes, 96, 3, 1);
    assert_ne!(batches, next);
    assert_eq!(batches.len(), next.len(), "every epoch has as many batches");
    let long = token_order(&[[3, 2], [9, 1], [2, 2]], 6, 1, 0);
    assert!(long.contains(&vec![1]) && long.len() == 2, "{long:?}");
}
