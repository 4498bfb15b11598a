//! Connections to servers of other machines: names looked up, addresses checked, TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::remote::{RemoteUrl, is_public};

/// A server of another machine.
pub struct RemoteAddress {
    host: String,
    port: u16,
    /// Whether it may be at public addresses only.
    public_only: bool,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection to one.
pub(super) enum RemoteStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl RemoteAddress {
    /// Where `url` points.
    pub(crate) fn new(url: &RemoteUrl, public_only: bool) -> Result<Self, String> {
        let host = url.host().to_owned();
        let tls = if url.is_secure() {
            let name =
                ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no name of a certificate"))?;
            Some((connector()?, name))
        } else {
            None
        };
        Ok(Self { host, port: url.port(), public_only, tls })
    }

    pub(super) async fn connect(&self) -> io::Result<RemoteStream> {
        let stream = self.reach().await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(RemoteStream::Plain(stream)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Ok(RemoteStream::Tls(Box::new(stream)))
            }
        }
    }

    /// Connects to the first address that the name has now and that answers. What is checked is what is connected to.
    async fn reach(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        let addresses: Vec<SocketAddr> = lookup_host((self.host.as_str(), self.port)).await?.collect();
        for address in addresses {
            if self.public_only && !is_public(address.ip()) {
                last = io::Error::other(
                    "the name points to an address that is not public; the operator can list the host by name",
                );
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// TLS with the machine's own certificate authorities, read once.
fn connector() -> Result<TlsConnector, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this machine has no certificate authorities; install ca-certificates".to_owned());
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    });
    config.clone().map(TlsConnector::from)
}

impl fmt::Debug for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
