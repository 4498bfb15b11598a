//! Who this server may be addressed as. A page in a browser can be made to call a server on the reader's own machine
//! (DNS rebinding, cross-site posts); it cannot choose the `Host` and `Origin` that the browser then sends.
//!
//! Invariant: a request passes only with exactly one `Host` that is allowed, and with no `Origin` or an allowed one.
//! Ports are not compared, because published ports of containers differ from the port listened on.

use std::net::SocketAddr;

use http::{HeaderMap, header};

use crate::fault::Refused;

/// The allow-list.
#[derive(Debug)]
pub(crate) struct Hosts {
    exact: Vec<String>,
    /// With their leading dot.
    suffixes: Vec<String>,
}

impl Hosts {
    /// The names of the settings, and the address listened on.
    pub(crate) fn new(allowed: &[String], listening_on: SocketAddr) -> Self {
        let (wild, mut exact): (Vec<String>, Vec<String>) =
            allowed.iter().map(|host| host.to_ascii_lowercase()).partition(|host| host.starts_with("*."));
        exact.push(match listening_on {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        });
        Self { exact, suffixes: wild.into_iter().map(|host| host[1..].to_owned()).collect() }
    }

    /// Checks both headers.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let mut hosts = headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if self.allows(host.as_bytes()) => {}
            (Some(_), None) => return Err(Refused::HostNotAllowed),
            (None, _) => return Err(Refused::BadRequest("a Host header is required")),
            (Some(_), Some(_)) => return Err(Refused::BadRequest("there is more than one Host header")),
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.as_bytes();
            let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
            if !host.is_some_and(|host| self.allows(host)) {
                return Err(Refused::OriginNotAllowed);
            }
        }
        Ok(())
    }

    fn allows(&self, authority: &[u8]) -> bool {
        let Some(name) = without_port(authority) else { return false };
        self.exact.iter().any(|host| host.as_bytes().eq_ignore_ascii_case(name))
            || self.suffixes.iter().any(|suffix| {
                name.len() > suffix.len() && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
            })
    }
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` when the port is not a number.
fn without_port(authority: &[u8]) -> Option<&[u8]> {
    let end_of_v6 =
        if authority.first() == Some(&b'[') { authority.iter().position(|&byte| byte == b']')? } else { 0 };
    let Some(colon) = authority[end_of_v6..].iter().position(|&byte| byte == b':') else { return Some(authority) };
    let (name, port) = authority.split_at(end_of_v6 + colon);
    port[1..].iter().all(u8::is_ascii_digit).then_some(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::Settings;

    fn hosts() -> Hosts {
        let mut allowed = Settings::default().allowed_hosts;
        allowed.push("Models.Example.org".into());
        Hosts::new(&allowed, "192.168.7.7:8080".parse().unwrap())
    }

    fn check(host: &[&str], origin: Option<&str>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        if let Some(origin) = origin {
            headers.append(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        hosts().check(&headers)
    }

    #[test]
    fn loopback_names_the_listen_address_and_settings_are_allowed_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "bucket.localhost:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "192.168.7.7:8080",
            "models.example.org",
        ] {
            assert_eq!(check(&[host], None), Ok(()), "{host}");
            assert_eq!(check(&[host], Some(&format!("http://{host}"))), Ok(()), "{host}");
        }
    }

    #[test]
    fn every_other_host_is_refused() {
        for host in [
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "evillocalhost",
            ".localhost",
            "127.0.0.1.evil.test",
            "127.0.0.1:8080@evil.test",
            "127.0.0.1:x",
            "[::1",
            "[::2]",
            "",
            ":8080",
            "localhost evil.test",
        ] {
            assert_eq!(check(&[host], None), Err(Refused::HostNotAllowed), "{host:?}");
        }
        assert!(matches!(check(&[], None), Err(Refused::BadRequest(_))));
        assert!(matches!(check(&["localhost", "localhost"], None), Err(Refused::BadRequest(_))));
    }

    #[test]
    fn every_other_origin_is_refused() {
        for origin in
            ["null", "http://evil.test", "file://", "https://localhost.evil.test", "localhost", "ftp://localhost"]
        {
            assert_eq!(check(&["localhost"], Some(origin)), Err(Refused::OriginNotAllowed), "{origin}");
        }
        assert_eq!(check(&["localhost"], Some("https://127.0.0.1:8443")), Ok(()));
    }
}
