//! Encapsulations that are read.

/// An encapsulation that a packet was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tunnel {
    /// IPv6 in IPv4 (RFC 4213).
    SixInFour,
    /// A mirrored frame over GRE.
    Erspan,
    /// IPsec without encryption (RFC 2410).
    EspNull,
    /// RFC 8926.
    Geneve,
    /// RFC 2784 and RFC 2890, or its PPTP variant (RFC 2637).
    Gre,
    /// User plane of mobile networks (3GPP TS 29.281).
    GtpU,
    /// IPv4 in IP, or IPv6 in IPv6 (RFC 2003, RFC 2473).
    Ipip,
    /// RFC 3032.
    Mpls,
    /// Provider backbone bridge (IEEE 802.1ah).
    Pbb,
    /// RFC 2516.
    Pppoe,
    /// As capturing switches and access points send it.
    Tzsp,
    /// RFC 7348.
    Vxlan,
}

impl Tunnel {
    pub fn name(self) -> &'static str {
        match self {
            Tunnel::SixInFour => "6in4",
            Tunnel::Erspan => "erspan",
            Tunnel::EspNull => "esp-null",
            Tunnel::Geneve => "geneve",
            Tunnel::Gre => "gre",
            Tunnel::GtpU => "gtp-u",
            Tunnel::Ipip => "ipip",
            Tunnel::Mpls => "mpls",
            Tunnel::Pbb => "pbb",
            Tunnel::Pppoe => "pppoe",
            Tunnel::Tzsp => "tzsp",
            Tunnel::Vxlan => "vxlan",
        }
    }
}
