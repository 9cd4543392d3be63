//! What a sender puts into packets: codecs, their payload types and clocks (RFC 3551, 4867, 7587), and payload bytes
//! that look right, are small and compress well.

/// A codec a simulated endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    Pcmu,
    Pcma,
    G722,
    G729,
    Gsm,
    Ilbc,
    Opus,
    Amr,
    AmrWb,
}

/// Payload type of comfort noise at 8 kHz (RFC 3389).
pub const COMFORT_NOISE: u8 = 13;
/// Payload type used here for telephone events (RFC 4733).
pub const TELEPHONE_EVENT: u8 = 101;

impl Codec {
    pub const ALL: [Codec; 9] = [
        Codec::Pcmu,
        Codec::Pcma,
        Codec::G722,
        Codec::G729,
        Codec::Gsm,
        Codec::Ilbc,
        Codec::Opus,
        Codec::Amr,
        Codec::AmrWb,
    ];

    /// Encoding name as registered.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::G729 => "G729",
            Codec::Gsm => "GSM",
            Codec::Ilbc => "iLBC",
            Codec::Opus => "opus",
            Codec::Amr => "AMR",
            Codec::AmrWb => "AMR-WB",
        }
    }

    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Gsm => 3,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::G729 => 18,
            Codec::Amr => 96,
            Codec::Ilbc => 97,
            Codec::AmrWb => 98,
            Codec::Opus => 111,
        }
    }

    /// RTP clock in Hz (8000 for G.722 too, RFC 3551 section 4.5.2).
    pub fn clock(self) -> u32 {
        match self {
            Codec::Opus => 48_000,
            Codec::AmrWb => 16_000,
            _ => 8_000,
        }
    }

    /// Value of `a=rtpmap` after the payload type.
    pub fn rtpmap(self) -> String {
        let channels = if self == Codec::Opus { "/2" } else { "" };
        format!("{}/{}{channels}", self.name(), self.clock())
    }

    pub fn fmtp(self) -> Option<&'static str> {
        match self {
            Codec::G729 => Some("annexb=no"),
            Codec::Ilbc => Some("mode=20"),
            Codec::Opus => Some("minptime=10;useinbandfec=1"),
            Codec::Amr | Codec::AmrWb => Some("octet-align=1"),
            _ => None,
        }
    }

    /// Whether silence is marked by RFC 3389 packets. The others have their own short frames.
    pub fn silence_is_comfort_noise(self) -> bool {
        matches!(self, Codec::Pcmu | Codec::Pcma | Codec::Gsm)
    }

    /// Payload of the packet numbered `tick`, holding `ptime_ms` of sound. Frames are 10 or 20 ms; a packet holds at least one.
    pub fn payload(self, tick: u64, ptime_ms: u32) -> Vec<u8> {
        let of = |frame_ms: u32| (ptime_ms / frame_ms).max(1) as usize;
        let samples = 8 * ptime_ms as usize;
        match self {
            Codec::Pcmu => wave(&TONE_MU, samples, tick),
            Codec::Pcma => wave(&TONE_A, samples, tick),
            Codec::G722 => wave(&[0xFA, 0x7E, 0x5B, 0xDA, 0xDE, 0x5A, 0x7A, 0xFE], samples, tick),
            Codec::G729 => frames(10, of(10), 0x78, tick),
            Codec::Gsm => frames(33, of(20), 0xD2, tick),
            Codec::Ilbc => frames(38, of(20), 0x4C, tick),
            Codec::Opus => frames(36 + 3 * (tick as usize % 4), 1, 0x78, tick),
            Codec::Amr => octet_aligned(of(20), 0x3C, 31, tick),
            Codec::AmrWb => octet_aligned(of(20), 0x14, 32, tick),
        }
    }

    /// The short in-band frame that updates comfort noise.
    pub fn silence_payload(self) -> Vec<u8> {
        match self {
            Codec::G729 => vec![0x52, 0x80],
            Codec::Opus => vec![0x78],
            Codec::Amr => vec![0xF0, 0x44, 0x2E, 0x41, 0x8C, 0x3A, 0x20],
            Codec::AmrWb => vec![0xF0, 0x4C, 0x2E, 0x41, 0x8C, 0x3A, 0x20],
            _ => vec![0x3C],
        }
    }
}

const TONE_MU: [u8; 16] =
    [0xFF, 0xCE, 0xBE, 0xB6, 0xB3, 0xB6, 0xBE, 0xCE, 0x7F, 0x4E, 0x3E, 0x36, 0x33, 0x36, 0x3E, 0x4E];
const TONE_A: [u8; 16] =
    [0xD5, 0xE4, 0x94, 0x9D, 0x98, 0x9D, 0x94, 0xE4, 0x55, 0x64, 0x14, 0x1D, 0x18, 0x1D, 0x14, 0x64];

fn wave(period: &[u8], samples: usize, tick: u64) -> Vec<u8> {
    (0..samples).map(|i| period[(i + 4 * (tick as usize % 4)) % period.len()]).collect()
}

fn frames(bytes: usize, count: usize, head: u8, tick: u64) -> Vec<u8> {
    let one = |f: usize| {
        let v = ((tick as usize + f) % 8) as u8;
        (0..bytes).map(move |i| if i == 0 { head } else { head.rotate_left(i as u32 % 8) ^ (v * 31) })
    };
    (0..count).flat_map(one).collect()
}

/// RFC 4867 section 4.3: one mode request, a table of contents, then the frames.
fn octet_aligned(count: usize, toc: u8, bytes: usize, tick: u64) -> Vec<u8> {
    let mut out = vec![0xF0];
    out.extend((0..count).map(|i| if i + 1 < count { toc | 0x80 } else { toc }));
    out.extend(frames(bytes, count, 0x54, tick));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_sizes_are_those_of_the_codecs() {
        let size = |c: Codec, ms| c.payload(3, ms).len();
        assert_eq!(size(Codec::Pcmu, 20), 160);
        assert_eq!(size(Codec::Pcma, 30), 240);
        assert_eq!(size(Codec::G729, 20), 20);
        assert_eq!(size(Codec::G729, 40), 40);
        assert_eq!(size(Codec::Gsm, 20), 33);
        assert_eq!(size(Codec::Ilbc, 20), 38);
        assert_eq!(size(Codec::Amr, 20), 33);
        assert_eq!(size(Codec::AmrWb, 40), 1 + 2 + 64);
    }
}
