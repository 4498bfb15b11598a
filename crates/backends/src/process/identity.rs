//! As whom a model's server runs.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

use rustix::process::geteuid;

use crate::LoadError;

/// User ids that deployments get when the server is root, one each.
const OWN_IDS: std::ops::Range<u32> = 1_900_000_000..1_900_065_536;

static TAKEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A user and group.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether nobody else has it; it is free again when this is dropped.
    pub(super) is_own: bool,
}

impl Identity {
    /// The user that the rule names, else one of its own when this is root, else ours.
    pub(super) fn of(user: Option<&str>) -> Result<Option<Self>, LoadError> {
        let is_root = geteuid().is_root();
        match user {
            Some(user) if is_root => named(user).map(Some),
            Some(user) => Err(LoadError::Start {
                reason: format!(
                    "the rule wants the user {user:?}, and only a server that runs as root can switch users"
                ),
            }),
            None if is_root => own().map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        if self.is_own {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.uid);
        }
    }
}

fn own() -> Result<Identity, LoadError> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Several servers on one machine begin at different places.
    let count = OWN_IDS.end - OWN_IDS.start;
    let first = std::process::id() % count;
    let free = (0..count).map(|step| OWN_IDS.start + (first + step) % count).find(|id| !taken.contains(id));
    let uid = free.ok_or_else(|| LoadError::Start { reason: "every user id for models is taken".into() })?;
    taken.insert(uid);
    Ok(Identity { uid, gid: uid, is_own: true })
}

fn named(user: &str) -> Result<Identity, LoadError> {
    let numbers = || {
        let (uid, gid) = user.split_once(':').unwrap_or((user, user));
        Some((uid.parse().ok()?, gid.parse().ok()?))
    };
    let entry = || {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    match numbers().or_else(entry) {
        Some((uid, gid)) => Ok(Identity { uid, gid, is_own: false }),
        None => Err(LoadError::Start { reason: format!("there is no user {user:?} on this machine") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deployment_has_an_id_of_its_own() {
        let (first, second) = (own().unwrap(), own().unwrap());
        assert_ne!(first.uid, second.uid);
        let freed = first.uid;
        drop(first);
        assert_eq!(own().unwrap().uid, freed);
    }

    #[test]
    fn users_are_found_by_number_and_by_name() {
        let found =
            |user: &str| named(user).map(|identity| (identity.uid, identity.gid)).map_err(|error| error.to_string());
        assert_eq!(found("12:34"), Ok((12, 34)));
        assert_eq!(found("12"), Ok((12, 12)));
        assert_eq!(found("root"), Ok((0, 0)));
        assert!(found("no-such-user").unwrap_err().contains("no-such-user"));
    }
}
