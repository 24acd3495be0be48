use super::*;

fn read(bytes: &[u8]) -> Pickle {
    Pickle::read(bytes).unwrap().0
}

#[test]
fn values_of_every_protocol_are_read() {
    // pickle.dumps({"a": [1, -2, 2**40, 1.5, True, None], "b": ("x", b"y")}, protocol)
    let oldest = b"(dp0\nVa\np1\n(lp2\nI1\naI-2\naL1099511627776L\naF1.5\naI01\naNasVb\np3\n(Vx\np4\nc_codecs\nencode\np5\n(Vy\np6\nVlatin1\np7\ntp8\nRp9\ntp10\ns.";
    let newest = b"\x80\x05\x95\x35\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xff\x8a\x06\0\0\0\0\0\x01G?\xf8\0\0\0\0\0\0\x88Ne\x8c\x01b\x94\x8c\x01x\x94C\x01y\x94\x86\x94u.";
    for bytes in [&oldest[..], &newest[..]] {
        let pickle = read(bytes);
        let a: Vec<_> = pickle.root().get("a").unwrap().items().unwrap().collect();
        assert_eq!([0, 1, 2].map(|at: usize| a[at].whole()), [Some(1), Some(-2), Some(1 << 40)]);
        assert_eq!((a[3].number(), a[4].truth(), a[5].is_none()), (Some(1.5), Some(true), true));
        let [x, y] = pickle.root().get("b").unwrap().first().unwrap();
        assert_eq!((x.text(), y.text()), (Some("x"), None));
    }
}

#[test]
fn what_would_be_called_is_named_and_not_called() {
    let pickle = read(b"cos\nsystem\n(Vtouch ran\ntR.");
    let root = pickle.root();
    assert_eq!(root.callee(), Some(["os", "system"]));
    let [command] = root.arguments().unwrap().first().unwrap();
    assert_eq!(command.text(), Some("touch ran"));
    // An object with its state.
    let pickle = read(b"\x80\x02cargparse\nNamespace\n)\x81}X\x04\0\0\0archX\x01\0\0\0xsb.");
    assert_eq!(pickle.root().callee(), Some(["argparse", "Namespace"]));
    assert_eq!(pickle.root().state().unwrap().get("arch").unwrap().text(), Some("x"));
}

#[test]
fn shared_and_endless_values_cost_nothing() {
    // Each list holds the former twice: two to the 200th items, were they copied.
    let mut bytes = b"]".to_vec();
    for _ in 0..200 {
        bytes.extend_from_slice(b"2\x86");
    }
    bytes.push(b'.');
    assert!(read(&bytes).nodes.len() < 300);
    // A list in itself.
    let pickle = read(b"]q\0h\0a.");
    let [inner] = pickle.root().first().unwrap();
    assert_eq!(inner.id, pickle.root().id);
    // A hundred thousand lists in each other.
    let deep = [vec![b']'; 100_000], vec![b'a'; 99_999], vec![b'.']].concat();
    drop(read(&deep));
}

#[test]
fn broken_pickles_are_complaints() {
    for (bytes, complaint) in [
        (&b""[..], "breaks off at byte 0"),
        (b"]", "breaks off at byte 1"),
        (b".", "a value is expected"),
        (b"X\xff\xff\xff\xffab.", "breaks off"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "breaks off"),
        (b"\xff.", "unknown instruction 0xff at byte 0"),
        (b"h\x07.", "a known value is expected"),
        (b"t.", "a mark is expected"),
        (b"(.", "a value is expected"),
        (b"K\x01K\x02a.", "a list is expected"),
        (b"K\x01K\x02K\x03s.", "a dictionary is expected"),
        (b"(o.", "a class is expected"),
    ] {
        let found = Pickle::read(bytes).unwrap_err();
        assert!(found.contains(complaint), "{bytes:?}: {found}");
    }
    let long = vec![b'N'; (1 << 19) + 1];
    assert!(Pickle::read(&long).unwrap_err().contains("more than 524288 instructions"));
}
