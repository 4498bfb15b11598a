//! The gateway behind TLS, and certificates that change while it serves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use captura_gateway::{ClientAuth, Settings, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::world::World;

/// A fresh certificate and key in `folder`.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.pem"), made.cert.pem()).unwrap();
    private(&folder.join("tls.key"), &made.signing_key.serialize_pem());
    made.cert.der().clone()
}

fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

async fn connect(world: &World, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(world.address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn ping(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
}

/// Keeps whose certificate it was asked about, and lets everybody in.
#[derive(Debug, Default)]
struct Porter(std::sync::Mutex<Vec<Option<String>>>);

impl captura_wire::sigv4::Verifier for Porter {
    fn admit(
        &self,
        asked: &captura_wire::sigv4::Asked<'_>,
    ) -> Result<captura_wire::sigv4::Admitted, captura_wire::denial::Denial> {
        self.0.lock().unwrap().push(asked.certificate.map(str::to_owned));
        let user = "x".to_owned();
        let source = asked.source;
        Ok(captura_wire::sigv4::Admitted { user, principal: None, source, body_sha256: None, chunks: None })
    }
}

/// Connects with a certificate of a client, or without, and asks for something that the porter is asked about.
async fn ask_with(
    world: &World,
    trusted: &CertificateDer<'static>,
    client: Option<(&rcgen::Certificate, &rcgen::KeyPair)>,
) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let stream = TcpStream::connect(world.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /captura/v1/ledger HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    assert!(reply.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&reply));
    Ok(())
}

#[tokio::test]
async fn a_client_is_known_by_a_certificate_that_its_authority_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (rcgen::Issuer::new(params, key), pem)
    };
    let client = |issuer: &rcgen::Issuer<'_, rcgen::KeyPair>, names: &[&str]| {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "ward-a");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.split_once("://") {
                Some(_) => rcgen::SanType::URI((*name).try_into().unwrap()),
                None => rcgen::SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, issuer).unwrap(), key)
    };
    let ((ours, ours_pem), (strange, _)) = (authority("ours"), authority("strange"));
    std::fs::write(folder.path().join("clients.pem"), ours_pem).unwrap();
    for required in [false, true] {
        let clients = ClientAuth { authorities: folder.path().join("clients.pem"), revoked: None, required };
        let tls = Tls::load(folder.path().join("tls.pem"), folder.path().join("tls.key"), Some(clients)).unwrap();
        let porter = Arc::new(Porter::default());
        let verifier = Some(Arc::clone(&porter) as Arc<dyn captura_wire::sigv4::Verifier>);
        let world = World::with(Settings { tls: Some(tls), verifier, ..Settings::default() }).await;
        for (names, told) in [
            (&["app.internal", "spiffe://acme/billing"][..], "URI:spiffe://acme/billing"),
            (&["app.internal", "other.internal"], "DNS:app.internal"),
            (&[], "CN=ward-a"),
        ] {
            let (certificate, key) = client(&ours, names);
            ask_with(&world, &trusted, Some((&certificate, &key))).await.unwrap();
            assert_eq!(porter.0.lock().unwrap().pop(), Some(Some(told.to_owned())));
        }
        let (certificate, key) = client(&strange, &["spiffe://acme/billing"]);
        assert!(ask_with(&world, &trusted, Some((&certificate, &key))).await.is_err(), "signed by somebody else");
        assert_eq!(ask_with(&world, &trusted, None).await.is_err(), required);
        let unknown = porter.0.lock().unwrap().pop();
        assert_eq!(unknown, (!required).then_some(None), "who has shown none is nobody");
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_not_taken_from_the_moment_that_the_list_changes() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.path().join("clients.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let authority = rcgen::Issuer::new(params, key);
    let client = |serial: u64| {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, &authority).unwrap(), key)
    };
    let revoke = |number: u64, serials: &[u64]| {
        let revoked = |serial: &u64| rcgen::RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2024, 1, 2),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        std::fs::write(folder.path().join("revoked.pem"), list.signed_by(&authority).unwrap().pem().unwrap()).unwrap();
    };
    let load = |revoked: &str| {
        let authorities = folder.path().join("clients.pem");
        let clients = ClientAuth { authorities, revoked: Some(folder.path().join(revoked)), required: true };
        Tls::load(folder.path().join("tls.pem"), folder.path().join("tls.key"), Some(clients))
    };
    assert!(load("tls.pem").unwrap_err().to_string().contains("no list of revoked certificates"));
    revoke(1, &[7]);
    let verifier = Some(Arc::new(Porter::default()) as Arc<dyn captura_wire::sigv4::Verifier>);
    let tls = Some(load("revoked.pem").unwrap());
    let world = World::with(Settings { tls, verifier, ..Settings::default() }).await;
    let (seven, eight) = (client(7), client(8));
    assert!(ask_with(&world, &trusted, Some((&seven.0, &seven.1))).await.is_err(), "it is on the list");
    ask_with(&world, &trusted, Some((&eight.0, &eight.1))).await.unwrap();

    revoke(2, &[7, 8]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert!(ask_with(&world, &trusted, Some((&eight.0, &eight.1))).await.is_err(), "and now this one is, too");
}

async fn serving(folder: &Path) -> World {
    let tls = Tls::load(folder.join("tls.pem"), folder.join("tls.key"), None).unwrap();
    World::with(Settings { tls: Some(tls), ..Settings::default() }).await
}

#[tokio::test]
async fn a_call_is_answered_through_tls_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let world = serving(folder.path()).await;
    let mut stream = connect(&world, &certificate).await.unwrap();
    ping(&mut stream).await;
    let body = vec![b'7'; 1 << 20];
    let head = format!(
        "POST /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&body) {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the answer broke off");
    }

    let mut plain = TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "an answer in clear");
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_the_old_ones_live_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = certify(folder.path());
    let world = serving(folder.path()).await;
    let mut old = connect(&world, &first).await.unwrap();
    ping(&mut old).await;

    let second = certify(folder.path());
    let passes = async |duration| {
        tokio::time::pause();
        tokio::time::advance(duration).await;
        tokio::time::resume();
    };
    passes(Duration::from_secs(1)).await;
    ping(&mut connect(&world, &second).await.unwrap()).await;
    assert!(connect(&world, &first).await.is_err());
    ping(&mut old).await;

    // Files that cannot be used leave the ones before.
    std::fs::write(folder.path().join("tls.pem"), "no certificate").unwrap();
    passes(Duration::from_secs(1)).await;
    ping(&mut connect(&world, &second).await.unwrap()).await;
    let third = certify(folder.path());
    passes(Duration::from_secs(1)).await;
    ping(&mut connect(&world, &third).await.unwrap()).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        Tls::load(folder.path().join("tls.pem"), folder.path().join("tls.key"), None).map_err(|error| error.to_string())
    };
    assert!(load().unwrap_err().contains("tls.pem"));
    certify(folder.path());
    load().unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    private(&folder.path().join("tls.key"), &other.signing_key.serialize_pem());
    assert!(load().unwrap_err().contains("cannot be used"), "a key of another certificate");
    certify(folder.path());
    std::fs::set_permissions(folder.path().join("tls.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load().unwrap_err().contains("may be read by every user"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_shakes_hands_is_cut_off_after_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let world = serving(folder.path()).await;
    let mut client = world.client().await;
    client.send(b"\x16\x03\x01").await;
    let start = Instant::now();
    assert!(client.is_closed().await);
    assert!((10..11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
