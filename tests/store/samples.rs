//! Records with every field filled, each with another value.

use auscult_core::model::burst::BurstGap;
use auscult_core::model::*;
use auscult_core::units::*;
use std::net::SocketAddr;

pub fn labels() -> Labels {
    let trunks = vec![("192.0.2.0/24".parse().unwrap(), "carrier".to_owned())];
    Labels { probe: "p1".to_owned(), site: "berlin".to_owned(), trunks }
}

pub fn at(ns: i64) -> Timestamp {
    Timestamp(1_790_000_000_123_456_789 + ns)
}

fn side(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn call(uid: u64) -> CallRecord {
    let party = |n: &str| Party {
        uri: format!("{n}@example.org"),
        user: n.to_owned(),
        display_name: format!("\"{n}\" \u{1F600}\0'\\"),
        user_agent: format!("agent {n}"),
    };
    CallRecord {
        uid: CallUid(uid),
        call_id: format!("call-{uid}@192.0.2.1").into(),
        caller: party("+4930123"),
        callee: party("alice"),
        state: CallState::Completed,
        final_code: 200,
        final_reason: "OK".to_owned(),
        transport: Transport::Tcp,
        signalling_src: Some(side("192.0.2.1:5060")),
        signalling_dst: Some(side("[2001:db8::5]:5061")),
        first_at: at(0),
        last_at: at(9_000_000_001),
        invite_at: Some(at(0)),
        ringing_at: Some(at(1_000_000_000)),
        answered_at: Some(at(2_000_000_000)),
        ended_at: Some(at(8_000_000_000)),
        released_by: Some(ReleasedBy::Callee),
        bye_answered_at: Some(at(8_000_000_042)),
        reinvites: 1,
        auth_rounds: 2,
        retry_of: Some(CallUid(u64::MAX - 3)),
        auth_wait: Nanos::ZERO,
        unanswered: false,
        undelivered: None,
        mos_worst_minute_at: Some(at(3_000_000_000)),
        retransmissions: 3,
        messages: 14,
        messages_dropped: 5,
        branches: 6,
        acked: true,
        started_mid_call: true,
        evicted: true,
        release_reason: "Q.850;cause=16".to_owned(),
        streams: vec![StreamId(11), StreamId(u64::MAX)],
        mos_worst: Some(3.25),
        mos_worst_scale: Some(Scale::Nb),
        pdv_p95_worst: Some(Nanos::from_micros(12_500)),
        loss_pct_worst: Some(f32::NAN),
        directions_seen: 2,
        quality: Quality { capture_drops: 3, loss_source: LossSource::Network, ..quality() },
        diagnoses: vec![
            Diagnosis { code: DiagnosisCode::BurstyLoss, confidence: 0.75, evidence: "12 lost in one run".to_owned() },
            Diagnosis { code: DiagnosisCode::MissingAck, confidence: 0.5, evidence: String::new() },
        ],
        mos_worst_interval: Some(RatedMos { lq: 2.5, scale: Scale::Nb }),
        mos_worst_minute: Some(RatedMos { lq: 2.875, scale: Scale::Wb }),
        sip_rtt_toward_caller: Some(RoundTrips::of(Nanos::from_micros(1_250))),
        sip_rtt_toward_callee: Some(RoundTrips::of(Nanos::from_millis(48)).and(Nanos::from_micros(37_500))),
    }
}

fn numbers(seed: u64) -> StreamStats {
    let mut pdv = DelayHistogram::default();
    for k in 0..200 {
        pdv.record(Nanos(((seed * 7919 + k * k * 13_331) % 90_000_000) as i64));
    }
    let mut loss_runs = LossRuns::default();
    for length in [1, 1, 3, 12, 700] {
        loss_runs.record(length);
    }
    // Two bursts, one at the end, and a single loss between.
    let mut burst = BurstGap::default();
    for (received, lost) in [(30, 2), (3, 1), (40, 1), (900, 4), (5, 4)] {
        burst.received(received);
        burst.bad(lost);
    }
    // Late packets join both ends of the bursts.
    let mut lost_or_late = BurstGap::default();
    for (received, bad) in [(28, 4), (3, 1), (40, 1), (898, 6), (5, 4)] {
        lost_or_late.received(received);
        lost_or_late.bad(bad);
    }
    StreamStats {
        packets: 1001,
        unique: 990,
        expected: 1040,
        duplicates_probe: 7,
        duplicates_network: 4,
        reordered: 9,
        reorder_extent: 3,
        restarts: 2,
        strays: 8,
        loss_runs,
        jitter: JitterStat { last_ns: 1_500_000.0, sum_ns: 4_000_000.0, samples: 2, max_ns: 2_500_000.0 },
        pdv,
        pdv_max: Nanos::from_millis(91),
        late: [70, 60, 50, 40, 30, 20, 10],
        max_gap: Nanos::from_millis(140),
        payload_bytes: 160_000,
        telephone_events: 12,
        comfort_noise: 13,
        markers: 14,
        cut_short: 15,
        burst,
        lost_or_late,
        concealed_seconds: 16,
        severely_concealed_seconds: 17,
        variation: DelayVariation {
            ipdv_sum_ns: 6_000_000,
            ipdv_samples: 4,
            ipdv_max_ns: 4_250_000.0,
            above_sum_ns: 9_000_000,
            above_samples: 3,
            below_sum_ns: 1_000_000,
            below_samples: 2,
            skew_max_ns: -7_500_000.0,
        },
        discarded_adaptive: 5,
        adaptive_size_us: 42_000,
        base_rise: Nanos::from_millis(120),
        base_fall: Nanos::from_millis(30),
        base_steps: 2,
        max_delta: Nanos::from_millis(120),
        digits: 3,
        talkspurts: 18,
        silence: Nanos::from_micros(2_500_500),
        clock_steps: 1,
    }
}

fn mos() -> MosReport {
    MosReport {
        lq: Some(4.1),
        cq: None,
        r: Some(f32::INFINITY),
        scale: Some(Scale::Wb),
        ie: Some(11.0),
        bpl: Some(19.0),
        burst_ratio: Some(1.5),
        effective_loss_pct: Some(2.5),
        codec_status: Some(CodecStatus::Standard),
        delay_source: Some(DelaySource::Measured),
        null_reason: Some(NullReason::TooFewPackets),
        delay_ms: Some(131.5),
        jitter_buffer_ms: Some(60),
        jitter_buffer: Some(JitterBufferKind::Fixed),
        beyond_model: true,
        budget: Some(RPoints { clean_max: 128.75, codec: 11.0, loss: 9.5, late: 3.25, delay: 1.5 }),
        bounds: Some((3.5, 4.25)),
    }
}

fn quality() -> Quality {
    Quality {
        capture_drops: 21,
        duplicates_removed: 7,
        one_sided: true,
        snap_cut: true,
        started_mid_call: true,
        evicted: true,
        clock_steps: 1,
        timestamp_source: TimestampSource::Adapter,
        timestamp_resolution_ns: 1000,
        loss_source: LossSource::SuspectedCapture,
        loss_evidence: Some(LossEvidence::ManyStreamsAtOnce),
        loss: LossAttribution { capture: 3, network: 1, undecided: 2, by_evidence: [0, 0, 1, 3, 0, 0] },
        timestamps: Some(TimestampCheck { fault: TimestampFault::Clumped, error: Nanos::from_micros(2_500) }),
        sampled_one_of: Some(4.5),
    }
}

pub fn stream(id: u64) -> StreamReport {
    StreamReport {
        id: StreamId(id),
        src: side("192.0.2.7:16384"),
        dst: side("10.1.2.3:20000"),
        ssrc: Ssrc(0xdead_beef),
        call_uid: Some(CallUid(77)),
        call_id: "call-77".into(),
        codec: "PCMA".into(),
        clock_rate: Some(8000),
        clock_source: Some(ClockSource::Static),
        clock_rate_signalled: Some(16_000),
        payload_types: vec![(PayloadType(8), 980), (PayloadType(101), 21)],
        ptime: Some(Nanos::from_millis(20)),
        first_at: at(5),
        last_at: at(20_000_000_005),
        numbers: numbers(id),
        late_buffer_ms: 80,
        drift_ppm: Some(-12.5),
        dscp: 46,
        dscp_changes: 1,
        ttl_min: 57,
        ttl_max: 64,
        vlan: 100,
        tunnel: Some(Tunnel::Gre),
        rtt: Some(Nanos::from_millis(38)),
        mos: mos(),
        mos_worst_interval: Some(2.75),
        quality: quality(),
        redirected: 6,
        mos_worst_minute: Some(3.125),
        mos_worst_minute_at: Some(at(4_000_000_000)),
        remote: Some(RemoteView {
            reports: 7,
            expected: 980,
            lost: -6,
            loss_pct: 0.5,
            jitter_last: Some(Nanos::from_micros(1250)),
            jitter_max: Some(Nanos::from_micros(8500)),
            lost_before_probe: 41,
            lost_behind_probe: -4,
            side: LossSide::Capture,
        }),
        relation: None,
    }
}

pub fn interval(id: u64, start_s: i64) -> IntervalReport {
    IntervalReport {
        stream: StreamId(id),
        src: side("10.1.2.3:20000"),
        dst: side("192.0.2.7:16384"),
        ssrc: Ssrc(1),
        call_uid: None,
        call_id: Default::default(),
        start: Timestamp::from_secs(1_790_000_000 + start_s),
        length: Nanos::from_secs(10),
        codec: "opus".into(),
        clock_rate: Some(48_000),
        ptime: Some(Nanos::from_millis(20)),
        drift_ppm: Some(-12.5),
        late_buffer_ms: 80,
        numbers: numbers(id.wrapping_mul(31).wrapping_add(start_s as u64) % 1_000_003),
        mos: mos(),
        quality: quality(),
    }
}

pub fn sip(cseq: u32) -> SipMessageRecord {
    SipMessageRecord {
        at: at(i64::from(cseq)),
        call_uid: CallUid(77),
        call_id: "call-77".into(),
        src: side("192.0.2.1:5060"),
        dst: side("[2001:db8::5]:5061"),
        transport: Transport::Udp,
        direction: SipDirection::Response,
        method: "INVITE".to_owned(),
        status: 183,
        reason: "Session Progress".to_owned(),
        cseq,
        retransmission: true,
        headers: "SIP/2.0 183 Session Progress\r\nVia: x\r\n".to_owned(),
        sdp: "v=0\r\n".to_owned(),
        cut_short: true,
    }
}

pub fn rtcp(ssrc: u32) -> RtcpRecord {
    RtcpRecord {
        at: at(3),
        src: side("192.0.2.7:16385"),
        dst: side("10.1.2.3:20001"),
        kind: RtcpKind::VqReport,
        reporter: Ssrc(ssrc),
        call_uid: Some(CallUid(77)),
        stream: Some(StreamId(11)),
        ntp: Some(NtpTime(0xb44d_b705_2000_0000)),
        rtp_timestamp: Some(4),
        sent_packets: Some(5),
        sent_octets: Some(6),
        block: Some(ReportBlock {
            ssrc: Ssrc(9),
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_seq: 70_000,
            jitter_ticks: 55,
            last_sr: 1,
            delay_since_last_sr: 2,
        }),
        voip: Some(VoipMetrics {
            ssrc: Ssrc(9),
            loss_pct: Some(12.5),
            discard_pct: Some(6.25),
            burst_ms: Some(120),
            gap_ms: Some(4000),
            round_trip_ms: Some(40),
            end_system_ms: None,
            r: Some(88),
            mos_lq: Some(4.2),
            mos_cq: Some(f32::NAN),
            burst_density_pct: Some(25.0),
            gap_density_pct: Some(3.125),
            gmin: Some(16),
            signal_dbm: Some(-18),
            noise_dbm: Some(-60),
            residual_echo_return_loss_db: Some(55),
            rx_config: Some(0xe4),
            jitter_buffer_nominal_ms: Some(60),
            jitter_buffer_maximum_ms: Some(120),
            jitter_buffer_absolute_maximum_ms: Some(200),
            ..VoipMetrics::default()
        }),
        vq: Some(Box::new(VqMeasured {
            side: VqSide::Remote,
            start: Some(at(1)),
            stop: Some(at(2)),
            one_way_delay_ms: Some(31),
            symmetric_one_way_delay_ms: Some(33),
            interarrival_jitter_ms: Some(4.5),
            mean_absolute_jitter_ms: Some(6.5),
            r_cq: Some(86),
            external_r_out: Some(79),
            described: vec![("Report", "VQIntervalReport".to_owned()), ("PD", "PCMA".to_owned())],
        })),
        rtt_probe_reporter: Some(Nanos::from_micros(1500)),
        implausible: "loss above 100 %".to_owned(),
    }
}

pub fn capture(start_s: i64) -> CaptureInterval {
    let mut outcomes = OutcomeCounts::default();
    outcomes.add(Outcome::Media, 900);
    outcomes.add(Outcome::Ignored(Ignored::Stun), 3);
    outcomes.add(Outcome::Malformed(Layer::Sip), 2);
    CaptureInterval {
        start: Timestamp::from_secs(1_790_000_000 + start_s),
        length: Nanos::from_secs(10),
        interface: "eth0".to_owned(),
        frames: 905,
        bytes: 190_000,
        dropped_ring: 1,
        dropped_interface: 2,
        dropped_queue: 3,
        outcomes,
        shedding: Shedding { streams_shed: 4, streams_refused: 5, calls_shed: 6, calls_refused: 7 },
        condition: CaptureCondition {
            loss_floor: Some(LossFloor { low: 0.001, high: 0.02, reported: true }),
            blackout: Nanos::from_millis(1_250),
            timestamps: Some(TimestampCheck { fault: TimestampFault::Coarse, error: Nanos::from_millis(10) }),
            timestamp_granularity_ns: Some(10_000_000),
            clock_steps: 2,
            streams: 40,
            one_sided_streams: 30,
            copies: 12,
            sampled_one_of: Some(2.5),
        },
    }
}

/// A sum over streams with something in every figure; of another interval for each `n`.
pub fn media_group(n: u64) -> MediaGroup {
    let counts = |most: u16| (0..most).map(|at| (u32::from(at), u64::from(at) + n)).collect::<Presence>();
    let mut histogram = DelayHistogram::default();
    (0..BUCKETS).for_each(|bucket| histogram.add(bucket, 7 + bucket as u32));
    MediaGroup {
        start: Timestamp::from_secs(1_790_000_000 + 10 * n as i64),
        length: Nanos::from_secs(10),
        trunk: GroupTrunk { name: "carrier".into(), direction: Some(TrunkDirection::From) },
        codec: "PCMA".into(),
        mos_scale: Some(Scale::Nb),
        part: GroupPart { since: at(3), number: n },
        figures: MediaFigures {
            streams: 1,
            streams_begun: 2,
            present_before: counts(2),
            present_before_codec: counts(3),
            present_before_scale: counts(4),
            present_before_codec_scale: counts(5),
            packets: 3,
            unique: 4,
            expected: 5,
            lost_network: 6,
            lost_capture: 7,
            lost_suspected_capture: 8,
            reordered: 9,
            duplicates_probe: 10,
            duplicates_network: 11,
            payload_bytes: 12,
            late: [1, 2, 3, 4, 5, 6, 7],
            loss_runs: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
            longest_loss_run: 600,
            pdv: histogram.clone(),
            pdv_max: Nanos::from_millis(4_500),
            jitter: histogram,
            jitter_max_ns: 5e6,
            mos: (100..200).map(|mos| (mos, u64::from(mos))).collect(),
            mos_under_3_6: 13,
            mos_under_3_1: 14,
            concealed_seconds: 15,
            severely_concealed_seconds: 16,
            r_rated: 17,
            r_clean_max_milli: 93_200,
            r_cost_codec_milli: 18,
            r_cost_loss_milli: 19,
            r_cost_late_milli: -20,
            r_cost_delay_milli: 21,
            one_sided: 22,
            capture_drops: 23,
        },
    }
}

/// A sum over calls with something in every figure; of another interval for each `n`.
pub fn call_group(n: u64) -> CallGroup {
    let spans = |from: u8| SpanHistogram((from..from + 30).map(|bucket| (bucket, n + u64::from(bucket))).collect());
    CallGroup {
        start: Timestamp::from_secs(1_790_000_000 + 10 * n as i64),
        length: Nanos::from_secs(10),
        trunk: GroupTrunk { name: "carrier".into(), direction: Some(TrunkDirection::Toward) },
        part: GroupPart { since: at(3), number: n },
        figures: CallFigures {
            attempts: 30,
            answers: 20,
            final_codes: [(0, 1), (200, 20), (486, 9)].into(),
            cancelled: 2,
            setup_timeouts: 3,
            pdd: spans(80),
            setup: spans(90),
            srd_failed: spans(100),
            ended: 4,
            classes: [("good", 3), ("poor", 1)].into(),
            diagnoses: [("random_loss", 1)].into(),
            completed: 5,
            short: 6,
            duration: spans(110),
            sdd: spans(60),
            up_ms: -7,
            up_max: 8,
        },
    }
}

/// An evaluation with something in every figure; of another time for each `n`.
pub fn alert(n: u64) -> AlertRecord {
    AlertRecord {
        at: Timestamp::from_secs(1_790_000_000 + 60 * n as i64),
        fingerprint: 0xfeed_0000_0000_0000 + n,
        rule: "trunk_loss".to_owned(),
        rule_hash: "00ff".to_owned(),
        severity: "critical".to_owned(),
        group: vec![("trunk".to_owned(), format!("carrier-{n}")), ("codec".to_owned(), String::new())],
        state: "firing",
        previous: "pending",
        judgement: "firing",
        measure: "network_loss_pct".to_owned(),
        unit: "%".to_owned(),
        fired_at: Some(at(3)),
        from: at(1),
        until: at(2),
        value: Some(7.5),
        low: Some(5.5),
        high: Some(9.5),
        limit: Some(5.0),
        samples: 80,
        sample_unit: "streams".to_owned(),
        capture_loss_pct: 0.25,
        baseline: Some(1.5),
        baseline_spread: Some(0.5),
        peak: Some(9.0),
        inhibited_by: "site_loss".to_owned(),
        silenced_by: "s1".to_owned(),
        error: "none".to_owned(),
        summary: "Packet loss".to_owned(),
        worst_calls: vec![CallUid(n + 1), CallUid(n + 2)],
    }
}
