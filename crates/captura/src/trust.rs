//! Which servers the command line believes: those whose certificate the machine trusts, or the file that
//! `AWS_CA_BUNDLE` names does.

use anyhow::{Context as _, bail};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::variable;

/// Variable by which AWS's own clients are told which authorities to trust.
const BUNDLE: &str = "AWS_CA_BUNDLE";

/// A connector for `http://` and `https://`. Certificates are only read when `url` needs them.
pub(crate) fn connector(url: &str) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let roots = if url.starts_with("https://") { roots()? } else { RootCertStore::empty() };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build())
}

fn roots() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = variable(BUNDLE) {
        let told = || format!("cannot read the certificates of {BUNDLE}={path}");
        for certificate in CertificateDer::pem_file_iter(&path).with_context(told)? {
            roots.add(certificate.with_context(told)?).with_context(told)?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        bail!("no authority is trusted here; name a file of certificates in {BUNDLE}");
    }
    Ok(roots)
}
