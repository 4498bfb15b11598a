//! Addresses of proxies, and what a proxy says of whom it speaks for.
//!
//! Invariant: a header is believed only when the connection itself comes from a configured proxy, and then only as far as
//! configured proxies have written it: everything left of the right-most address that is no proxy's is a stranger's word.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A block of addresses, e.g. `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// The text is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no block of addresses like 10.0.0.0/8 or fd00::/8")]
pub struct InvalidNetwork(pub String);

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().map_err(|_| invalid())?,
            Some(_) => return Err(invalid()),
        };
        // Everybody is no proxy; who writes that has not thought of whom it lets speak for others.
        if prefix_bits == 0 || prefix_bits > most {
            return Err(invalid());
        }
        Ok(Self { address, prefix_bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl Network {
    /// Whether the address lies in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.prefix_bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => (mine.to_bits() ^ other.to_bits()).leading_zeros() >= bits,
            (IpAddr::V6(mine), IpAddr::V6(other)) => (mine.to_bits() ^ other.to_bits()).leading_zeros() >= bits,
            _ => false,
        }
    }
}

/// Most entries of `X-Forwarded-For` that are looked at; those further left are a stranger's word anyhow.
const ENTRIES_MAX: usize = 32;

/// Where a call comes from whose connection is that of a proxy: the right-most address that is not a proxy's; the last
/// proxy that is known where the rest cannot be read.
pub(crate) fn forwarded(peer: IpAddr, headers: &[&[u8]], proxies: &[Network]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut last = peer;
    let entries = headers.iter().rev().flat_map(|header| header.rsplit(|byte| *byte == b','));
    for entry in entries.take(ENTRIES_MAX) {
        let Some(address) = std::str::from_utf8(entry).ok().and_then(|text| address_of(text.trim())) else {
            return last;
        };
        if !is_proxy(address) {
            return address;
        }
        last = address;
    }
    last
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(address, _)| address);
    let address = bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_what_they_say() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(network("10.0.0.0/8").contains(ip("10.255.0.1")) && !network("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")), "the same address in IPv6");
        assert!(network("192.0.2.7").contains(ip("192.0.2.7")) && !network("192.0.2.7").contains(ip("192.0.2.6")));
        assert!(network("fd00::/8").contains(ip("fd12::1")) && !network("fd00::/8").contains(ip("fe80::1")));
        assert!(!network("10.0.0.0/8").contains(ip("fd00::1")));
        for bad in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "0.0.0.0/0", "::/0", "host", "10/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_right_most_address_that_is_no_proxys_is_the_source() {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        for (headers, source) in [
            (vec!["203.0.113.9"], "203.0.113.9"),
            (vec!["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            (vec!["1.2.3.4", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (vec!["203.0.113.9:4711,10.0.0.2:80"], "203.0.113.9"),
            (vec!["[2001:db8::7]:80"], "2001:db8::7"),
            (vec!["::ffff:203.0.113.9"], "203.0.113.9"),
            (vec![], "10.0.0.1"),
            (vec!["10.0.0.3"], "10.0.0.3"),
            (vec!["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            (vec!["203.0.113.9, \u{e9}"], "10.0.0.1"),
        ] {
            let bytes: Vec<&[u8]> = headers.iter().map(|text: &&str| text.as_bytes()).collect();
            assert_eq!(forwarded(peer, &bytes, &proxies), source.parse::<IpAddr>().unwrap(), "{headers:?}");
        }
    }
}
