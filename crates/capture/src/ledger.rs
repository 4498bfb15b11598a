//! The account book. Two identities hold for every endpoint and variant, always:
//!
//! ```text
//! invoked  = captured + sampled_out + dropped (by reason) + in_flight
//! captured = uploaded + local_pending + expired + erased + quarantined + evicted
//! ```
//!
//! Counters live in a mapped page (they survive SIGKILL, see `page`) and are repeated in ledger frames of the journal
//! (they survive power loss). The journal is the truth for `captured`: at every start it is counted again, and what
//! was invoked but is neither there nor otherwise accounted for is booked as `dropped` with reason `lost_unclean`.
//!
//! Invariant: an invocation settles exactly once. Accounts outlive their endpoint. Refusals before the model ran are no
//! invocations and stand in no identity.
//! Refuses to: grow without bound; beyond a fixed number of accounts, calls are booked in the account `*`.

pub(crate) mod frame;
pub mod minutes;
pub(crate) mod page;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use captura_names::{EndpointName, VariantName};
use serde::{Deserialize, Serialize};

pub(crate) use page::{MAX_ACCOUNTS, Page};

/// Why an invocation left no record. A closed set: there is no other way to lose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum DropReason {
    /// The disk has no space.
    DiskFull = 0,
    /// The journal has reached its size limit because its segments are not archived.
    SpoolFull = 1,
    /// The disk failed.
    IoError = 2,
    /// Records arrive faster than the disk takes them.
    QueueFull = 3,
    /// No memory was granted for the record.
    MemBudget = 4,
    /// The record does not fit the format.
    EncodeError = 5,
    /// The endpoint configuration asks for no capture.
    OperatorOff = 6,
    /// The server was shutting down.
    ShutdownDeadline = 7,
    /// The process died between the call and its record; found at the next start.
    LostUnclean = 8,
    /// The destination cannot be written.
    DestinationUnwritable = 9,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::DiskFull,
        Self::SpoolFull,
        Self::IoError,
        Self::QueueFull,
        Self::MemBudget,
        Self::EncodeError,
        Self::OperatorOff,
        Self::ShutdownDeadline,
        Self::LostUnclean,
        Self::DestinationUnwritable,
    ];

    /// The word used in headers, metrics and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::SpoolFull => "spool_full",
            Self::IoError => "io_error",
            Self::QueueFull => "queue_full",
            Self::MemBudget => "mem_budget",
            Self::EncodeError => "encode_error",
            Self::OperatorOff => "operator_off",
            Self::ShutdownDeadline => "shutdown_deadline",
            Self::LostUnclean => "lost_unclean",
            Self::DestinationUnwritable => "destination_unwritable",
        }
    }
}

impl DropReason {
    /// Whether there was no room for the record.
    pub(crate) fn is_want_of_space(self) -> bool {
        matches!(self, Self::DiskFull | Self::SpoolFull)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counters of one account, in the order of the constants below.
pub(crate) type Counters = [u64; COUNTERS];
pub(crate) const COUNTERS: usize = DROPPED + DropReason::ALL.len();
pub(crate) const INVOKED: usize = 0;
pub(crate) const CAPTURED: usize = 1;
pub(crate) const SAMPLED_OUT: usize = 2;
pub(crate) const UPLOADED: usize = 3;
pub(crate) const EXPIRED: usize = 4;
pub(crate) const ERASED: usize = 5;
pub(crate) const QUARANTINED: usize = 6;
pub(crate) const EVICTED: usize = 7;
pub(crate) const REFUSED: usize = 8;
pub(crate) const DROPPED: usize = 9;

/// Names of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AccountKey {
    pub(crate) endpoint: Box<str>,
    pub(crate) variant: Box<str>,
}

impl AccountKey {
    pub(crate) fn new(endpoint: &EndpointName, variant: &VariantName) -> Self {
        Self { endpoint: endpoint.as_str().into(), variant: variant.as_str().into() }
    }

    /// Where the calls of accounts go that found no place. No endpoint can have this name.
    pub(crate) fn overflow() -> Self {
        Self { endpoint: "*".into(), variant: "*".into() }
    }
}

/// Which account: its slot in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AccountId(u32);

impl AccountId {
    const OVERFLOW: Self = Self(0);

    pub(crate) fn slot(self) -> usize {
        self.0 as usize
    }
}

/// What an account needs beyond the page, gone with the process.
#[derive(Debug, Default)]
struct Desk {
    /// Held while an invocation settles, so that a snapshot sees both sides of the identity or neither.
    settling: Mutex<()>,
    settled: AtomicU64,
    local_pending: AtomicU64,
}

/// Records of one account that leave the journal together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) uploaded: u64,
    pub(crate) quarantined: u64,
    pub(crate) evicted: u64,
}

impl Left {
    fn counters(self) -> [(usize, u64); 3] {
        [(UPLOADED, self.uploaded), (QUARANTINED, self.quarantined), (EVICTED, self.evicted)]
    }

    fn total(self) -> u64 {
        self.uploaded + self.quarantined + self.evicted
    }
}

/// The book at work.
#[derive(Debug)]
pub(crate) struct Ledger {
    page: Page,
    desks: Box<[Desk]>,
    slots: RwLock<HashMap<AccountKey, AccountId>>,
    framed: Mutex<Vec<Counters>>,
}

/// Where an account stands when the book is opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    pub(crate) counters: Counters,
    pub(crate) local_pending: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settled_of(counters: &Counters) -> u64 {
    counters[CAPTURED] + counters[SAMPLED_OUT] + counters[DROPPED..].iter().sum::<u64>()
}

impl Ledger {
    /// Opens the book with what recovery found. Slots of a sound page keep their place.
    pub(crate) fn open(page: Page, epoch: u32, mut openings: BTreeMap<AccountKey, Opening>) -> Self {
        if !page.is_sound() {
            page.clear();
        }
        let desks: Box<[Desk]> = (0..MAX_ACCOUNTS).map(|_| Desk::default()).collect();
        let mut slots = HashMap::new();
        let overflow = AccountKey::overflow();
        if page.used() == 0 {
            page.add(&overflow, &[0; COUNTERS]);
        }
        for slot in 0..page.used() {
            // A slot whose names are damaged cannot be read; it is overwritten by an empty account of its own name.
            let key = page.key(slot).unwrap_or_else(|| match slot {
                0 => overflow.clone(),
                _ => AccountKey { endpoint: format!("*damaged-{slot}").into(), variant: "*".into() },
            });
            let opening = openings.remove(&key).unwrap_or_default();
            page.write_slot(slot, &key, &opening.counters);
            seat(&desks[slot], &opening);
            slots.insert(key, AccountId(slot as u32));
        }
        for (key, opening) in openings {
            let Some(slot) = page.add(&key, &opening.counters) else {
                for (counter, value) in opening.counters.iter().enumerate() {
                    page.counter(0, counter).fetch_add(*value, Ordering::Relaxed);
                }
                desks[0].settled.fetch_add(settled_of(&opening.counters), Ordering::Relaxed);
                desks[0].local_pending.fetch_add(opening.local_pending, Ordering::Relaxed);
                slots.insert(key, AccountId::OVERFLOW);
                continue;
            };
            seat(&desks[slot], &opening);
            slots.insert(key, AccountId(slot as u32));
        }
        page.set_epoch(epoch);
        Self { page, desks, slots: RwLock::new(slots), framed: Mutex::new(Vec::new()) }
    }

    /// The account of that name, opened when it is new.
    pub(crate) fn account(&self, key: &AccountKey) -> AccountId {
        if let Some(id) = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return *id;
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = slots.get(key) {
            return *id;
        }
        let Some(slot) = self.page.add(key, &[0; COUNTERS]) else { return AccountId::OVERFLOW };
        let id = AccountId(slot as u32);
        slots.insert(key.clone(), id);
        id
    }

    /// The names of an account.
    pub(crate) fn key(&self, account: AccountId) -> AccountKey {
        self.page.key(account.slot()).unwrap_or_else(AccountKey::overflow)
    }

    pub(crate) fn invoke(&self, account: AccountId) {
        self.page.counter(account.slot(), INVOKED).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, account: AccountId) {
        self.page.counter(account.slot(), REFUSED).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sampled_out(&self, account: AccountId) {
        self.settle(account, SAMPLED_OUT, 1);
    }

    pub(crate) fn dropped(&self, account: AccountId, reason: DropReason, count: u64) {
        self.settle(account, DROPPED + reason as usize, count);
    }

    pub(crate) fn captured(&self, account: AccountId, count: u64) {
        let desk = &self.desks[account.slot()];
        let _settling = lock(&desk.settling);
        self.page.counter(account.slot(), CAPTURED).fetch_add(count, Ordering::Relaxed);
        desk.settled.fetch_add(count, Ordering::Relaxed);
        desk.local_pending.fetch_add(count, Ordering::Relaxed);
    }

    /// Books records that left the journal.
    /// Negative counts cannot happen: the caller has compared them with what is pending.
    pub(crate) fn left_journal(&self, account: AccountId, left: Left) {
        let desk = &self.desks[account.slot()];
        let _settling = lock(&desk.settling);
        for (counter, count) in left.counters() {
            self.page.counter(account.slot(), counter).fetch_add(count, Ordering::Relaxed);
        }
        desk.local_pending.fetch_sub(left.total(), Ordering::Relaxed);
    }

    /// Takes [`Ledger::left_journal`] back, when the book could not be saved.
    pub(crate) fn stayed_in_journal(&self, account: AccountId, left: Left) {
        let desk = &self.desks[account.slot()];
        let _settling = lock(&desk.settling);
        for (counter, count) in left.counters() {
            self.page.counter(account.slot(), counter).fetch_sub(count, Ordering::Relaxed);
        }
        desk.local_pending.fetch_add(left.total(), Ordering::Relaxed);
    }

    /// Sets what was removed of an account's uploaded records, expired and erased; answers what it was before, or nothing
    /// when more is removed than was ever uploaded.
    pub(crate) fn set_removed(&self, account: AccountId, (expired, erased): (u64, u64)) -> Option<(u64, u64)> {
        let desk = &self.desks[account.slot()];
        let _settling = lock(&desk.settling);
        let counter = |counter| self.page.counter(account.slot(), counter);
        let was = (counter(EXPIRED).load(Ordering::Relaxed), counter(ERASED).load(Ordering::Relaxed));
        let ever = counter(UPLOADED).load(Ordering::Relaxed) + was.0 + was.1;
        let left = ever.checked_sub(expired.checked_add(erased)?)?;
        counter(UPLOADED).store(left, Ordering::Relaxed);
        counter(EXPIRED).store(expired, Ordering::Relaxed);
        counter(ERASED).store(erased, Ordering::Relaxed);
        Some(was)
    }

    fn settle(&self, account: AccountId, counter: usize, count: u64) {
        let desk = &self.desks[account.slot()];
        let _settling = lock(&desk.settling);
        self.page.counter(account.slot(), counter).fetch_add(count, Ordering::Relaxed);
        desk.settled.fetch_add(count, Ordering::Relaxed);
    }

    /// The minute in which a process last counted here.
    pub(crate) fn minute(&self) -> i64 {
        self.page.minute()
    }

    pub(crate) fn set_minute(&self, minute: i64) {
        self.page.set_minute(minute);
    }

    /// Every account with its counters, in the order of slots.
    pub(crate) fn counters(&self) -> Vec<(AccountKey, Counters)> {
        (0..self.page.used()).filter_map(|slot| Some((self.page.key(slot)?, self.page.counters(slot)))).collect()
    }

    /// The accounts that changed since the last call, for a ledger frame; `all` gives every account.
    pub(crate) fn changed(&self, all: bool) -> Vec<(AccountKey, Counters)> {
        let mut framed = lock(&self.framed);
        let used = self.page.used();
        framed.resize(used, [u64::MAX; COUNTERS]);
        let mut changed = Vec::new();
        for (slot, before) in framed.iter_mut().enumerate() {
            let now = self.page.counters(slot);
            if all || now != *before {
                *before = now;
                changed.extend(self.page.key(slot).map(|key| (key, now)));
            }
        }
        changed
    }

    /// Every account as it stands, each one consistent in itself.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut accounts: Vec<Account> = (0..self.page.used()).filter_map(|slot| self.account_at(slot)).collect();
        accounts.retain(|account| !account.endpoint.starts_with('*') || account.invoked + account.refused > 0);
        accounts.sort_by(|a, b| (&a.endpoint, &a.variant).cmp(&(&b.endpoint, &b.variant)));
        Snapshot { accounts }
    }

    fn account_at(&self, slot: usize) -> Option<Account> {
        let key = self.page.key(slot)?;
        let desk = &self.desks[slot];
        let _settling = lock(&desk.settling);
        // `invoked` after the settled side: a call that begins meanwhile is in flight, never missing.
        let settled = desk.settled.load(Ordering::Relaxed);
        let local_pending = desk.local_pending.load(Ordering::Relaxed);
        let counters = self.page.counters(slot);
        Some(Account::new(&key, &counters, counters[INVOKED].saturating_sub(settled), local_pending))
    }
}

fn seat(desk: &Desk, opening: &Opening) {
    desk.settled.store(settled_of(&opening.counters), Ordering::Relaxed);
    desk.local_pending.store(opening.local_pending, Ordering::Relaxed);
}

/// All accounts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// By endpoint and variant. The account `*` holds the calls of endpoints that found no place in the book.
    pub accounts: Vec<Account>,
}

impl Snapshot {
    /// Sum of what the identities miss over all accounts; 0 when the book balances.
    #[must_use]
    pub fn imbalance(&self) -> u64 {
        self.accounts.iter().map(Account::imbalance).sum()
    }

    /// The account of that name.
    #[must_use]
    pub fn account(&self, endpoint: &str, variant: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.endpoint == endpoint && account.variant == variant)
    }
}

/// One account: how the invocations of one endpoint and variant ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Name of the endpoint.
    pub endpoint: String,
    /// Name of the variant.
    pub variant: String,
    /// Calls that passed the door.
    pub invoked: u64,
    /// Calls whose record entered the journal.
    pub captured: u64,
    /// Calls that the sample left out.
    pub sampled_out: u64,
    /// Calls whose record was lost, by reason; every reason is listed.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Calls that have not ended.
    pub in_flight: u64,
    /// Records confirmed in the object store.
    pub uploaded: u64,
    /// Records in the journal only.
    pub local_pending: u64,
    /// Records removed because their retention was over.
    pub expired: u64,
    /// Records removed because a person asked.
    pub erased: u64,
    /// Records found damaged.
    pub quarantined: u64,
    /// Records removed to make room, where the operator allows it.
    pub evicted: u64,
    /// Calls refused before the model ran because they could not be captured; no invocations.
    pub refused: u64,
}

impl Account {
    pub(crate) fn new(key: &AccountKey, counters: &Counters, in_flight: u64, local_pending: u64) -> Self {
        let dropped = DropReason::ALL.iter().map(|reason| (*reason, counters[DROPPED + *reason as usize]));
        Self {
            endpoint: key.endpoint.to_string(),
            variant: key.variant.to_string(),
            invoked: counters[INVOKED],
            captured: counters[CAPTURED],
            sampled_out: counters[SAMPLED_OUT],
            dropped: dropped.collect(),
            in_flight,
            uploaded: counters[UPLOADED],
            local_pending,
            expired: counters[EXPIRED],
            erased: counters[ERASED],
            quarantined: counters[QUARANTINED],
            evicted: counters[EVICTED],
            refused: counters[REFUSED],
        }
    }

    /// Records lost for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// What the two identities miss; 0 when the account balances.
    #[must_use]
    pub fn imbalance(&self) -> u64 {
        let ended = self.captured + self.sampled_out + self.dropped_total() + self.in_flight;
        let kept = self.uploaded + self.local_pending + self.expired + self.erased + self.quarantined + self.evicted;
        self.invoked.abs_diff(ended) + self.captured.abs_diff(kept)
    }
}
