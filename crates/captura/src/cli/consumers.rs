//! `captura consumers`: who calls, what they send, and from where.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Outcome, Server, say, table};

/// Most values of one kind that are shown of a consumer.
const SHOWN_MAX: usize = 5;

/// Who calls, with first and last seen, calls, errors, bytes, programs and addresses
#[derive(Debug, Args)]
pub(crate) struct Consumers {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List everybody who has called, and the registered who have not
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Show one consumer with everything that is known of it
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Consumers {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let (server, wanted) = match self.verb {
            Verb::List { server } => (server, None),
            Verb::Show { name, server } => (server, Some(name)),
        };
        let book = server.client()?.observe("/captura/v1/consumers").await?;
        let Some(name) = wanted else {
            say(&if server.json { book.to_string() } else { list(&book) });
            return Ok(Outcome::Fine);
        };
        let found = book["consumers"].as_array().into_iter().flatten().find(|one| one["name"] == *name);
        let Some(one) = found else {
            bail!(
                "no consumer named {name} has called or is registered; `captura consumers list` shows those there are"
            );
        };
        say(&if server.json { one.to_string() } else { show(one) });
        Ok(Outcome::Fine)
    }
}

/// A text that came from a caller, without what would write elsewhere on the terminal.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Values with their counts, those seen most first, and how many are left out of `most`.
fn counts(counts: &Value, most: usize) -> (Vec<(String, u64)>, String) {
    let mut values: Vec<(String, u64)> = counts["values"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(value, count)| (text(&Value::String(value.clone())), number(count)))
        .collect();
    values.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let more = values.len().saturating_sub(most);
    values.truncate(most);
    let other = number(&counts["other"]);
    let left_out = match (more, other) {
        (0, 0) => String::new(),
        (more, 0) => format!("and {more} more"),
        (more, other) => format!("and {more} more, and {other} calls with values that are not kept"),
    };
    (values, left_out)
}

fn list(book: &Value) -> String {
    let mut rows = table(&[
        "CONSUMER",
        "CALLS",
        "ERRORS",
        "BYTES IN",
        "BYTES OUT",
        "FIRST SEEN",
        "LAST SEEN",
        "ENDPOINTS",
        "USER AGENTS",
    ]);
    for one in book["consumers"].as_array().into_iter().flatten() {
        let short = |kind: &str| {
            let (values, left_out) = counts(&one[kind], 2);
            let mut words: Vec<String> =
                values.into_iter().map(|(value, _)| value.chars().take(40).collect()).collect();
            words.extend((!left_out.is_empty()).then_some(left_out));
            words.join(", ")
        };
        rows.add_row([
            text(&one["name"]),
            number(&one["calls"]).to_string(),
            number(&one["errors"]).to_string(),
            number(&one["bytesIn"]).to_string(),
            number(&one["bytesOut"]).to_string(),
            text(&one["firstSeen"]),
            text(&one["lastSeen"]),
            short("endpoints"),
            short("userAgents"),
        ]);
    }
    format!("{rows}\n{}", coverage(&book["coverage"]))
}

/// On how much of the ledger the list stands.
fn coverage(coverage: &Value) -> String {
    let (concluded, counted) = (number(&coverage["concluded"]), number(&coverage["counted"]));
    match concluded.saturating_sub(counted) {
        0 => format!("This list stands on all of {concluded} invocations in the ledger."),
        missing => format!(
            "This list stands on {counted} of {concluded} invocations in the ledger; {missing} were before the book of \
             consumers began, or left no record in the last second before the server was killed."
        ),
    }
}

fn show(one: &Value) -> String {
    let mut lines = vec![format!("{}", text(&one["name"]))];
    for (title, member) in [("contact", "contact"), ("purpose", "purpose")] {
        if one[member].is_string() {
            lines.push(format!("  {title:<18}{}", text(&one[member])));
        }
    }
    lines.push(format!("  {:<18}{}", "first seen", text(&one["firstSeen"])));
    lines.push(format!("  {:<18}{}", "last seen", text(&one["lastSeen"])));
    for (title, member) in [
        ("calls", "calls"),
        ("errors", "errors"),
        ("bytes in", "bytesIn"),
        ("bytes out", "bytesOut"),
        ("shadow copies", "shadowCopies"),
    ] {
        lines.push(format!("  {title:<18}{}", number(&one[member])));
    }
    for (title, member) in [
        ("endpoints", "endpoints"),
        ("content types", "contentTypes"),
        ("user agents", "userAgents"),
        ("principals", "principals"),
        ("source addresses", "sourceAddresses"),
    ] {
        let (values, left_out) = counts(&one[member], SHOWN_MAX);
        lines.extend((!values.is_empty()).then(|| format!("  {title}")));
        lines.extend(values.into_iter().map(|(value, count)| format!("    {count:>10}  {value}")));
        lines.extend((!left_out.is_empty()).then(|| format!("    {left_out}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_seen_most_is_shown_and_how_much_is_left_out() {
        let seen = json!({ "values": { "a": 1, "b": 7, "c\u{1b}[2J": 3 }, "other": 0 });
        assert_eq!(counts(&seen, 2), (vec![("b".into(), 7), ("c?[2J".into(), 3)], "and 1 more".into()));
        let seen = json!({ "values": { "a": 1 }, "other": 9 });
        assert_eq!(counts(&seen, 2).1, "and 0 more, and 9 calls with values that are not kept");
        assert_eq!(counts(&Value::Null, 2), (Vec::new(), String::new()));
    }

    #[test]
    fn the_list_says_on_how_much_of_the_ledger_it_stands() {
        assert!(coverage(&json!({ "concluded": 7, "counted": 7 })).contains("all of 7 invocations"));
        let partly = coverage(&json!({ "concluded": 9, "counted": 7 }));
        assert!(partly.contains("7 of 9") && partly.contains("; 2 were before"), "{partly}");
    }
}
