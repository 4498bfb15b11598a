//! `docs/compatibility.md` against the operations that the rooms know: no operation without a row, no row without one.

use std::collections::BTreeSet;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../../../docs/compatibility.md");
/// Clients that a row may name.
const CLIENTS: [&str; 6] = ["boto3", "SDK v2", "awscli", "Rust SDK", "curl", "–"];

/// The rows of the table below a heading: operation, supported, tested with, difference.
fn rows(heading: &str) -> Vec<[String; 4]> {
    let section = DOCUMENT.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("docs/compatibility.md has no section {heading:?}"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| cells(line).try_into().unwrap_or_else(|_| panic!("four cells are wanted in {line}"))).collect()
}

fn compare(heading: &str, operations: impl IntoIterator<Item = String>) {
    let rows = rows(heading);
    let mut told = BTreeSet::new();
    for [operation, supported, clients, _] in &rows {
        assert!(told.insert(operation.clone()), "{heading}: two rows for {operation}");
        assert!(matches!(supported.as_str(), "yes" | "partly" | "no"), "{heading} {operation}: {supported:?}");
        for client in clients.split(", ") {
            assert!(CLIENTS.contains(&client), "{heading} {operation}: who is {client:?}?");
        }
    }
    let known: BTreeSet<String> = operations.into_iter().collect();
    let supported: BTreeSet<String> =
        rows.iter().filter(|[_, supported, ..]| supported != "no").map(|[operation, ..]| operation.clone()).collect();
    let missing: Vec<_> = known.difference(&supported).collect();
    let invented: Vec<_> = supported.difference(&known).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{heading}: no row for {missing:?}, no operation for {invented:?}"
    );
}

/// The operations of S3 that the buckets answer, as their service's signatures name them.
fn bucket_operations() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../buckets/src/desk/service.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let named = source.split("request: S3Request<").skip(1).filter_map(|rest| rest.split("Input>").next());
    named.map(str::to_owned).collect()
}

#[test]
fn every_operation_has_its_row_and_no_row_is_made_up() {
    let names = |list: &[&'static str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    compare("SageMaker", captura_wire::hosting::Operation::ALL.iter().map(|one| one.name().to_owned()));
    let runtime = ["InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream"];
    compare("SageMaker Runtime", names(&runtime));
    compare("S3", bucket_operations());
    compare("STS", names(&["GetCallerIdentity"]));
    compare(
        "Application Auto Scaling",
        captura_wire::autoscaling::Operation::ALL.iter().map(|one| one.name().to_owned()),
    );
    compare("CloudWatch", captura_wire::cloudwatch::Operation::ALL.iter().map(|one| one.name().to_owned()));
    compare("CloudWatch Logs", captura_wire::logs::Operation::ALL.iter().map(|one| one.name().to_owned()));
}
