//! What every Rust file owes the reader: a header, a true name, no ignored tests, no promises instead of code.

use std::collections::BTreeMap;

use super::rust_text::code_only;
use super::{File, Finding};

/// Rooms that could hold anything, and so come to hold everything.
const EMPTY_NAMES: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "core", "manager", "managers", "misc"];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_tests = file.path.ends_with("tests.rs") || file.path.contains("/tests/");
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // A sibling `tests.rs` belongs to the module beside it, which has the header.
    if !is_tests && !first.starts_with("//!") {
        findings.push(Finding::failure(
            &file.path,
            "opens without `//!`: say why it exists, its invariant, what it refuses to do",
        ));
    }
    if let Some(name) = file.path.trim_end_matches(".rs").split('/').find(|part| EMPTY_NAMES.contains(part)) {
        findings.push(Finding::failure(&file.path, format!("nothing is called {name}: name it for what it holds")));
    }
    let code = code_only(&file.text);
    for (number, line) in (1..).zip(code.lines()) {
        for complaint in complaints(line) {
            findings.push(Finding::failure(format!("{}:{number}", file.path), complaint));
        }
    }
    findings
}

fn complaints(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    if line.contains("#[ignore") {
        found.push("an ignored test: assert today's answer and say why, or remove it".to_owned());
    }
    for promise in ["todo!", "unimplemented!"] {
        if line.contains(promise) {
            found.push(format!("`{promise}` promises code: what is on main works"));
        }
    }
    let module = line.split_once("mod ").map(|(before, after)| (before.trim(), after));
    if let Some(("" | "pub" | "pub(crate)" | "pub(super)", after)) = module {
        let name: String = after.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if EMPTY_NAMES.contains(&name.as_str()) {
            found.push(format!("nothing is called {name}: name it for what it holds"));
        }
    }
    found
}

/// Every further test binary costs a link of the whole crate, so a crate has one at most.
pub(super) fn one_test_binary_per_crate(files: &[File]) -> Vec<Finding> {
    let mut binaries: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some((folder, test)) = file.path.split_once("/tests/") else { continue };
        let is_root = !test.contains('/') || (test.ends_with("/main.rs") && test.matches('/').count() == 1);
        if is_root && !folder.contains("/src") {
            binaries.entry(folder).or_default().push(test);
        }
    }
    let many = binaries.into_iter().filter(|(_, tests)| tests.len() > 1);
    many.map(|(folder, tests)| Finding::failure(folder, format!("has more than one test binary: {}", tests.join(", "))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_about(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.to_owned(), text: text.to_owned() })
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn a_file_without_a_header_fails_unless_it_is_a_tests_file() {
        assert!(complaints_about("crates/a/src/lib.rs", "use b;\n")[0].contains("opens without"));
        assert!(complaints_about("crates/a/src/lib.rs", "\n//! Why.\n").is_empty());
        assert!(complaints_about("crates/a/src/tests.rs", "use super::*;\n").is_empty());
    }

    #[test]
    fn a_room_called_helpers_fails_as_file_and_as_module() {
        assert!(complaints_about("crates/a/src/helpers.rs", "//! x\n")[0].contains("helpers"));
        assert!(complaints_about("crates/core/src/lib.rs", "//! x\n")[0].contains("core"));
        assert!(complaints_about("crates/a/src/lib.rs", "//! x\npub(crate) mod util {\n")[0].contains("util"));
        assert!(
            complaints_about("crates/a/src/lib.rs", "//! x\nuse std::core_affinity; mod common_sense;\n").is_empty()
        );
    }

    #[test]
    fn promises_and_ignored_tests_fail_in_code_but_not_in_prose() {
        let text = format!("//! x\n{}[{}]\nfn a() {{ {}() }}\n", '#', "ignore", "todo!");
        assert_eq!(complaints_about("a.rs", &text).len(), 2);
        assert!(complaints_about("a.rs", "//! x\n// todo! and #[ignore] are not allowed\n").is_empty());
    }

    #[test]
    fn a_second_test_binary_fails() {
        let file = |path: &str| File { path: path.to_owned(), text: String::new() };
        let one = [
            file("crates/a/tests/a.rs"),
            file("crates/b/tests/stories/main.rs"),
            file("crates/b/tests/stories/kill.rs"),
        ];
        assert!(one_test_binary_per_crate(&one).is_empty());
        let two = [file("crates/a/tests/a.rs"), file("crates/a/tests/stories/main.rs")];
        assert_eq!(one_test_binary_per_crate(&two).len(), 1);
    }
}
