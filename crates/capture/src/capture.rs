//! The room's door: opens the journal, gives out streams, tells what is kept, frees what is archived.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use captura_names::{EndpointName, S3Uri};
use captura_route::{CapturePolicy, Clock, Holder, Redaction};
use tokio::sync::{oneshot, watch};

use crate::destination::{Destination, Destinations};
use crate::journal::book::{BookKeeping, Identity};
use crate::journal::carry::{self, CarryError, Numbers};
use crate::journal::disk::Disk;
use crate::journal::frame::{FRAME_HEAD_BYTES, FrameHead, FrameKind};
use crate::journal::keeper::{Keeper, LastWord, Request};
use crate::journal::line::Line;
use crate::journal::recovery::{self, RecoveryReport, Unreadable};
use crate::journal::segment::{AccountRecords, SealedSegment, SegmentName};
use crate::journal::space::{Space, SpaceFigures};
use crate::journal::writer::{Recent, Shared, Written, lock};
use crate::journal::{LOCK_FILE, PAGE_FILE, boot_id};
use crate::ledger::minutes::{self, MinuteBook, MinuteQuery};
use crate::ledger::{AccountId, AccountKey, DropReason, Ledger, Left, Page, Snapshot};
use crate::record::{Lsn, Record, codec};
use crate::sabotage::{self, Sabotage};
use crate::settings::Settings;
use crate::stream::Stream;

/// Why the journal does not open. Damage and a full disk are no reasons.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the data directory.
    #[error("{} is in use by another captura", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be made or locked.
    #[error("cannot use {} as a journal: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Written by a newer captura, or the folder cannot be listed.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The system gives no thread, memory or randomness.
    #[error("cannot start the journal: {0}")]
    System(io::Error),
}

/// What becomes of the records of a segment that goes. What is not named could not be read and is booked as quarantined.
#[derive(Debug, Clone, Copy, Default)]
pub struct Departure<'a> {
    /// Records whose objects are confirmed and entered in the archive's manifest.
    pub uploaded: &'a [AccountRecords],
    /// Records that are given up to make room, where the operator allows it.
    pub evicted: &'a [AccountRecords],
    /// The part that [`Capture::carry`] made of it: its records stay in the journal.
    pub carried: Option<&'a SealedSegment>,
}

/// Why a segment is not freed.
#[derive(Debug, thiserror::Error)]
pub enum FreeError {
    /// There is no such sealed segment.
    #[error("{0} is not a sealed segment of this journal")]
    Unknown(SegmentName),
    /// More records are said to have gone than the segment holds.
    #[error("{segment} holds {held} records of {account}, {uploaded} are said to be uploaded, evicted or carried over")]
    TooMany {
        /// The segment.
        segment: SegmentName,
        /// Endpoint and variant.
        account: String,
        /// Records in the segment.
        held: u64,
        /// Records said to have gone.
        uploaded: u64,
    },
    /// The book could not be replaced; nothing is freed.
    #[error("the book cannot be saved: {0}")]
    Book(io::Error),
}

/// Records of one account that were removed on purpose after they had been uploaded, all in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedRecords {
    /// Endpoint.
    pub endpoint: String,
    /// Variant.
    pub variant: String,
    /// Because their retention was over.
    pub expired: u64,
    /// Because a person asked.
    pub erased: u64,
}

/// The journal did not end in order; the next start takes up what is left.
#[derive(Debug, thiserror::Error)]
#[error("the journal did not close in order: {0}")]
pub struct CloseError(io::Error);

/// The capture of one data directory. Clones are handles on the same journal; when the last handle (streams, begun
/// invocations and tickets included) goes without [`Capture::close`], the journal stays as it would after a crash.
#[derive(Debug, Clone)]
pub struct Capture(pub(crate) Arc<Handle>);

/// Owns the keeper's thread.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(keeper) = self.keeper.take() {
            keeper.thread().unpark();
            // A panic of the keeper was already told by the panic hook; there is nobody left to tell here.
            let _ = keeper.join();
        }
    }
}

impl Capture {
    /// Opens the journal: takes the lock, recovers, and is ready to take records unless the disk forbids it, in which
    /// case it is open all the same and heals by itself.
    ///
    /// # Errors
    /// When another process has the folder, the folder cannot be used, or it is of a newer format.
    pub fn open(settings: Settings, disk: Arc<dyn Disk>, clock: Clock) -> Result<(Self, RecoveryReport), OpenError> {
        let dir = settings.dir.clone();
        let lock_file = take_lock(&dir)?;
        let page_path = dir.join(PAGE_FILE);
        let mut notes = Vec::new();
        let page = Page::open(&page_path).or_else(|error| {
            notes.push(format!("the counters cannot be mapped and do not outlive the process: {error}"));
            Page::in_memory()
        });
        let page = page.map_err(OpenError::System)?;
        let boot = boot_id();
        let survey = recovery::survey(&*disk, &dir, Some(&page), &boot)?;
        let (node, salt) = match survey.identity.as_ref().and_then(Identity::parse) {
            // Without a book nobody knows the last epoch for sure; a new node cannot repeat a number.
            Some((_, salt)) if !survey.book_whole => (recovery::draw().map_err(OpenError::System)?.0, salt),
            Some(identity) => identity,
            None => recovery::draw().map_err(OpenError::System)?,
        };
        let identity = Identity::new(node, &salt);
        let identity_unsaved = (survey.identity.as_ref() != Some(&identity)).then_some(identity);
        let mut kept = Vec::new();
        for path in &survey.leftovers {
            if let Err(error) = disk.remove(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                notes.push(format!("{} cannot be removed: {error}", path.display()));
                kept.push(path);
            }
        }
        // What a process before this one unlinked may be so in the cache only.
        let freed = survey.freed;
        let is_kept = |name: &SegmentName| kept.iter().any(|path| name.is_of(path));
        let unlinked = freed.iter().copied().filter(|name| !is_kept(name)).collect();
        let epoch = survey.epoch_before.saturating_add(1);
        let ledger = Ledger::open(page, epoch, survey.openings);
        let mut line = Line::new(0);
        // What a boot of the machine left was read from the device; what a process left may be in the cache only.
        let suspect = survey.report.unclean && !survey.report.unknown_window;
        line.retired = survey.open.into_iter().map(|segment| segment.retire(&ledger, suspect)).collect();
        let books = BookKeeping {
            epoch,
            boot_id: boot,
            sealed: survey.sealed,
            freed,
            unlinked,
            epoch_durable: false,
            closed: false,
            identity_unsaved,
        };
        let recent = settings.memory.count(Holder::Recent, settings.tail_max_bytes);
        let shared = Arc::new(Shared {
            settings,
            disk,
            clock,
            ledger,
            salt,
            node,
            epoch,
            destinations: Destinations::new(),
            policies: RwLock::new(HashMap::new()),
            line: Mutex::new(line),
            writer_left: Condvar::new(),
            written: Mutex::new(Written::default()),
            blocked: AtomicU32::new(0),
            queue_bytes: AtomicU64::new(0),
            spool_bytes: AtomicU64::new(0),
            space: Space::default(),
            books: Mutex::new(books),
            sealed_changed: watch::channel(0).0,
            keeper: Mutex::new(None),
            nudged: AtomicBool::new(false),
            gathering: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            requests: Mutex::new(Vec::new()),
            _recent: recent,
            _lock: lock_file,
        });
        let mut report = survey.report;
        report.node = node;
        report.epoch = epoch;
        report.notes.append(&mut notes);
        let handle = start(shared).map_err(OpenError::System)?;
        Ok((Self(Arc::new(handle)), report))
    }

    /// The stream of one variant under one policy; kept by the gateway as long as the route table stands.
    #[must_use]
    pub fn stream(&self, policy: &Arc<CapturePolicy>) -> Stream {
        Stream::new(Arc::clone(&self.0), policy, None)
    }

    /// As [`Capture::stream`], with rules by which each exchange is redacted before it is a record. The policy of the
    /// records names them.
    #[must_use]
    pub fn redacting_stream(&self, policy: &CapturePolicy, redaction: Arc<dyn Redaction>) -> Stream {
        let policy = CapturePolicy { redaction: Some(redaction.policy().to_owned()), ..policy.clone() };
        Stream::new(Arc::clone(&self.0), &Arc::new(policy), Some(redaction))
    }

    /// The accounts as they stand.
    #[must_use]
    pub fn ledger(&self) -> Snapshot {
        self.0.shared.ledger.snapshot()
    }

    /// What happened in each minute, or each stretch of minutes, up to now.
    ///
    /// # Errors
    /// When the files of the minutes cannot be read.
    pub fn minutes(&self, query: &MinuteQuery) -> io::Result<MinuteBook> {
        let shared = &self.0.shared;
        let accounts = self.ledger().accounts;
        minutes::read(&shared.settings.dir, query, Some((minutes::minute_of(shared.clock.now()), &accounts)))
    }

    /// Number of this node and of this run, as in every [`Lsn`].
    #[must_use]
    pub fn node_and_epoch(&self) -> (u32, u32) {
        (self.0.shared.node, self.0.shared.epoch)
    }

    /// Why no record is taken now; `None` while records are taken.
    #[must_use]
    pub fn unavailable(&self) -> Option<DropReason> {
        self.0.shared.blocked()
    }

    /// Forgets the recent records, because one of them was erased; the journal stays as it is.
    pub fn forget_recent(&self) {
        let mut written = lock(&self.0.shared.written);
        written.ring.clear();
        written.ring_bytes = 0;
    }

    /// Recent records, oldest first: the first `limit` after `after`, or the last `limit`. Only what is still in memory.
    #[must_use]
    pub fn tail(&self, endpoint: Option<&EndpointName>, after: Option<Lsn>, limit: usize) -> Vec<Arc<Record>> {
        let shared = &self.0.shared;
        let ring: Vec<_> = lock(&shared.written).ring.iter().cloned().collect();
        let policies = shared.policies.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found: VecDeque<(Lsn, Bytes)> = VecDeque::new();
        'ring: for Recent { stamp, offset, bytes } in ring {
            let mut at = 0;
            while let Some(head) = FrameHead::parse(&bytes[at.min(bytes.len())..], stamp, offset + at as u64) {
                let end = at + usize::try_from(head.frame_bytes()).unwrap_or(usize::MAX - at);
                if end > bytes.len() {
                    break;
                }
                let payload = bytes.slice(at + FRAME_HEAD_BYTES..end - 4);
                let lsn = Lsn { node: stamp.node, epoch: stamp.epoch, n: head.n };
                at = end;
                let policy = codec::policy_id(&payload).and_then(|id| policies.get(&id));
                let wanted = head.kind == FrameKind::Record
                    && after.is_none_or(|after| lsn > after)
                    && endpoint.is_none_or(|name| policy.is_some_and(|policy| policy.endpoint == *name));
                if !wanted {
                    continue;
                }
                if found.len() == limit {
                    if after.is_some() || limit == 0 {
                        break 'ring;
                    }
                    found.pop_front();
                }
                found.push_back((lsn, payload));
            }
        }
        let records = found.into_iter().filter_map(|(lsn, payload)| {
            codec::decode(&payload, lsn, |id| policies.get(&id).cloned()).ok().map(Arc::new)
        });
        records.collect()
    }

    /// Size of the journal on disk, reserved and unused space not counted, bytes.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.0.shared.spool_bytes.load(Ordering::Relaxed)
    }

    /// Size at which the journal takes no more records, bytes: [`Settings::spool_max_bytes`].
    #[must_use]
    pub fn journal_max_bytes(&self) -> u64 {
        self.0.shared.settings.spool_max_bytes
    }

    /// Records that wait to be written, bytes.
    #[must_use]
    pub fn queue_bytes(&self) -> u64 {
        self.0.shared.queue_bytes.load(Ordering::Relaxed)
    }

    /// Sealed segments, oldest first.
    #[must_use]
    pub fn sealed(&self) -> Vec<SealedSegment> {
        lock(&self.0.shared.books).sealed.values().cloned().collect()
    }

    /// Changes whenever [`Capture::sealed`] does: a segment was sealed, or one was let go.
    #[must_use]
    pub fn sealed_changed(&self) -> watch::Receiver<u64> {
        self.0.shared.sealed_changed.subscribe()
    }

    /// Lets a segment go whose objects are confirmed and entered in the archive's manifest: [`Capture::let_go`] with nothing
    /// evicted and nothing carried over.
    ///
    /// # Errors
    /// As [`Capture::let_go`].
    pub fn free(&self, segment: &SegmentName, uploaded: &[AccountRecords]) -> Result<(), FreeError> {
        self.let_go(segment, &Departure { uploaded, ..Departure::default() })
    }

    /// Makes a part of a sealed segment with the records `wanted`, durable and in no book: it counts from the moment that
    /// [`Capture::let_go`] names it. Safe to repeat. Blocks on the disk.
    ///
    /// # Errors
    /// When the segment is unknown, does not give those records, or the disk does not take them.
    pub fn carry(&self, segment: &SegmentName, wanted: &dyn Numbers) -> Result<SealedSegment, CarryError> {
        let shared = &self.0.shared;
        let held = lock(&shared.books).sealed.get(segment).cloned().ok_or(CarryError::Unknown(*segment))?;
        let created_unix_us = shared.clock.now().unix_us();
        let (disk, dir, salt) = (&*shared.disk, &*shared.settings.dir, &shared.salt);
        carry::Place { disk, dir, salt, created_unix_us }.carry(&held, wanted)
    }

    /// Lets a segment go and books, per account, what became of its records. The booking is durable before the file is
    /// unlinked. Blocks on the disk.
    ///
    /// # Errors
    /// When the segment is unknown, the counts do not fit, or the book cannot be saved; then nothing has changed.
    pub fn let_go(&self, segment: &SegmentName, departure: &Departure<'_>) -> Result<(), FreeError> {
        let shared = &self.0.shared;
        let mut books = lock(&shared.books);
        let held = books.sealed.get(segment).cloned().ok_or(FreeError::Unknown(*segment))?;
        let moves = moves(&shared.ledger, &held, departure)?;
        for (account, left) in &moves {
            shared.ledger.left_journal(*account, *left);
        }
        if sabotage::is(Sabotage::UnlinkFirst) {
            let _ = shared.disk.remove(&held.path);
        }
        books.sealed.remove(segment);
        books.sealed.extend(departure.carried.map(|part| (part.name, part.clone())));
        books.freed.push(*segment);
        let accounts = shared.ledger.snapshot().accounts;
        let closed = books.closed;
        if let Err(error) = books.save(&*shared.disk, &shared.settings.dir, accounts, closed) {
            books.freed.pop();
            departure.carried.map(|part| books.sealed.remove(&part.name));
            books.sealed.insert(*segment, held);
            for (account, left) in &moves {
                shared.ledger.stayed_in_journal(*account, *left);
            }
            return Err(FreeError::Book(error));
        }
        match shared.disk.remove(&held.path) {
            Ok(()) => books.unlinked.push(*segment),
            Err(error) => tracing::warn!(%error, %segment, "a freed segment cannot be unlinked yet"),
        }
        drop(books);
        shared.sealed_changed.send_modify(|version| *version += 1);
        shared.count_spool();
        shared.nudge();
        Ok(())
    }

    /// Sets what was removed of accounts that are uploaded; the rest of what left the journal stays uploaded. The totals
    /// are absolute, so saying it twice changes nothing. Blocks on the disk.
    ///
    /// # Errors
    /// When more is said to be removed than was uploaded, or the book cannot be saved; then nothing has changed.
    pub fn settle_removed(&self, removed: &[RemovedRecords]) -> io::Result<()> {
        let shared = &self.0.shared;
        let mut books = lock(&shared.books);
        let mut before = Vec::new();
        for records in removed {
            let key =
                AccountKey { endpoint: records.endpoint.as_str().into(), variant: records.variant.as_str().into() };
            let account = shared.ledger.account(&key);
            match shared.ledger.set_removed(account, (records.expired, records.erased)) {
                Some(was) if was == (records.expired, records.erased) => {}
                Some(was) => before.push((account, was)),
                None => {
                    for (account, was) in &before {
                        shared.ledger.set_removed(*account, *was);
                    }
                    let (endpoint, variant) = (&records.endpoint, &records.variant);
                    return Err(io::Error::other(format!("more of {endpoint}/{variant} is removed than was uploaded")));
                }
            }
        }
        if before.is_empty() {
            return Ok(());
        }
        let (accounts, closed) = (shared.ledger.snapshot().accounts, books.closed);
        books.save(&*shared.disk, &shared.settings.dir, accounts, closed).inspect_err(|_| {
            for (account, was) in &before {
                shared.ledger.set_removed(*account, *was);
            }
        })
    }

    /// Destinations that streams use or that are marked.
    #[must_use]
    pub fn destinations(&self) -> Vec<Destination> {
        self.0.shared.destinations.list()
    }

    /// Changes whenever a stream took up a destination.
    #[must_use]
    pub fn destinations_changed(&self) -> watch::Receiver<u64> {
        self.0.shared.destinations.changed()
    }

    /// From now on records for this destination are dropped as `destination_unwritable`; `why` is for people.
    pub fn mark_unwritable(&self, destination: &S3Uri, why: impl Into<String>) {
        self.0.shared.destinations.mark(destination, Some(why.into()));
    }

    /// Records for this destination are kept again.
    pub fn mark_writable(&self, destination: &S3Uri) {
        self.0.shared.destinations.mark(destination, None);
    }

    /// Says whether a destination fails now. When the journal is nearly full, records for failing destinations are the
    /// first that are no longer taken (`spool_full`), so that what is left serves the others.
    pub fn mark_failing(&self, destination: &S3Uri, failing: bool) {
        self.0.shared.destinations.mark_failing(destination, failing);
    }

    /// The space that records have.
    #[must_use]
    pub fn space(&self) -> SpaceFigures {
        self.0.shared.space_figures()
    }

    /// Writes, syncs and seals everything handed in so far, as far as the disk lets it.
    pub async fn seal(&self) {
        let (done, sealed) = oneshot::channel();
        self.request(Request::Seal(done));
        // An ended keeper has sealed what it could.
        let _ = sealed.await;
    }

    /// Ends the journal: nothing more is taken, all is written, synced and sealed, the book is closed.
    ///
    /// # Errors
    /// When the disk does not let it; the next start takes up what is left.
    pub async fn close(&self) -> Result<(), CloseError> {
        let (done, closed) = oneshot::channel();
        self.request(Request::Close(done));
        closed.await.unwrap_or(Ok(())).map_err(CloseError)
    }

    fn request(&self, request: Request) {
        let shared = &self.0.shared;
        let mut requests = lock(&shared.requests);
        // After the keeper's end a request is dropped with its channel, which answers whoever waits.
        if !shared.stop.load(Ordering::Acquire) {
            requests.push(request);
        }
        drop(requests);
        shared.nudge();
    }
}

impl Shared {
    pub(crate) fn know_policy(&self, id: u64, policy: &Arc<CapturePolicy>) {
        let mut policies = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        policies.entry(id).or_insert_with(|| Arc::clone(policy));
    }
}

fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let folder = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(folder(dir))?;
    let path = dir.join(LOCK_FILE);
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(folder(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(folder(&path)(source)),
    }
}

/// Runs the keeper's first round here, so that an open journal takes records, then gives it its thread.
fn start(shared: Arc<Shared>) -> io::Result<Handle> {
    let mut keeper = Keeper::new(Arc::clone(&shared));
    keeper.start();
    let last_word = LastWord(Arc::clone(&shared));
    let thread = std::thread::Builder::new().name("captura-journal".into()).spawn(move || {
        let _last_word = last_word;
        keeper.run();
    })?;
    *lock(&shared.keeper) = Some(thread.thread().clone());
    shared.nudge();
    Ok(Handle { shared, keeper: Some(thread) })
}

/// What letting a segment go moves in the ledger, per account.
fn moves(
    ledger: &Ledger,
    held: &SealedSegment,
    departure: &Departure<'_>,
) -> Result<Vec<(AccountId, Left)>, FreeError> {
    #[derive(Default)]
    struct Counts {
        held: u64,
        carried: u64,
        left: Left,
    }
    let mut counts: HashMap<AccountId, Counts> = HashMap::new();
    let account = |records: &AccountRecords| ledger.account(&records.key());
    for records in &held.accounts {
        counts.entry(account(records)).or_default().held += records.records;
    }
    for records in departure.uploaded {
        counts.entry(account(records)).or_default().left.uploaded += records.records;
    }
    for records in departure.evicted {
        counts.entry(account(records)).or_default().left.evicted += records.records;
    }
    for records in departure.carried.iter().flat_map(|part| &part.accounts) {
        counts.entry(account(records)).or_default().carried += records.records;
    }
    let moves = counts.into_iter().map(|(account, Counts { held: held_records, carried, left })| {
        let named = left.uploaded + left.evicted + carried;
        let quarantined = held_records.checked_sub(named).ok_or_else(|| {
            let key = ledger.key(account);
            let account = format!("{}/{}", key.endpoint, key.variant);
            FreeError::TooMany { segment: held.name, account, held: held_records, uploaded: named }
        })?;
        Ok((account, Left { quarantined, ..left }))
    });
    moves.collect()
}
