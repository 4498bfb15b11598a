//! Whose calls the command line makes: an access key id alone, on a server that verifies nothing, or a key and its secret.
//!
//! Invariant: a secret comes from the environment or from a file, never from an argument, where every user of the machine
//! could read it.

use anyhow::Context as _;
use captura_names::Timestamp;
use captura_wire::scope::ALGORITHM;
use captura_wire::sigv4::{self, Head, Secret};

use crate::config::variable;

/// Region of requests where the environment names none.
const REGION: &str = "us-east-1";
const SERVICE: &str = "sagemaker";

/// Whose calls these are.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    access_key_id: String,
    /// Absent: calls only say whose they are.
    secret: Option<Secret>,
    session_token: Option<String>,
    region: String,
    service: &'static str,
}

impl Credentials {
    /// An access key id for a server that verifies nothing.
    pub(crate) fn claimed(access_key_id: &str) -> Self {
        Self::new(access_key_id.to_owned(), None, REGION.into())
    }

    fn new(access_key_id: String, secret: Option<Secret>, region: String) -> Self {
        Self { access_key_id, secret, session_token: None, region, service: SERVICE }
    }

    /// Keys (id, secret, session token) for another service than SageMaker.
    pub(crate) fn of_keys(
        (access_key_id, secret, session_token): (String, Secret, Option<String>),
        region: String,
        service: &'static str,
    ) -> Self {
        Self { session_token, service, ..Self::new(access_key_id, Some(secret), region) }
    }

    /// What goes with temporary keys, in a header of its own.
    pub(crate) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// What the environment holds: `AWS_ACCESS_KEY_ID` (or the argument) with `AWS_SECRET_ACCESS_KEY`, else the file that
    /// `AWS_SHARED_CREDENTIALS_FILE` names.
    pub(crate) fn of_environment(access_key_id: Option<&str>) -> anyhow::Result<Option<Self>> {
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).unwrap_or_else(|| REGION.into());
        if let Some(id) = access_key_id {
            let secret = variable("AWS_SECRET_ACCESS_KEY").map(Secret::new);
            return Ok(Some(Self::new(id.to_owned(), secret, region)));
        }
        let Some(path) = variable("AWS_SHARED_CREDENTIALS_FILE") else { return Ok(None) };
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".into());
        let (id, secret) = of_profile(&text, &profile).with_context(|| format!("{path} has no profile {profile}"))?;
        Ok(Some(Self::new(id.to_owned(), Some(Secret::new(secret.to_owned())), region)))
    }

    /// The `Authorization` header of a request whose head has everything else.
    pub(crate) fn authorization(&self, head: &Head<'_>, body: &[u8], now: Timestamp) -> String {
        let Self { access_key_id, secret, region, service, .. } = self;
        match secret {
            Some(secret) => {
                let credentials = sigv4::Credentials { access_key_id, secret, region, service };
                sigv4::sign(head, body, &credentials, now)
            }
            // Nothing is pretended: a server that verifies refuses it, and one that does not reads the id.
            None => format!(
                "{ALGORITHM} Credential={access_key_id}/19700101/{region}/{service}/aws4_request, SignedHeaders=host, \
                 Signature=unsigned"
            ),
        }
    }
}

/// Key and secret of a profile in the form of AWS's credentials files.
fn of_profile<'a>(text: &'a str, profile: &str) -> Option<(&'a str, &'a str)> {
    let (mut inside, mut id, mut secret) = (false, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            match key.trim() {
                "aws_access_key_id" => id = Some(value.trim()),
                "aws_secret_access_key" => secret = Some(value.trim()),
                _ => {}
            }
        }
    }
    id.zip(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_out_of_a_credentials_file() {
        let text = "[other]\naws_access_key_id = A\naws_secret_access_key=x\n# note\n[default]\naws_access_key_id = B\n\
                    aws_secret_access_key = a/b+c=\nregion = eu-west-1\n";
        assert_eq!(of_profile(text, "default"), Some(("B", "a/b+c=")));
        assert_eq!(of_profile(text, "other"), Some(("A", "x")));
        assert_eq!(of_profile(text, "none"), None);
        assert_eq!(of_profile("[default]\naws_access_key_id = B\n", "default"), None);
    }

    #[test]
    fn a_key_without_its_secret_signs_nothing() {
        let head = Head { method: "GET", path: "/", query: "", headers: vec![("host", b"localhost")] };
        let header = Credentials::claimed("billing").authorization(&head, b"", Timestamp::from_unix_us(0));
        assert!(header.contains("Credential=billing/") && header.ends_with("Signature=unsigned"), "{header}");
    }
}
