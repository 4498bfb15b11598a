//! `captura ledger`: the account book.

use anyhow::bail;
use captura_names::Timestamp;
use clap::Args;
use serde_json::Value;

use super::{Outcome, Server, say, table};

/// The account book per endpoint and variant
#[derive(Debug, Args)]
pub(crate) struct Ledger {
    /// Only this endpoint
    name: Option<String>,
    /// By time instead of as it stands: from here, RFC 3339, e.g. 2026-11-26T14:00:00Z [default: an hour before the end]
    #[arg(long, value_parser = time)]
    from: Option<Timestamp>,
    /// By time: up to here [default: now]
    #[arg(long, value_parser = time)]
    to: Option<Timestamp>,
    /// By time: how much time makes a row
    #[arg(long, value_name = "minute|hour|day", value_parser = ["minute", "hour", "day"])]
    by: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Ledger {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        if self.from.is_some() || self.to.is_some() || self.by.is_some() {
            return self.by_time().await;
        }
        let mut book = self.server.client()?.observe("/captura/v1/ledger").await?;
        if let (Some(name), Some(accounts)) = (&self.name, book["accounts"].as_array_mut()) {
            accounts.retain(|account| account["endpoint"] == **name);
            if accounts.is_empty() {
                bail!("no endpoint named {name} was ever called or is served here; `captura endpoints` lists them");
            }
        }
        if self.server.json {
            say(&book.to_string());
        } else {
            say(&render(&book));
        }
        let balanced = book["accounts"].as_array().into_iter().flatten().all(|account| account["imbalance"] == 0);
        Ok(if balanced { Outcome::Fine } else { Outcome::Violates })
    }
}

impl Ledger {
    async fn by_time(&self) -> anyhow::Result<Outcome> {
        let by = self.by.as_deref().unwrap_or("minute");
        let mut path = format!("/captura/v1/ledger/minutes?by={by}");
        for (name, time) in [("from", self.from), ("to", self.to)] {
            path.extend(time.map(|time| format!("&{name}={time}")));
        }
        path.extend(self.name.iter().map(|name| format!("&endpoint={name}")));
        let book = self.server.client()?.observe(&path).await?;
        if self.server.json {
            say(&book.to_string());
        } else {
            say(&render_minutes(&book));
        }
        let rows = book["rows"].as_array().into_iter().flatten();
        Ok(if rows.into_iter().all(|row| row["imbalance"] == 0) { Outcome::Fine } else { Outcome::Violates })
    }
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}

/// A line for each stretch of time and account.
fn render_minutes(book: &Value) -> String {
    let mut rows = table(&[
        "FROM",
        "ENDPOINT",
        "VARIANT",
        "INVOKED",
        "= CAPTURED",
        "+ SAMPLED OUT",
        "+ DROPPED",
        "+ IN FLIGHT",
        "UPLOADED",
        "PENDING",
        "",
    ]);
    for row in book["rows"].as_array().into_iter().flatten() {
        rows.add_row([row["from"].as_str().unwrap_or("-").to_owned()].into_iter().chain(cells(row)));
    }
    let mut text = rows.to_string();
    if book["truncated"] == true {
        text += "\nthere are more rows than one answer holds; ask for less time, or --by hour";
    }
    text
}

/// One account as its two identities, in the order of the headings.
fn cells(account: &Value) -> [String; 10] {
    let text = |key: &str| account[key].as_str().unwrap_or("-").to_owned();
    // What a minute changed may be less than nothing.
    let number = |key: &str| account[key].as_i64().unwrap_or_default().to_string();
    let dropped: u64 =
        account["dropped"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    [
        text("endpoint"),
        text("variant"),
        number("invoked"),
        number("captured"),
        number("sampled_out"),
        dropped.to_string(),
        number("in_flight"),
        number("uploaded"),
        number("local_pending"),
        match &account["imbalance"] {
            imbalance if *imbalance == 0 => "balanced".to_owned(),
            imbalance => format!("OUT OF BALANCE by {imbalance}"),
        },
    ]
}

/// The book as two identities, a line each account.
pub(crate) fn render(book: &Value) -> String {
    let mut rows = table(&[
        "ENDPOINT",
        "VARIANT",
        "INVOKED",
        "= CAPTURED",
        "+ SAMPLED OUT",
        "+ DROPPED",
        "+ IN FLIGHT",
        "UPLOADED",
        "PENDING",
        "",
    ]);
    let mut reasons = Vec::new();
    for account in book["accounts"].as_array().into_iter().flatten() {
        let text = |key: &str| account[key].as_str().unwrap_or("-").to_owned();
        rows.add_row(cells(account));
        for (reason, count) in account["dropped"].as_object().into_iter().flatten() {
            if count.as_u64().unwrap_or_default() > 0 {
                reasons.push(format!("{}/{}: {count} dropped because {reason}", text("endpoint"), text("variant")));
            }
        }
    }
    let mut lines = vec![rows.to_string()];
    lines.extend(reasons);
    for seen in book["destinations"].as_array().into_iter().flatten().filter(|seen| seen["state"] != "ok") {
        let text = |key: &str| seen[key].as_str().unwrap_or_default();
        let becomes = match text("state") {
            "failing" => "fails; its records wait in the journal",
            "held-back" => "fails, and the journal is nearly full: no more records are taken for it",
            _ => "cannot be written: no records are taken for it",
        };
        lines.push(format!("{} {becomes} ({}): {}", text("destination"), text("reason"), text("lastError")));
    }
    let space = &book["space"];
    if space["diskStop"] == true {
        lines.push("the disk of the journal is full: nothing is captured until there is room".to_owned());
    } else if space["diskAlarm"] == true {
        lines.push(format!("the disk of the journal is getting full: {} bytes are free", space["diskFreeBytes"]));
    }
    lines.join("\n")
}
