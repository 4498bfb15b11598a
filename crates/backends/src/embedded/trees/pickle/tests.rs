use super::*;

/// Steps of a pickle, put together by hand.
fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat()
}

/// `xgboost.core.Booster` with this state: the steps of its value.
fn booster_with(handle: &[u8]) -> Vec<u8> {
    pickle(&[b"\x80\x02cxgboost.core\nBooster\n)\x81}", &text("handle"), handle, b"sb."])
}

#[test]
fn every_way_to_write_bytes_is_read() {
    let ways: [(&str, Vec<u8>); 8] = [
        ("protocol 5", b"\x96\x03\0\0\0\0\0\0\0{\xff\0".to_vec()),
        ("bytes", b"C\x03{\xff\0".to_vec()),
        ("long bytes", b"\x8e\x03\0\0\0\0\0\0\0{\xff\0".to_vec()),
        ("bytearray of bytes", b"cbuiltins\nbytearray\nC\x03{\xff\0\x85R".to_vec()),
        ("bytearray of text", pickle(&[b"c__builtin__\nbytearray\n", &text("{ÿ\0"), &text("latin-1"), b"\x86R"])),
        ("bytearray of escaped text", b"c__builtin__\nbytearray\n(V{\\u00ff\\u0000\nVlatin-1\ntR".to_vec()),
        (
            "bytearray of encoded text",
            pickle(&[b"cbuiltins\nbytearray\nc_codecs\nencode\n", &text("{ÿ\0"), &text("latin1"), b"\x86R\x85R"]),
        ),
        ("text of Python 2", b"U\x03{\xff\0".to_vec()),
    ];
    for (way, steps) in ways {
        assert_eq!(&*booster(&booster_with(&steps)).unwrap().buffer, b"{\xff\0", "{way}");
    }
}

#[test]
fn what_is_not_bytes_holds_no_model() {
    let deep = pickle(&[&b"cbuiltins\nbytearray\n".repeat(9), b"C\x01{", &b"\x85R".repeat(9)]);
    for steps in [
        b"N".to_vec(),
        b"cos\nsystem\nC\x02ls\x85R".to_vec(),
        pickle(&[b"c__builtin__\nbytearray\n", &text("€"), &text("latin-1"), b"\x86R"]),
        pickle(&[b"c__builtin__\nbytearray\n", &text("a"), &text("rot13"), b"\x86R"]),
        deep,
    ] {
        assert_eq!(booster(&booster_with(&steps)).unwrap_err(), PickleError::NoModel);
    }
}

#[test]
fn pickles_of_anything_else_are_refused_by_name_and_nothing_of_them_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("was-here");
    let command = format!("touch {}", witness.display());
    let hostile: [(Vec<u8>, &str); 7] = [
        (pickle(&[b"\x80\x04cos\nsystem\n", &text(&command), b"\x85R."]), "os.system"),
        (pickle(&[b"\x80\x04", &text("posix"), &text("system"), b"\x93", &text(&command), b"\x85R."]), "posix.system"),
        (pickle(&[b"(cbuiltins\neval\n", &text("1+1"), b"o."]), "builtins.eval"),
        (pickle(&[b"(", &text("1+1"), b"ibuiltins\neval\n."]), "builtins.eval"),
        (
            pickle(&[b"\x80\x04csklearn.pipeline\nPipeline\n)\x81}", &text("handle"), b"C\x01{sb."]),
            "sklearn.pipeline.Pipeline",
        ),
        (b"\x80\x04}.".to_vec(), "a dictionary"),
        (b"\x80\x04cxgboost.core\nBooster\n.".to_vec(), "xgboost.core.Booster"),
    ];
    for (bytes, what) in hostile {
        assert_eq!(booster(&bytes).unwrap_err(), PickleError::NoBooster { what: what.to_owned() });
    }
    // Beside an honest booster it is not called either.
    let handle = pickle(&[b"C\x01{s", &text("callback"), b"cos\nsystem\n", &text(&command), b"\x85R"]);
    assert_eq!(&*booster(&booster_with(&handle)).unwrap().buffer, b"{");
    assert!(!witness.exists());
}

#[test]
fn bombs_stay_as_small_as_they_are_written() {
    // Lists of lists, each holding the one before twice: 2^10000 elements if anybody unfolded them.
    let mut laughs = b"\x80\x04]\x94".to_vec();
    for level in 0..10_000_u32 {
        let [before, this] = [level.to_le_bytes(), (level + 1).to_le_bytes()];
        laughs.extend(pickle(&[b"](j", &before, b"j", &before, b"er", &this]));
    }
    laughs.push(b'.');
    let picture = run(&laughs).unwrap();
    assert_eq!(picture.values.len(), 10_001);
    // Depth is no recursion.
    let deep = pickle(&[b"\x80\x04", &b"]".repeat(200_000), &b"a".repeat(199_999), b"."]);
    assert!(matches!(booster(&deep), Err(PickleError::NoBooster { .. })));
    let tuples = pickle(&[b"\x80\x04N", &b"\x85".repeat(200_000), b"."]);
    assert!(matches!(booster(&tuples), Err(PickleError::NoBooster { .. })));
    // Steps are counted.
    let limit = machine::MAX_STEPS;
    assert_eq!(booster(&b"(".repeat(limit + 1)).unwrap_err(), PickleError::TooLong { limit });
}

#[test]
fn lengths_are_believed_only_as_far_as_the_file_goes() {
    for (steps, what) in [
        (&b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff."[..], "a frame is longer than the file"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "the file ends too early"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "the file ends too early"),
        (b"\x80\x04B\xff\xff\xff\xff.", "the file ends too early"),
        (b"\x80\x04T\xff\xff\xff\xff.", "the file ends too early"),
        (b"\x80\x04\x8b\xff\xff\xff\xff.", "the file ends too early"),
        (b"\x80\x04cos", "a line without an end"),
        (b"\x80\x04]", "the file ends too early"),
        (b"\x80\x04a.", "the stack is empty"),
        (b"\x80\x04N(\x85.", "the stack is empty"),
        (b"\x80\x04e.", "there is no mark"),
        (b"\x80\x04h\x07.", "nothing was memorised there"),
        (b"\x80\x04gseven\n.", "a memo without a number"),
        (b"\x80\x04S'half\n.", "text without quotes"),
        (b"\x80\x04(o.", "an object without a class"),
        (b"\x80\x04\xff.", "there is no such step"),
    ] {
        match booster(steps) {
            Err(PickleError::Broken { what: said, .. }) => assert_eq!(said, what),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn the_last_entry_of_a_name_counts_and_state_may_be_a_pair() {
    let twice = pickle(&[b"C\x01as", &text("handle"), b"C\x01b"]);
    assert_eq!(&*booster(&booster_with(&twice)).unwrap().buffer, b"b");
    let pair = pickle(&[b"\x80\x02cxgboost.core\nBooster\n)\x81N}", &text("handle"), b"C\x01cs\x86b."]);
    assert_eq!(&*booster(&pair).unwrap().buffer, b"c");
    // As Python 2 wrote it, with the protocol of its day.
    let old =
        b"ccopy_reg\n_reconstructor\n(cxgboost.core\nBooster\nc__builtin__\nobject\nNtR(dS'handle'\nc__builtin__\n\
        bytearray\n(V\\u007b\nS'latin-1'\ntRsS'best_ntree_limit'\nI7\nsS'feature_names'\n(lS'a'\naS'b'\nasb.";
    let old = booster(old).unwrap();
    assert_eq!((&*old.buffer, old.best_ntree_limit), (&b"{"[..], Some(7)));
    assert_eq!(old.feature_names, ["a", "b"]);
}
