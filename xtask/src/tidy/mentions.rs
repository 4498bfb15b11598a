//! Pages tell the truth about the tree: a path that a page names exists. And no text knows somebody's machine.

use std::collections::BTreeSet;

use super::{File, Finding};

/// Pages whose paths are checked, and everything under `docs/`.
const PAGES: [&str; 5] = ["README.md", "README.pt-BR.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
/// A word in back-ticks that begins so or ends so is a path of this tree.
const ROOTS: [&str; 8] = ["crates/", "xtask/", "demo/", "fuzz/", "docs/", "console/", ".ci/", ".cargo/"];
const ENDINGS: [&str; 4] = [".rs", ".md", ".toml", ".py"];
/// Home folders and work folders of a particular machine. Split, so that this file does not name them itself.
const MACHINES: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let known = known_paths(files);
    let mut findings = Vec::new();
    for file in files {
        let is_page =
            PAGES.contains(&file.path.as_str()) || (file.path.starts_with("docs/") && file.path.ends_with(".md"));
        for (number, line) in (1..).zip(file.text.lines()) {
            let place = || format!("{}:{number}", file.path);
            if is_page {
                let lost = mentioned(line).filter(|path| !exists(path, &file.path, &known));
                findings
                    .extend(lost.map(|path| Finding::failure(place(), format!("names {path}, which does not exist"))));
            }
            if let Some(machine) = MACHINES.iter().find(|machine| names_machine(line, machine)) {
                findings.push(Finding::failure(place(), format!("names {machine}, a folder of one machine")));
            }
        }
    }
    findings
}

fn names_machine(line: &str, machine: &str) -> bool {
    line.match_indices(machine).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && !matches!(letter, '/' | '.' | '_' | '-' | '}' | '~'))
            || line[..at].ends_with("://")
    })
}

/// Files and all their folders.
fn known_paths(files: &[File]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for file in files {
        let mut path = file.path.as_str();
        known.insert(path.to_owned());
        while let Some((folder, _)) = path.rsplit_once('/') {
            known.insert(folder.to_owned());
            path = folder;
        }
    }
    known
}

/// Words of a line that claim to be paths of this tree: in back-ticks, or targets of links.
fn mentioned(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let linked = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    quoted.chain(linked).map(|word| word.split('#').next().unwrap_or_default()).filter(|word| is_path(word))
}

fn is_path(word: &str) -> bool {
    let odd = |letter: char| !(letter.is_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-'));
    let ours = ROOTS.iter().any(|root| word.starts_with(root));
    let named = word.contains('/') && ENDINGS.iter().any(|ending| word.ends_with(ending));
    !word.contains(odd) && !word.starts_with('/') && !word.starts_with("captura-") && (ours || named)
}

/// As written from the root, from the page's own folder, or in the short form `room/file.rs`.
fn exists(path: &str, page: &str, known: &BTreeSet<String>) -> bool {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let short = path.split_once('/').map(|(room, rest)| format!("crates/{room}/src/{rest}"));
    let beside = relative(folder, path);
    known.contains(path) || known.contains(&beside) || short.is_some_and(|short| known.contains(&short))
}

fn relative(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(page: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file(page, text), file("crates/gateway/src/invoke.rs", ""), file("docs/faults.md", "")];
        check(&files).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_path_that_exists_passes_in_every_form() {
        let text =
            "`crates/gateway/src/invoke.rs`, `gateway/invoke.rs`, `crates/gateway/`, [faults](docs/faults.md#kills)";
        assert_eq!(messages("README.md", text), Vec::<String>::new());
        assert_eq!(messages("docs/performance.md", "[faults](faults.md), `../docs/faults.md`"), Vec::<String>::new());
    }

    #[test]
    fn a_path_that_does_not_exist_fails() {
        assert!(messages("README.md", "see `gateway/server.rs`")[0].contains("gateway/server.rs"));
        assert!(messages("CONTRIBUTING.md", "[here](docs/nothing.md)")[0].contains("docs/nothing.md"));
    }

    #[test]
    fn words_that_are_no_paths_of_the_tree_are_left_alone() {
        let text =
            "`s3://bucket/a.md`, `{name}/x.rs`, `/etc/a.toml`, `text/csv`, `captura.toml`, [web](https://a.org/b.md)";
        assert_eq!(messages("README.md", text), Vec::<String>::new());
    }

    #[test]
    fn a_folder_of_one_machine_fails_in_any_file() {
        let text = format!("path = \"{}main\"", MACHINES[0]);
        assert!(messages("crates/a/src/lib.rs", &text)[0].contains("one machine"));
        let innocent = format!("${{HOME}}{}x and a{}", MACHINES[0], MACHINES[1]);
        assert_eq!(messages("crates/a/src/lib.rs", &innocent), Vec::<String>::new());
    }
}
