//! Who may call, and how well that is kept from others: what the configuration says of it, turned into the gateway's
//! verifier and its TLS.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use captura_gateway::Tls;
use captura_keys::{Guard, GuardSettings, Keyring, Store};
use captura_route::Clock;
use captura_wire::sigv4::Verifier;

use crate::config::{AuthMode, Config, Plaintext};

/// A listener that others can reach must know who they are, and nobody in between may read along.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
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
    let load = |tls: &crate::config::Tls| Tls::load(tls.certificate.clone(), tls.key.clone());
    config.tls.as_ref().map(load).transpose().context("[tls] cannot be used")
}

/// Who is asked before a request is routed, where signatures count. A data directory without any key gets one, so that
/// there is somebody to begin with.
pub(crate) fn verifier(config: &Config, clock: &Clock) -> anyhow::Result<Option<Arc<dyn Verifier>>> {
    if config.auth.mode == AuthMode::Open {
        return Ok(None);
    }
    let store = Store::new(&config.server.data_dir);
    if let Some(path) = store.create_admin_if_empty(clock.now())? {
        tracing::warn!(
            path = %path.display(),
            "there were no access keys; one that may do everything was made, and is in this file. Use it with \
             AWS_SHARED_CREDENTIALS_FILE, make others with `captura keys create`, then delete the file"
        );
    }
    let allowed = captura_gateway::Settings::default().allowed_hosts.into_iter();
    let allowed = allowed.chain(config.server.allowed_hosts.iter().cloned());
    let settings = GuardSettings {
        account: config.aws.account.clone(),
        regions: config.auth.regions.clone(),
        // A bucket may stand before any name that is allowed with a wildcard.
        bucket_domains: allowed.filter_map(|host| host.strip_prefix("*.").map(str::to_ascii_lowercase)).collect(),
    };
    Ok(Some(Arc::new(Guard::new(Keyring::open(store)?, settings))))
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
        config.tls = tls.then(|| TlsFiles { certificate: "c".into(), key: "k".into() });
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
