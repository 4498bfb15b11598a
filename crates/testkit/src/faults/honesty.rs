//! T29: `captura reconcile` finds what somebody did to the objects, the manifests or the journal, and finds nothing where
//! nobody did anything.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::kills::{MODES, Scene};
use crate::order::{Figures, Order, Told, in_parallel};
use crate::program::{self, said};
use crate::seeded::Seeded;
use crate::server::{Home, found_within};
use crate::{captured, proof};

/// Objects that the base has at least, so that there is something to exchange.
const OBJECTS_MIN: usize = 4;

/// A data folder after a life that was archived and one that was killed: it is copied, and the copy tampered with.
struct Base {
    scene: Scene,
}

impl Base {
    fn new() -> Result<Self, String> {
        let home = Home::new("[capture]\nseal_after = \"300ms\"\nseal_bytes = \"128KiB\"\n");
        let mut scene = Scene::new(home);
        let server = scene.home.serve_through(&[])?;
        Scene::deploy(&server);
        let bucket = scene.home.bucket("captures");
        // A few calls at a time, until the archive has several objects.
        for round in 0..30 {
            scene.wait_until_all_answer(&server)?;
            let at_rest = || {
                let accounts = proof::accounts(&server).ok()?;
                accounts.iter().all(|account| account["local_pending"] == 0).then_some(())
            };
            found_within(Duration::from_secs(30), at_rest).ok_or("the archive did not come to rest")?;
            if round > 2 && files(&bucket).len() >= OBJECTS_MIN {
                break;
            }
        }
        scene.wait_until_all_answer(&server)?;
        server.kill();
        let base = Self { scene };
        let fine = base.reconcile(&base.scene.home.data_dir());
        if fine.status.success() { Ok(base) } else { Err(format!("before anything was done: {}", said(&fine))) }
    }

    fn reconcile(&self, data_dir: &Path) -> Output {
        program::run([
            "reconcile".as_ref(),
            "--deep".as_ref(),
            "--data-dir".as_ref(),
            data_dir.as_os_str(),
            "--config".as_ref(),
            self.scene.home.path().join("captura.toml").as_os_str(),
            "--oracle".as_ref(),
            self.scene.oracle.path().as_os_str(),
        ])
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let below = file.strip_prefix(from).expect("our bug: a file below the folder");
        // The catalog says nothing of captures.
        if below.starts_with("journal") || below.starts_with("buckets") {
            let to = to.join(below);
            std::fs::create_dir_all(to.parent().expect("our bug: a file has a folder")).expect("a folder can be made");
            std::fs::copy(&file, &to).expect("a file can be copied");
        }
    }
}

/// What is done to a copy.
const TAMPERINGS: [&str; 14] = [
    "delete an object",
    "delete a line",
    "double a line",
    "exchange two lines",
    "alter a byte of a body",
    "alter any byte of an object",
    "cut an object",
    "empty an object",
    "exchange two objects",
    "copy an object beside itself",
    "move a line to another object",
    "delete a manifest",
    "delete a segment of the journal",
    "alter a record in the journal",
];

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).expect("objects are text").lines().map(|line| format!("{line}\n")).collect()
}

fn write(path: &Path, lines: &[String]) {
    std::fs::write(path, lines.concat()).expect("a file can be written");
}

/// Does one thing to a copied data folder; `false` where it cannot be done to what was picked.
fn tamper(what: &str, data_dir: &Path, numbers: &mut Seeded) -> bool {
    let ending = |name: &'static str| move |path: &PathBuf| path.extension().is_some_and(|ending| ending == name);
    let objects: Vec<PathBuf> = files(&data_dir.join("buckets")).into_iter().filter(ending("jsonl")).collect();
    let journal = data_dir.join("journal");
    let segment = files(&journal).into_iter().find(ending("open"));
    let (one, two) = (numbers.pick(&objects).clone(), numbers.pick(&objects).clone());
    let mut text = lines(&one);
    let at = numbers.index(text.len());
    match what {
        "delete an object" => std::fs::remove_file(&one).expect("an object can be deleted"),
        "delete a line" => {
            text.remove(at);
            write(&one, &text);
        }
        "double a line" => {
            text.insert(at, text[at].clone());
            write(&one, &text);
        }
        "exchange two lines" if text.len() > 1 => {
            let other = (at + 1) % text.len();
            text.swap(at, other);
            write(&one, &text);
        }
        "alter a byte of a body" => {
            text[at] = text[at].replacen("\"data\":\"0\"", "\"data\":\"7\"", 1);
            write(&one, &text);
        }
        "alter any byte of an object" => {
            let mut bytes = text.concat().into_bytes();
            let at = numbers.index(bytes.len());
            bytes[at] ^= 1 << numbers.between(0, 8);
            std::fs::write(&one, bytes).expect("a file can be written");
        }
        "cut an object" => {
            let mut bytes = text.concat().into_bytes();
            bytes.truncate(numbers.index(bytes.len()));
            std::fs::write(&one, bytes).expect("a file can be written");
        }
        "empty an object" => write(&one, &[]),
        "exchange two objects" if one != two => {
            let other = lines(&two);
            write(&two, &text);
            write(&one, &other);
        }
        "copy an object beside itself" => {
            let name = one.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Another digit in its uuid.
            let at = name.len() - "0.jsonl".len();
            let digit = if name.as_bytes()[at] == b'0' { '1' } else { '0' };
            let copy = format!("{}{digit}.jsonl", &name[..at]);
            std::fs::copy(&one, one.with_file_name(copy)).expect("a file can be copied");
        }
        "move a line to another object" if one != two => {
            let mut other = lines(&two);
            other.push(text.remove(at));
            write(&one, &text);
            write(&two, &other);
        }
        "delete a manifest" => {
            let manifests = files(&journal.join("manifest"));
            std::fs::remove_file(numbers.pick(&manifests)).expect("a manifest can be deleted");
        }
        "delete a segment of the journal" => match segment {
            Some(segment) => std::fs::remove_file(segment).expect("a segment can be deleted"),
            None => return false,
        },
        "alter a record in the journal" => {
            let Some(segment) = segment else { return false };
            let mut bytes = std::fs::read(&segment).expect("a segment can be read");
            // The reply of every call is its request, one digit, behind its content type. Of the first record: damage to
            // the last one looks like a record that the kill had cut off.
            let Some(at) = bytes.windows(9).position(|window| window == b"text/csv0") else { return false };
            bytes[at + 8] ^= 1;
            std::fs::write(&segment, bytes).expect("a file can be written");
        }
        _ => return false,
    }
    true
}

pub(super) fn run(order: &Order) -> Told {
    let base = match Base::new() {
        Ok(base) => base,
        Err(what) => return Told::Broken(crate::order::Broken { seed: order.seed, what }),
    };
    let lines = captured::count(&base.scene.home.bucket("captures"));
    assert!(lines >= MODES.len(), "the base holds {lines} lines, too few to tamper with");
    in_parallel(order, 2, |seed| {
        let mut numbers = Seeded::new(seed);
        let copied = tempfile::Builder::new().prefix("captura-tampered-").tempdir().expect("a temporary folder");
        copy(&base.scene.home.data_dir(), copied.path());
        let clean = base.reconcile(copied.path());
        if !clean.status.success() {
            return Err(format!("a false alarm: {}", said(&clean)));
        }
        let what = loop {
            let what = *numbers.pick(&TAMPERINGS);
            if tamper(what, copied.path(), &mut numbers) {
                break what;
            }
        };
        let told = base.reconcile(copied.path());
        if told.status.code() != Some(2) {
            return Err(format!("{what} is not found: {}", said(&told)));
        }
        let mut figures = Figures { units: 1, ..Figures::default() };
        figures.add("clean runs without an alarm", 1);
        Ok(figures)
    })
}
