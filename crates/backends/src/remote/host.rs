//! URLs and hosts as they are compared: parsed.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Path of invocations when a URL names none.
const INVOCATIONS: &str = "/invocations";

/// The URL of a remote model: `http` or `https`, a host, perhaps a port, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// Why a text is no URL of a remote model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is no address of a remote model: {reason}")]
pub struct InvalidRemoteUrl {
    url: String,
    reason: &'static str,
}

impl RemoteUrl {
    /// Whether an image is meant as one.
    #[must_use]
    pub fn is_meant_by(image: &str) -> bool {
        image.contains("://")
    }

    /// Whether it is spoken to through TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, lower case; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query of invocations.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.secure) { host } else { format!("{host}:{}", self.port) }
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for RemoteUrl {
    type Err = InvalidRemoteUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidRemoteUrl { url: text.to_owned(), reason };
        if text.contains('#') {
            return Err(invalid("a fragment means nothing here"));
        }
        let uri: Uri = text.parse().map_err(|_| invalid("it is no URL"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid("only http and https are spoken here")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("user names and passwords do not belong into it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // The parser takes a port that is no port for none.
            None if authority.as_str().ends_with(authority.host()) => default_port(secure),
            None => return Err(invalid("its port is no number from 1 to 65535")),
        };
        if host.is_empty() || port == 0 {
            return Err(invalid("it names no host or no port"));
        }
        let path = match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
            None | Some("" | "/") => INVOCATIONS.to_owned(),
            Some(path) => path.to_owned(),
        };
        if path.split(['/', '?']).any(|part| part == ".." || part == ".") {
            return Err(invalid("its path has . or .. in it"));
        }
        Ok(Self { secure, host, port, path })
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// A host that models may name by URL: `name`, `name:port`, or `*.domain` for everything below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteHost {
    host: String,
    port: Option<u16>,
    is_pattern: bool,
}

impl RemoteHost {
    /// Whether the URL's host is this one.
    #[must_use]
    pub fn allows(&self, url: &RemoteUrl) -> bool {
        let host = url.host.as_str();
        let named = if self.is_pattern {
            host.strip_suffix(&self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        } else {
            host == self.host
        };
        named && self.port.is_none_or(|port| port == url.port)
    }

    /// Whether it is listed by name, so that the operator knows where it is.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.is_pattern
    }
}

impl FromStr for RemoteHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is no host: give a name or an address, perhaps with :port, or *.domain");
        let (rest, is_pattern) = text.strip_prefix("*.").map_or((text, false), |domain| (domain, true));
        let url: RemoteUrl = format!("http://{rest}").parse().map_err(|_| invalid())?;
        if rest.contains(['/', '?', '*']) {
            return Err(invalid());
        }
        // A port that was not written is any.
        let bare = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
        let port = bare.contains(':').then_some(url.port);
        Ok(Self { host: url.host, port, is_pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RemoteUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_is_read_into_its_parts() {
        let full = url("https://Models.Example:8443/v1/predict?x=1");
        assert!(full.is_secure());
        assert_eq!((full.host(), full.port(), full.path()), ("models.example", 8443, "/v1/predict?x=1"));
        assert_eq!(url("http://a").path(), "/invocations");
        assert_eq!(url("http://[::1]:9/").to_string(), "http://[::1]:9/invocations");
        assert_eq!(url("https://a:443/x").to_string(), "https://a/x");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "https://ok@evil/",
            "https://ok:x@evil/",
            "ftp://a/",
            "file:///etc/passwd",
            "gopher://a",
            "https://ok/../../x",
            "http://a/#x",
            "http:///x",
            "http://a:0/",
            "http://a:99999/",
            "a/b",
        ] {
            assert!(text.parse::<RemoteUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_compared_as_parsed() {
        let allows = |host: &str, text: &str| host.parse::<RemoteHost>().unwrap().allows(&url(text));
        assert!(allows("models.example", "https://MODELS.example/x"));
        assert!(allows("models.example", "http://models.example:99/"));
        assert!(!allows("models.example", "http://models.example.evil/"));
        assert!(!allows("models.example", "http://evil-models.example/"));
        assert!(allows("models.example:99", "http://models.example:99/"));
        assert!(!allows("models.example:99", "http://models.example/"));
        assert!(allows("*.example", "http://a.b.example/"));
        assert!(!allows("*.example", "http://example/"));
        assert!(!allows("*.example", "http://.example/"));
        assert!(!allows("*.example", "http://aexample/"));
        assert!(allows("[::1]:9", "http://[::1]:9/"));
        assert!(
            !"*".parse::<RemoteHost>()
                .unwrap_or(RemoteHost { host: String::new(), port: None, is_pattern: true })
                .allows(&url("http://a/"))
        );
        for text in ["", "a/b", "a@b", "*.*.a", "http://a"] {
            assert!(text.parse::<RemoteHost>().is_err(), "{text}");
        }
    }
}
