//! What the operator calls things: probe, site, and trunks by address.

use super::CallRecord;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Names every row carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub probe: String,
    pub site: String,
    /// Networks of the far sides and what to call them. The longest prefix wins, then the first.
    pub trunks: Vec<(Cidr, String)>,
}

/// Which way packets or an INVITE went, seen from the trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrunkDirection {
    /// The source is of the trunk.
    From,
    /// The destination is.
    Toward,
}

impl TrunkDirection {
    pub fn name(self) -> &'static str {
        match self {
            TrunkDirection::From => "from",
            TrunkDirection::Toward => "toward",
        }
    }

    pub fn parse(name: &str) -> Option<TrunkDirection> {
        [TrunkDirection::From, TrunkDirection::Toward].into_iter().find(|direction| direction.name() == name)
    }
}

/// A trunk as one stream or call meets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrunkMatch<'a> {
    /// Configured name, empty where no trunk has either address.
    pub name: &'a str,
    pub direction: Option<TrunkDirection>,
}

impl TrunkMatch<'_> {
    /// `from`, `toward`, or empty without a trunk.
    pub fn direction_name(&self) -> &'static str {
        self.direction.map_or("", TrunkDirection::name)
    }
}

impl Labels {
    /// The trunk one of the addresses belongs to. Where both do, the one with the longer prefix; of equal ones the source's.
    pub fn trunk(&self, src: Option<IpAddr>, dst: Option<IpAddr>) -> TrunkMatch<'_> {
        let mut best: Option<(&Cidr, TrunkMatch<'_>)> = None;
        for (address, direction) in [(src, TrunkDirection::From), (dst, TrunkDirection::Toward)] {
            let Some(address) = address else { continue };
            for (network, name) in self.trunks.iter().filter(|(network, _)| network.contains(address)) {
                if best.is_none_or(|(held, _)| network.prefix > held.prefix) {
                    best = Some((network, TrunkMatch { name, direction: Some(direction) }));
                }
            }
        }
        best.map_or_else(TrunkMatch::default, |(_, found)| found)
    }

    /// The trunk of a stream, by its addresses.
    pub fn trunk_of(&self, src: SocketAddr, dst: SocketAddr) -> TrunkMatch<'_> {
        self.trunk(Some(src.ip()), Some(dst.ip()))
    }

    /// The trunk of a call, by the addresses of its first INVITE: `from` is a call that comes in from the trunk.
    pub fn trunk_of_call(&self, call: &CallRecord) -> TrunkMatch<'_> {
        self.trunk(call.signalling_src.map(|at| at.ip()), call.signalling_dst.map(|at| at.ip()))
    }
}

/// A network in CIDR notation (RFC 4632, RFC 4291 section 2.3). IPv4 networks match IPv4-mapped addresses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// First address, as (mapped) IPv6.
    network: u128,
    /// Prefix length counted in IPv6: 96 more than written for IPv4.
    prefix: u8,
}

impl Cidr {
    pub fn contains(&self, address: IpAddr) -> bool {
        u128::from(mapped(address)) & mask(self.prefix) == self.network
    }
}

impl std::str::FromStr for Cidr {
    type Err = String;

    /// `192.0.2.0/24`, `2001:db8::/32`, or one address. Bits after the prefix must be zero.
    fn from_str(text: &str) -> Result<Cidr, String> {
        let error = |why: &str| format!("`{text}` is not a network: {why}");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| error("no IP address before the slash"))?;
        let (most, extra) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix: u8 = match prefix {
            Some(digits) => digits.trim().parse().map_err(|_| error("no number after the slash"))?,
            None => most,
        };
        if prefix > most {
            return Err(error(&format!("the prefix is longer than {most}")));
        }
        let network = u128::from(mapped(address));
        let prefix = prefix + extra;
        if network & !mask(prefix) != 0 {
            return Err(error("bits after the prefix are set"));
        }
        Ok(Cidr { network, prefix })
    }
}

/// An address as IPv6, IPv4 mapped (`::ffff:192.0.2.1`): the form of every address column.
pub fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_names_the_trunk() {
        let trunk = |cidr: &str, name: &str| (cidr.parse().unwrap(), name.to_owned());
        let labels = Labels {
            trunks: vec![trunk("192.0.2.0/24", "wide"), trunk("192.0.2.7", "narrow"), trunk("2001:db8::/32", "six")],
            ..Labels::default()
        };
        let found = |src: &str, dst: &str| {
            let found = labels.trunk(src.parse().ok(), dst.parse().ok());
            (found.name.to_owned(), found.direction_name())
        };
        let is = |name: &str, direction| (name.to_owned(), direction);
        assert_eq!(found("192.0.2.9", ""), is("wide", "from"));
        assert_eq!(found("", "192.0.2.7"), is("narrow", "toward"));
        assert_eq!(found("10.0.0.1", "::ffff:192.0.2.7"), is("narrow", "toward"));
        assert_eq!(found("192.0.2.9", "192.0.2.7"), is("narrow", "toward"), "the longer prefix");
        assert_eq!(found("192.0.2.9", "192.0.2.8"), is("wide", "from"), "the source of two equal ones");
        assert_eq!(found("2001:db8::1", "10.0.0.1"), is("six", "from"));
        assert_eq!(found("10.0.0.1", "10.0.0.2"), is("", ""));
    }

    #[test]
    fn networks_are_checked() {
        for bad in ["", "x/8", "192.0.2.1/24", "192.0.2.0/33", "::/129", "10.0.0.0/-1"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains("203.0.113.5".parse().unwrap()));
        assert!(!"0.0.0.0/0".parse::<Cidr>().unwrap().contains("2001:db8::1".parse().unwrap()));
        assert!("::/0".parse::<Cidr>().unwrap().contains("203.0.113.5".parse().unwrap()));
    }
}
