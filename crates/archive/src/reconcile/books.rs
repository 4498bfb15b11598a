//! The account book against what was found.

use std::collections::BTreeMap;

use captura_capture::ledger::Account;
use serde::Serialize;

use super::{FindingKind, Proof};

/// What was found of one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Records in segments that are not confirmed.
    pub(crate) pending: u64,
    /// Records in objects that are there.
    pub(crate) in_objects: u64,
}

/// An account and what was found of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountProof {
    /// The account as the book has it.
    #[serde(flatten)]
    pub account: Account,
    /// Records in objects that are there as their manifests say.
    pub found_in_objects: u64,
    /// Records in the journal whose segment is not confirmed.
    pub found_in_journal: u64,
}

/// Records per account by manifests, told apart by whether the book knows that the segment is uploaded.
#[derive(Debug, Clone, Copy, Default)]
struct Confirmed {
    booked: u64,
    not_yet_booked: u64,
}

impl Proof<'_> {
    /// Compares every account; answers the table.
    pub(super) fn compare_books(&mut self) -> Vec<AccountProof> {
        let confirmed = self.confirmed();
        let mut accounts: BTreeMap<(String, String), Account> = BTreeMap::new();
        for account in &self.state.ledger.accounts {
            accounts.insert((account.endpoint.clone(), account.variant.clone()), account.clone());
        }
        for (endpoint, variant) in self.found.keys().chain(confirmed.keys()) {
            accounts.entry((endpoint.clone(), variant.clone())).or_insert_with(|| Account {
                endpoint: endpoint.clone(),
                variant: variant.clone(),
                ..Account::default()
            });
        }
        let mut table = Vec::new();
        for (name, account) in accounts {
            let found = self.found.get(&name).copied().unwrap_or_default();
            let confirmed = confirmed.get(&name).copied().unwrap_or_default();
            self.compare(&account, found, confirmed);
            table.push(AccountProof { account, found_in_objects: found.in_objects, found_in_journal: found.pending });
        }
        table
    }

    fn confirmed(&self) -> BTreeMap<(String, String), Confirmed> {
        let mut confirmed: BTreeMap<(String, String), Confirmed> = BTreeMap::new();
        for manifest in self.manifests.values() {
            let in_journal = self.state.segments.iter().any(|file| file.name.to_string() == manifest.segment);
            let freed = self.state.freed.iter().any(|name| name.to_string() == manifest.segment);
            for account in &manifest.accounts {
                let sums = confirmed.entry((account.endpoint.clone(), account.variant.clone())).or_default();
                if in_journal && !freed {
                    sums.not_yet_booked += account.uploaded;
                } else {
                    sums.booked += account.uploaded;
                }
            }
        }
        confirmed
    }

    fn compare(&mut self, account: &Account, found: Found, confirmed: Confirmed) {
        let place = format!("{}/{}", account.endpoint, account.variant);
        let mut wrong: Vec<String> = Vec::new();
        if account.imbalance() > 0 {
            wrong.push(format!("its identities miss {}", account.imbalance()));
        }
        let removed = account.expired + account.erased + account.evicted;
        // Records that were uploaded and later removed on purpose are in manifests and no longer in the account.
        if confirmed.booked > account.uploaded + removed || confirmed.booked < account.uploaded {
            wrong.push(format!("{} records booked as uploaded, manifests hold {}", account.uploaded, confirmed.booked));
        }
        let pending = found.pending + confirmed.not_yet_booked;
        if self.state.closed {
            if pending != account.local_pending {
                wrong.push(format!("{} records booked in the journal, {pending} found", account.local_pending));
            }
            if account.in_flight > 0 {
                wrong.push(format!("{} calls in flight at rest", account.in_flight));
            }
        } else if pending < account.local_pending {
            // After an unclean end the book lags behind the journal, never ahead of it.
            wrong.push(format!("{} records booked in the journal, only {pending} found", account.local_pending));
        }
        for reason in wrong {
            let lsns = self.numbers_nowhere();
            self.find(FindingKind::Account, lsns, &place, reason);
        }
    }

    /// Numbers between the first and the last of each run that are neither found nor known as dropped: where to look
    /// when an account does not balance.
    fn numbers_nowhere(&self) -> Vec<String> {
        let mut nowhere = Vec::new();
        for (epoch, numbers) in &self.epochs {
            let mut known = numbers.seen.clone();
            for run in numbers.dropped.runs() {
                known.insert_run(*run);
            }
            nowhere.extend(self.lsns(*epoch, &known.gaps_from(0)));
        }
        nowhere
    }
}
