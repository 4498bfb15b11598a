//! Encrypted connections: a certificate and its key in two files, read again when they have changed.
//!
//! Invariant: connections that stand are not touched by a change; a pair of files that cannot be used leaves the one
//! before in place, loudly. Certificates of clients are taken as far as the authorities of a third file have signed them and lists in a fourth do not name them. Refuses to: start with files that cannot be used, speak anything older than TLS 1.2, or use a
//! key that every user of the machine can read.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at, at most; only a connection makes anybody look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Everybody else on the machine may read.
const WORLD_READS: u32 = 0o004;

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not PEM of what it should hold, or not there.
    #[error("cannot read {path}: {why}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key could be read by everybody.
    #[error("{path} may be read by every user of this machine; chmod 600, and think of who has read it", path = .0.display())]
    KeyIsPublic(PathBuf),
    /// Certificate and key do not belong together, or are of a kind that is not known.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Whose clients' certificates are believed.
#[derive(Debug, Clone)]
pub struct ClientAuth {
    /// PEM: the authorities that have signed them.
    pub authorities: PathBuf,
    /// PEM: lists of certificates that those authorities have revoked. With them a certificate is taken only if the list of
    /// each authority of its chain is there and does not name it.
    pub revoked: Option<PathBuf>,
    /// Whether there is no connection without one.
    pub required: bool,
}

/// Encryption of connections.
#[derive(Clone)]
pub struct Tls(Arc<Files>);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<ClientAuth>,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    looked_at: Instant,
    /// Of the files that were last tried, usable or not.
    tried: Versions,
}

/// Which contents a file has, as far as can be told without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Versions([Option<(u64, u64, i64, i64)>; 4]);

impl Versions {
    fn of(certificate: &Path, key: &Path, clients: Option<&ClientAuth>) -> Self {
        let of = |found: Metadata| (found.ino(), found.len(), found.mtime(), found.mtime_nsec());
        let authorities = clients.map(|clients| &*clients.authorities);
        let revoked = clients.and_then(|clients| clients.revoked.as_deref());
        Self([Some(certificate), Some(key), authorities, revoked].map(|path| std::fs::metadata(path?).ok().map(of)))
    }
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key, both PEM, and who signs those of clients.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(certificate: PathBuf, key: PathBuf, clients: Option<ClientAuth>) -> Result<Self, TlsError> {
        let tried = Versions::of(&certificate, &key, clients.as_ref());
        let config = configuration(&certificate, &key, clients.as_ref())?;
        let state = Mutex::new(State { config, looked_at: Instant::now(), tried });
        Ok(Self(Arc::new(Files { certificate, key, clients, state })))
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current();
        TlsAcceptor::from(config).accept(stream).await
    }

    /// The configuration of the files as they were a second ago, or later.
    fn current(&self) -> Arc<ServerConfig> {
        let Files { certificate, key, clients, state } = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.elapsed() < LOOK_INTERVAL {
            return Arc::clone(&state.config);
        }
        state.looked_at = Instant::now();
        let found = Versions::of(certificate, key, clients.as_ref());
        if found != state.tried {
            state.tried = found;
            match configuration(certificate, key, clients.as_ref()) {
                Ok(config) => {
                    state.config = config;
                    tracing::info!(certificate = %certificate.display(), "new connections use the new certificate");
                }
                Err(error) => {
                    tracing::error!(%error, "the certificate has changed and cannot be used; the one before stays");
                }
            }
        }
        Arc::clone(&state.config)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.0.certificate).finish_non_exhaustive()
    }
}

fn configuration(certificate: &Path, key: &Path, clients: Option<&ClientAuth>) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error: rustls::pki_types::pem::Error| TlsError::Read { path, why: error.to_string() }
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(unreadable(certificate))?.collect();
    let chain = chain.map_err(unreadable(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Read { path: certificate.to_owned(), why: "it holds no certificate".into() });
    }
    let mode = std::fs::metadata(key).map(|found| found.mode());
    if mode.is_ok_and(|mode| mode & WORLD_READS != 0) {
        return Err(TlsError::KeyIsPublic(key.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients)?),
    };
    let mut config = builder.with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The lists of revoked certificates. One whose time is over counts on: what it names stays revoked.
fn lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let unreadable = |why: String| TlsError::Read { path: path.to_owned(), why };
    let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
    let lists = lists.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(error.to_string()))?;
    if lists.is_empty() { Err(unreadable("it holds no list of revoked certificates".into())) } else { Ok(lists) }
}

/// Who judges the certificates of clients.
fn verifier(clients: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = &clients.authorities;
    let unreadable = |why: String| TlsError::Read { path: path.clone(), why };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        roots.add(authority.map_err(|error| unreadable(error.to_string()))?)?;
    }
    if roots.is_empty() {
        return Err(unreadable("it holds no certificate".into()));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let builder = match &clients.revoked {
        None => builder,
        Some(path) => builder.with_crls(lists(path)?),
    };
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| unreadable(error.to_string()))
}
