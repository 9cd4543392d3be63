//! What the operator calls things: probe, site, and trunks by address.

use std::net::{IpAddr, Ipv6Addr};

/// Names every row carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub probe: String,
    pub site: String,
    /// Networks of the far sides and what to call them. The longest prefix wins, then the first.
    pub trunks: Vec<(Cidr, String)>,
}

impl Labels {
    /// Name of the trunk one of the addresses belongs to, empty if none.
    pub fn trunk(&self, addresses: impl IntoIterator<Item = IpAddr>) -> &str {
        let mut best: Option<(&Cidr, &str)> = None;
        for address in addresses {
            for (network, name) in self.trunks.iter().filter(|(network, _)| network.contains(address)) {
                if best.is_none_or(|(held, _)| network.prefix > held.prefix) {
                    best = Some((network, name));
                }
            }
        }
        best.map_or("", |(_, name)| name)
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
        let name = |addresses: &[&str]| labels.trunk(addresses.iter().map(|a| a.parse().unwrap())).to_owned();
        assert_eq!(name(&["192.0.2.9"]), "wide");
        assert_eq!(name(&["192.0.2.7"]), "narrow");
        assert_eq!(name(&["10.0.0.1", "::ffff:192.0.2.7"]), "narrow");
        assert_eq!(name(&["192.0.2.9", "192.0.2.7"]), "narrow");
        assert_eq!(name(&["2001:db8::1"]), "six");
        assert_eq!(name(&["10.0.0.1"]), "");
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
