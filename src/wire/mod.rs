//! Bytes to checked views: link layers, tunnels, IP, UDP and TCP, RTP, RTCP, SIP, SDP.

pub mod sdp;
pub mod sip;


/// A link-layer header type as capture files number it (LINKTYPE_ of the pcap registry), for example 1 for Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u32);
