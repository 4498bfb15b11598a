//! The account book against what was found.

use std::collections::BTreeMap;

use captura_capture::ledger::Account;
use serde::Serialize;

use super::{FindingKind, Proof};
use crate::removal::RemovedObject;

/// What was found of one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Records in segments that are not confirmed.
    pub(crate) pending: u64,
    /// Those of them that arrived in the time that is asked for.
    pub(crate) pending_in_time: u64,
    /// Records in objects that are there and arrived in that time.
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

/// Expired and erased records of an account, as notes have them.
fn removed_of<'a>(removed: impl Iterator<Item = &'a RemovedObject>, account: &Account) -> (u64, u64) {
    let own = removed.filter(|object| object.endpoint == account.endpoint && object.variant == account.variant);
    own.fold((0, 0), |(expired, erased), object| (expired + object.expired_records(), erased + object.erased.count()))
}

impl Proof<'_> {
    /// Compares every account; answers the table.
    pub(super) fn compare_books(&mut self) -> Vec<AccountProof> {
        let confirmed = self.confirmed();
        let mut accounts: BTreeMap<(String, String), Account> = BTreeMap::new();
        let asked = self.state.ledger.accounts.iter().filter(|account| self.scope.has_endpoint(&account.endpoint));
        for account in asked {
            accounts.insert((account.endpoint.clone(), account.variant.clone()), account.clone());
        }
        let others = self.found.keys().chain(confirmed.keys());
        for (endpoint, variant) in others.filter(|(endpoint, _)| self.scope.has_endpoint(endpoint)) {
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
            let (found_in_objects, found_in_journal) = (found.in_objects, found.pending_in_time);
            table.push(AccountProof { account, found_in_objects, found_in_journal });
        }
        if let (Some(endpoint), true) = (&self.scope.endpoint, table.is_empty()) {
            self.doubts
                .push(format!("no call of an endpoint named {endpoint} is in the book, the journal or a manifest"));
        }
        table
    }

    fn confirmed(&self) -> BTreeMap<(String, String), Confirmed> {
        let mut confirmed: BTreeMap<(String, String), Confirmed> = BTreeMap::new();
        for manifest in self.manifests.values() {
            // Killed between manifest and freeing: the book still has all of the segment in the journal.
            if let Some(file) = self.state.segments.iter().find(|file| file.name == manifest.segment) {
                for account in &file.accounts {
                    let name = (account.endpoint.clone(), account.variant.clone());
                    // What is to stay was found in the file itself.
                    let stays = manifest.accounts.iter().find(|one| one.endpoint == name.0 && one.variant == name.1);
                    let stays = stays.map_or(0, |one| one.carried);
                    confirmed.entry(name).or_default().not_yet_booked += account.records.saturating_sub(stays);
                }
                continue;
            }
            for account in &manifest.accounts {
                let name = (account.endpoint.clone(), account.variant.clone());
                confirmed.entry(name).or_default().booked += account.uploaded;
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
        let noted = removed_of(self.removed.values(), account);
        if account.expired > noted.0 || account.erased > noted.1 {
            let (expired, erased) = (account.expired, account.erased);
            wrong.push(format!(
                "{expired} expired and {erased} erased are booked, notes prove {} and {}",
                noted.0, noted.1
            ));
        }
        let pending = found.pending + confirmed.not_yet_booked;
        if !(pending..=pending + self.damaged_elsewhere).contains(&account.local_pending) {
            wrong.push(format!("{} records booked in the journal, {pending} found", account.local_pending));
        }
        for reason in wrong {
            let lsns = self.numbers_nowhere();
            // An account is of all times.
            if self.scope.is_timed() {
                self.suspect(FindingKind::Account, lsns, &place, reason);
            } else {
                self.find(FindingKind::Account, lsns, &place, reason);
            }
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
