//! From the numbers of a stream to its MOS, or to the reason why there is none.

use super::burst::{burst_ratio, burst_ratio_is_valid};
use super::codecs::{CodecError, CodecQuality, CodecQuery, CodecTable};
use super::emodel::{Echo, Inputs, RBudget, Scale, WbRoe, r_budget, rate, undelayed};
use crate::model::burst::BurstGap;
use crate::model::{
    CodecStatus, DISCARD_BUFFERS_MS, DelaySource, JitterBuffer, JitterBufferKind, LossRuns, MosReport, NullReason,
    RPoints, Srtp, StreamStats,
};
use crate::units::Nanos;

/// Half a second of 20 ms packets. Below that one lost packet is 4 % and more: the rating would be noise.
pub const MIN_EXPECTED: u64 = 25;

/// Size of the adaptive jitter buffer where no delay is known.
const USUAL_BUFFER: Nanos = Nanos::from_millis(40);

/// Packet time where none was observed (RFC 3551 section 4.2).
const USUAL_PTIME: Nanos = Nanos::from_millis(20);

/// Bytes that SRTP adds to a payload, likeliest first: HMAC-SHA1 of 80 bits, which every endpoint has to have (RFC 4568 section
/// 6.2, RFC 5764 section 4.1.2), of 32 bits, and AES-GCM (RFC 7714).
const SRTP_TAGS: [f64; 3] = [10.0, 4.0, 16.0];

/// What a stream carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Media<'a> {
    /// Encoding name as SDP writes it; empty where it is not known.
    pub codec: &'a str,
    /// Hz.
    pub clock_rate: Option<u32>,
    /// Packet time.
    pub ptime: Option<Nanos>,
    /// Where the payload is encrypted and its size shows the mode of the codec, it is less the trailer. Where that is not
    /// known, the figures are an estimate if they depend on which of the usual tags it is.
    pub srtp: Srtp,
}

/// What a rating needs beyond the numbers of the stream.
#[derive(Clone, Copy, Debug)]
pub struct MosContext<'a> {
    /// One-way network delay; `None` withholds the conversational MOS.
    pub delay: Option<(Nanos, DelaySource)>,
    /// Jitter buffer of the receiver: what it discards counts as lost, and its size is part of the delay. Of a fixed one the
    /// late packets are those of the nearest entry of [`DISCARD_BUFFERS_MS`] (the smaller of two equally near, so as not
    /// to flatter); the size of the adaptive one is its mean.
    pub jitter_buffer: JitterBuffer,
    pub echo: Echo,
    pub wb_roe: WbRoe,
    /// Use the burst ratio on the wideband and fullband scales too. Their text has none, so it is off by default.
    pub burst_ratio_beyond_nb: bool,
    /// Pick Opus figures by the observed bit rate. Off by default: Opus sends less when there is less to hear, so a
    /// muted caller would look like a bad codec.
    pub opus_by_bit_rate: bool,
    pub codecs: &'a CodecTable,
}

impl<'a> MosContext<'a> {
    /// Unknown delay, the adaptive jitter buffer, no echo.
    pub fn new(codecs: &'a CodecTable) -> MosContext<'a> {
        MosContext {
            delay: None,
            jitter_buffer: JitterBuffer::Adaptive,
            echo: Echo::Free,
            wb_roe: WbRoe::Cor1,
            burst_ratio_beyond_nb: false,
            opus_by_bit_rate: false,
            codecs,
        }
    }
}

/// Rates a stream, or one interval of it.
///
/// Loss as the model gets it: lost plus discarded by the jitter buffer, over expected. BurstR: `(L/B)(1 - L/N)` over
/// the runs of lost and discarded packets together, at least 1; G.107 vouches for it up to 2, beyond that only
/// below 2 % loss: elsewhere [`MosReport::beyond_model`] says so. Listening quality is at zero delay. Conversational quality is at
/// `Ta = network + jitter buffer + packet time + look-ahead`; where no packet time was observed it is taken as 20 ms
/// or one frame of the codec. R is at zero delay, on the scale named, and reads 0 where the formula falls below.
///
/// Of several reasons for no MOS the first applies, in the order of [`NullReason`].
pub fn assess(numbers: &StreamStats, media: &Media<'_>, ctx: &MosContext) -> MosReport {
    let measured = match measure(numbers, media, ctx) {
        Ok(measured) => measured,
        Err(reason) => return MosReport { null_reason: Some(reason), ..MosReport::default() },
    };
    let inputs = &measured.inputs;
    let known = MosReport {
        ie: Some(inputs.ie as f32),
        bpl: inputs.bpl.map(|b| b as f32),
        effective_loss_pct: Some(inputs.loss_pct as f32),
        codec_status: Some(measured.status),
        jitter_buffer_ms: Some(measured.buffer_ms),
        jitter_buffer: Some(match ctx.jitter_buffer {
            JitterBuffer::Adaptive => JitterBufferKind::Adaptive,
            JitterBuffer::Fixed(_) => JitterBufferKind::Fixed,
        }),
        ..MosReport::default()
    };
    if numbers.expected < MIN_EXPECTED {
        return MosReport { null_reason: Some(NullReason::TooFewPackets), ..known };
    }
    let Ok(listening) = rate(&undelayed(inputs)) else {
        return MosReport { null_reason: Some(NullReason::CodecWithoutLossRobustness), ..known };
    };
    let conversational = ctx.delay.and_then(|(_, source)| Some((rate(inputs).ok()?, source)));
    MosReport {
        lq: Some(listening.mos as f32),
        cq: conversational.map(|(rating, _)| rating.mos as f32),
        r: Some(listening.r.max(0.0) as f32),
        scale: Some(inputs.scale),
        burst_ratio: Some(inputs.burst_ratio as f32),
        beyond_model: !burst_ratio_is_valid(inputs.burst_ratio, inputs.loss_pct),
        delay_source: conversational.map(|(_, source)| source),
        delay_ms: conversational.map(|_| inputs.delay_ms as f32),
        budget: split(numbers, inputs).map(points),
        ..known
    }
}

/// Listening MOS if all of the loss is the network's, and if only `network` packets of it are: what the capture missed lies
/// between. `None` where one of the two cannot be rated.
pub fn bounds(numbers: &StreamStats, network: u64, media: &Media<'_>, ctx: &MosContext) -> Option<(f32, f32)> {
    let whole = match network.min(numbers.lost()) {
        0 => StreamStats {
            expected: numbers.unique,
            loss_runs: LossRuns::default(),
            burst: BurstGap::default(),
            lost_or_late: BurstGap::default(),
            ..numbers.clone()
        },
        // How bursty that part of the loss was is not known apart from the rest.
        network => StreamStats { unique: numbers.expected - network, ..numbers.clone() },
    };
    let listening = |n: &StreamStats| assess(n, media, ctx).lq;
    Some((listening(numbers)?, listening(&whole)?))
}

/// The numbers of a stream without late packets: where the times of packets are wrong they are not known.
pub fn without_late(numbers: &StreamStats) -> StreamStats {
    StreamStats {
        discarded_adaptive: 0,
        late: Default::default(),
        lost_or_late: BurstGap::default(),
        ..numbers.clone()
    }
}

/// What codec, network loss, late packets and delay cost the same stream, in R points; the delay costs 0 where it
/// is unknown. `None` where [`assess`] gives no rating.
pub fn budget(numbers: &StreamStats, media: &Media<'_>, ctx: &MosContext) -> Option<RBudget> {
    let measured = measure(numbers, media, ctx).ok()?;
    if numbers.expected < MIN_EXPECTED {
        return None;
    }
    split(numbers, &measured.inputs)
}

fn split(numbers: &StreamStats, inputs: &Inputs) -> Option<RBudget> {
    let loss_pct = numbers.loss_pct()?.min(inputs.loss_pct);
    r_budget(&Inputs { loss_pct, ..*inputs }, inputs.loss_pct - loss_pct).ok()
}

fn points(budget: RBudget) -> RPoints {
    let RBudget { clean_max, codec, loss, late, delay, .. } = budget;
    let [clean_max, codec, loss, late, delay] = [clean_max, codec, loss, late, delay].map(|v| v as f32);
    RPoints { clean_max, codec, loss, late, delay }
}

/// What the model gets for a stream.
struct Measured {
    inputs: Inputs,
    status: CodecStatus,
    buffer_ms: u16,
}

fn measure(numbers: &StreamStats, media: &Media<'_>, ctx: &MosContext) -> Result<Measured, NullReason> {
    if numbers.expected == 0 {
        return Err(NullReason::NoMedia);
    }
    let ptime = media.ptime.filter(|p| p.0 > 0);
    let query = CodecQuery { name: media.codec, clock_rate: media.clock_rate, ptime, ..CodecQuery::default() };
    let sized = ctx.opus_by_bit_rate || !media.codec.eq_ignore_ascii_case("opus");
    let trailer = if let Srtp::On { trailer } = media.srtp { trailer } else { None };
    let payload = speech_payload(numbers, trailer.unwrap_or(0)).filter(|_| sized);
    let open = media.srtp == Srtp::On { trailer: None };
    let quality = match figures(&query, payload, open, ctx.codecs) {
        Ok(quality) => quality,
        Err(CodecError::NotAudio(_)) => return Err(NullReason::NotAudio),
        Err(CodecError::NoFigures(_) | CodecError::Unknown { .. }) => return Err(NullReason::UnknownCodec),
    };
    let (discarded, buffer) = match ctx.jitter_buffer {
        JitterBuffer::Adaptive => (numbers.discarded_adaptive, numbers.adaptive_size().unwrap_or(USUAL_BUFFER)),
        JitterBuffer::Fixed(size) => (numbers.late.get(nearest_buffer(size)).copied().unwrap_or(0), size),
    };
    let missing = numbers.lost().saturating_add(discarded).min(numbers.expected);
    let loss_pct = 100.0 * missing as f64 / numbers.expected as f64;
    let burst_ratio = match quality.scale {
        Scale::Wb | Scale::Fb if !ctx.burst_ratio_beyond_nb => 1.0,
        _ => combined_burst_ratio(numbers),
    };
    let ptime = ptime.unwrap_or(USUAL_PTIME.max(quality.frame));
    let delay = ctx.delay.map_or(Nanos::ZERO, |(network, _)| {
        network.max(Nanos::ZERO) + buffer.max(Nanos::ZERO) + ptime + quality.look_ahead
    });
    let inputs = Inputs {
        scale: quality.scale,
        ie: quality.ie,
        bpl: quality.bpl,
        loss_pct,
        burst_ratio,
        delay_ms: delay.as_millis_f64(),
        echo: ctx.echo,
        wb_roe: ctx.wb_roe,
        ..Inputs::default()
    };
    let buffer_ms = match ctx.jitter_buffer {
        JitterBuffer::Adaptive => buffer.as_millis_f64().round() as u16,
        JitterBuffer::Fixed(size) => DISCARD_BUFFERS_MS[nearest_buffer(size)],
    };
    Ok(Measured { inputs, status: quality.status, buffer_ms })
}

/// BurstR of what was lost or discarded; of the lost packets alone where none is known as discarded.
fn combined_burst_ratio(numbers: &StreamStats) -> f64 {
    let combined = numbers.lost_or_late.summary();
    match combined.bad {
        0 => burst_ratio(numbers.lost(), numbers.loss_runs.runs(), numbers.expected),
        bad => burst_ratio(bad, combined.runs, numbers.expected.max(bad)),
    }
}

/// Figures of a codec whose packets have such a mean payload. `tagged`: with a tag of SRTP of unknown length.
fn figures(
    query: &CodecQuery<'_>,
    payload: Option<f64>,
    tagged: bool,
    codecs: &CodecTable,
) -> Result<CodecQuality, CodecError> {
    let Some(payload) = payload.filter(|_| tagged) else {
        return codecs.lookup(&CodecQuery { payload_bytes: payload, ..*query });
    };
    let [mut likeliest, others @ ..] = SRTP_TAGS.map(|tag| {
        let payload_bytes = Some(payload - tag).filter(|bytes| *bytes > 0.0);
        codecs.lookup(&CodecQuery { payload_bytes, ..*query })
    });
    if let Ok(quality) = &mut likeliest
        && others.iter().flatten().any(|other| (other.ie, other.bpl) != (quality.ie, quality.bpl))
    {
        quality.status = CodecStatus::Estimate;
    }
    likeliest
}

/// Index of the entry of [`DISCARD_BUFFERS_MS`] nearest to a buffer size, the smaller of two equally near.
pub fn nearest_buffer(size: Nanos) -> usize {
    let distance = |ms: &u16| (Nanos::from_millis(i64::from(*ms)) - size).abs();
    let nearest = DISCARD_BUFFERS_MS.iter().enumerate().min_by_key(|(_, ms)| distance(ms));
    nearest.map_or(0, |(i, _)| i)
}

/// Mean payload of the packets that are not telephone events (four bytes each, RFC 4733), less the trailer.
fn speech_payload(numbers: &StreamStats, trailer: u8) -> Option<f64> {
    let packets = numbers.packets.saturating_sub(numbers.telephone_events);
    let trailers = u64::from(trailer) * numbers.packets;
    let bytes = numbers.payload_bytes.saturating_sub(4 * numbers.telephone_events + trailers);
    (packets > 0 && bytes > 0).then(|| bytes as f64 / packets as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::codecs::CodecOverride;
    use crate::quality::emodel::mos_from_r;

    /// A stream of `expected` 20 ms PCMU packets, `lost` of them in `runs` runs.
    fn numbers(expected: u64, lost: u64, runs: u32) -> StreamStats {
        let unique = expected - lost;
        let mut n =
            StreamStats { packets: unique, unique, expected, payload_bytes: 160 * unique, ..StreamStats::default() };
        n.loss_runs.counts[0] = runs;
        n
    }

    fn media(codec: &str, clock_rate: Option<u32>, ptime: Option<Nanos>) -> Media<'_> {
        Media { codec, clock_rate, ptime, srtp: Srtp::Off }
    }

    /// With a fixed buffer of 60 ms.
    fn fixed(codecs: &CodecTable) -> MosContext<'_> {
        MosContext { jitter_buffer: JitterBuffer::Fixed(Nanos::from_millis(60)), ..MosContext::new(codecs) }
    }

    fn pcmu(n: &StreamStats, ctx: &MosContext) -> MosReport {
        assess(n, &media("PCMU", Some(8000), Some(Nanos::from_millis(20))), ctx)
    }

    #[test]
    fn a_clean_call_has_the_ceiling() {
        let table = CodecTable::default();
        let report = pcmu(&numbers(1000, 0, 0), &fixed(&table));
        assert_eq!((report.r, report.lq), (Some(93.206_21), Some(4.409_406)));
        assert_eq!(
            (report.scale_name(), report.codec_status_name(), report.null_reason_name()),
            ("nb", "standard", "")
        );
        assert_eq!((report.cq, report.delay_source_name()), (None, ""));
        assert_eq!((report.effective_loss_pct, report.burst_ratio), (Some(0.0), Some(1.0)));
        assert_eq!((report.model_name(), report.jitter_buffer_ms, report.delay_ms), ("G.107", Some(60), None));
    }

    #[test]
    fn what_the_capture_missed_lies_between_the_bounds() {
        let table = CodecTable::default();
        let n = numbers(1000, 50, 40);
        let ctx = fixed(&table);
        let (low, high) = bounds(&n, 0, &media("PCMU", Some(8000), None), &ctx).unwrap();
        assert_eq!((Some(low), high), (pcmu(&n, &ctx).lq, 4.409_406));
        assert_eq!(bounds(&n, 0, &media("G722", Some(8000), None), &ctx), None, "no Bpl: the lower one is not known");
    }

    #[test]
    fn lost_and_late_weigh_alike() {
        let table = CodecTable::default();
        let mut n = numbers(1000, 10, 10);
        n.late = [50, 40, 10, 0, 0, 0, 0];
        let report = pcmu(&n, &fixed(&table));
        assert_eq!(report.effective_loss_pct, Some(2.0));
        assert!((report.r.unwrap() - 86.1951).abs() < 1e-3, "{:?}", report.r);
        let small = MosContext { jitter_buffer: JitterBuffer::Fixed(Nanos::from_millis(50)), ..fixed(&table) };
        assert_eq!(pcmu(&n, &small).effective_loss_pct, Some(5.0));
    }

    #[test]
    fn bursts_cost_more() {
        let table = CodecTable::default();
        let report = pcmu(&numbers(1000, 20, 9), &fixed(&table));
        let ratio = 20.0 / 9.0 * (1.0 - 0.02);
        assert!((report.burst_ratio.unwrap() - ratio as f32).abs() < 1e-6);
        let ie_eff = 95.0 * 2.0 / (2.0 / ratio + 25.1);
        assert!((f64::from(report.r.unwrap()) - (93.206_207_723_3 - ie_eff)).abs() < 1e-4);
    }

    #[test]
    fn conversation_adds_every_delay() {
        let table = CodecTable::default();
        let mut ctx = fixed(&table);
        ctx.delay = Some((Nanos::from_millis(120), DelaySource::Assumed));
        // 120 + 60 + 20 + 0 ms
        let report = pcmu(&numbers(1000, 0, 0), &ctx);
        assert!((report.cq.unwrap() - 4.3429).abs() < 1e-4, "{:?}", report.cq);
        assert_eq!((report.lq, report.delay_source_name()), (Some(4.409_406), "assumed"));
        ctx.echo = Echo::Default;
        assert!((pcmu(&numbers(1000, 0, 0), &ctx).cq.unwrap() - 4.2232).abs() < 1e-4);
        // G.729 looks 5 ms ahead; 115 + 60 + 20 + 5 is 200 again.
        ctx.echo = Echo::Free;
        ctx.delay = Some((Nanos::from_millis(115), DelaySource::Measured));
        let report = assess(&numbers(1000, 0, 0), &media("G729", Some(8000), None), &ctx);
        let r = 93.206_207_723_3 - 10.0 - 3.044_4;
        assert!((f64::from(report.cq.unwrap()) - mos_from_r(Scale::Nb, r)).abs() < 1e-4);
        assert_eq!(report.delay_source_name(), "measured");
    }

    #[test]
    fn loss_and_lateness_never_exceed_everything() {
        let table = CodecTable::default();
        let mut n = numbers(100, 60, 5);
        n.late = [60; 7];
        let report = pcmu(&n, &fixed(&table));
        assert_eq!((report.effective_loss_pct, report.null_reason_name()), (Some(100.0), ""));
    }

    #[test]
    fn packet_size_is_that_of_speech() {
        let table = CodecTable::default();
        let ie = |codec, clock_rate, bytes: u64, events: u64, ctx: &MosContext| {
            let mut n = numbers(500, 0, 0);
            n.telephone_events = events;
            n.payload_bytes = bytes * (500 - events) + 4 * events;
            assess(&n, &media(codec, Some(clock_rate), Some(Nanos::from_millis(20))), ctx).ie
        };
        let mut ctx = fixed(&table);
        assert_eq!(ie("AMR", 8000, 32, 0, &ctx), Some(5.1));
        assert_eq!(ie("AMR", 8000, 27, 250, &ctx), Some(6.1), "digits do not change the mode");
        assert_eq!(ie("opus", 48_000, 40, 0, &ctx), Some(10.2), "a quiet talker is no bad codec");
        ctx.opus_by_bit_rate = true;
        assert_eq!(ie("opus", 48_000, 40, 0, &ctx), Some(30.16));
    }

    #[test]
    fn the_budget_explains_the_rating() {
        let table = CodecTable::default();
        let mut ctx = fixed(&table);
        let mut n = numbers(1000, 20, 9);
        n.late = [30; 7];
        let report = pcmu(&n, &ctx);
        let of = |ctx: &MosContext| budget(&n, &media("PCMU", Some(8000), Some(Nanos::from_millis(20))), ctx).unwrap();
        let silent = of(&ctx);
        assert!((silent.clean_max - silent.total - f64::from(report.r.unwrap())).abs() < 1e-4);
        let on_the_row = report.budget.unwrap();
        let left = on_the_row.clean_max - on_the_row.codec - on_the_row.loss - on_the_row.late;
        assert!((left - report.r.unwrap()).abs() < 1e-3);
        assert!(silent.loss > 0.0 && silent.late > 0.0);
        assert_eq!((silent.codec, silent.delay), (0.0, 0.0));
        ctx.delay = Some((Nanos::from_millis(220), DelaySource::Assumed));
        assert!((of(&ctx).delay - 14.7607).abs() < 1e-4, "220 + 60 + 20 ms");
        assert_eq!(budget(&numbers(24, 0, 0), &media("PCMU", None, None), &ctx), None);
    }

    #[test]
    fn reasons_for_no_rating() {
        let table = CodecTable::default();
        let ctx = fixed(&table);
        let why = |n: &StreamStats, codec| {
            let report = assess(n, &media(codec, None, None), &ctx);
            assert_eq!((report.lq, report.cq, report.r, report.scale_name()), (None, None, None, ""));
            report.null_reason.expect("a reason")
        };
        assert_eq!(why(&StreamStats::default(), "PCMU"), NullReason::NoMedia);
        assert_eq!(why(&numbers(24, 0, 0), "PCMU"), NullReason::TooFewPackets);
        assert_eq!(why(&numbers(500, 0, 0), "speex"), NullReason::UnknownCodec);
        assert_eq!(why(&numbers(500, 0, 0), ""), NullReason::UnknownCodec);
        assert_eq!(why(&numbers(500, 0, 0), "H264"), NullReason::NotAudio);
        assert_eq!(why(&numbers(500, 1, 1), "G722"), NullReason::CodecWithoutLossRobustness);
        assert_eq!(assess(&numbers(500, 0, 0), &media("G722", None, None), &ctx).null_reason, None);
    }

    #[test]
    fn an_outage_reads_zero_not_less() {
        let table = CodecTable::default().with_g711_plc(false);
        let report = pcmu(&numbers(1000, 600, 2), &fixed(&table));
        assert_eq!((report.r, report.lq), (Some(0.0), Some(1.0)));
        let nothing_came = pcmu(&numbers(500, 500, 1), &fixed(&table));
        assert_eq!((nothing_came.effective_loss_pct, nothing_came.null_reason_name()), (Some(100.0), ""));
    }

    #[test]
    fn wideband_leaves_bursts_out_unless_asked() {
        let table = CodecTable::default();
        let mut n = numbers(1000, 20, 5);
        n.payload_bytes = 33 * n.packets;
        let mut ctx = fixed(&table);
        let plain = assess(&n, &media("AMR-WB", Some(16_000), Some(Nanos::from_millis(20))), &ctx);
        assert_eq!((plain.scale_name(), plain.burst_ratio), ("wb", Some(1.0)));
        ctx.burst_ratio_beyond_nb = true;
        let bursty = assess(&n, &media("AMR-WB", Some(16_000), Some(Nanos::from_millis(20))), &ctx);
        assert!(bursty.burst_ratio > Some(3.0) && bursty.r < plain.r);
    }

    #[test]
    fn configured_figures_reach_the_rating() {
        let mine = CodecOverride {
            name: "speex".into(),
            clock_rate: None,
            scale: Scale::Nb,
            ie: 12.0,
            bpl: Some(10.0),
            look_ahead_ms: 10.0,
        };
        let table = CodecTable::default().with_overrides(vec![mine]).unwrap();
        let report = assess(&numbers(500, 0, 0), &media("speex", Some(8000), None), &fixed(&table));
        assert_eq!((report.ie, report.codec_status_name()), (Some(12.0), "estimate"));
        assert!((report.r.unwrap() - 81.2062).abs() < 1e-3);
    }

    #[test]
    fn nearest_buffer_prefers_the_smaller() {
        let ms = |n| DISCARD_BUFFERS_MS[nearest_buffer(Nanos::from_millis(n))];
        assert_eq!((ms(0), ms(50), ms(51), ms(60), ms(125), ms(1000)), (20, 40, 60, 60, 100, 200));
    }

    #[test]
    fn encryption_changes_no_mode() {
        let (off, open, tag) = (Srtp::Off, Srtp::On { trailer: None }, |n| Srtp::On { trailer: Some(n) });
        let rated = |codec, bytes: u64, srtp| {
            let n = StreamStats { payload_bytes: bytes * 500, ..numbers(500, 0, 0) };
            let media = Media { srtp, ..media(codec, None, Some(Nanos::from_millis(20))) };
            let report = assess(&n, &media, &MosContext::new(&CodecTable::default()));
            (report.ie, report.codec_status_name())
        };
        // AMR-WB 14.25: 37 bytes, in SRTP 47, which would be 18.25.
        assert_eq!(rated("AMR-WB", 37, off), (Some(10.0), "standard"));
        assert_eq!(rated("AMR-WB", 47, open), (Some(10.0), "estimate"));
        for bytes in [4, 10, 14, 16] {
            let tagged = rated("AMR-WB", 37 + u64::from(bytes), tag(bytes));
            assert_eq!(tagged, (Some(10.0), "standard"), "known: {bytes}");
        }
        assert_eq!(rated("EVS", 63 + 10, open).0, rated("EVS", 63, off).0);
        // Where the size does not decide the mode the tag does not matter.
        assert_eq!(rated("PCMU", 170, open), rated("PCMU", 160, off));
        assert_eq!(rated("PCMU", 8, open), rated("PCMU", 160, off), "shorter than a tag");
        assert_eq!(rated("PCMU", 8, tag(16)), rated("PCMU", 160, off), "shorter than the tag");
    }

    /// Numbers of which the given ones are lost or discarded by the adaptive buffer, whose mean size is 50 ms.
    fn patterned(expected: u64, lost: &[(u64, u64)], late: &[(u64, u64)]) -> StreamStats {
        let within = |all: &[(u64, u64)], n: u64| all.iter().any(|(from, to)| (*from..*to).contains(&n));
        let lost_packets = (0..expected).filter(|n| within(lost, *n)).count() as u64;
        let mut n = numbers(expected, lost_packets, lost.len() as u32);
        n.discarded_adaptive = (0..expected).filter(|number| within(late, *number)).count() as u64;
        for number in 0..expected {
            match within(lost, number) || within(late, number) {
                true => n.lost_or_late.bad(1),
                false => n.lost_or_late.received(1),
            }
        }
        n.pdv = crate::units::DelayHistogram::from(vec![n.unique as u32]);
        n.adaptive_size_us = 50_000 * n.unique;
        n
    }

    /// What comes in one piece costs the same whether it was lost or too late, and single packets do not make it dearer.
    #[test]
    fn runs_of_late_packets_are_runs() {
        let table = CodecTable::default();
        let ctx = MosContext::new(&table);
        let (lost, late) = (patterned(3_000, &[(100, 340)], &[]), patterned(3_000, &[], &[(100, 340)]));
        let (lost, late) = (pcmu(&lost, &ctx), pcmu(&late, &ctx));
        assert_eq!((lost.r, lost.burst_ratio), (late.r, late.burst_ratio));
        assert!(lost.beyond_model && late.beyond_model, "{:?}", lost.burst_ratio);
        // Ten lost in a run beside 8.5 % late singly: nearly random.
        let singly: Vec<_> = (0..255).map(|i| (11 * i + 110, 11 * i + 111)).collect();
        let report = pcmu(&patterned(3_000, &[(50, 60)], &singly), &ctx);
        assert!(report.burst_ratio.is_some_and(|ratio| ratio < 1.05), "{:?}", report.burst_ratio);
        assert!(!report.beyond_model);
        let lost_alone = burst_ratio(10, 1, 3_000);
        assert!(lost_alone > 9.9, "what it was rated with before");
        // Bursts under 2 % loss are within the model.
        assert!(!pcmu(&patterned(3_000, &[(100, 150)], &[]), &ctx).beyond_model);
    }

    /// The size of the adaptive buffer is part of the delay, and its discards are the late packets.
    #[test]
    fn the_adaptive_buffer_is_the_usual_one() {
        let table = CodecTable::default();
        let ctx =
            MosContext { delay: Some((Nanos::from_millis(100), DelaySource::Measured)), ..MosContext::new(&table) };
        let mut n = patterned(1_000, &[], &[]);
        // Neither fixed buffers' figures nor their sizes count.
        n.late = [900; 7];
        let report = pcmu(&n, &ctx);
        assert_eq!((report.jitter_buffer_name(), report.jitter_buffer_ms), ("adaptive", Some(50)));
        assert_eq!((report.delay_ms, report.effective_loss_pct), (Some(170.0), Some(0.0)));
        n.discarded_adaptive = 20;
        assert_eq!(pcmu(&n, &ctx).effective_loss_pct, Some(2.0));
        let fixed = pcmu(&n, &fixed(&table));
        assert_eq!(
            (fixed.jitter_buffer_name(), fixed.jitter_buffer_ms, fixed.effective_loss_pct),
            ("fixed", Some(60), Some(90.0))
        );
    }
}
