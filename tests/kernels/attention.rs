//! One attention in all its shapes.

use std::sync::Arc;

use super::*;

/// Compares values and gradients of query, key, value and, where there is one, bias.
fn check(what: &str, shape: &AttentionShape, d_head: usize, bias: Option<Tensor<3>>) {
    let (batch, width) = (shape.held.len(), shape.width);
    let query = random([batch * width, shape.heads * d_head], 1);
    let [key, value] =
        [2, 3].map(|seed| random([batch * shape.capacity, shape.kv_heads * d_head], seed));
    let inputs = || (query.clone(), key.clone(), value.clone(), bias.clone());
    let ours = || {
        let (query, key, value, bias) = inputs();
        kernels::attention(query, key, value, bias, shape)
    };
    let theirs = || {
        let (query, key, value, bias) = inputs();
        plain::attention(query, key, value, bias, shape)
    };
    match &bias {
        None => compare!(what, [query, key, value], ours(), theirs()),
        Some(bias) => compare!(what, [query, key, value, bias], ours(), theirs()),
    }
}

/// A bias for the first `slots` slots.
fn bias(shape: &AttentionShape, slots: usize) -> Tensor<3> {
    random([shape.heads, shape.width, slots], 4)
}

#[test]
fn of_an_encoder() {
    for (lengths, width, heads, d_head) in [
        (vec![1], 1, 1, 4),
        (vec![5, 3, 1], 5, 2, 8),
        (vec![40, 33], 40, 3, 20),
        (vec![70], 72, 2, 64),
    ] {
        let shape = AttentionShape::whole(heads, width, &lengths);
        check("encoder", &shape, d_head, None);
        check("encoder with a bias", &shape, d_head, Some(bias(&shape, shape.capacity)));
    }
}

#[test]
fn over_a_memory() {
    for (lengths, width, capacity, memory) in
        [(vec![1, 1], 1, 9, vec![9, 4]), (vec![6, 2], 6, 80, vec![80, 0])]
    {
        let shape = AttentionShape::whole(4, width, &lengths).over(capacity, &memory);
        check("memory", &shape, 8, None);
        let grouped = AttentionShape { kv_heads: 2, scale: Some(1.0), ..shape };
        check("grouped memory", &grouped, 8, None);
        check("memory with a bias", &grouped, 8, Some(bias(&grouped, capacity)));
    }
}

#[test]
fn of_a_decoder() {
    for (width, starts, ends, window) in [
        (1, [0, 0], [1, 1], None),
        (9, [0, 4], [9, 9], None),
        (70, [0, 0], [70, 33], None),
        (70, [0, 0], [70, 66], Some(7)),
    ] {
        let place = CachePlace { capacity: width, width, start: 0 };
        let shape = AttentionShape::causal([6, 2], place, window, &starts, &ends);
        check("decoder", &shape, 8, None);
        check("decoder with a bias", &shape, 8, Some(bias(&shape, shape.capacity)));
    }
}

/// Values over a cache that a block was written to.
fn check_cached(place: CachePlace, shape: &AttentionShape, n_rows: usize) {
    let CachePlace { capacity, width, .. } = place;
    let origins = shape.origins.as_deref();
    let [key, value] = [3, 4].map(|seed| {
        let empty = || random([n_rows * capacity, 16], 2).inner();
        let block = || random([2 * width, 16], seed).inner();
        let ours = kernels::write_cache(empty(), block(), place, origins);
        same_tensor("cache", ours.clone(), plain::write_cache(empty(), block(), place, origins));
        ours
    });
    let query = random([2 * width, 48], 1).inner();
    for bias in [None, Some(bias(shape, place.start + width).inner())] {
        let (query, key, value) = (query.clone(), key.clone(), value.clone());
        let theirs =
            plain::attention(query.clone(), key.clone(), value.clone(), bias.clone(), shape);
        same_tensor("attention", kernels::attention(query, key, value, bias, shape), theirs);
    }
}

#[test]
fn over_a_cache() {
    for (width, start, capacity, starts, ends, shifts, window) in [
        (1, 0, 1, [0, 0], [1, 1], [0, 0], None),
        (9, 0, 9, [0, 4], [9, 9], [0, 0], None),
        (9, 0, 12, [0, 0], [9, 3], [0, 0], None),
        (1, 20, 30, [0, 15], [21, 21], [0, 0], None),
        (5, 20, 30, [3, 0], [25, 25], [0, 0], Some(7)),
        (5, 20, 23, [3, 4], [25, 25], [2, 4], None),
        (5, 20, 23, [3, 9], [25, 25], [3, 8], Some(12)),
    ] {
        let place = CachePlace { capacity, width, start };
        let origin = |(row, shift): (usize, &usize)| (row * capacity) as isize - *shift as isize;
        let origins = || shifts.iter().enumerate().map(origin).collect();
        let shape = AttentionShape {
            origins: (shifts != [0, 0]).then(origins),
            ..AttentionShape::causal([6, 2], place, window, &starts, &ends)
        };
        check_cached(place, &shape, 2);
    }
}

/// The rows 3 and 1 of a cache of four.
#[test]
fn over_some_rows_of_a_cache() {
    let place = CachePlace { capacity: 30, width: 3, start: 20 };
    let shape = AttentionShape {
        origins: Some(Arc::from([3 * 30, 30])),
        ..AttentionShape::causal([6, 2], place, Some(9), &[3, 0], &[23, 22])
    };
    check_cached(place, &shape, 4);
}
