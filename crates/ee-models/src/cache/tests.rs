use burn::tensor::TensorData;

use super::*;

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn block(values: Vec<f32>) -> Tensor<2> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n, 1]), &Device::flex())
}

#[test]
fn blocks_follow_each_other_and_rows_can_go() {
    let device = Device::flex();
    let mut cache = KvCache::new(1, 1, 4, Arc::from([0, 1]), &device);
    let layer = cache.layer(0);
    layer.append_rows(None, block(vec![1., 2., 3., 4.]), block(vec![5., 6., 7., 8.]), 0, 2);
    layer.append_rows(None, block(vec![9., 10.]), block(vec![11., 12.]), 2, 1);
    assert_eq!(values(layer.key()), [1., 2., 9., 0., 3., 4., 10., 0.]);
    assert_eq!(values(layer.value()), [5., 6., 11., 0., 7., 8., 12., 0.]);
    cache.keep(&[1]);
    assert_eq!(&cache.padding()[..], [1]);
    let layer = cache.layer(0);
    layer.crop(1);
    layer.append_rows(None, block(vec![20.]), block(vec![21.]), 1, 1);
    let [key, value] = layer.block(&[0], 0, 2);
    assert_eq!((values(key), values(value)), (vec![3., 20.], vec![7., 21.]));
    assert_eq!(layer.len(), 2);
}

#[test]
fn rows_are_kept_in_any_order_and_as_often_as_they_are_named() {
    let device = Device::flex();
    let mut cache = KvCache::new(2, 1, 3, Arc::from([0, 0, 1]), &device);
    let tokens = || block(vec![1., 2., 3., 4., 5., 6.]);
    cache.layer(0).append_rows(None, tokens(), tokens(), 0, 2);
    // A layer may hold less of some rows.
    cache.layer(1).append_rows(Some(&[0, 2]), block(vec![1., 5.]), block(vec![1., 5.]), 0, 1);
    let row = |cache: &mut KvCache, index, row| {
        let len = cache.layer(index).lens()[row];
        let [key, value] = cache.layer(index).block(&[row], 0, len);
        assert_eq!(values(key.clone()), values(value));
        values(key)
    };
    let (a, b, c) = (vec![1., 2.], vec![3., 4.], vec![5., 6.]);
    let origins = |cache: &mut KvCache| cache.layer(0).origins(None);
    assert_eq!(origins(&mut cache), None);
    let before = cache.clone();
    // More rows than there were, fewer, and in another order.
    for (rows, expected) in [
        (vec![2, 0, 2, 2, 1], vec![&c, &a, &c, &c, &b]),
        (vec![1, 2], vec![&b, &c]),
        (vec![1, 1, 0], vec![&b, &b, &a]),
        (vec![0, 1, 2], vec![&a, &b, &c]),
    ] {
        let mut kept = before.clone();
        kept.keep(&rows);
        assert_eq!(kept.padding().len(), rows.len());
        for (at, expected) in expected.into_iter().enumerate() {
            assert_eq!(row(&mut kept, 0, at), *expected, "{rows:?}, row {at}");
            let upper = row(&mut kept, 1, at);
            assert_eq!(upper, expected[..kept.layer(1).lens()[at]], "{rows:?}, row {at}");
        }
        // Copies go on apart from each other.
        let new: Vec<f32> = (0..rows.len()).map(|at| 10. + at as f32).collect();
        kept.layer(0).append_rows(None, block(new.clone()), block(new.clone()), 2, 1);
        for (at, new) in new.into_iter().enumerate() {
            assert_eq!(row(&mut kept, 0, at)[2], new, "{rows:?}, row {at}");
        }
        kept.keep(&[0, 0]);
        assert_eq!(row(&mut kept, 0, 0), row(&mut kept, 0, 1));
    }
    let mut before = before;
    assert_eq!((row(&mut before, 0, 0), row(&mut before, 0, 1)), (a, b));
}

#[test]
fn rows_hold_different_numbers_of_slots() {
    let device = Device::flex();
    let mut cache = KvCache::new(1, 1, 3, Arc::from([0, 0]), &device);
    let layer = cache.layer(0);
    layer.append_rows(None, block(vec![1., 2.]), block(vec![3., 4.]), 0, 1);
    layer.append_rows(Some(&[1]), block(vec![5., 6.]), block(vec![7., 8.]), 1, 2);
    assert_eq!((layer.lens(), layer.len()), (&[1, 3][..], 1));
    let [key, value] = layer.block(&[1, 0], 0, 1);
    assert_eq!((values(key), values(value)), (vec![2., 1.], vec![4., 3.]));
    layer.crop_row(1, 2);
    layer.append_rows(Some(&[1]), block(vec![9.]), block(vec![10.]), 2, 1);
    assert_eq!(values(layer.key()), [1., 0., 0., 2., 5., 9.]);
    assert_eq!(values(layer.value()), [3., 0., 0., 4., 7., 10.]);
}

#[test]
#[should_panic(expected = "slots are filled in order")]
fn a_row_cannot_skip_a_slot() {
    let device = Device::flex();
    let mut cache = KvCache::new(1, 1, 3, Arc::from([0, 0]), &device);
    let one = || Tensor::<2>::zeros([1, 1], &device);
    cache.layer(0).append_rows(Some(&[0]), one(), one(), 0, 1);
    cache.layer(0).append_rows(Some(&[1]), one(), one(), 1, 1);
}

#[test]
fn rows_kept_twice_attend_to_the_same_text() {
    let device = Device::flex();
    let mut cache = KvCache::new(1, 1, 1, Arc::from([0, 0]), &device);
    let hidden = Tensor::<2>::zeros([6, 1], &device);
    cache.remember(0, MemoryKv::new(Arc::from([3, 2]), 3, hidden.clone(), hidden));
    cache.keep(&[1, 1, 0]);
    let memory = cache.layer(0).memory().unwrap();
    assert_eq!((memory.lengths(None), &memory.origins(None)[..]), (vec![2, 2, 3], &[3, 3, 0][..]));
    assert_eq!(&memory.origins(Some(&[2]))[..], [0]);
}

#[test]
fn rows_that_fall_behind_go_on_at_the_common_slot() {
    let device = Device::flex();
    let mut cache = KvCache::new(1, 1, 5, Arc::from([0, 1, 0]), &device);
    let tokens = || block(vec![1., 2., 3., 4., 5., 6., 7., 8., 9.]);
    cache.layer(0).append_rows(None, tokens(), tokens(), 0, 3);
    // The second row takes one token of three, the others all.
    cache.fall_behind(&[0, 2, 0]);
    assert_eq!(&cache.padding()[..], [0, 3, 0]);
    assert_eq!(cache.layer(0).origins(None).as_deref(), Some(&[0, 3, 10][..]));
    let more = || block(vec![10., 11., 12.]);
    cache.layer(0).append_rows(None, more(), more(), 3, 1);
    let expected = [1., 2., 3., 10., 0., 4., 11., 6., 0., 0., 7., 8., 9., 12., 0.];
    assert_eq!(values(cache.layer(0).key()), expected);
    cache.keep(&[1]);
    let layer = cache.layer(0);
    layer.append_rows(None, block(vec![13.]), block(vec![13.]), 4, 1);
    let [_, value] = layer.block(&[0], 3, 2);
    assert_eq!(values(value), [11., 13.]);
    assert_eq!(layer.origins(None).as_deref(), Some(&[5 - 2][..]));
}
