//! What is to be captured of a variant's calls, and where it goes.

use captura_names::{EndpointConfigName, EndpointName, ModelName, Percent, S3Uri, VariantName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Signature;

/// When the reply may leave, seen from the capture (`anchors/reliability.md` 2.2 in the project's plan).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// After the record's bytes are on the disk: survives power loss.
    AckAfterFsync,
    /// After `write(2)` took the record: survives the death of the process.
    AckAfterWrite,
    /// After the record was accepted into a bounded queue.
    BestEffort,
}

/// What happens to a call when its record cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnavailable {
    /// The call is refused before the model runs.
    Refuse,
    /// The call is served and the loss counted.
    Serve,
}

/// The part of a policy that an endpoint configuration states.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CaptureSettings {
    /// Whether anything is captured.
    pub enabled: bool,
    /// Share of calls kept.
    pub sampling: Percent,
    /// Keep what is sent.
    pub input: bool,
    /// Keep what is answered.
    pub output: bool,
    /// Where the objects go.
    pub destination: S3Uri,
    /// Media types whose bodies are stored as CSV text.
    pub csv_content_types: Vec<String>,
    /// Media types whose bodies are stored as JSON text.
    pub json_content_types: Vec<String>,
    /// Key for server-side encryption of the objects.
    pub kms_key_id: Option<String>,
    /// When the reply may leave.
    pub durability: Durability,
    /// What happens when the record cannot be kept.
    pub when_unavailable: WhenUnavailable,
}

/// What is to be captured of one variant's calls: the settings and the names that records are filed under.
///
/// Two policies with equal content have equal [`CapturePolicy::id`]s, in every process and at every start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CapturePolicy {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The variant.
    pub variant: VariantName,
    /// The model behind the variant.
    pub model: ModelName,
    /// The endpoint configuration that states the settings.
    pub endpoint_config: EndpointConfigName,
    /// The settings; `None` when the configuration asks for no capture.
    pub settings: Option<CaptureSettings>,
    /// Names and types of what the model takes and answers, where it tells: records are read long after it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Names the rules by which personal data was taken out of the exchange, [`crate::Redaction::policy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redaction: Option<String>,
}

/// Longest signature that a policy holds, bytes of JSON; a policy is written into every segment of the journal that has
/// records of it, twice.
const SIGNATURE_MAX_BYTES: usize = 128 << 10;

impl CapturePolicy {
    /// Whether calls under this policy may leave records.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.enabled)
    }

    /// The same policy with the model's signature, unless that is too long to go with records.
    #[must_use]
    pub fn with_signature(mut self, signature: Option<&Signature>) -> Self {
        let fits =
            |signature: &&Signature| serde_json::to_vec(signature).is_ok_and(|json| json.len() <= SIGNATURE_MAX_BYTES);
        self.signature = signature.filter(fits).cloned();
        self
    }

    /// Identity of the policy's content: the first eight bytes of SHA-256 over its JSON form.
    #[must_use]
    pub fn id(&self) -> u64 {
        let json = serde_json::to_vec(self).expect("our bug: a policy holds only text and numbers");
        let digest = Sha256::digest(&json);
        u64::from_le_bytes(digest[..8].try_into().expect("our bug: a SHA-256 digest has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Field, FieldType};

    fn policy(sampling: i64) -> CapturePolicy {
        CapturePolicy {
            endpoint: EndpointName::parse("churn").unwrap(),
            variant: VariantName::parse("AllTraffic").unwrap(),
            model: ModelName::parse("churn-1").unwrap(),
            endpoint_config: EndpointConfigName::parse("churn-config").unwrap(),
            settings: Some(CaptureSettings {
                enabled: true,
                sampling: Percent::try_from(sampling).unwrap(),
                input: true,
                output: true,
                destination: S3Uri::parse("s3://captures/churn").unwrap(),
                csv_content_types: vec!["text/csv".into()],
                json_content_types: vec![],
                kms_key_id: None,
                durability: Durability::AckAfterWrite,
                when_unavailable: WhenUnavailable::Serve,
            }),
            signature: None,
            redaction: None,
        }
    }

    #[test]
    fn a_policy_without_signature_has_the_identity_that_it_always_had() {
        let json = serde_json::to_string(&policy(100)).unwrap();
        assert!(!json.contains("signature"), "{json}");
        let field = |name: String| Field { name, kind: FieldType::Fractional, shape: vec![] };
        let signature = |fields: u32| Signature {
            inputs: (0..fields).map(|i| field(format!("feature_{i}"))).collect(),
            outputs: vec![field("score".into())],
        };
        let told = policy(100).with_signature(Some(&signature(30)));
        assert_ne!(told.id(), policy(100).id());
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<CapturePolicy>(&text).unwrap(), told);
        assert_eq!(policy(100).with_signature(Some(&signature(30_000))), policy(100), "too long to go with records");
    }

    #[test]
    fn identity_follows_content_and_survives_a_round_trip() {
        assert_eq!(policy(100).id(), policy(100).id());
        assert_ne!(policy(100).id(), policy(50).id());
        let text = serde_json::to_string(&policy(100)).unwrap();
        assert_eq!(serde_json::from_str::<CapturePolicy>(&text).unwrap().id(), policy(100).id());
        assert!(!text.contains("redaction"), "policies from before there were rules keep their identity");
        let redacted = CapturePolicy { redaction: Some("rules".into()), ..policy(100) };
        assert_ne!(redacted.id(), policy(100).id());
    }
}
