//! Where captured objects stand.
//!
//! ```text
//! {destination}/{endpoint}/{variant}/yyyy/mm/dd/hh/MM-SS-mmm-{uuid}.jsonl
//! ```
//! All times UTC, zero-padded, of the first record in the object; the hour folder is the hour of that time, so records
//! that spill over the hour stay with their object (contract 4.4). The uuid has v4 form but is no dice: it is derived
//! from where the records stand in the log, so that uploading a segment twice makes the same keys.
//!
//! Invariant: `parse` gives back what `key` was built from, and reads keys written by the service itself.
//! Refuses to: touch a store.

use captura_capture::record::{Lsn, Record};
use captura_capture::sabotage::{self, Sabotage};
use captura_names::{EndpointName, Timestamp, VariantName};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Ending of captured objects.
pub const SUFFIX: &str = ".jsonl";
/// Ending of captured objects that somebody compressed.
pub const SUFFIX_GZIP: &str = ".jsonl.gz";

/// What a key says about its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedKey {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The variant.
    pub variant: VariantName,
    /// Time of the first record, to the millisecond.
    pub started_at: Timestamp,
    /// The object's identity.
    pub id: Uuid,
}

/// Identity of the object that begins with record `first` of the policy `policy_id`: SHA-256 over node, epoch, n and the
/// policy's identity, little endian, cut to sixteen bytes and dressed as UUID v4.
#[must_use]
pub fn object_id(first: Lsn, policy_id: u64) -> Uuid {
    if sabotage::is(Sabotage::RandomKeys) {
        return Uuid::new_v4();
    }
    let mut hasher = Sha256::new();
    hasher.update(b"captura object 1");
    hasher.update(first.node.to_le_bytes());
    hasher.update(first.epoch.to_le_bytes());
    hasher.update(first.n.to_le_bytes());
    hasher.update(policy_id.to_le_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Key, below the destination, of the object that begins with `first`.
#[must_use]
pub fn key_of_object(first: &Record, policy_id: u64) -> String {
    CapturedKey {
        endpoint: first.policy.endpoint.clone(),
        variant: first.policy.variant.clone(),
        started_at: first.arrived_at,
        id: object_id(first.lsn, policy_id),
    }
    .key()
}

impl CapturedKey {
    /// The key below the destination.
    #[must_use]
    pub fn key(&self) -> String {
        let at = self.started_at.hour_path();
        format!(
            "{}/{}/{at}/{:02}-{:02}-{:03}-{}{SUFFIX}",
            self.endpoint,
            self.variant,
            at.minute,
            at.second,
            at.millisecond,
            self.id.hyphenated()
        )
    }

    /// Reads a key from its end, whatever stands before the endpoint; `None` when it has another form.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let stem = key.strip_suffix(SUFFIX_GZIP).or_else(|| key.strip_suffix(SUFFIX))?;
        let mut parts = stem.rsplit('/');
        let (name, hour, day, month, year) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (variant, endpoint) = (parts.next()?, parts.next()?);
        let mut pieces = name.splitn(4, '-');
        let (minute, second, millisecond) = (pieces.next()?, pieces.next()?, pieces.next()?);
        let id = pieces.next()?;
        let digits = |text: &str, width: usize| text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
        let widths = [(year, 4), (month, 2), (day, 2), (hour, 2), (minute, 2), (second, 2), (millisecond, 3)];
        if !widths.iter().all(|&(text, width)| digits(text, width)) || id.len() != uuid::fmt::Hyphenated::LENGTH {
            return None;
        }
        Some(Self {
            endpoint: EndpointName::parse(endpoint).ok()?,
            variant: VariantName::parse(variant).ok()?,
            started_at: Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{millisecond}Z"))
                .ok()?,
            id: Uuid::try_parse(id).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_the_form_of_the_contract() {
        let key = CapturedKey {
            endpoint: EndpointName::parse("DEMO-Churn").unwrap(),
            variant: VariantName::parse("AllTraffic").unwrap(),
            started_at: Timestamp::parse("2022-04-18T00:20:48.871Z").unwrap(),
            id: Uuid::try_parse("55126149-826d-415a-967b-33fa7f4666f3").unwrap(),
        };
        let text = "DEMO-Churn/AllTraffic/2022/04/18/00/20-48-871-55126149-826d-415a-967b-33fa7f4666f3.jsonl";
        assert_eq!(key.key(), text);
        assert_eq!(CapturedKey::parse(&format!("any/prefix/{text}")), Some(key.clone()));
        assert_eq!(CapturedKey::parse(&format!("{text}.gz")), Some(key));
    }

    #[test]
    fn other_keys_say_nothing() {
        for other in [
            "",
            "x.jsonl",
            "e/v/2022/04/18/00/20-48-871-55126149-826d-415a-967b-33fa7f4666f3.json",
            "e/v/2022/04/18/00/20-48-871-.jsonl",
            "e/v/2022/13/18/00/20-48-871-55126149-826d-415a-967b-33fa7f4666f3.jsonl",
            "v/2022/04/18/00/20-48-871-55126149-826d-415a-967b-33fa7f4666f3.jsonl",
            "e/v/2022/4/18/00/20-48-871-55126149-826d-415a-967b-33fa7f4666f3.jsonl",
        ] {
            assert_eq!(CapturedKey::parse(other), None, "{other}");
        }
    }

    #[test]
    fn identities_look_like_uuid_v4_and_follow_every_part() {
        let first = Lsn { node: 1, epoch: 2, n: 3 };
        let id = object_id(first, 4);
        assert_eq!(id.get_version_num(), 4);
        assert_eq!(id, object_id(first, 4));
        for other in [Lsn { node: 9, ..first }, Lsn { epoch: 9, ..first }, Lsn { n: 9, ..first }] {
            assert_ne!(id, object_id(other, 4));
        }
        assert_ne!(id, object_id(first, 5));
        assert_eq!(id.to_string(), "14d4bdbf-0448-4f88-aa0c-c45470be1052", "identities must never change");
    }

    proptest! {
        #[test]
        fn keys_round_trip(unix_ms in 0_i64..253_402_300_799_999, bytes: [u8; 16], endpoint in "[a-zA-Z0-9](-?[a-zA-Z0-9]){0,20}") {
            let key = CapturedKey {
                endpoint: EndpointName::parse(&endpoint).unwrap(),
                variant: VariantName::parse("v-1").unwrap(),
                started_at: Timestamp::from_unix_us(unix_ms * 1_000),
                id: Uuid::from_bytes(bytes),
            };
            prop_assert_eq!(CapturedKey::parse(&key.key()), Some(key));
        }
    }
}
