use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

const BESIDE: Findings = Findings { has_external_data: true, has_loop: false };

/// A field that holds bytes.
pub(in super::super) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut put = |mut number: usize| {
        while number >= 0x80 {
            encoded.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        encoded.push(u8::try_from(number).unwrap());
    };
    put(usize::from(number) << 3 | 2);
    put(content.len());
    encoded.extend_from_slice(content);
    encoded
}

fn external(location: &str) -> Vec<u8> {
    field(13, &[field(1, b"location"), field(2, location.as_bytes())].concat())
}

/// A model with the tensor as an initializer.
fn with_initializer(tensor: &[u8]) -> Vec<u8> {
    field(7, &field(5, tensor))
}

#[test]
fn tensors_in_other_files_must_be_plain_files_of_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(outer.path().join("secret"), "x").unwrap();
    fs::write(folder.join("weights.bin"), "x").unwrap();
    fs::write(folder.join("sub/more.bin"), "x").unwrap();
    fs::hard_link(outer.path().join("secret"), folder.join("hard")).unwrap();
    symlink(outer.path().join("secret"), folder.join("soft")).unwrap();
    symlink(outer.path(), folder.join("up")).unwrap();

    for location in ["weights.bin", "./weights.bin", "sub/more.bin"] {
        assert_eq!(inspect(&with_initializer(&external(location)), &folder), Ok(BESIDE), "{location}");
    }
    let absolute = outer.path().join("secret");
    for (location, reason) in [
        ("../secret", "leads out of the model's folder"),
        ("sub/../../secret", "leads out of the model's folder"),
        (absolute.to_str().unwrap(), "leads out of the model's folder"),
        ("hard", "is a hard link"),
        ("soft", "is a symbolic link"),
        ("up/secret", "is a symbolic link"),
        ("sub", "is not a plain file"),
        ("none", "is not part of the model data"),
        ("", "is not a path"),
        ("..\\secret", "is not a path"),
    ] {
        let suspicion = inspect(&with_initializer(&external(location)), &folder).unwrap_err();
        assert_eq!(suspicion, Suspicion::ExternalData { location: location.to_owned(), reason }, "{location}");
    }
}

#[test]
fn tensors_are_found_wherever_a_model_can_hide_them() {
    let tensor = external("/etc/passwd");
    let attribute = |inner: &[u8]| field(7, &field(1, &field(5, inner)));
    let hidden = [
        with_initializer(&tensor),
        field(7, &field(15, &field(1, &tensor))),
        field(7, &field(15, &field(2, &tensor))),
        attribute(&field(5, &tensor)),
        attribute(&field(10, &tensor)),
        attribute(&field(22, &field(1, &tensor))),
        attribute(&field(23, &field(1, &tensor))),
        attribute(&field(6, &field(5, &tensor))),
        attribute(&field(11, &field(1, &field(5, &field(5, &tensor))))),
        [field(7, b""), field(25, &field(7, &field(5, &field(5, &tensor))))].concat(),
        [field(7, b""), field(25, &field(11, &field(5, &tensor)))].concat(),
        [field(7, b""), field(20, &field(1, &field(5, &tensor)))].concat(),
    ];
    for model in hidden {
        let suspicion = inspect(&model, Path::new("/")).unwrap_err();
        assert!(matches!(suspicion, Suspicion::ExternalData { .. }), "{suspicion}");
    }
}

#[test]
fn impossible_tensors_and_endless_graphs_are_refused() {
    let folder = Path::new("/");
    let dims = |lengths: &[u8]| with_initializer(&field(1, lengths));
    assert_eq!(inspect(&dims(&[2, 3]), folder), Ok(Findings::default()));
    assert_eq!(inspect(&dims(&[0, 0xff, 0xff, 0xff, 0x7f]), folder), Ok(Findings::default()));
    // 2^40 elements; 2^63 by 2^63.
    assert_eq!(inspect(&dims(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x20]), folder), Err(Suspicion::LyingTensor));
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(inspect(&dims(&[huge, huge].concat()), folder), Err(Suspicion::LyingTensor));
    let mut graph = Vec::new();
    for _ in 0..100 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    assert_eq!(inspect(&field(7, &graph), folder), Err(Suspicion::TooDeep));
}

#[test]
fn loops_are_found_also_inside_functions() {
    let node = field(4, b"Loop");
    for model in [field(7, &field(1, &node)), [field(7, b""), field(25, &field(7, &node))].concat()] {
        assert_eq!(inspect(&model, Path::new("/")), Ok(Findings { has_external_data: false, has_loop: true }));
    }
}

#[test]
fn what_is_no_model_is_refused() {
    for content in [&b""[..], b"\x80\x04\x95pickle", b"not a model", b"\x08\x07"] {
        assert_eq!(inspect(content, Path::new("/")), Err(Suspicion::Malformed(Malformed)));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = inspect(&bytes, Path::new("/"));
        let _ = inspect(&with_initializer(&bytes), Path::new("/"));
    }
}
