//! How surely captures are kept where an endpoint configuration's tags do not say.
//!
//! Invariant: a tag wins over the operator's rules, a rule over the default; of several rules the first one that fits and
//! says something decides. Who waits for the disk before answering is not served without a record, unless somebody says so.

use captura_names::EndpointName;
use captura_names::glob;
use captura_route::{Durability, WhenUnavailable};
use serde::{Deserialize, Serialize};

/// How surely records are kept, as far as somebody says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureGuarantee {
    /// When a reply may leave.
    #[serde(default)]
    pub durability: Option<Durability>,
    /// What happens to a call whose record cannot be kept.
    #[serde(default)]
    pub when_unavailable: Option<WhenUnavailable>,
}

/// What the operator says of endpoints whose configurations say nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Guarantees {
    /// Patterns of endpoint names, and what holds for those.
    pub rules: Vec<(String, CaptureGuarantee)>,
    /// What holds for all others.
    pub default: CaptureGuarantee,
}

impl Guarantees {
    /// What holds for an endpoint whose configuration says `tags`.
    #[must_use]
    pub fn of(&self, endpoint: &EndpointName, tags: CaptureGuarantee) -> (Durability, WhenUnavailable) {
        let fitting = self.rules.iter().filter(|(pattern, _)| glob::matches(pattern, endpoint.as_str()));
        let said: Vec<CaptureGuarantee> =
            std::iter::once(tags).chain(fitting.map(|(_, said)| *said)).chain([self.default]).collect();
        let durability = said.iter().find_map(|said| said.durability).unwrap_or(Durability::AckAfterWrite);
        let without = match durability {
            Durability::AckAfterFsync => WhenUnavailable::Refuse,
            Durability::AckAfterWrite | Durability::BestEffort => WhenUnavailable::Serve,
        };
        (durability, said.iter().find_map(|said| said.when_unavailable).unwrap_or(without))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(durability: Option<Durability>, when_unavailable: Option<WhenUnavailable>) -> CaptureGuarantee {
        CaptureGuarantee { durability, when_unavailable }
    }

    #[test]
    fn tags_win_over_rules_and_rules_over_the_default() {
        use Durability::{AckAfterFsync, AckAfterWrite, BestEffort};
        use WhenUnavailable::{Refuse, Serve};
        let guarantees = Guarantees {
            rules: vec![
                ("audit-*".into(), said(Some(AckAfterFsync), None)),
                ("*-eu".into(), said(Some(BestEffort), Some(Refuse))),
            ],
            default: said(None, Some(Serve)),
        };
        let of = |name: &str, tags| guarantees.of(&EndpointName::parse(name).unwrap(), tags);
        let nothing = CaptureGuarantee::default();
        assert_eq!(of("churn", nothing), (AckAfterWrite, Serve));
        assert_eq!(of("audit-1", nothing), (AckAfterFsync, Serve), "the default says what happens otherwise");
        assert_eq!(of("audit-eu", nothing), (AckAfterFsync, Refuse), "each word from the first rule that has it");
        assert_eq!(of("audit-eu", said(Some(BestEffort), Some(Serve))), (BestEffort, Serve));
        let silent = Guarantees::default();
        let churn = EndpointName::parse("churn").unwrap();
        assert_eq!(silent.of(&churn, said(Some(AckAfterFsync), None)), (AckAfterFsync, Refuse));
        assert_eq!(silent.of(&churn, said(Some(BestEffort), None)), (BestEffort, Serve));
    }
}
