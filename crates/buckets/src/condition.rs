//! On what terms an object is read or written.
//!
//! Invariant: of two conditions that speak of the same, the one on the entity tag decides (RFC 9110, section 13.2.2).

use s3s::dto::{ETagCondition, Timestamp};

use crate::object::Object;
use crate::refusal::{Refusal, Result};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// On what terms an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteCondition {
    /// On any.
    Any,
    /// If there is none of that key.
    Absent,
    /// If this is the one that is there.
    Is(ETagCondition),
}

impl WriteCondition {
    /// Of the two headers.
    ///
    /// # Errors
    /// When S3 does not have such a condition.
    pub(crate) fn of(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> Result<Self> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::Any),
            (Some(is), None) => Ok(Self::Is(is)),
            (None, Some(ETagCondition::Any)) => Ok(Self::Absent),
            (None, Some(ETagCondition::ETag(_))) => {
                Err(Refusal::NotThere("If-None-Match of a write can only be '*'".into()))
            }
            (Some(_), Some(_)) => Err(Refusal::NotThere("If-Match and If-None-Match cannot stand together".into())),
        }
    }

    /// Whether an object may be written over what is there.
    ///
    /// # Errors
    /// When not.
    pub(crate) fn check(&self, there: Option<&Object>) -> Result<()> {
        match (self, there) {
            (Self::Any, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(_)) => Err(Refusal::Precondition),
            (Self::Is(_), None) => Err(Refusal::NoSuchKey),
            (Self::Is(is), Some(object)) if matches(is, object) => Ok(()),
            (Self::Is(_), Some(_)) => Err(Refusal::Precondition),
        }
    }
}

/// On what terms an object is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadCondition {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// Whether an object may be read.
    ///
    /// # Errors
    /// When it does not hold; `NotModified` when the caller has this object already.
    pub(crate) fn check(&self, object: &Object) -> Result<()> {
        let changed_after = |moment: &Timestamp| object.modified_ns / NS_PER_SECOND > seconds(moment);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(is), _) if !matches(is, object) => return Err(Refusal::Precondition),
            (None, Some(moment)) if changed_after(moment) => return Err(Refusal::Precondition),
            _ => {}
        }
        let known = match (&self.if_none_match, &self.if_modified_since) {
            (Some(is), _) => matches(is, object),
            (None, Some(moment)) => !changed_after(moment),
            (None, None) => false,
        };
        if known { Err(Refusal::NotModified { e_tag: object.facts.e_tag.clone() }) } else { Ok(()) }
    }

    /// As [`ReadCondition::check`], of the source of a copy: there, everything that does not hold is a failure.
    ///
    /// # Errors
    /// When it does not hold.
    pub(crate) fn check_source(&self, object: &Object) -> Result<()> {
        self.check(object).map_err(|refusal| match refusal {
            Refusal::NotModified { .. } => Refusal::Precondition,
            other => other,
        })
    }
}

fn matches(is: &ETagCondition, object: &Object) -> bool {
    is.as_etag().is_none_or(|e_tag| e_tag.value() == object.facts.e_tag)
}

fn seconds(moment: &Timestamp) -> i64 {
    time::OffsetDateTime::from(moment.clone()).unix_timestamp()
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;
    use crate::facts::Facts;

    fn object() -> Object {
        let facts = Facts { e_tag: "one".into(), ..Facts::default() };
        Object { modified_ns: 1_000 * NS_PER_SECOND + 5, size_bytes: 0, facts }
    }

    fn tag(value: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(value.into())))
    }

    fn at(unix_seconds: i64) -> Option<Timestamp> {
        Some(time::OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap().into())
    }

    #[test]
    fn reads_hold_as_http_says() {
        let check = |condition: ReadCondition| match condition.check(&object()) {
            Ok(()) => "read",
            Err(Refusal::Precondition) => "failed",
            Err(Refusal::NotModified { .. }) => "known",
            Err(_) => "other",
        };
        let any = ReadCondition::default;
        assert_eq!(check(any()), "read");
        assert_eq!(check(ReadCondition { if_match: tag("one"), if_unmodified_since: at(1), ..any() }), "read");
        assert_eq!(check(ReadCondition { if_match: tag("two"), ..any() }), "failed");
        assert_eq!(check(ReadCondition { if_none_match: tag("one"), ..any() }), "known");
        assert_eq!(check(ReadCondition { if_none_match: tag("two"), if_modified_since: at(2_000), ..any() }), "read");
        assert_eq!(check(ReadCondition { if_modified_since: at(1_000), ..any() }), "known");
        assert_eq!(check(ReadCondition { if_modified_since: at(999), ..any() }), "read");
        assert_eq!(check(ReadCondition { if_unmodified_since: at(999), ..any() }), "failed");
        assert_eq!(check(ReadCondition { if_unmodified_since: at(1_000), ..any() }), "read");
    }

    #[test]
    fn writes_hold_as_s3_says() {
        let absent = WriteCondition::of(None, Some(ETagCondition::Any)).unwrap();
        assert!(absent.check(None).is_ok());
        assert!(matches!(absent.check(Some(&object())), Err(Refusal::Precondition)));
        let is = WriteCondition::of(tag("one"), None).unwrap();
        assert!(is.check(Some(&object())).is_ok());
        assert!(matches!(is.check(None), Err(Refusal::NoSuchKey)));
        let other = WriteCondition::of(tag("two"), None).unwrap();
        assert!(matches!(other.check(Some(&object())), Err(Refusal::Precondition)));
        assert!(WriteCondition::of(None, tag("one")).is_err());
    }
}
