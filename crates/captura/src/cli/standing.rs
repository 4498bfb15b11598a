//! On what a report stands: the captures it was made from, held against the ledger of the calls that made them.
//!
//! ```text
//! records read + sampled out + dropped + in flight + elsewhere = invocations
//! ```
//! Elsewhere are records in the journal, in objects that were not read, or removed since.
//!
//! Invariant: where no ledger knows the captures, the answer is "cannot tell", never a share.

use std::collections::BTreeSet;
use std::path::Path;

use captura_archive::Stores;
use captura_archive::layout::CapturedKey;
use captura_archive::reader::{ReadError, list};
use captura_capture::ledger::Account;
use captura_monitor::job::Source;
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;

/// Below the data directory.
const JOURNAL_FOLDER: &str = "journal";

/// What a report stands on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub(super) enum Standing {
    #[serde(rename_all = "camelCase")]
    Known {
        /// Records read as a share of all invocations.
        share: f64,
        invocations: u64,
        records: u64,
        sampled_out: u64,
        dropped: u64,
        in_flight: u64,
        /// In the journal, in objects that were not read, or removed since.
        elsewhere: u64,
    },
    #[serde(rename_all = "camelCase")]
    Unknown { cannot_tell: String },
    /// What was read are tables, and no calls.
    Tables,
}

/// Where the ledger may be.
pub(super) enum LedgerAt<'a> {
    Server(&'a Client),
    Data(&'a Path),
}

fn unknown(why: impl Into<String>) -> Standing {
    Standing::Unknown { cannot_tell: why.into() }
}

impl Standing {
    /// Holds `records`, read from this source, against the ledger.
    pub(super) async fn of(stores: &Stores, source: &Source, records: u64, ledger: LedgerAt<'_>) -> Self {
        if !source.scope.is_everything() {
            return unknown(
                "only calls of some time or of some consumers were asked for, and the ledger counts all of them",
            );
        }
        let mut sources: BTreeSet<(String, String)> = BTreeSet::new();
        for address in &source.addresses {
            let found = match list(stores, address, &source.selection).await {
                Ok(found) => found,
                // No captures below it, and something was read all the same.
                Err(ReadError::Nothing { .. }) => return Self::Tables,
                Err(_) => return unknown(format!("{address} cannot be listed")),
            };
            if !found.is_empty() && found.iter().all(|object| object.key.is_none() && is_table(&object.address)) {
                return Self::Tables;
            }
            for object in found {
                // Below an endpoint's own folder an object has only the end of its key; its address has all of it.
                let Some(key) = object.key.or_else(|| CapturedKey::parse(&object.address)) else {
                    return unknown(format!("{} is no captured object", object.address));
                };
                sources.insert((key.endpoint.to_string(), key.variant.to_string()));
            }
        }
        match accounts(ledger).await {
            Ok(accounts) => Self::among(&accounts, &sources, records),
            Err(why) => unknown(why),
        }
    }

    fn among(accounts: &[Account], sources: &BTreeSet<(String, String)>, records: u64) -> Self {
        let mut sum = Account::default();
        let mut dropped = 0;
        for (endpoint, variant) in sources {
            let account = accounts.iter().find(|one| one.endpoint == *endpoint && one.variant == *variant);
            let Some(account) = account else { return unknown("no ledger for these captures") };
            sum.invoked += account.invoked;
            sum.captured += account.captured;
            sum.sampled_out += account.sampled_out;
            sum.in_flight += account.in_flight;
            dropped += account.dropped_total();
        }
        if sources.is_empty() || records > sum.captured {
            return unknown("no ledger for these captures");
        }
        Self::Known {
            share: records as f64 / sum.invoked.max(1) as f64,
            invocations: sum.invoked,
            records,
            sampled_out: sum.sampled_out,
            dropped,
            in_flight: sum.in_flight,
            elsewhere: sum.captured - records,
        }
    }

    /// In a line, where there is anything to say.
    pub(super) fn in_words(&self) -> Option<String> {
        Some(match self {
            Self::Tables => return None,
            Self::Known { share, invocations, sampled_out, dropped, in_flight, elsewhere, .. } => {
                // Never rounded up to all of them.
                let percent = (share * 10_000.0).floor() / 100.0;
                let mut text = format!(
                    "this report stands on {percent} % of {} invocations ({} dropped, {} sampled out",
                    grouped(*invocations),
                    grouped(*dropped),
                    grouped(*sampled_out)
                );
                for (count, what) in [(*in_flight, "in flight"), (*elsewhere, "not among the captures that were read")]
                {
                    if count > 0 {
                        text += &format!(", {} {what}", grouped(count));
                    }
                }
                text + ")"
            }
            Self::Unknown { cannot_tell } => {
                format!("on how many of the calls this report stands, it cannot tell: {cannot_tell}")
            }
        })
    }
}

/// Whether an address is called as a table is, which captures never are.
fn is_table(address: &str) -> bool {
    let name = address.strip_suffix(".gz").unwrap_or(address);
    [".csv", ".tsv", ".parquet", ".ndjson", ".jsonlines"].iter().any(|ending| name.ends_with(ending))
}

async fn accounts(ledger: LedgerAt<'_>) -> Result<Vec<Account>, String> {
    match ledger {
        LedgerAt::Server(client) => {
            let mut book = client.observe("/captura/v1/ledger").await.map_err(|error| error.to_string())?;
            let accounts = book["accounts"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let account = |account: Value| serde_json::from_value(account).map_err(|error| error.to_string());
            accounts.into_iter().map(account).collect()
        }
        LedgerAt::Data(data_dir) => {
            let journal = data_dir.join(JOURNAL_FOLDER);
            if !journal.is_dir() {
                return Err("no ledger for these captures".to_owned());
            }
            let seen = captura_capture::inspect(&journal).map_err(|error| error.to_string())?;
            Ok(seen.ledger.accounts)
        }
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use captura_archive::StoreSettings;
    use captura_capture::DropReason;

    use super::*;

    fn sources(names: &[&str]) -> BTreeSet<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect()
    }

    fn account(endpoint: &str, captured: u64, sampled_out: u64, dropped: u64) -> Account {
        Account {
            endpoint: endpoint.into(),
            variant: "v".into(),
            invoked: captured + sampled_out + dropped,
            captured,
            sampled_out,
            dropped: [(DropReason::DiskFull, dropped)].into(),
            ..Account::default()
        }
    }

    #[test]
    fn a_report_says_on_how_many_of_the_calls_it_stands() {
        let accounts = [account("a", 1_234_567, 0, 0), account("b", 10, 5, 5)];
        let all = Standing::among(&accounts, &sources(&["a"]), 1_234_567);
        assert_eq!(
            all.in_words().unwrap(),
            "this report stands on 100 % of 1,234,567 invocations (0 dropped, 0 sampled out)"
        );
        let part = Standing::among(&accounts, &sources(&["b"]), 8);
        assert_eq!(
            part.in_words().unwrap(),
            "this report stands on 40 % of 20 invocations (5 dropped, 5 sampled out, 2 not among the captures that were read)"
        );
        let nearly = Standing::among(&accounts, &sources(&["a"]), 1_234_566).in_words().unwrap();
        assert!(nearly.contains("stands on 99.99 % of"), "{nearly}");
    }

    #[tokio::test]
    async fn the_captures_of_one_endpoint_are_known_by_their_address() {
        let data = tempfile::tempdir().unwrap();
        let hour = data.path().join("captures/churn/AllTraffic/2026/11/26/16");
        std::fs::create_dir_all(&hour).unwrap();
        std::fs::write(hour.join("23-34-048-11a17c65-b6e3-4665-98db-313e623f697f.jsonl"), "{}").unwrap();
        let stores = Stores::new(StoreSettings { data_dir: data.path().into(), mappings: BTreeMap::new() });
        let no_ledger = LedgerAt::Data(data.path());
        let address = data.path().join("captures/churn/AllTraffic").display().to_string();
        let source = Source { addresses: vec![address], ..Source::default() };
        let said = Standing::of(&stores, &source, 1, no_ledger).await.in_words().unwrap();
        assert!(said.ends_with("it cannot tell: no ledger for these captures"), "{said}");
    }

    #[tokio::test]
    async fn tables_are_no_calls_and_stand_on_none() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("rows.csv"), "a\n1\n").unwrap();
        let stores = Stores::new(StoreSettings { data_dir: data.path().into(), mappings: BTreeMap::new() });
        for address in [data.path().join("rows.csv"), data.path().to_path_buf()] {
            let source = Source { addresses: vec![address.display().to_string()], ..Source::default() };
            assert_eq!(Standing::of(&stores, &source, 1, LedgerAt::Data(data.path())).await, Standing::Tables);
        }
    }

    #[test]
    fn where_no_ledger_knows_the_captures_nothing_is_claimed() {
        let accounts = [account("a", 10, 0, 0)];
        for (names, records) in [(&["other"][..], 3), (&["a"][..], 11), (&[][..], 0)] {
            let said = Standing::among(&accounts, &sources(names), records).in_words().unwrap();
            assert!(said.ends_with("it cannot tell: no ledger for these captures"), "{said}");
        }
    }
}
