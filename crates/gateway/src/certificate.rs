//! The name in a client's certificate: the first URI that it is for, as SPIFFE has it, else its first DNS name, else the
//! common name of its subject.
//!
//! Invariant: only certificates are looked at that the connection's handshake has verified; of one with several names it is
//! always the same that counts.

use tokio_rustls::server::TlsStream;

/// Object identifier 2.5.4.3, common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

/// `URI:…`, `DNS:…` or `CN=…` of the certificate that the other end has shown; nothing when it has shown none.
pub(crate) fn name_of_peer<S>(stream: &TlsStream<S>) -> Option<Box<str>> {
    let shown = stream.get_ref().1.peer_certificates()?.first()?;
    let certificate = webpki::EndEntityCert::try_from(shown).ok()?;
    let uri = certificate.valid_uri_names().next().map(|uri| format!("URI:{uri}"));
    let name = uri.or_else(|| certificate.valid_dns_names().next().map(|name| format!("DNS:{name}")));
    let name = name.or_else(|| common_name(certificate.subject()).map(|name| format!("CN={name}")));
    // A certificate without any of these names nobody, and must not pass for no certificate.
    Some(name.unwrap_or_else(|| "CN=".to_owned()).into())
}

/// The common name in the attributes of a subject: sets of pairs of an identifier and a text. The last one, which is the
/// most specific, where there are several.
fn common_name(mut subject: &[u8]) -> Option<&str> {
    let mut found = None;
    while let Some((SET, mut attributes, rest)) = element(subject) {
        subject = rest;
        while let Some((SEQUENCE, pair, rest)) = element(attributes) {
            attributes = rest;
            if let Some((OBJECT_IDENTIFIER, COMMON_NAME, value)) = element(pair)
                && let Some((UTF8_STRING | PRINTABLE_STRING | IA5_STRING, text, _)) = element(value)
            {
                found = std::str::from_utf8(text).ok();
            }
        }
    }
    found
}

/// Tag, content and what follows of the first element in DER.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
            (usize::from(high) << 8 | usize::from(low), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_name_is_read_out_of_a_subject_and_nonsense_names_nobody() {
        let certificate = |name: &str| {
            let mut wished = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
            wished.distinguished_name = rcgen::DistinguishedName::new();
            wished.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme");
            wished.distinguished_name.push(rcgen::DnType::CommonName, name);
            wished.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
        };
        for name in ["billing", "büro", &"x".repeat(200)] {
            let der = certificate(name);
            let parsed = webpki::EndEntityCert::try_from(&der).unwrap();
            let subject = parsed.subject().to_vec();
            assert_eq!(common_name(&subject), Some(name));
            for cut in 0..subject.len() {
                let _ = common_name(&subject[..cut]);
            }
        }
        assert_eq!(
            (common_name(&[]), common_name(&[0x31, 0x84, 1, 1, 1, 1]), common_name(&[0x31])),
            (None, None, None)
        );
    }
}
