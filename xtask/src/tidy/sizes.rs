//! Small files and short functions: warned about early, refused late, excepted only in `xtask/tidy.toml`.

use super::exceptions::Exceptions;
use super::rust_text::{code_only, functions};
use super::{File, Finding};

const FILE_WARNING: usize = 500;
const FILE_LIMIT: usize = 800;
const FUNCTION_WARNING: usize = 70;
const FUNCTION_LIMIT: usize = 100;

/// What is allowed to one thing today: the length in the list, whose line has been looked at.
struct Allowance {
    lines: usize,
    limit: usize,
    place: String,
}

pub(super) fn check(files: &[File], exceptions: &Exceptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut file_exceptions, mut function_exceptions) = (0, 0);
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        let listed = exceptions.long_file.iter().find(|one| one.path == file.path).map(|one| one.lines);
        file_exceptions += usize::from(listed.is_some());
        let limits = (FILE_WARNING, FILE_LIMIT);
        findings.extend(judge(&file.path, lines, limits, listed));
        for function in functions(&code_only(&file.text)) {
            let listed = exceptions.long_function.iter().find(|one| one.path == file.path && one.name == function.name);
            function_exceptions += usize::from(listed.is_some());
            let place = format!("{}:{} fn {}", file.path, function.line, function.name);
            let limits = (FUNCTION_WARNING, FUNCTION_LIMIT);
            findings.extend(judge(&place, function.lines, limits, listed.map(|one| one.lines)));
        }
    }
    let listed = exceptions.long_file.len() + exceptions.long_function.len();
    if file_exceptions + function_exceptions < listed {
        findings.push(Finding::failure("xtask/tidy.toml", "names something that is no longer there: remove its lines"));
    }
    let reasons = exceptions.long_file.iter().map(|one| &one.reason);
    let mut reasons = reasons.chain(exceptions.long_function.iter().map(|one| &one.reason));
    if reasons.any(|reason| reason.trim().is_empty()) {
        findings.push(Finding::failure("xtask/tidy.toml", "an exception needs a reason"));
    }
    findings
}

fn judge(place: &str, lines: usize, (warning, limit): (usize, usize), listed: Option<usize>) -> Option<Finding> {
    if let Some(allowed) = listed {
        return judge_listed(lines, &Allowance { lines: allowed, limit, place: place.to_owned() });
    }
    if lines > limit {
        Some(Finding::failure(place, format!("{lines} lines, the limit is {limit}: split it by its nouns")))
    } else if lines > warning {
        Some(Finding::warning(place, format!("{lines} lines, more than {warning}")))
    } else {
        None
    }
}

fn judge_listed(lines: usize, allowance: &Allowance) -> Option<Finding> {
    let Allowance { lines: allowed, limit, place } = allowance;
    if lines <= *limit {
        Some(Finding::failure(place, "needs its exception no more: remove it from xtask/tidy.toml"))
    } else if lines > *allowed {
        Some(Finding::failure(
            place,
            format!("has grown to {lines} lines; its exception says {allowed} and may only shrink"),
        ))
    } else if lines < *allowed {
        Some(Finding::warning(place, format!("has shrunk to {lines} lines: lower its exception from {allowed}")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Level, exceptions};
    use super::*;

    fn file(lines: usize) -> File {
        File { path: "crates/a/src/lib.rs".to_owned(), text: "//\n".repeat(lines) }
    }

    fn levels(files: &[File], list: &str) -> Vec<Level> {
        check(files, &exceptions::parse(list).unwrap()).into_iter().map(|finding| finding.level).collect()
    }

    fn listed(lines: usize) -> String {
        format!("[[long_file]]\npath = \"crates/a/src/lib.rs\"\nlines = {lines}\nreason = \"one table\"\n")
    }

    #[test]
    fn a_file_is_warned_about_from_501_lines_and_refused_from_801() {
        assert_eq!(levels(&[file(500)], ""), []);
        assert_eq!(levels(&[file(501)], ""), [Level::Warning]);
        assert_eq!(levels(&[file(801)], ""), [Level::Failure]);
    }

    #[test]
    fn an_exception_holds_only_at_its_length_or_below() {
        assert_eq!(levels(&[file(900)], &listed(900)), []);
        assert_eq!(levels(&[file(850)], &listed(900)), [Level::Warning]);
        assert_eq!(levels(&[file(901)], &listed(900)), [Level::Failure]);
    }

    #[test]
    fn an_exception_that_is_not_needed_fails() {
        assert_eq!(levels(&[file(700)], &listed(900)), [Level::Failure]);
        assert_eq!(levels(&[], &listed(900)), [Level::Failure]);
        assert_eq!(levels(&[file(900)], &listed(900).replace("one table", " ")), [Level::Failure]);
    }

    #[test]
    fn a_long_function_is_named_with_its_line() {
        let text = format!("//! x\nfn long() {{\n{}}}\n", "  a();\n".repeat(99));
        let found = check(&[File { path: "a.rs".to_owned(), text }], &Exceptions::default());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, found[0].place.as_str()), (Level::Failure, "a.rs:2 fn long"));
    }
}
