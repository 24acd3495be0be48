//! Pickles that grow, nest or repeat without end if read as Python reads them, as files of `torch.save` before 1.6.

/// A file whose saved value is this pickle, and which has no storages.
fn file(saved: &[u8]) -> Vec<u8> {
    let magic = &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..];
    [magic, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", saved, b"\x80\x02]."].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text].concat()
}

/// What was saved, with these options and tensors.
fn saved(options: &[u8], tensors: &[u8]) -> Vec<u8> {
    let pairs = [&text(b"args")[..], options, &text(b"model"), tensors].concat();
    file(&[&b"}("[..], &pairs, b"u."].concat())
}

/// Entries of a dictionary with keys of their own and what `value` gives each.
fn entries(n: usize, value: &[u8]) -> Vec<u8> {
    let entry = |at: usize| [&text(format!("k{at}").as_bytes())[..], value].concat();
    [&b"}("[..], &(0..n).flat_map(entry).collect::<Vec<_>>(), b"u"].concat()
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let no_tensors = b"}";
    let storage = [
        &b"("[..],
        &text(b"storage"),
        b"ctorch\nFloatStorage\n",
        &text(b"0"),
        &text(b"cpu"),
        b"J\xff\xff\xff\x7ftQ",
    ]
    .concat();
    let tensor = |shape: &[u8]| {
        let call = &b"ctorch._utils\n_rebuild_tensor_v2\n("[..];
        [call, &storage, b"K\0", shape, b"(K\x01K\x01t\x89}tR"].concat()
    };
    let long = text(&vec![b'a'; 1 << 20]);
    let keep = |value: &[u8]| [value, b"q\x07"].concat();
    vec![
        // Twice itself, again and again.
        file(&[b"]".to_vec(), b"2\x86".repeat(200_000), b".".to_vec()].concat()),
        // Lists in lists, and a list in itself.
        file(&[b"]".repeat(200_000), b"a".repeat(199_999), b".".to_vec()].concat()),
        file(b"]q\0h\0a."),
        file(&[b"N".repeat(1 << 20), b".".to_vec()].concat()),
        file(&[b"))R".repeat(1 << 18), b".".to_vec()].concat()),
        file(&[b"\x8b\xff\xff\xff\xff".to_vec(), b"\x01".repeat(64)].concat()),
        file(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."),
        // One long text under many names, as a name, and as the names of classes.
        saved(&[&b"(\x8c\x01a"[..], &keep(&long), b"d"].concat(), no_tensors),
        saved(&[&keep(&long)[..], b"0", &entries(60_000, b"h\x07")].concat(), no_tensors),
        saved(&[&keep(&long)[..], b"0", &entries(30_000, b"h\x07h\x07\x93")].concat(), no_tensors),
        // Long parts of the options under many names.
        saved(
            &[
                &keep(&entries(60_000, b"K\x01"))[..],
                b"0}(",
                &[text(b"encoder"), b"h\x07".to_vec()].concat().repeat(20_000),
                b"u",
            ]
            .concat(),
            no_tensors,
        ),
        // Tensors of a storage that is not there, of sizes beyond any file, and the same one under many names.
        saved(&entries(3, b"K\x01"), &entries(1, &tensor(b"(K\x01K\x01t"))),
        saved(&entries(3, b"K\x01"), &entries(1, &tensor(b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft"))),
        saved(
            &entries(3, b"K\x01"),
            &[&keep(&tensor(b"(K\x01K\x01t"))[..], b"0", &entries(60_000, b"h\x07")].concat(),
        ),
    ]
}
