//! AWS's public test suite of Signature Version 4, as whole signed requests, both forms of each.
//!
//! `suite.txt` holds a request a line: name and form, rule of the path, method, target, body, headers; tabs between.

use captura_names::Timestamp;

use super::{Head, PathRule, Presented, Secret};

const SUITE: &str = include_str!("suite.txt");
/// The token was added after signing, to the query, where it is no longer told from what was signed. Only IoT has that.
const TOKEN_OUTSIDE: &str = "post-sts-header-after query";

fn is_right(line: &str, secret: &str, alter: impl Fn(&mut String)) -> bool {
    let columns: Vec<String> = line.split('\t').map(|column| column.replace("\\n", "\n")).collect();
    let [name, rule, method, target, body, headers @ ..] = columns.as_slice() else { panic!("{line}") };
    let mut target = target.clone();
    alter(&mut target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let lower: Vec<(String, &str)> = headers
        .iter()
        .map(|header| header.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let headers = lower.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let head = Head { method, path, query, headers };
    let presented = Presented::of(&head).unwrap().unwrap_or_else(|| panic!("{name} carries no signature"));
    presented.check(&head, Timestamp::parse("2015-08-30T12:36:00Z").unwrap()).unwrap();
    let digest = presented.check_body(body.as_bytes()).unwrap();
    let rule = if rule == "once" { PathRule::Once } else { PathRule::NormalisedTwice };
    presented.matches(&head, &Secret::new(secret.to_owned()), &digest, rule)
}

#[test]
fn every_request_of_the_suite_is_right_and_wrong_as_soon_as_anything_is_another() {
    let mut count = 0;
    for line in SUITE.lines().filter(|line| !line.starts_with(TOKEN_OUTSIDE)) {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert!(is_right(line, secret, |_| {}), "{line}");
        assert!(!is_right(line, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEy", |_| {}), "another secret: {line}");
        assert!(!is_right(line, secret, |target| target.insert_str(0, "/x")), "another path: {line}");
        let more = |target: &mut String| target.push_str(if target.contains('?') { "&zz=" } else { "?zz=" });
        assert!(!is_right(line, secret, more), "another query: {line}");
        count += 1;
    }
    assert_eq!(count, 75);
}
