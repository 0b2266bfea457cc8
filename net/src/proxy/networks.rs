//! The networks from which PROXY headers are taken, and wanted.
//!
//! Invariant: who is in none of them is a client like any other: a header from there would let anybody be anybody.
//! An IPv4 address in IPv6 clothes is the IPv4 address.

use std::fmt;
use std::net::IpAddr;

/// In the order in which they were named; none: nobody is a balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Anywhere,
    /// Unix sockets.
    Local,
    Ip {
        address: IpAddr,
        bits: u8,
    },
}

impl Networks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `10.0.0.0/8`, an address, `unix` for Unix sockets, or `*` for all. An error says what is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        self.0.push(Network::parse(text)?);
        Ok(())
    }

    /// Whether a peer there has to send a header; `None` is one at a Unix socket.
    pub fn has(&self, peer: Option<IpAddr>) -> bool {
        self.0.iter().any(|network| network.has(peer.map(|ip| ip.to_canonical())))
    }

    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(Network::to_string)
    }
}

impl Network {
    fn parse(text: &str) -> Result<Network, String> {
        match text {
            "*" => return Ok(Network::Anywhere),
            "unix" => return Ok(Network::Local),
            _ => {}
        }
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let help = || format!("'{text}' is no network: write 10.0.0.0/8, an address, unix, or * for all");
        let address: IpAddr = ip.parse().map_err(|_| help())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => whole,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= whole).ok_or_else(help)?,
        };
        Ok(Network::Ip { address, bits })
    }

    fn has(&self, peer: Option<IpAddr>) -> bool {
        match (self, peer) {
            (Network::Anywhere, _) | (Network::Local, None) => true,
            (Network::Ip { address: IpAddr::V4(network), bits }, Some(IpAddr::V4(ip))) => {
                let differing = network.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= u32::from(*bits)
            }
            (Network::Ip { address: IpAddr::V6(network), bits }, Some(IpAddr::V6(ip))) => {
                let differing = network.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= u32::from(*bits)
            }
            (Network::Local | Network::Ip { .. }, _) => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Anywhere => f.write_str("*"),
            Network::Local => f.write_str("unix"),
            Network::Ip { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_which() {
        for (network, peer, is_in) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("*", "::1", true),
            ("unix", "127.0.0.1", false),
        ] {
            let mut networks = Networks::default();
            networks.add(network).unwrap();
            assert_eq!(networks.has(Some(peer.parse().unwrap())), is_in, "{peer} in {network}");
            assert_eq!(networks.has(None), matches!(network, "*" | "unix"), "{network}");
        }
        assert!(!Networks::default().has(None));
    }

    #[test]
    fn what_is_no_network() {
        for text in ["", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "localhost", "1.2.3.4:5"] {
            assert!(Networks::default().add(text).unwrap_err().contains("no network"), "{text}");
        }
        let mut networks = Networks::default();
        ["10.0.0.0/8", "::1", "unix", "*"].iter().for_each(|text| networks.add(text).unwrap());
        assert_eq!(networks.texts().collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128", "unix", "*"]);
    }
}
