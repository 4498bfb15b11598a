//! Every trick that an archive can play, built by hand.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, Header};

use super::*;

/// An archive from raw headers, so that it can hold what a decent writer refuses to write.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(self, kind: EntryType, name: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o6777);
        header.set_size(content.len() as u64);
        self.raw(header, content)
    }

    fn raw(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), content.as_bytes())
    }

    fn link(self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_link_name(target).unwrap();
        header.set_size(0);
        self.raw(header, b"")
    }

    fn gzip(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        gzip(&self.0)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        content.push_str(&format!("{length} {key}={value}\n"));
    }
    content.into_bytes()
}

/// Extracts, and checks that whatever happened, nothing but a good result is left.
fn try_extract(archive: &[u8], limits: &Limits) -> (tempfile::TempDir, Result<Extracted, ExtractError>) {
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("model");
    let result = extract(archive, &into, limits);
    let left: Vec<_> = fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    match &result {
        Ok(_) => assert_eq!(left, ["model"]),
        Err(_) => assert!(left.is_empty(), "{left:?}"),
    }
    (outer, result)
}

fn refusal(archive: &[u8]) -> String {
    let (_outer, result) = try_extract(archive, &Limits::default());
    match result.expect_err("an evil archive was unpacked") {
        error @ (ExtractError::Unsafe(_) | ExtractError::TooLarge(_)) => error.to_string(),
        error => panic!("refused for another reason: {error}"),
    }
}

#[test]
fn a_good_archive_is_unpacked_with_plain_modes() {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let long = format!("code/{}/deep.py", "l".repeat(120));
    for (name, content) in [("./model.onnx", "onnx"), ("code/a.py", "pass"), (&long, "x")] {
        let mut header = Header::new_gnu();
        header.set_mode(0o4755);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let archive = builder.into_inner().unwrap().finish().unwrap();
    let (outer, result) = try_extract(&archive, &Limits::default());
    assert_eq!(result.unwrap().bytes, 9);
    let root = outer.path().join("model");
    assert_eq!(fs::read_to_string(root.join("model.onnx")).unwrap(), "onnx");
    assert_eq!(fs::read_to_string(root.join(&long)).unwrap(), "x");
    assert_eq!(fs::metadata(root.join("model.onnx")).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(fs::metadata(root.join("code")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn archives_of_macos_and_git_with_harmless_pax_headers_are_unpacked() {
    let archive = Tar::default()
        .entry(EntryType::XGlobalHeader, b"pax_global_header", &pax(&[("comment", "f00")]))
        .entry(EntryType::XHeader, b"PaxHeader/x", &pax(&[("SCHILY.xattr.com.apple.x", "\n\0\n"), ("mtime", "1.5")]))
        .file("model.onnx", "onnx")
        .entry(EntryType::XHeader, b"PaxHeader/y", &pax(&[("path", "ünïcode.txt"), ("size", "2")]))
        .file("short", "xy");
    let (outer, result) = try_extract(&archive.gzip(), &Limits::default());
    result.unwrap();
    assert!(outer.path().join("model/ünïcode.txt").exists());
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    for name in ["../../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "C:/x", "\\\\host\\share", ".."] {
        let error = refusal(&Tar::default().file(name, "evil").gzip());
        assert!(error.starts_with("UnsafeArchive: "), "{error}");
    }
    let long = format!("{}../../../x", "a/".repeat(80));
    refusal(&Tar::default().entry(EntryType::GNULongName, b"././@LongLink", long.as_bytes()).file("a", "evil").gzip());
    refusal(&Tar::default().entry(EntryType::XHeader, b"p", &pax(&[("path", "../x")])).file("a", "evil").gzip());
}

#[test]
fn links_are_refused_whatever_they_point_to() {
    for (kind, target) in [
        (EntryType::Symlink, "/etc"),
        (EntryType::Symlink, "model.onnx"),
        (EntryType::Link, "/etc/passwd"),
        (EntryType::Link, "model.onnx"),
    ] {
        let archive = Tar::default().link(kind, "a", target).file("a/passwd", "evil");
        assert!(refusal(&archive.gzip()).contains("link"), "{kind:?}");
    }
    // A link and a folder of one name.
    refusal(&Tar::default().link(EntryType::Symlink, "a", "/tmp").entry(EntryType::Directory, b"a/", b"").gzip());
}

#[test]
fn devices_pipes_sparse_and_unknown_kinds_are_refused() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::GNULongLink,
        EntryType::new(b'Z'),
    ] {
        refusal(&Tar::default().entry(kind, b"a", b"").gzip());
    }
    let sparse = pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "99")]);
    refusal(&Tar::default().entry(EntryType::XHeader, b"p", &sparse).file("a", "x").gzip());
}

#[test]
fn bombs_are_stopped_by_every_limit() {
    let zeros = gzip(&Tar::default().entry(EntryType::Regular, b"zeros", &vec![0; 8 << 20]).0);
    assert!(refusal(&zeros).contains("200 times its own size"));
    let limits = Limits { max_ratio: u64::MAX, max_bytes: 1 << 20, ..Limits::default() };
    let (_outer, result) = try_extract(&zeros, &limits);
    assert!(matches!(result, Err(ExtractError::TooLarge(Breach::Bytes { max: 1_048_576 }))));

    let many = (0..101).fold(Tar::default(), |tar, n| tar.file(&n.to_string(), ""));
    let limits = Limits { max_entries: 100, ..Limits::default() };
    let (_outer, result) = try_extract(&many.gzip(), &limits);
    assert!(matches!(result, Err(ExtractError::TooLarge(Breach::Entries { max: 100 }))));

    let deep = "d/".repeat(10_000) + "x";
    let deep = Tar::default().entry(EntryType::GNULongName, b"L", deep.as_bytes()).file("x", "");
    assert!(refusal(&deep.gzip()).contains("32 folders deep"));

    // Padding after the end of the tar counts too.
    let mut padded = gzip(&Tar::default().file("a", "x").0);
    padded.extend(gzip(&vec![0; 8 << 20]));
    assert!(refusal(&padded).contains("200 times"));
    // Extension headers are read into memory, so they have a limit of their own.
    refusal(&Tar::default().entry(EntryType::XHeader, b"p", &vec![b'x'; 65 * 1024]).file("a", "").gzip());
}

#[test]
fn headers_that_two_readers_could_understand_differently_are_refused() {
    let sizes = pax(&[("size", "512")]);
    refusal(&Tar::default().entry(EntryType::XHeader, b"p", &sizes).file("a", "0123456789").gzip());
    refusal(&Tar::default().entry(EntryType::XHeader, b"p", b"99 path=x\n").file("a", "").gzip());
    refusal(&Tar::default().entry(EntryType::XGlobalHeader, b"g", &pax(&[("path", "x")])).file("a", "").gzip());
    let twice = Tar::default().entry(EntryType::XHeader, b"p", &pax(&[("path", "x")]));
    refusal(&twice.entry(EntryType::GNULongName, b"L", b"y").file("a", "").gzip());
    refusal(&Tar::default().file("a", "x").entry(EntryType::XHeader, b"p", &pax(&[("path", "x")])).gzip());
}

#[test]
fn names_that_file_systems_or_people_trip_over_are_refused() {
    for name in [&b"a\nb"[..], b"a\rb", b"a\x1b[2Jb", b"\xff\xfe", b"a\\b"] {
        refusal(&Tar::default().entry(EntryType::Regular, name, b"").gzip());
    }
    refusal(&Tar::default().entry(EntryType::GNULongName, b"L", b"a\0b\0").file("x", "").gzip());
    refusal(&Tar::default().entry(EntryType::GNULongName, b"L", &[b'x'; 256]).file("x", "").gzip());
    refusal(&Tar::default().file("model.onnx", "a").file("model.onnx", "b").gzip());
    refusal(&Tar::default().file("model.onnx", "a").file("Model.ONNX", "b").gzip());
    refusal(&Tar::default().file("a", "x").file("a/b", "y").gzip());
    refusal(&Tar::default().file("a/b", "x").file("a", "y").gzip());
    refusal(&Tar::default().entry(EntryType::Regular, b"./", b"").entry(EntryType::Regular, b".", b"x").gzip());
}

#[test]
fn truncated_and_flipped_archives_leave_nothing() {
    let content = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect::<String>();
    let good = Tar::default().file("a", &content).gzip();
    for cut in [0, 1, 9, good.len() / 2, good.len() - 9, good.len() - 4, good.len() - 1] {
        let (_outer, result) = try_extract(&good[..cut], &Limits::default());
        assert!(matches!(result, Err(ExtractError::Damaged(_))), "cut at {cut}: {result:?}");
    }
    let mut flipped = good.clone();
    let checksum = good.len() - 6;
    flipped[checksum] ^= 1;
    let (_outer, result) = try_extract(&flipped, &Limits::default());
    assert!(matches!(result, Err(ExtractError::Damaged(_))), "{result:?}");
    let (_outer, result) = try_extract(b"not gzip at all", &Limits::default());
    assert!(result.unwrap_err().to_string().contains("not a gzip-compressed tar"));
}

#[test]
fn an_archive_cut_inside_a_file_is_damaged_even_when_its_gzip_is_whole() {
    let mut tar = Tar::default().file("a", "0123456789").0;
    tar.truncate(512 + 5);
    let (_outer, result) = try_extract(&gzip(&tar), &Limits::default());
    assert!(matches!(result, Err(ExtractError::Damaged(_))), "{result:?}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_escape(bytes in prop::collection::vec(any::<u8>(), 0..2048), at in 0..1500_usize) {
        let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
        let _ = try_extract(&bytes, &limits);
        let _ = try_extract(&gzip(&bytes), &limits);
        // Damage in the middle of a decent archive reaches deeper than noise.
        let mut tar = Tar::default().file("a", "x").entry(EntryType::XHeader, b"p", &pax(&[("path", "b")])).file("c", "y").0;
        let end = (at + bytes.len().min(16)).min(tar.len());
        tar[at.min(end)..end].copy_from_slice(&bytes[..end - at.min(end)]);
        let _ = try_extract(&gzip(&tar), &limits);
    }
}
