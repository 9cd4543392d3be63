//! Report blocks of RTCP extended reports, RFC 3611 section 4.

use super::byte_reader::ByteReader;
use crate::model::VoipMetrics;
use crate::units::{NtpTime, Ssrc};

/// Blocks read of one packet, as many as an SR can have of its own; the rest is skipped.
const MAX_BLOCKS: usize = 31;

/// One block that is understood. Others are skipped by their length.
#[derive(Clone, Debug, PartialEq)]
pub enum XrBlock {
    /// Block type 4.
    ReceiverReferenceTime(NtpTime),
    /// Block type 5.
    Dlrr(Vec<DlrrEntry>),
    /// Block type 6.
    Statistics(StatisticsSummary),
    /// Block type 7. `out_of_range` when a field holds a value RFC 3611 does not allow; that field is `None`.
    Voip { metrics: VoipMetrics, out_of_range: bool },
}

/// One sub-block of a DLRR block (RFC 3611 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlrrEntry {
    pub ssrc: Ssrc,
    /// Middle 32 bits of the receiver reference time answered.
    pub last_rr: u32,
    /// In 1/65536 s.
    pub delay_since_last_rr: u32,
}

/// Statistics summary (RFC 3611 section 4.6). What its flags do not announce is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatisticsSummary {
    pub ssrc: Ssrc,
    pub begin_seq: u16,
    pub end_seq: u16,
    pub lost: Option<u32>,
    pub duplicates: Option<u32>,
    /// Ticks of the reported stream's clock: minimum, maximum, mean, standard deviation.
    pub jitter: Option<[u32; 4]>,
    /// IPv4 TTL or IPv6 hop limit: minimum, maximum, mean, standard deviation.
    pub ttl: Option<[u8; 4]>,
}

/// The blocks of an XR packet. `None` when a block is longer than the packet, or shorter than its type asks for.
pub(super) fn blocks(mut c: ByteReader<'_>) -> Option<Vec<XrBlock>> {
    let mut blocks = Vec::new();
    for _ in 0..MAX_BLOCKS {
        if c.is_empty() {
            break;
        }
        let [block_type, specific, len0, len1] = c.array()?;
        let mut body = ByteReader::new(c.take(4 * usize::from(u16::from_be_bytes([len0, len1])))?);
        match block_type {
            4 => blocks.push(XrBlock::ReceiverReferenceTime(NtpTime(body.u64()?))),
            5 => blocks.push(XrBlock::Dlrr(dlrr(body)?)),
            6 => blocks.push(XrBlock::Statistics(statistics(specific, body)?)),
            7 => blocks.push(voip(body)?),
            _ => {}
        }
    }
    Some(blocks)
}

fn dlrr(mut c: ByteReader<'_>) -> Option<Vec<DlrrEntry>> {
    let mut entries = Vec::new();
    while !c.is_empty() && entries.len() < MAX_BLOCKS {
        entries.push(DlrrEntry { ssrc: Ssrc(c.u32()?), last_rr: c.u32()?, delay_since_last_rr: c.u32()? });
    }
    Some(entries)
}

fn statistics(flags: u8, mut c: ByteReader<'_>) -> Option<StatisticsSummary> {
    let ssrc = Ssrc(c.u32()?);
    let (begin_seq, end_seq) = (c.u16()?, c.u16()?);
    let (lost, duplicates) = (c.u32()?, c.u32()?);
    let jitter = [c.u32()?, c.u32()?, c.u32()?, c.u32()?];
    let ttl = c.array::<4>()?;
    Some(StatisticsSummary {
        ssrc,
        begin_seq,
        end_seq,
        lost: (flags & 0x80 != 0).then_some(lost),
        duplicates: (flags & 0x40 != 0).then_some(duplicates),
        jitter: (flags & 0x20 != 0).then_some(jitter),
        ttl: (flags & 0x18 != 0).then_some(ttl),
    })
}

fn voip(mut c: ByteReader<'_>) -> Option<XrBlock> {
    const UNAVAILABLE: u8 = 127;
    let ssrc = Ssrc(c.u32()?);
    let [loss_rate, discard_rate, burst_density, gap_density] = c.array()?;
    let (burst_ms, gap_ms) = (c.u16()?, c.u16()?);
    let (round_trip, end_system) = (c.u16()?, c.u16()?);
    let [signal, noise, residual_echo, gmin] = c.array()?;
    let [r, external_r, mos_lq, mos_cq] = c.array()?;
    let [rx_config, _reserved] = c.array()?;
    let (nominal, maximum, absolute_maximum) = (c.u16()?, c.u16()?, c.u16()?);

    let mut out_of_range = false;
    let mut within = |value: u8, low: u8, high: u8| -> Option<u8> {
        if value == UNAVAILABLE {
            return None;
        }
        let good = (low..=high).contains(&value);
        out_of_range |= !good;
        good.then_some(value)
    };
    let r = within(r, 0, 100);
    let external_r = within(external_r, 0, 100);
    let mos_lq = within(mos_lq, 10, 50).map(|m| f32::from(m) / 10.0);
    let mos_cq = within(mos_cq, 10, 50).map(|m| f32::from(m) / 10.0);
    let pct = |share: u8| Some(f32::from(share) * 100.0 / 256.0);
    let metrics = VoipMetrics {
        ssrc,
        loss_pct: pct(loss_rate),
        discard_pct: pct(discard_rate),
        burst_density_pct: pct(burst_density),
        gap_density_pct: pct(gap_density),
        burst_ms: Some(burst_ms),
        gap_ms: Some(gap_ms),
        round_trip_ms: (round_trip != 0).then_some(round_trip),
        end_system_ms: (end_system != 0).then_some(end_system),
        signal_dbm: (signal != UNAVAILABLE).then_some(signal.cast_signed()),
        noise_dbm: (noise != UNAVAILABLE).then_some(noise.cast_signed()),
        residual_echo_return_loss_db: (residual_echo != UNAVAILABLE).then_some(residual_echo),
        gmin: (gmin != 0).then_some(gmin),
        r,
        external_r,
        mos_lq,
        mos_cq,
        rx_config: Some(rx_config),
        jitter_buffer_nominal_ms: Some(nominal),
        jitter_buffer_maximum_ms: Some(maximum),
        jitter_buffer_absolute_maximum_ms: Some(absolute_maximum),
    };
    Some(XrBlock::Voip { metrics, out_of_range })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> XrBlock {
        let mut found = blocks(ByteReader::new(bytes)).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn voip_metrics_of_round_numbers() {
        let bytes = [
            7,
            0,
            0,
            8,
            0x11,
            0x22,
            0x33,
            0x44, // header, SSRC
            12,
            13,
            85,
            9, // loss, discard, burst density, gap density
            0,
            120,
            1,
            4, // burst 120 ms, gap 260 ms
            0,
            100,
            0,
            0, // round trip 100 ms, end system unknown
            0xec,
            0xba,
            50,
            16, // -20 dBm, -70 dBm, 50 dB, Gmin
            93,
            127,
            41,
            39, // R, external R unavailable, MOS 4.1 and 3.9
            0b1011_0000,
            0,
            0,
            40,
            0,
            80,
            0,
            120,
        ];
        let XrBlock::Voip { metrics, out_of_range } = one(&bytes) else { panic!("not VoIP metrics") };
        let expected = VoipMetrics {
            ssrc: Ssrc(0x11223344),
            loss_pct: Some(4.6875),
            discard_pct: Some(5.078_125),
            burst_density_pct: Some(33.203_125),
            gap_density_pct: Some(3.515_625),
            burst_ms: Some(120),
            gap_ms: Some(260),
            round_trip_ms: Some(100),
            end_system_ms: None,
            signal_dbm: Some(-20),
            noise_dbm: Some(-70),
            residual_echo_return_loss_db: Some(50),
            gmin: Some(16),
            r: Some(93),
            external_r: None,
            mos_lq: Some(4.1),
            mos_cq: Some(3.9),
            rx_config: Some(0b1011_0000),
            jitter_buffer_nominal_ms: Some(40),
            jitter_buffer_maximum_ms: Some(80),
            jitter_buffer_absolute_maximum_ms: Some(120),
        };
        assert_eq!((metrics, out_of_range), (expected, false));
    }

    #[test]
    fn values_outside_the_ranges_of_rfc3611_are_unknown_and_flagged() {
        let mut bytes = [0xff; 36];
        bytes[..8].copy_from_slice(&[7, 0, 0, 8, 0, 0, 0, 1]);
        let XrBlock::Voip { metrics, out_of_range } = one(&bytes) else { panic!("not VoIP metrics") };
        assert_eq!((metrics.r, metrics.external_r, metrics.mos_lq, metrics.mos_cq), (None, None, None, None));
        assert!(out_of_range);
        bytes[8..].fill(127);
        let XrBlock::Voip { metrics, out_of_range } = one(&bytes) else { panic!("not VoIP metrics") };
        assert_eq!((metrics.r, metrics.signal_dbm, metrics.residual_echo_return_loss_db), (None, None, None));
        assert!(!out_of_range, "127 means unavailable");
    }

    #[test]
    fn statistics_hold_only_what_their_flags_announce() {
        let mut bytes = vec![6, 0b1010_0000, 0, 9, 0, 0, 0, 5, 0, 1, 0, 9];
        for value in [3u32, 4, 10, 90, 40, 7] {
            bytes.extend(value.to_be_bytes());
        }
        bytes.extend([60, 64, 63, 1]);
        let expected = StatisticsSummary {
            ssrc: Ssrc(5),
            begin_seq: 1,
            end_seq: 9,
            lost: Some(3),
            duplicates: None,
            jitter: Some([10, 90, 40, 7]),
            ttl: None,
        };
        assert_eq!(one(&bytes), XrBlock::Statistics(expected));
    }

    #[test]
    fn unknown_blocks_are_skipped_by_length_and_short_ones_refused() {
        let rrtr = [4, 0, 0, 2, 0, 0, 0, 1, 0x80, 0, 0, 0];
        let mut bytes = vec![29, 0, 0, 1, 9, 9, 9, 9];
        bytes.extend(rrtr);
        bytes.extend([5, 0, 0, 3, 0, 0, 0, 7, 0, 1, 0x80, 0, 0, 2, 0, 0]);
        let dlrr = DlrrEntry { ssrc: Ssrc(7), last_rr: 0x18000, delay_since_last_rr: 0x20000 };
        let expected = vec![XrBlock::ReceiverReferenceTime(NtpTime(0x1_8000_0000)), XrBlock::Dlrr(vec![dlrr])];
        assert_eq!(blocks(ByteReader::new(&bytes)), Some(expected));
        assert_eq!(blocks(ByteReader::new(&[7, 0, 0, 1, 0, 0, 0, 1])), None);
        assert_eq!(blocks(ByteReader::new(&[4, 0, 0xff, 0xff, 0, 0, 0, 1])), None);
        assert_eq!(blocks(ByteReader::new(&[5, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1])), None);
    }
}
