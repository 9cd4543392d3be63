//! Frames of many streams side by side, in one buffer: Ethernet, IPv4, UDP, RTP with G.729.

/// Time between two packets of a stream.
const PTIME_NS: i64 = 20_000_000;

/// Start of an interval, ns since the epoch.
pub const START: i64 = 1_794_301_200_000_000_000;

#[derive(Clone, Copy)]
pub struct Plan {
    pub streams: u32,
    /// Packets of a stream.
    pub rounds: u32,
    /// Each stream loses every so manieth packet; 0: none.
    pub lose_every: u32,
    /// A VLAN tag and GRE before each packet, which the fast path leaves to the full decoder.
    pub tunnel: bool,
}

/// Capture time and bytes of each.
#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    index: Vec<(i64, usize)>,
}

impl Frames {
    /// Packets `rounds` of every stream, in order of time.
    pub fn of(plan: &Plan, rounds: std::ops::Range<u32>) -> Frames {
        let mut frames = Frames::default();
        for round in rounds {
            for stream in 0..plan.streams {
                if plan.lose_every == 0 || (round + stream) % plan.lose_every != plan.lose_every - 1 {
                    frames.push(plan, stream, round);
                }
            }
        }
        frames
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let mut from = 0;
        self.index.iter().map(move |(at, end)| {
            let bytes = &self.bytes[from..*end];
            from = *end;
            (*at, bytes)
        })
    }

    /// One frame as it is.
    pub fn add(&mut self, at: i64, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.index.push((at, self.bytes.len()));
    }

    fn push(&mut self, plan: &Plan, stream: u32, round: u32) {
        let ssrc = scatter(stream);
        // Up to 4 ms late, so that jitter and delay have something to measure.
        let jitter = i64::from(scatter(stream ^ round.rotate_left(16)) % 4_000_000);
        let slot = PTIME_NS / i64::from(plan.streams);
        let at = START + i64::from(round) * PTIME_NS + i64::from(stream) * slot + jitter * slot / PTIME_NS;
        let out = &mut self.bytes;
        out.extend_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        if plan.tunnel {
            out.extend_from_slice(&[0x81, 0x00, 0x00, 0x07, 0x08, 0x00]);
            ipv4(out, 47, [192, 0, 2, 1], [192, 0, 2, 2], 4 + 60);
            out.extend_from_slice(&[0, 0, 0x08, 0x00]);
        } else {
            out.extend_from_slice(&[0x08, 0x00]);
        }
        let [_, a, b, c] = stream.to_be_bytes();
        ipv4(out, 17, [10, a, b, c], [198, 18, b, c], 8 + 32);
        out.extend_from_slice(&(16_384 + 2 * (stream % 8_192) as u16).to_be_bytes());
        out.extend_from_slice(&20_000u16.to_be_bytes());
        out.extend_from_slice(&[0, 8 + 32, 0, 0]);
        out.extend_from_slice(&[0x80, 18]);
        out.extend_from_slice(&(ssrc as u16).wrapping_add(round as u16).to_be_bytes());
        out.extend_from_slice(&ssrc.wrapping_add(round * 160).to_be_bytes());
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&[0x78; 20]);
        self.index.push((at, out.len()));
    }
}

fn ipv4(out: &mut Vec<u8>, protocol: u8, src: [u8; 4], dst: [u8; 4], payload: u16) {
    let [high, low] = (20 + payload).to_be_bytes();
    out.extend_from_slice(&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
    out.extend_from_slice(&src);
    out.extend_from_slice(&dst);
}

/// A bijection of 32 bits (Murmur3's finaliser), so that each stream has its own SSRC.
fn scatter(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}
