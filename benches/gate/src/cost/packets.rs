//! Frames around payloads: UDP datagrams whole and in fragments, TCP connections in pieces of any size and order.

/// Where a packet goes from and to; the same for all of a case.
const SRC: [u8; 4] = [192, 0, 2, 1];
const DST: [u8; 4] = [192, 0, 2, 2];
const SIP_PORT: u16 = 5060;
/// Payload of a fragment, as an interface with an MTU of 1,500 bytes makes them.
const FRAGMENT: usize = 1_480;
/// Sequence number of the first byte of a TCP connection.
const FIRST_SEQ: u32 = 1_001;

pub type Frames = Vec<Vec<u8>>;

fn ethernet(protocol: u8, id: u16, offset_and_flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0];
    let length = u16::try_from(20 + payload.len()).expect("fits an IP packet");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&offset_and_flags.to_be_bytes());
    out.extend_from_slice(&[64, protocol, 0, 0]);
    out.extend_from_slice(&SRC);
    out.extend_from_slice(&DST);
    out.extend_from_slice(payload);
    out
}

fn udp_datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("fits a UDP datagram");
    let ports = port.to_be_bytes();
    [&ports[..], &ports, &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// One datagram in one frame.
pub fn udp(payload: &[u8]) -> Frames {
    vec![ethernet(17, 7, 0, &udp_datagram(SIP_PORT, payload))]
}

/// One datagram between ports of RTCP.
pub fn rtcp(payload: &[u8]) -> Frames {
    vec![ethernet(17, 7, 0, &udp_datagram(20_001, payload))]
}

/// Errors about a datagram to the SIP port, `bytes` in all.
pub fn icmp(quoted: &[u8], bytes: usize) -> Frames {
    let mut header = vec![3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0];
    header.extend_from_slice(&((28 + quoted.len()) as u16).to_be_bytes());
    header.extend_from_slice(&[0, 7, 0, 0, 64, 17, 0, 0]);
    header.extend_from_slice(&DST);
    header.extend_from_slice(&SRC);
    let error = [&header[..], &udp_datagram(SIP_PORT, quoted)].concat();
    (0..bytes.div_ceil(error.len())).map(|id| ethernet(1, id as u16, 0, &error)).collect()
}

/// One datagram in fragments of `size` bytes, a multiple of eight.
pub fn fragments_of(size: usize, payload: &[u8]) -> Frames {
    let datagram = udp_datagram(SIP_PORT, payload);
    let last = datagram.len().div_ceil(size) - 1;
    let pieces = datagram.chunks(size).enumerate();
    pieces
        .map(|(n, piece)| {
            let offset = u16::try_from(n * size / 8).expect("within a datagram");
            ethernet(17, 7, offset | if n < last { 0x2000 } else { 0 }, piece)
        })
        .collect()
}

pub fn fragments(payload: &[u8]) -> Frames {
    fragments_of(FRAGMENT, payload)
}

/// A segment whose first byte is byte `at` of the connection.
fn segment(at: usize, payload: &[u8]) -> Vec<u8> {
    const ACK_PUSH: u8 = 0x18;
    tcp(FIRST_SEQ + at as u32, ACK_PUSH, payload)
}

fn tcp(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = SIP_PORT.to_be_bytes();
    let header = [&ports[..], &ports, &seq.to_be_bytes(), &[0; 4], &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat();
    ethernet(6, 7, 0, &[&header, payload].concat())
}

/// SYN.
fn opening() -> Frames {
    vec![tcp(FIRST_SEQ - 1, 0x02, &[])]
}

/// A connection with `bytes` in segments of `size` bytes.
pub fn stream(size: usize, bytes: &[u8]) -> Frames {
    let mut frames = opening();
    frames.extend(bytes.chunks(size).enumerate().map(|(n, piece)| segment(n * size, piece)));
    frames
}

/// As [`stream`], last segment first.
pub fn reversed(size: usize, bytes: &[u8]) -> Frames {
    let mut frames = stream(size, bytes);
    frames[1..].reverse();
    frames
}

/// As [`stream`], but of each 64 segments the first comes last, so that the others wait for it.
pub fn behind_holes(size: usize, bytes: &[u8]) -> Frames {
    let mut frames = stream(size, bytes);
    frames[1..].chunks_mut(64).for_each(|group| group.rotate_left(1));
    frames
}

/// Segments of `size` bytes, each one byte further than the one before.
pub fn overlapping(size: usize, bytes: &[u8]) -> Frames {
    let mut frames = opening();
    frames.extend(bytes.windows(size).enumerate().map(|(at, piece)| segment(at, piece)));
    frames
}

/// As [`behind_holes`], and each segment comes three times.
pub fn repeated(size: usize, bytes: &[u8]) -> Frames {
    behind_holes(size, bytes).into_iter().flat_map(|frame| [frame.clone(), frame.clone(), frame]).collect()
}
