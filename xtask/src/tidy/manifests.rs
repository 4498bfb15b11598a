//! Versions live in one place, each with a reason; what nobody uses goes.

use anyhow::{Context as _, Result};
use toml::Table;

use super::{File, Finding};

/// Workspaces of their own, with versions of their own.
const WORKSPACES: [&str; 2] = ["crates/e2e/rust/", "fuzz/"];
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(files: &[File]) -> Result<Vec<Finding>> {
    let root = files.iter().find(|file| file.path == "Cargo.toml").context("there is no root Cargo.toml")?;
    let is_elsewhere = |path: &str| WORKSPACES.iter().any(|folder| path.starts_with(folder));
    let is_member = |file: &&File| file.path.ends_with("/Cargo.toml") && !is_elsewhere(&file.path);
    let mut members = Vec::new();
    for file in files.iter().filter(is_member) {
        let manifest: Table = file.text.parse().with_context(|| file.path.clone())?;
        members.push((file.path.as_str(), manifest));
    }
    let mut findings = unreasoned(&root.text);
    let manifest: Table = root.text.parse().context("Cargo.toml")?;
    findings.extend(unused(&manifest, &members));
    for (path, manifest) in &members {
        findings.extend(own_versions(path, manifest));
    }
    Ok(findings)
}

/// A foreign dependency without a comment behind it.
fn unreasoned(text: &str) -> Vec<Finding> {
    let section = text.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    let mut findings = Vec::new();
    for line in section.take_while(|line| !line.trim_start().starts_with('[')) {
        let Some((name, rest)) = line.split_once('=') else { continue };
        let is_ours = rest.contains("path =") || line.trim_start().starts_with('#');
        let reason = rest.rsplit_once('#').map_or("", |(_, reason)| reason.trim());
        if !is_ours && reason.len() < 5 {
            let message = "has no reason: say in a comment on its line what it is for";
            findings.push(Finding::failure(format!("Cargo.toml: {}", name.trim()), message));
        }
    }
    findings
}

fn unused(root: &Table, members: &[(&str, Table)]) -> Vec<Finding> {
    let table =
        root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(toml::Value::as_table);
    // A room of ours is there for its own sake, whoever imports it.
    let foreign = table.into_iter().flatten().filter(|(_, wish)| wish.get("path").is_none());
    let names = foreign.map(|(name, _)| name);
    let is_used =
        |name: &str| members.iter().any(|(_, manifest)| sections(manifest).any(|section| section.contains_key(name)));
    let findings = names.filter(|name| !is_used(name));
    findings.map(|name| Finding::failure(format!("Cargo.toml: {name}"), "no crate uses it: remove it")).collect()
}

fn sections(manifest: &Table) -> impl Iterator<Item = &Table> {
    SECTIONS.iter().filter_map(|section| manifest.get(*section).and_then(toml::Value::as_table))
}

/// A member that names a version itself, or leaves the house's lints.
fn own_versions(path: &str, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, value) in sections(manifest).flatten() {
        let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        if !inherits {
            let message =
                format!("{name} has its own version: write it in the root Cargo.toml and say `workspace = true` here");
            findings.push(Finding::failure(path, message));
        }
    }
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if lints != Some(true) {
        findings.push(Finding::failure(path, "does not follow the house's lints: add `[lints] workspace = true`"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(root: &str, member: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file("Cargo.toml", root), file("crates/a/Cargo.toml", member)];
        check(&files).unwrap().into_iter().map(|finding| format!("{}: {}", finding.place, finding.message)).collect()
    }

    const MEMBER: &str = "[lints]\nworkspace = true\n[dependencies]\nserde = { workspace = true }\n";

    #[test]
    fn a_used_dependency_with_a_reason_passes() {
        let root = "[workspace.dependencies]\na = { path = \"crates/a\" }\nserde = \"1\" # shapes of files\n";
        let member = format!("{MEMBER}a = {{ workspace = true }}\n");
        assert_eq!(messages(root, &member), Vec::<String>::new());
    }

    #[test]
    fn a_dependency_without_a_reason_fails() {
        assert!(messages("[workspace.dependencies]\nserde = \"1\"\n", MEMBER)[0].contains("has no reason"));
    }

    #[test]
    fn a_dependency_that_nobody_uses_fails() {
        let root = "[workspace.dependencies]\nserde = \"1\" # shapes of files\nrand = \"1\" # the dice of traffic\n";
        assert!(messages(root, MEMBER)[0].contains("rand: no crate uses it"));
    }

    #[test]
    fn a_version_in_a_member_and_missing_lints_fail() {
        let found = messages("[workspace.dependencies]\n", "[dependencies]\nserde = \"1\"\n");
        assert!(found[0].contains("its own version") && found[1].contains("lints"));
    }
}
