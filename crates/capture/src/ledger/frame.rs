//! Accounts inside a ledger frame: absolute counters of the accounts that changed, so that any frame can be lost and the
//! next one still tells the truth.
//!
//! ```text
//! 0 1 version, 1    1 1 counters per account    2 2 zero    4 4 accounts
//! then per account: 1 length of endpoint, 1 length of variant, both texts, the counters as LEB128
//! ```

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _};

use super::{AccountKey, COUNTERS, Counters, Opening};

const VERSION: u8 = 1;

pub(crate) fn encode(accounts: &[(AccountKey, Counters)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + accounts.len() * 64);
    out.put_slice(&[VERSION, COUNTERS as u8, 0, 0]);
    out.put_u32_le(accounts.len() as u32);
    for (key, counters) in accounts {
        out.put_slice(&[key.endpoint.len() as u8, key.variant.len() as u8]);
        out.put_slice(key.endpoint.as_bytes());
        out.put_slice(key.variant.as_bytes());
        for counter in counters {
            put_varint(&mut out, *counter);
        }
    }
    out
}

/// The accounts of a frame; `None` when it is of another version or malformed.
pub(crate) fn decode(mut payload: &[u8]) -> Option<Vec<(AccountKey, Counters)>> {
    let version = payload.try_get_u8().ok()?;
    let counters_each = usize::from(payload.try_get_u8().ok()?);
    payload.try_get_u16().ok()?;
    let count = payload.try_get_u32_le().ok()?;
    if version != VERSION || counters_each > COUNTERS {
        return None;
    }
    let mut accounts = Vec::new();
    for _ in 0..count {
        let (endpoint, variant) = (payload.try_get_u8().ok()?, payload.try_get_u8().ok()?);
        let key = AccountKey { endpoint: text(&mut payload, endpoint)?, variant: text(&mut payload, variant)? };
        let mut counters = [0; COUNTERS];
        for counter in &mut counters[..counters_each] {
            *counter = take_varint(&mut payload)?;
        }
        accounts.push((key, counters));
    }
    Some(accounts)
}

fn text(payload: &mut &[u8], length: u8) -> Option<Box<str>> {
    let (text, rest) = payload.split_at_checked(usize::from(length))?;
    *payload = rest;
    Some(std::str::from_utf8(text).ok()?.into())
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Counters only grow: of two sources, the larger one is the later one.
pub(crate) fn merge(into: &mut BTreeMap<AccountKey, Opening>, accounts: Vec<(AccountKey, Counters)>) {
    for (key, counters) in accounts {
        let opening = into.entry(key).or_default();
        for (known, seen) in opening.counters.iter_mut().zip(counters) {
            *known = (*known).max(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_the_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(take_varint(&mut &out[..]), Some(value));
        }

        #[test]
        fn any_bytes_are_accounts_or_nothing(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }

        #[test]
        fn accounts_survive_the_round_trip(endpoint in "[a-z]{1,63}", counters: [u64; COUNTERS]) {
            let accounts = vec![
                (AccountKey { endpoint: endpoint.into(), variant: "v".into() }, counters),
                (AccountKey::overflow(), [0; COUNTERS]),
            ];
            prop_assert_eq!(decode(&encode(&accounts)), Some(accounts));
        }
    }
}
