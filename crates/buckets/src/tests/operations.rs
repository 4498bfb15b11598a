//! The page about S3 tells of every operation that is there, and of no other.

#[test]
fn the_page_lists_the_operations_that_are_there() {
    let source = include_str!("../desk/service.rs");
    let mut there: Vec<&str> =
        source.split("S3Request<").skip(1).filter_map(|rest| rest.split_once("Input>")).map(|(name, _)| name).collect();
    there.sort_unstable();
    let page = include_str!("../../../../docs/s3.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let told: Vec<&str> = rows.filter(|name| !matches!(*name, "operation" | "---")).collect();
    assert!(there.len() > 20, "{there:?}");
    assert_eq!(told, there);
}
