//! One attention in all its shapes.

use std::ops::Range;
use std::sync::Arc;

use super::*;

/// Compares values and gradients of query, key, value and, where there is one, bias.
fn check(what: &str, shape: &AttentionShape, bias: Option<Tensor<3>>) {
    let AttentionShape { queries, slots, heads, kv_heads, head_dim, .. } = *shape;
    let batch = shape.held.len();
    let query = random([batch * queries, heads * head_dim], 1);
    let [key, value] = [2, 3].map(|seed| random([batch * slots, kv_heads * head_dim], seed));
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
    random([shape.heads, shape.queries, slots], 4)
}

#[test]
fn of_an_encoder() {
    for (lengths, width, heads, d_head) in [
        (vec![1], 1, 1, 4),
        (vec![5, 3, 1], 5, 2, 8),
        (vec![40, 33], 40, 3, 20),
        (vec![70], 72, 2, 64),
    ] {
        let shape = AttentionShape::whole(width, heads, d_head, &lengths);
        check("encoder", &shape, None);
        check("encoder with a bias", &shape, Some(bias(&shape, shape.slots)));
    }
}

#[test]
fn over_a_memory() {
    for (lengths, width, capacity, memory) in
        [(vec![1, 1], 1, 9, vec![9, 4]), (vec![6, 2], 6, 80, vec![80, 0])]
    {
        let shape = AttentionShape::whole(width, 4, 8, &lengths).over(capacity, &memory);
        check("memory", &shape, None);
        let grouped = AttentionShape { kv_heads: 2, scale: 1.0, ..shape };
        check("grouped memory", &grouped, None);
        check("memory with a bias", &grouped, Some(bias(&grouped, capacity)));
    }
}

/// Six heads on two, of eight columns each.
fn decoder(place: CachePlace, window: Option<usize>, held: [Range<usize>; 2]) -> AttentionShape {
    let shape = AttentionShape::whole(place.width, 6, 8, &[]);
    let shape = shape.causal(place.capacity, place.start, window, Arc::from(held));
    AttentionShape { kv_heads: 2, ..shape }
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
        let shape = decoder(place, window, [starts[0]..ends[0], starts[1]..ends[1]]);
        check("decoder", &shape, None);
        check("decoder with a bias", &shape, Some(bias(&shape, shape.slots)));
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
            ..decoder(place, window, [starts[0]..ends[0], starts[1]..ends[1]])
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
        ..decoder(place, Some(9), [3..23, 0..22])
    };
    check_cached(place, &shape, 4);
}
