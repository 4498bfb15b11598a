//! A disk whose calls can be made to fail.
//!
//! The fault model: calls are counted from the moment a fault is set; the N-th call of the chosen kind, and as many after
//! it as asked for, fail with the chosen error. A failed write may have taken a part of its bytes before (short, then the
//! error). A failed sync leaves the bytes readable, as a page cache does, but the file counts as poisoned: another sync of
//! it is recorded as a breach of protocol. Everything else goes to the real disk below. What this does not model: bytes
//! that vanish at a power cut, and reordering; copies of the folder with torn tails stand for those.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::disk::{Disk, DiskFile, RealDisk};

/// Kind of a call, for choosing which ones count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Creating a file.
    Create,
    /// Opening a file.
    Open,
    /// Writing.
    Write,
    /// Reading.
    Read,
    /// Syncing a file.
    Sync,
    /// Reserving space.
    Allocate,
    /// Cutting or extending a file.
    SetLen,
    /// Renaming.
    Rename,
    /// Unlinking.
    Remove,
    /// Syncing a folder.
    SyncDir,
    /// Listing a folder.
    List,
}

/// What fails, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which calls count; `None` counts all.
    pub call: Option<Call>,
    /// How many of them succeed first.
    pub after: u64,
    /// How many fail then.
    pub times: u64,
    /// The error.
    pub error: io::ErrorKind,
    /// Bytes that a failing write takes before.
    pub short_bytes: usize,
}

impl Fault {
    /// The N-th call of any kind fails once with an I/O error, N from 0.
    #[must_use]
    pub fn nth(after: u64) -> Self {
        Self { call: None, after, times: 1, error: io::ErrorKind::Other, short_bytes: 0 }
    }

    /// Calls of this kind fail from now on with this error.
    #[must_use]
    pub fn always(call: Call, error: io::ErrorKind) -> Self {
        Self { call: Some(call), after: 0, times: u64::MAX, error, short_bytes: 0 }
    }
}

#[derive(Debug, Default)]
struct State {
    fault: Mutex<Option<Fault>>,
    counted: AtomicU64,
    struck: AtomicU64,
    breaches: AtomicU64,
    free_bytes: Mutex<Option<u64>>,
    stalling: Mutex<bool>,
    stall_over: Condvar,
    stalled: AtomicU64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(Arc<State>);

impl FaultyDisk {
    /// Sets the fault and starts counting; `None` heals.
    pub fn set(&self, fault: Option<Fault>) {
        let mut current = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        *current = fault;
        self.0.counted.store(0, Ordering::SeqCst);
    }

    /// How many calls failed so far.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::SeqCst)
    }

    /// How often a file was synced again after a sync of it had failed. Must stay 0.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.0.breaches.load(Ordering::SeqCst)
    }

    /// What the disk says of its free space; `None` asks the real one.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        *self.0.free_bytes.lock().unwrap_or_else(PoisonError::into_inner) = free_bytes;
    }
}

impl FaultyDisk {
    /// From now on writes do not come back, until this is taken back.
    pub fn stall_writes(&self, stalling: bool) {
        *self.0.stalling.lock().unwrap_or_else(PoisonError::into_inner) = stalling;
        self.0.stall_over.notify_all();
    }

    /// How many writes were stalled so far.
    #[must_use]
    pub fn stalled(&self) -> u64 {
        self.0.stalled.load(Ordering::SeqCst)
    }
}

impl State {
    fn wait_out_the_stall(&self) {
        let mut stalling = self.stalling.lock().unwrap_or_else(PoisonError::into_inner);
        if *stalling {
            self.stalled.fetch_add(1, Ordering::SeqCst);
        }
        while *stalling {
            stalling = self.stall_over.wait(stalling).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn strike(&self, call: Call) -> Result<(), Fault> {
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fault) = fault.filter(|fault| fault.call.is_none_or(|counted| counted == call)) else {
            return Ok(());
        };
        let counted = self.counted.fetch_add(1, Ordering::SeqCst);
        if counted < fault.after || counted - fault.after >= fault.times {
            return Ok(());
        }
        self.struck.fetch_add(1, Ordering::SeqCst);
        Err(fault)
    }

    fn check(&self, call: Call) -> io::Result<()> {
        self.strike(call).map_err(|fault| fault.error.into())
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.check(Call::Create)?;
        Ok(Box::new(FaultyFile::new(&self.0, RealDisk.create_new(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.check(Call::Open)?;
        Ok(Box::new(FaultyFile::new(&self.0, RealDisk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check(Call::Rename)?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.check(Call::Remove)?;
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.check(Call::SyncDir)?;
        // Left out as the sync of files is, but the folder must be there.
        std::fs::metadata(dir).map(|_| ())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.check(Call::List)?;
        RealDisk.list(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        match *self.0.free_bytes.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(free_bytes) => Ok(free_bytes),
            None => RealDisk.free_bytes(dir),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    state: Arc<State>,
    file: Box<dyn DiskFile>,
    poisoned: AtomicBool,
}

impl FaultyFile {
    fn new(state: &Arc<State>, file: Box<dyn DiskFile>) -> Self {
        Self { state: Arc::clone(state), file, poisoned: AtomicBool::new(false) }
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.state.wait_out_the_stall();
        if let Err(fault) = self.state.strike(Call::Write) {
            let part = fault.short_bytes.min(bytes.len());
            if part > 0 {
                self.file.write_at(&bytes[..part], offset)?;
            }
            return Err(fault.error.into());
        }
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.state.check(Call::Read)?;
        self.file.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.poisoned.load(Ordering::SeqCst) {
            self.state.breaches.fetch_add(1, Ordering::SeqCst);
        }
        self.state.check(Call::Sync).inspect_err(|_| self.poisoned.store(true, Ordering::SeqCst))?;
        // The real sync is left out: no test cuts the power, and a sync per record would make them slow.
        Ok(())
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        self.state.check(Call::Allocate)?;
        self.file.allocate(length_bytes)
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        self.state.check(Call::SetLen)?;
        self.file.set_len(length_bytes)
    }

    fn length_bytes(&self) -> io::Result<u64> {
        self.file.length_bytes()
    }
}
