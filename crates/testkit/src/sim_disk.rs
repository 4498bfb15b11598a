//! A disk in memory that forgets, as disks do when the power goes.
//!
//! Every file has what is seen and what is durable. A write is seen at once and becomes durable only when the file is
//! synced; closing a file syncs nothing. A name (made, renamed, unlinked) becomes durable only when its folder is
//! synced. At a power cut each sector of 512 bytes independently keeps some version between the durable one and the
//! last one, lengths and names likewise. A sync that fails marks what it should have written as clean, as Linux does:
//! a second sync succeeds and the bytes are gone after the cut.
//!
//! Invariant: what was synced is there after every cut, and nothing is there that was never written.
//! Refuses to: model sectors that rot; damaged segments have a test of their own.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use captura_capture::journal::disk::{Disk, DiskFile};
use captura_capture::journal::faulty_disk::{Call, Fault};

use crate::seeded::Seeded;

const SECTOR_BYTES: usize = 512;

/// Something that was done to a file and is not durable.
#[derive(Debug, Clone)]
enum Dirty {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Dirty>,
    /// A sync of it failed: another one is a breach of protocol.
    poisoned: bool,
}

/// Something that was done to a name and is not durable.
#[derive(Debug, Clone)]
enum Renaming {
    Made(PathBuf, usize),
    Moved(PathBuf, PathBuf, usize),
    Gone(PathBuf),
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    renamings: Vec<Renaming>,
    /// Files opened in an earlier life are closed.
    life: u64,
    calls: u64,
    dies_at: Option<u64>,
    fault: Option<Fault>,
    counted: u64,
    struck: u64,
    breaches: u64,
    capacity_bytes: Option<u64>,
    forgets_syncs: bool,
}

/// See the module. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

fn dead() -> io::Error {
    io::Error::other("the machine is dead")
}

impl World {
    /// Counts a call; an error when the machine is dead, or this call is to fail.
    fn enter(&mut self, call: Call) -> Result<(), (io::Error, usize)> {
        self.calls += 1;
        if self.dies_at.is_some_and(|at| self.calls > at) {
            return Err((dead(), 0));
        }
        let Some(fault) = self.fault.filter(|fault| fault.call.is_none_or(|counted| counted == call)) else {
            return Ok(());
        };
        let counted = self.counted;
        self.counted += 1;
        if counted < fault.after || counted - fault.after >= fault.times {
            return Ok(());
        }
        self.struck += 1;
        Err((fault.error.into(), fault.short_bytes))
    }

    fn check(&mut self, call: Call) -> io::Result<()> {
        self.enter(call).map_err(|(error, _)| error)
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
    }

    /// How much longer a file may become.
    fn room_for(&self, more: u64) -> u64 {
        self.capacity_bytes.map_or(more, |capacity| capacity.saturating_sub(self.used_bytes()).min(more))
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
            self.dirty.push(Dirty::Length(end));
        }
        self.seen[at..end].copy_from_slice(bytes);
        self.dirty.push(Dirty::Write(at, bytes.to_vec()));
    }

    fn resize(&mut self, length: usize) {
        self.seen.resize(length, 0);
        self.dirty.push(Dirty::Length(length));
    }

    fn settle(&mut self, dirty: &Dirty) {
        match dirty {
            Dirty::Length(length) => self.durable.resize(*length, 0),
            Dirty::Write(at, bytes) => {
                let end = at + bytes.len();
                if self.durable.len() < end {
                    self.durable.resize(end, 0);
                }
                self.durable[*at..end].copy_from_slice(bytes);
            }
        }
    }

    /// A sync that fails: nothing reached the device, or every other write, and all count as clean.
    fn lose(&mut self, everything: bool) {
        let dirty = std::mem::take(&mut self.dirty);
        if !everything {
            dirty.iter().step_by(2).for_each(|one| self.settle(one));
        }
        let length = self.seen.len();
        self.durable.resize(length, 0);
        self.poisoned = true;
    }

    /// What is there after the power was cut.
    fn after_cut(&mut self, numbers: &mut Seeded) {
        let dirty = std::mem::take(&mut self.dirty);
        match numbers.between(0, 4) {
            0 => {}
            1 => dirty.iter().for_each(|one| self.settle(one)),
            2 => self.keep_sectors(&dirty, numbers),
            // In the order of time, the last one torn.
            _ => {
                let kept = numbers.index(dirty.len() + 1);
                dirty[..kept].iter().for_each(|one| self.settle(one));
                if let Some(Dirty::Write(at, bytes)) = dirty.get(kept) {
                    let torn = bytes[..numbers.index(bytes.len() + 1)].to_vec();
                    self.settle(&Dirty::Write(*at, torn));
                }
            }
        }
        self.seen = self.durable.clone();
        self.poisoned = false;
    }

    /// Each sector is as it was after some write, each chosen for itself.
    fn keep_sectors(&mut self, dirty: &[Dirty], numbers: &mut Seeded) {
        let kept_length = dirty[..numbers.index(dirty.len() + 1)]
            .iter()
            .rev()
            .find_map(|one| if let Dirty::Length(length) = one { Some(*length) } else { None })
            .unwrap_or(self.durable.len());
        let mut versions: HashMap<usize, usize> = HashMap::new();
        for (index, one) in dirty.iter().enumerate() {
            let Dirty::Write(at, bytes) = one else { continue };
            let mut from = 0;
            while from < bytes.len() {
                let sector = (at + from) / SECTOR_BYTES;
                let to = ((sector + 1) * SECTOR_BYTES - at).min(bytes.len());
                let version = *versions.entry(sector).or_insert_with(|| numbers.index(dirty.len() + 1));
                if index < version {
                    self.settle(&Dirty::Write(at + from, bytes[from..to].to_vec()));
                }
                from = to;
            }
        }
        self.durable.resize(kept_length, 0);
    }
}

impl SimDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk with these files, all of them durable.
    pub fn with_files(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let disk = Self::default();
        {
            let mut world = disk.world();
            for (path, bytes) in files {
                let inode = Inode { seen: bytes.clone(), durable: bytes.clone(), ..Inode::default() };
                world.inodes.push(inode);
                let index = world.inodes.len() - 1;
                world.names.insert(path.clone(), index);
            }
            world.durable_names = world.names.clone();
        }
        disk
    }

    /// The files as they are seen.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        world.names.iter().map(|(path, inode)| (path.clone(), world.inodes[*inode].seen.clone())).collect()
    }

    /// A file's bytes as they are seen.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        world.names.get(path).map(|inode| world.inodes[*inode].seen.clone())
    }

    /// Sets what fails and starts counting; `None` heals.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut world = self.world();
        world.fault = fault;
        world.counted = 0;
    }

    /// After so many more calls nothing answers any more, as when the machine has just died.
    pub fn dies_in(&self, calls: u64) {
        let mut world = self.world();
        world.dies_at = Some(world.calls + calls);
    }

    /// Whether it has come to that.
    pub fn is_dead(&self) -> bool {
        let world = self.world();
        world.dies_at.is_some_and(|at| world.calls > at)
    }

    /// Room for all files together; `None` is endless.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.world().capacity_bytes = capacity_bytes;
    }

    /// Room that is taken.
    pub fn used_bytes(&self) -> u64 {
        self.world().used_bytes()
    }

    /// A disk that says synced and is not: what the best journal cannot survive. For controls.
    pub fn forget_syncs(&self) {
        self.world().forgets_syncs = true;
    }

    /// How many calls failed on purpose.
    pub fn struck(&self) -> u64 {
        self.world().struck
    }

    /// How often a file was synced again after a sync of it had failed. Must stay 0.
    pub fn breaches(&self) -> u64 {
        self.world().breaches
    }

    /// The process is gone: open files are closed, everything written is still there.
    pub fn kill(&self) {
        let mut world = self.world();
        world.life += 1;
        world.dies_at = None;
        world.fault = None;
    }

    /// The power is gone: what was not synced is there, or not, or in parts.
    pub fn cut_power(&self, numbers: &mut Seeded) {
        self.kill();
        let mut world = self.world();
        let world = &mut *world;
        let renamings = std::mem::take(&mut world.renamings);
        let kept = numbers.index(renamings.len() + 1);
        let in_order = numbers.once_in(2);
        for (index, renaming) in renamings.iter().enumerate() {
            let survives = if in_order { index < kept } else { numbers.once_in(2) };
            if !survives {
                continue;
            }
            match renaming {
                Renaming::Made(path, inode) => {
                    world.durable_names.insert(path.clone(), *inode);
                }
                Renaming::Moved(from, to, inode) => {
                    if world.durable_names.get(from) == Some(inode) {
                        world.durable_names.remove(from);
                    }
                    world.durable_names.insert(to.clone(), *inode);
                }
                Renaming::Gone(path) => {
                    world.durable_names.remove(path);
                }
            }
        }
        world.names = world.durable_names.clone();
        for (index, inode) in world.inodes.iter_mut().enumerate() {
            if world.names.values().any(|named| *named == index) {
                inode.after_cut(numbers);
            } else {
                *inode = Inode::default();
            }
        }
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.check(Call::Create)?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.inodes.push(Inode::default());
        let inode = world.inodes.len() - 1;
        world.names.insert(path.to_owned(), inode);
        world.renamings.push(Renaming::Made(path.to_owned(), inode));
        Ok(Box::new(SimFile { disk: self.clone(), inode, life: world.life }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.check(Call::Open)?;
        let inode = world.find(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode, life: world.life }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Call::Rename)?;
        let inode = world.find(from)?;
        world.names.remove(from);
        world.names.insert(to.to_owned(), inode);
        world.renamings.push(Renaming::Moved(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Call::Remove)?;
        world.find(path)?;
        world.names.remove(path);
        world.renamings.push(Renaming::Gone(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Call::SyncDir)?;
        if !world.forgets_syncs {
            world.renamings.clear();
            world.durable_names = world.names.clone();
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut world = self.world();
        world.check(Call::List)?;
        Ok(world.names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let world = self.world();
        Ok(world.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(world.used_bytes())))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    life: u64,
}

impl SimFile {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        if world.life == self.life { Ok(world) } else { Err(dead()) }
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        if let Err((error, short_bytes)) = world.enter(Call::Write) {
            let part = short_bytes.min(bytes.len());
            if part > 0 {
                world.inodes[self.inode].write(at, &bytes[..part]);
            }
            return Err(error);
        }
        let longer = (at + bytes.len()).saturating_sub(world.inodes[self.inode].seen.len()) as u64;
        let missing = usize::try_from(longer - world.room_for(longer)).map_err(io::Error::other)?;
        let part = bytes.len() - missing.min(bytes.len());
        if part == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.inodes[self.inode].write(at, &bytes[..part]);
        Ok(part)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        world.check(Call::Read)?;
        let seen = &world.inodes[self.inode].seen;
        let from = usize::try_from(offset).map_err(io::Error::other)?.min(seen.len());
        let length = buffer.len().min(seen.len() - from);
        buffer[..length].copy_from_slice(&seen[from..from + length]);
        Ok(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world()?;
        if world.inodes[self.inode].poisoned {
            world.breaches += 1;
        }
        if let Err((error, _)) = world.enter(Call::Sync) {
            if world.dies_at.is_none_or(|at| world.calls <= at) {
                let everything = world.struck % 2 == 1;
                world.inodes[self.inode].lose(everything);
            }
            return Err(error);
        }
        if !world.forgets_syncs {
            let inode = &mut world.inodes[self.inode];
            let dirty = std::mem::take(&mut inode.dirty);
            dirty.iter().for_each(|one| inode.settle(one));
        }
        Ok(())
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.check(Call::Allocate)?;
        let length = usize::try_from(length_bytes).map_err(io::Error::other)?;
        let longer = length.saturating_sub(world.inodes[self.inode].seen.len()) as u64;
        if world.room_for(longer) < longer {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if longer > 0 {
            world.inodes[self.inode].resize(length);
        }
        Ok(())
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.check(Call::SetLen)?;
        let length = usize::try_from(length_bytes).map_err(io::Error::other)?;
        world.inodes[self.inode].resize(length);
        Ok(())
    }

    fn length_bytes(&self) -> io::Result<u64> {
        Ok(self.world()?.inodes[self.inode].seen.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PathBuf {
        Path::new("/sim").join(text)
    }

    #[test]
    fn what_was_synced_survives_every_cut_and_nothing_comes_that_was_never_written() {
        let (mut kept, mut lost, mut torn) = (0, 0, 0);
        for seed in 0..400 {
            let disk = SimDisk::default();
            let file = disk.create_new(&name("a")).unwrap();
            file.write_at(&[1; 2_000], 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(&name("")).unwrap();
            file.write_at(&[2; 2_000], 2_000).unwrap();
            disk.cut_power(&mut Seeded::new(seed));
            let found = disk.read(&name("a")).unwrap();
            assert_eq!(found[..2_000], [1; 2_000]);
            assert!(found[2_000..].iter().all(|byte| [0, 2].contains(byte)));
            match found[2_000..].iter().filter(|byte| **byte == 2).count() {
                0 => lost += 1,
                2_000 => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
    }

    #[test]
    fn a_name_is_durable_when_its_folder_was_synced_and_not_before() {
        let (mut old, mut new) = (0, 0);
        for seed in 0..100 {
            let disk = SimDisk::default();
            disk.create_new(&name("a")).unwrap();
            disk.sync_dir(&name("")).unwrap();
            disk.rename(&name("a"), &name("b")).unwrap();
            disk.cut_power(&mut Seeded::new(seed));
            let files = disk.files();
            assert_eq!(files.len(), 1);
            old += u32::from(files.contains_key(&name("a")));
            new += u32::from(files.contains_key(&name("b")));
        }
        assert!(old > 10 && new > 10);
    }

    #[test]
    fn after_a_failed_sync_a_second_one_succeeds_and_the_bytes_are_gone() {
        let disk = SimDisk::default();
        let file = disk.create_new(&name("a")).unwrap();
        disk.sync_dir(&name("")).unwrap();
        file.write_at(b"x", 0).unwrap();
        disk.set_fault(Some(Fault { times: 1, ..Fault::always(Call::Sync, io::ErrorKind::Other) }));
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
        assert_eq!(disk.breaches(), 1);
        disk.cut_power(&mut Seeded::new(1));
        assert_eq!(disk.read(&name("a")).unwrap(), [0]);
    }
}
