//! Who may call, and how well that is kept from others: what the configuration says of it, turned into the gateway's
//! verifier and its TLS.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use captura_gateway::{ClientAuth, Tls};
use captura_keys::{Guard, GuardSettings, Keyring, Proxy, Registry, Store};
use captura_route::Clock;
use captura_tasks::Tasks;
use captura_wire::sigv4::Verifier;

use crate::config::auth::policy;
use crate::config::{AuthMode, Config, Plaintext};
use crate::issuers::{self, Fetching};

/// A listener that others can reach must know who they are, and nobody in between may read along.
///
/// Looked at before the journal is opened: a mistake in the configuration must not leave one behind that was not closed.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    registry(config)?;
    issuers::check(&config.auth.jwt)?;
    let listen = config.server.listen;
    if listen.ip().is_loopback() {
        return Ok(());
    }
    if config.auth.mode == AuthMode::Open {
        bail!(
            "{listen} is not a loopback address: whoever reaches it could call any model as anyone. That needs [auth] \
             mode = \"sigv4\" and [tls] in the configuration, and a key for each caller from `captura keys create`; or \
             listen on 127.0.0.1"
        );
    }
    if config.tls.is_none() && config.server.plaintext != Plaintext::Allowed {
        bail!(
            "{listen} is not a loopback address: whoever is on the way could read every call. That needs [tls] \
             certificate and key in the configuration; or, where something in between encrypts, [server] plaintext = \
             \"allowed\""
        );
    }
    Ok(())
}

/// Encryption of connections, where the configuration names a certificate.
pub(crate) fn tls(config: &Config) -> anyhow::Result<Option<Tls>> {
    let load = |tls: &crate::config::Tls| {
        let clients = tls.client_ca.clone().map(|authorities| ClientAuth {
            authorities,
            revoked: tls.client_crl.clone(),
            required: tls.client_auth == crate::config::ClientAuth::Required,
        });
        if clients.is_none() && tls.client_auth == crate::config::ClientAuth::Required {
            bail!("client_auth = \"required\" needs a client_ca that signs the certificates of clients");
        }
        if clients.is_none() && tls.client_crl.is_some() {
            bail!("client_crl needs a client_ca whose certificates it revokes");
        }
        Ok(Tls::load(tls.certificate.clone(), tls.key.clone(), clients)?)
    };
    config.tls.as_ref().map(load).transpose().context("[tls] cannot be used")
}

/// Who is asked before a request is routed; nobody where everybody comes in and nothing is known of anyone. Where
/// signatures count, a data directory without any key gets one, so that there is somebody to begin with.
pub(crate) async fn verifier(
    config: &Config,
    clock: &Clock,
    tasks: &Tasks,
) -> anyhow::Result<(Option<Arc<dyn Verifier>>, Fetching)> {
    let is_open = config.auth.mode == AuthMode::Open;
    if is_open && !is_anybody_known(config) {
        return Ok((None, Fetching::default()));
    }
    let store = Store::new(&config.server.data_dir);
    if !is_open && let Some(path) = store.create_admin_if_empty(clock.now())? {
        tracing::warn!(
            path = %path.display(),
            "there were no access keys; one that may do everything was made, and is in this file. Use it with \
             AWS_SHARED_CREDENTIALS_FILE, make others with `captura keys create`, then delete the file"
        );
    }
    let auth = &config.auth;
    let allowed = captura_gateway::Settings::default().allowed_hosts.into_iter();
    let allowed = allowed.chain(config.server.allowed_hosts.iter().cloned());
    let (issuers, fetching) = issuers::start(&auth.jwt, tasks).await?;
    let settings = GuardSettings {
        account: config.aws.account.clone(),
        regions: auth.regions.clone(),
        region: config.aws.region.clone(),
        // A bucket may stand before any name that is allowed with a wildcard.
        bucket_domains: allowed.filter_map(|host| host.strip_prefix("*.").map(str::to_ascii_lowercase)).collect(),
        is_open,
        issuers,
        api_key_header: auth.api_keys.as_ref().map(|keys| keys.header.clone()),
        certificates: policy(auth.certificates.allow.as_ref(), &auth.certificates.deny),
        proxy: auth.proxy.as_ref().map(|proxy| Proxy {
            networks: proxy.addresses.clone(),
            consumer_header: proxy.consumer_header.clone(),
            policy: policy(proxy.allow.as_ref(), &proxy.deny),
        }),
        registry: registry(config)?,
    };
    Ok((Some(Arc::new(Guard::new(Keyring::open(store)?, settings))), fetching))
}

/// The registered consumers.
pub(crate) fn registry(config: &Config) -> anyhow::Result<Registry> {
    let consumers = config.consumers.iter().map(crate::config::auth::Consumer::registered).collect();
    Registry::new(consumers).context("[[consumers]] cannot be used")
}

/// Whether the configuration tells anybody from others on an open listener.
fn is_anybody_known(config: &Config) -> bool {
    let auth = &config.auth;
    let by_connection = auth.proxy.is_some() || config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    by_connection || !auth.jwt.is_empty() || auth.api_keys.is_some() || !config.consumers.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls as TlsFiles;

    fn refusal(listen: &str, mode: AuthMode, tls: bool, plaintext: Plaintext) -> Option<String> {
        let mut config = Config::default();
        config.server.listen = listen.parse().unwrap();
        config.auth.mode = mode;
        config.server.plaintext = plaintext;
        config.tls = tls.then(|| TlsFiles {
            certificate: "c".into(),
            key: "k".into(),
            client_ca: None,
            client_crl: None,
            client_auth: crate::config::ClientAuth::Optional,
        });
        check(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn a_listener_that_others_reach_needs_signatures_and_encryption() {
        use AuthMode::{Open, Sigv4};
        use Plaintext::{Allowed, Loopback};
        for listen in ["127.0.0.1:0", "[::1]:8080", "127.9.9.9:1"] {
            assert_eq!(refusal(listen, Open, false, Loopback), None, "{listen}");
        }
        for listen in ["0.0.0.0:8080", "[::]:8080", "192.168.1.2:8080"] {
            for (mode, tls, plaintext, word) in
                [(Open, false, Loopback, "[auth]"), (Open, true, Allowed, "[auth]"), (Sigv4, false, Loopback, "[tls]")]
            {
                let refusal = refusal(listen, mode, tls, plaintext).unwrap();
                assert!(refusal.contains(word) && refusal.contains(listen), "{refusal}");
            }
            assert_eq!(refusal(listen, Sigv4, true, Loopback), None, "{listen}");
            assert_eq!(refusal(listen, Sigv4, false, Allowed), None, "{listen}");
        }
    }
}
