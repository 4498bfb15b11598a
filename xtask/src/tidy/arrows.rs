//! Which crate may import which: the table in `ARCHITECTURE.md` against what cargo says.
//!
//! Ordinary and build dependencies follow the table exactly. Tests may need more, for example a real journal to upload
//! from: a development dependency on another room is allowed as long as it closes no circle.
//! A second table, here, keeps heavy or forbidden foreign crates out of rooms that must not know their subject.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Finding;

/// Foreign crates that a room must never import, and why.
const FENCES: [(&str, &[&str], &str); 8] = [
    ("names", &["tokio", "hyper", "http"], "names are words, without IO"),
    ("wire", &["tokio", "hyper", "object_store"], "wire formats know no sockets and no files"),
    ("route", &["tokio", "hyper", "http", "object_store"], "the hatch knows no IO and no HTTP"),
    ("capture", &["hyper", "http", "object_store", "csv"], "bytes stay bytes until the monitor"),
    ("archive", &["hyper", "rusqlite"], "the archive is no server and keeps no catalog"),
    ("gateway", &["rusqlite", "object_store", "ort"], "no request waits on control, SQL or the object store"),
    ("monitor", &["hyper", "rusqlite", "object_store"], "analysis is pure; its IO goes through the archive"),
    ("control", &["hyper", "object_store"], "the control plane answers through the binary's door"),
];

/// Crates the binary may import: everything above it in the table.
const ALL_ABOVE: &str = "all above";

pub(super) struct Package {
    pub(super) room: String,
    pub(super) dependencies: Vec<Dependency>,
}

pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) development: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
}

/// The workspace's packages out of `cargo metadata --no-deps`.
pub(super) fn packages(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cannot read what cargo metadata says")?;
    let package = |package: MetadataPackage| Package {
        room: room(&package.name).to_owned(),
        dependencies: (package.dependencies.into_iter())
            .map(|one| Dependency { name: one.name, development: one.kind.as_deref() == Some("dev") })
            .collect(),
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}

fn room(package: &str) -> &str {
    package.strip_prefix("captura-").unwrap_or(package)
}

pub(super) fn check(architecture: &str, packages: &[Package]) -> Vec<Finding> {
    let allowed = table(architecture);
    if allowed.is_empty() {
        return vec![Finding::failure("ARCHITECTURE.md", "has no table that begins with `| crate | may import |`")];
    }
    let rooms: BTreeSet<&str> = packages.iter().map(|package| package.room.as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let from = package.room.as_str();
        let Some(may) = allowed.get(from) else {
            findings
                .push(Finding::failure("ARCHITECTURE.md", format!("crate {from} has no row in the table of arrows")));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|one| !one.development) {
            let to = room(&dependency.name);
            if rooms.contains(to) && !may.contains(to) {
                let message = format!("imports {to}, which the table of arrows in ARCHITECTURE.md does not allow");
                findings.push(Finding::failure(from, message));
            }
        }
        findings.extend(behind_fence(package));
    }
    findings.extend(circles(packages, &rooms));
    findings
}

fn behind_fence(package: &Package) -> Vec<Finding> {
    let fences = FENCES.iter().filter(|(room, ..)| *room == package.room);
    let mut findings = Vec::new();
    for (room, banned, why) in fences {
        for dependency in package.dependencies.iter().filter(|one| !one.development) {
            if banned.contains(&dependency.name.as_str()) {
                findings.push(Finding::failure(*room, format!("imports {}: {why}", dependency.name)));
            }
        }
    }
    findings
}

/// A development dependency that leads back to where it started.
fn circles(packages: &[Package], rooms: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        for dependency in package.dependencies.iter().filter(|one| one.development) {
            let to = room(&dependency.name);
            let back = rooms.contains(to) && to != package.room && reaches(packages, to, &package.room);
            if back {
                let message =
                    format!("needs {to} for its tests, and {to} is built from {}: move the test to {to}", package.room);
                findings.push(Finding::failure(package.room.as_str(), message));
            }
        }
    }
    findings
}

fn reaches(packages: &[Package], from: &str, goal: &str) -> bool {
    let Some(package) = packages.iter().find(|package| package.room == from) else { return false };
    let ordinary = package.dependencies.iter().filter(|one| !one.development).map(|one| room(&one.name));
    ordinary.into_iter().any(|to| to == goal || reaches(packages, to, goal))
}

/// The table: each crate with the rooms it may import. What stands in parentheses is for people.
fn table(architecture: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut lines = architecture.lines().map(str::trim).skip_while(|line| !is_heading(line));
    if lines.next().is_none() {
        return allowed;
    }
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(plain).collect();
        let [crate_name, imports, ..] = cells.as_slice() else { continue };
        let may = if imports == ALL_ABOVE {
            allowed.keys().cloned().collect()
        } else {
            let names = imports.split(',').map(|name| name.trim().to_owned());
            names.filter(|name| !matches!(name.as_str(), "" | "–" | "-" | "none of ours")).collect()
        };
        allowed.insert(crate_name.clone(), may);
    }
    allowed
}

fn is_heading(line: &str) -> bool {
    let cells: Vec<String> = line.trim_matches('|').split('|').map(plain).collect();
    matches!(cells.as_slice(), [first, second, ..] if first == "crate" && second == "may import")
}

/// A cell without emphasis, back-ticks and parentheses.
fn plain(cell: &str) -> String {
    let mut depth = 0_usize;
    let mut out = String::new();
    for letter in cell.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '`' | '*' => {}
            _ if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Map\n\n| crate | may import | must never contain |\n| --- | --- | --- |\n\
        | names | – | IO |\n| `capture` | names | wire |\n| archive | names, capture (record, journal) | – |\n\
        | captura | all above | logic |\n| xtask | none of ours | product |\n\nmore";

    fn package(room: &str, ordinary: &[&str], development: &[&str]) -> Package {
        let of = |names: &[&str], development| -> Vec<Dependency> {
            names.iter().map(|name| Dependency { name: (*name).to_owned(), development }).collect()
        };
        let mut dependencies = of(ordinary, false);
        dependencies.extend(of(development, true));
        Package { room: room.to_owned(), dependencies }
    }

    fn messages(packages: &[Package]) -> Vec<String> {
        check(TABLE, packages).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn arrows_of_the_table_pass() {
        let packages = [
            package("names", &["serde"], &[]),
            package("capture", &["captura-names"], &[]),
            package("archive", &["captura-names", "captura-capture"], &[]),
            package("captura", &["captura-archive", "captura-names"], &[]),
            package("xtask", &["clap"], &[]),
        ];
        assert_eq!(messages(&packages), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_the_table_lacks_fails() {
        let packages =
            [package("names", &[], &[]), package("archive", &[], &[]), package("capture", &["captura-archive"], &[])];
        assert!(messages(&packages)[0].contains("imports archive"));
        let tool = [package("names", &[], &[]), package("xtask", &["captura-names"], &[])];
        assert!(messages(&tool)[0].contains("imports names"));
    }

    #[test]
    fn a_crate_without_a_row_fails() {
        assert!(messages(&[package("console", &[], &[])])[0].contains("no row"));
    }

    #[test]
    fn a_page_without_the_table_fails() {
        assert_eq!(check("# Map", &[]).len(), 1);
    }

    #[test]
    fn a_fence_keeps_a_foreign_crate_out_but_not_out_of_tests() {
        assert!(messages(&[package("capture", &["object_store"], &[])])[0].contains("bytes stay bytes"));
        assert_eq!(messages(&[package("capture", &[], &["object_store"])]), Vec::<String>::new());
    }

    #[test]
    fn tests_may_need_another_room_unless_that_closes_a_circle() {
        let fine = [package("names", &[], &[]), package("capture", &[], &["captura-names"])];
        assert_eq!(messages(&fine), Vec::<String>::new());
        let circle = [package("capture", &[], &["captura-archive"]), package("archive", &["captura-capture"], &[])];
        assert!(messages(&circle)[0].contains("move the test"));
    }

    #[test]
    fn metadata_is_read_with_its_kinds() {
        let text = r#"{"packages":[{"name":"captura-names","dependencies":[{"name":"serde","kind":null},{"name":"proptest","kind":"dev"}]}]}"#;
        let packages = packages(text).unwrap();
        assert_eq!(packages[0].room, "names");
        assert!(!packages[0].dependencies[0].development && packages[0].dependencies[1].development);
    }
}
