//! Records of the engine, through the store's own rows, to the JSON a page gets.

use crate::samples;
use crate::world::World;
use auscult_core::model::{CallRecord, CallUid, StreamId};
use auscult_core::units::Timestamp;
use auscult_store::rows::{CallRow, IntervalRow, RtcpRow, SipMessageRow, StreamRow};
use serde_json::{Value, json};

/// Far enough ahead that no row expires while the test looks.
const STORED: Timestamp = Timestamp::from_secs(4_102_444_800);

#[tokio::test]
async fn facts_read_back_as_they_were_stated() {
    let Some(world) = World::new("facts").await else { return };
    let labels = samples::labels();
    let stream = samples::stream(11);
    let mut interval = samples::interval(11, 10);
    interval.call_uid = Some(CallUid(77));
    let call = CallRecord { streams: vec![StreamId(11)], ..samples::call(77) };
    world.store("calls", &CallRow::new(&call, &labels, STORED)).await;
    world.store("streams", &StreamRow::new(&stream, &labels, STORED)).await;
    world.store("stream_intervals", &IntervalRow::new(&interval, &labels, STORED)).await;
    world.store("sip_messages", &SipMessageRow::new(&samples::sip(1), &labels, STORED)).await;
    world.store("rtcp_reports", &RtcpRow::new(&samples::rtcp(5), &labels, STORED)).await;
    let detail = world.get("/api/v1/calls/000000000000004d").await;

    let expect = |path: &str, expected: Value| assert_eq!(detail.pointer(path), Some(&expected), "{path}");
    expect("/call/caller/user", json!("+4930123"));
    expect("/call/caller/name", json!("\"+4930123\" \u{1F600}\u{2400}'\\"));
    expect("/call/state", json!("completed"));
    expect("/call/class", json!("fair"));
    expect("/call/signalling_src", json!("192.0.2.1:5060"));
    expect("/call/signalling_dst", json!("[2001:db8::5]:5061"));
    expect("/call/invite_at", json!(samples::at(0).to_rfc3339()));
    expect("/call/pdd_ms", json!(1000.0));
    expect("/call/duration_ms", json!(6000.0));
    expect("/call/released_by", json!("callee"));
    expect("/call/mos_worst", json!(3.25));
    expect("/call/pdv_p95_worst_ms", json!(12.5));
    expect("/call/loss_pct_worst", Value::Null);
    expect("/call/diagnosis", json!("bursty_loss"));
    expect("/call/diagnoses/0/evidence", json!("12 lost in one run"));
    expect("/call/codecs", json!(["PCMA"]));
    expect("/call/trunk", json!("carrier"));
    expect("/streams/0/id", json!("000000000000000b"));
    expect("/streams/0/call", json!("000000000000004d"));
    expect("/streams/0/ssrc", json!("0xdeadbeef"));
    expect("/streams/0/src", json!("192.0.2.7:16384"));
    expect("/streams/0/lost", json!(50));
    expect("/streams/0/loss_runs", json!({"1": 2, "3": 1, "10-19": 1, "500+": 1}));
    expect("/streams/0/longest_loss_run", json!(700));
    expect("/streams/0/jitter_ms", json!({"last": 1.5, "mean": 2.0, "max": 2.5}));
    expect("/streams/0/payload_types/0", json!(8));
    expect("/streams/0/packets_by_payload_type/8", json!(980));
    expect("/streams/0/clock_source", json!("static"));
    expect("/streams/0/r", Value::Null);
    expect("/streams/0/mos/lq", json!(4.1));
    expect("/streams/0/mos/cq", Value::Null);
    expect("/streams/0/quality/loss_source", json!("suspected_capture"));
    expect("/streams/0/quality/timestamp_resolution_ns", json!(1000));
    expect("/streams/0/quality/timestamp_source", json!("adapter"));
    expect(
        "/call/quality",
        json!({
            "capture_drops": 3, "duplicates_removed": 7, "one_sided": true, "snap_cut": true, "started_mid_call": true,
            "shed": true, "clock_steps": 1, "timestamp_source": "adapter", "timestamp_resolution_ns": 1000,
            "timestamp_fault": "clumped", "timestamp_error_ms": 2.5, "sampled_one_of": 4.5,
            "loss_source": "network", "loss_evidence": "many_streams_at_once",
            "loss_attribution": {"capture": 3, "network": 1, "undecided": 2,
                "evidence": {"many_streams_at_once": 3, "receiver_lost_them": 1}},
        }),
    );
    expect("/call/mos_worst_interval", json!({"lq": 2.5, "scale": "nb"}));
    expect("/call/mos_worst_minute", json!({"lq": 2.875, "scale": "wb"}));
    expect(
        "/call/sip_rtt_ms",
        json!({"toward_caller": {"samples": 1, "min": 1.25, "max": 1.25}, "toward_callee": {"samples": 2, "min": 37.5, "max": 48.0}}),
    );
    // Bursts of 6 packets with 3 lost and of 13 with 8 lost, a single loss between: of 990 packets, 12 lost in 4 runs.
    let shared = |expect: &dyn Fn(&str, Value)| {
        expect("/bursts/count", json!(2));
        expect("/bursts/density_pct", json!(100.0 * 11.0 / 19.0));
        expect("/bursts/gap_density_pct", json!(100.0 / 971.0));
        expect("/bursts/duration_ms", json!(190.0));
        expect("/bursts/gap_duration_a2_ms", json!(9710.0));
        expect("/bursts/mean_loss_run", json!(2.4));
        // Bursts of 8 packets with 5 bad and of 15 with 10, one bad between: of 990, 16 bad.
        expect("/bursts_lost_or_late/buffer_ms", json!(80));
        expect("/bursts_lost_or_late/count", json!(2));
        expect("/bursts_lost_or_late/density_pct", json!(100.0 * 15.0 / 23.0));
        expect("/bursts_lost_or_late/gap_density_pct", json!(100.0 / 967.0));
        expect("/bursts_lost_or_late/duration_ms", json!(230.0));
        expect("/bursts_lost_or_late/gap_duration_a2_ms", json!(9670.0));
        expect("/concealed_seconds", json!(16));
        expect("/severely_concealed_seconds", json!(17));
        expect("/ipdv_ms", json!({"mean": 1.5, "max": 4.25, "samples": 4}));
        expect("/mapdv2_ms", json!(3.5));
        let parts = json!({"above_ms": 3.0, "above_samples": 3, "below_ms": 0.5, "below_samples": 2});
        expect("/mapdv2_parts", parts);
        expect("/late_pct/20", json!(35.0));
        expect("/discarded_adaptive_pct", json!(2.5));
        expect("/max_delta_ms", json!(120.0));
        expect("/max_skew_ms", json!(-7.5));
        expect("/digits", json!(3));
        expect("/talkspurts", json!(18));
        expect("/silence_ms", json!(2500.5));
        expect("/r_budget", json!({"clean_max": 128.75, "codec": 11.0, "loss": 9.5, "late": 3.25, "delay": 1.5}));
    };
    shared(&|path, expected| expect(&format!("/streams/0{path}"), expected));
    shared(&|path, expected| expect(&format!("/intervals/000000000000000b/0{path}"), expected));
    expect("/streams/0/mos/bounds", json!([3.5, 4.25]));
    expect("/streams/0/mos/worst_minute", json!(3.125));
    expect("/streams/0/mos/model", json!("G.107.1"));
    expect("/streams/0/mos/delay_ms", json!(131.5));
    expect("/streams/0/mos/jitter_buffer_ms", json!(60));
    expect("/streams/0/quality/loss_evidence", json!("many_streams_at_once"));
    let attribution = json!({"capture": 3, "network": 1, "undecided": 2,
        "evidence": {"many_streams_at_once": 3, "receiver_lost_them": 1}});
    expect("/streams/0/quality/loss_attribution", attribution.clone());
    expect("/intervals/000000000000000b/0/loss_attribution", attribution);
    expect("/streams/0/strays", json!(8));
    expect("/streams/0/telephone_events", json!(12));
    expect("/streams/0/remote/lost", json!(-6));
    expect("/streams/0/remote/jitter_max_ms", json!(8.5));
    expect("/streams/0/remote/lost_behind_probe", json!(-4));
    expect("/streams/0/remote/loss_side", json!("capture"));
    expect("/intervals/000000000000000b/0/mos_bounds", json!([3.5, 4.25]));
    expect("/intervals/000000000000000b/0/effective_loss_pct", json!(2.5));
    expect("/intervals/000000000000000b/0/clock_steps", json!(1));
    expect("/intervals/000000000000000b/0/started_mid_call", json!(true));
    expect("/intervals/000000000000000b/0/timestamp_source", json!("adapter"));
    expect("/intervals/000000000000000b/0/timestamp_resolution_ns", json!(1000));
    for row in ["/streams/0/quality", "/intervals/000000000000000b/0"] {
        expect(&format!("{row}/timestamp_fault"), json!("clumped"));
        expect(&format!("{row}/timestamp_error_ms"), json!(2.5));
        expect(&format!("{row}/sampled_one_of"), json!(4.5));
    }
    expect("/intervals/000000000000000b/0/loss_evidence", json!("many_streams_at_once"));
    for (path, histogram) in
        [("/streams/0", &stream.numbers.pdv), ("/intervals/000000000000000b/0", &interval.numbers.pdv)]
    {
        let read = detail.pointer(&format!("{path}/delay_variation_ms/p95")).and_then(Value::as_f64);
        let stated = histogram.quantile(0.95).map(|d| d.as_millis_f64() as f32);
        assert_eq!(read.map(|v| v as f32), stated, "{path}");
    }
    expect("/intervals/000000000000000b/0/start_at", json!(interval.start.to_rfc3339()));
    expect("/intervals/000000000000000b/0/unique", json!(990));
    expect("/intervals/000000000000000b/0/reorder_extent", json!(interval.numbers.reorder_extent));
    expect("/intervals/000000000000000b/0/drift_ppm", json!(-12.5));
    expect("/ladder/0/direction", json!("response"));
    expect("/ladder/0/status", json!(183));
    expect("/ladder/0/sdp", json!("v=0\u{240d}\n"));
    expect("/rtcp/0/kind", json!("vq_report"));
    expect("/rtcp/0/stream", json!("000000000000000b"));
    expect("/rtcp/0/fraction_lost_pct", json!(25.0));
    expect("/rtcp/0/cumulative_lost", json!(-3));
    expect("/rtcp/0/jitter_ms", json!(6.875));
    expect("/rtcp/0/voip/loss_pct", json!(12.5));
    expect("/rtcp/0/voip/r", json!(88));
    expect("/rtcp/0/voip/burst_density_pct", json!(25.0));
    expect("/rtcp/0/voip/gap_density_pct", json!(3.125));
    expect("/rtcp/0/voip/gmin", json!(16));
    expect("/rtcp/0/voip/signal_dbm", json!(-18));
    expect("/rtcp/0/voip/noise_dbm", json!(-60));
    expect("/rtcp/0/voip/rerl_db", json!(55));
    expect("/rtcp/0/voip/external_r", Value::Null);
    expect("/rtcp/0/voip/rx_config", json!(0xe4));
    expect("/rtcp/0/voip/jb_maximum_ms", json!(120));
    expect("/rtcp/0/voip/jb_absolute_maximum_ms", json!(200));
    expect("/rtcp/0/voip/mos_cq", Value::Null);
    let time = |at: i64| json!(Timestamp::to_rfc3339(samples::at(at)));
    expect(
        "/rtcp/0/vq",
        json!({
            "side": "remote", "start_at": time(1), "stop_at": time(2), "one_way_delay_ms": 31, "symmetric_one_way_delay_ms": 33,
            "interarrival_jitter_ms": 4.5, "mean_absolute_jitter_ms": 6.5, "r_cq": 86, "external_r_out": 79,
            "described": {"Report": "VQIntervalReport", "PD": "PCMA"},
        }),
    );
    expect("/rtcp/0/implausible", json!("loss above 100 %"));
    expect("/truncated", json!(false));

    let stats = world.get("/api/v1/stats?group_by=codec,site&address=::/0").await;
    assert_eq!(stats["groups"][0]["key"], json!({"codec": "opus", "site": "berlin"}));
    assert_eq!(stats["groups"][0]["mos"][0]["scale"], "wb");
    assert_eq!(stats["groups"][0]["calls"], 1);
    assert_eq!(stats["groups"][0]["late_pct"]["200"], 5.0);
    assert_eq!(stats["groups"][0]["buffer_ms_for_0_5_pct"], Value::Null);
}
