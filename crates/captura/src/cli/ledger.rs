//! `captura ledger`: the account book.

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::{Outcome, Server, say, table};

/// The account book per endpoint and variant
#[derive(Debug, Args)]
pub(crate) struct Ledger {
    /// Only this endpoint
    name: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Ledger {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
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
        let number = |key: &str| account[key].as_u64().unwrap_or_default().to_string();
        let dropped: u64 =
            account["dropped"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        let text = |key: &str| account[key].as_str().unwrap_or("-").to_owned();
        rows.add_row([
            text("endpoint"),
            text("variant"),
            number("invoked"),
            number("captured"),
            number("sampled_out"),
            dropped.to_string(),
            number("in_flight"),
            number("uploaded"),
            number("local_pending"),
            if account["imbalance"] == 0 {
                "balanced".to_owned()
            } else {
                format!("OUT OF BALANCE by {}", account["imbalance"])
            },
        ]);
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
