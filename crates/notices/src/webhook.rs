//! Who is told what: an address of the operator's, and the topics it listens to.

use std::path::{Path, PathBuf};

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWebhook {
    /// The address is no http(s) URL.
    #[error("{url:?} is no address of a webhook ({reason}); give http://… or https://…, without user name")]
    Url {
        /// The address, as far as it can be no secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of the secret cannot be read.
    #[error("the webhook's secret {path} cannot be read: {source}", path = path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file of the secret is empty.
    #[error("the webhook's secret {path} is empty", path = path.display())]
    EmptySecret {
        /// The file.
        path: PathBuf,
    },
}

/// A webhook.
#[derive(Clone)]
pub struct Webhook {
    pub(crate) url: reqwest::Url,
    topics: Vec<String>,
    secret: Option<Vec<u8>>,
}

impl Webhook {
    /// A webhook at that address. `topics` are patterns of topic ARNs and event sources, `*` standing for any run of
    /// characters; none at all is everything. With a secret each notice carries its HMAC.
    ///
    /// # Errors
    /// When the address is none, or the secret cannot be read.
    pub fn new(url: &str, topics: Vec<String>, secret_file: Option<&Path>) -> Result<Self, InvalidWebhook> {
        let invalid = |reason: &str| InvalidWebhook::Url { url: shown(url), reason: reason.to_owned() };
        let parsed = reqwest::Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid("the scheme is neither http nor https"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(invalid("it names a user"));
        }
        let secret = secret_file.map(|path| match std::fs::read(path) {
            Ok(secret) if secret.trim_ascii().is_empty() => Err(InvalidWebhook::EmptySecret { path: path.to_owned() }),
            Ok(secret) => Ok(secret.trim_ascii().to_vec()),
            Err(source) => Err(InvalidWebhook::Secret { path: path.to_owned(), source }),
        });
        Ok(Self { url: parsed, topics, secret: secret.transpose()? })
    }

    /// Whether notices of that topic go here.
    pub(crate) fn listens_to(&self, topic: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|pattern| captura_names::glob::matches(pattern, topic))
    }

    /// `sha256=<hex>` of HMAC-SHA-256 over the body, as many webhooks' senders do it.
    pub(crate) fn signature(&self, body: &[u8]) -> Option<String> {
        use hmac::Mac as _;
        use std::fmt::Write as _;

        let secret = self.secret.as_ref()?;
        let mut mac =
            hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).expect("our bug: HMAC takes keys of any length");
        mac.update(body);
        let mut text = "sha256=".to_owned();
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        Some(text)
    }
}

/// What may be shown of an address that cannot be used: its path often is a secret, and before an `@` stands a password.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, more) =
        if rest.contains('@') { ("", "…") } else { (&rest[..end], if end < rest.len() { "…" } else { "" }) };
    format!("{scheme}{separator}{host}{more}")
}

/// The secret stays out, and so does the path, which often is one.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.url.host_str())
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_is_told_without_its_secrets() {
        for (url, told) in [
            ("http://user:hunter2@hooks.example.com/T0/B0", "http://…"),
            ("http://user:hun/ter2@hooks.example.com/T0", "http://…"),
            ("user:hunter2@hooks.example.com", "…"),
            ("ftp://hooks.example.com/hunter2", "ftp://hooks.example.com…"),
            ("hooks.example.com?token=hunter2", "hooks.example.com…"),
            ("http://:80", "http://:80"),
        ] {
            let error = Webhook::new(url, Vec::new(), None).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{told:?} is no address of a webhook (")), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("ter2"), "{error}");
        }
    }

    #[test]
    fn topics_are_patterns() {
        let webhook = |topics: &[&str]| {
            Webhook::new("http://127.0.0.1:1/x", topics.iter().map(ToString::to_string).collect(), None).unwrap()
        };
        assert!(webhook(&[]).listens_to("arn:aws:sns:us-east-1:0:alerts"));
        assert!(webhook(&["arn:aws:sns:*:alerts"]).listens_to("arn:aws:sns:us-east-1:0:alerts"));
        assert!(!webhook(&["arn:aws:sns:*:alerts"]).listens_to("arn:aws:sns:us-east-1:0:alerts-2"));
        assert!(webhook(&["aws.sagemaker"]).listens_to("aws.sagemaker"));
        assert!(!webhook(&["aws.sagemaker"]).listens_to("aws.cloudwatch"));
    }

    #[test]
    fn addresses_that_are_none_are_refused_and_secrets_are_not_shown() {
        for url in ["ftp://host/x", "file:///etc/passwd", "hooks", "http://me:secret@host/"] {
            assert!(Webhook::new(url, vec![], None).is_err(), "{url}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            Webhook::new("http://h/", vec![], Some(file.path())),
            Err(InvalidWebhook::EmptySecret { .. })
        ));
        std::fs::write(file.path(), "key\n").unwrap();
        let webhook = Webhook::new("http://h/token", vec![], Some(file.path())).unwrap();
        assert_eq!(format!("{webhook:?}"), "Webhook { host: Some(\"h\"), topics: [], .. }");
        // RFC 4231 gives no case with this key; the value is that of `openssl dgst -sha256 -hmac key`.
        let signature = webhook.signature(b"The quick brown fox jumps over the lazy dog").unwrap();
        assert_eq!(signature, "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
    }
}
