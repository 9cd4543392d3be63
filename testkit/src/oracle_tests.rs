//! The oracle against the shared packet vectors, and against cases small enough to check by hand.

use super::*;
use serde_json::Value;

fn packet(at_us: i64, seq: u16, ts: u32) -> PacketSeen {
    PacketSeen {
        at: at_us * 1_000,
        sent_at: None,
        seq,
        ts,
        pt: 0,
        marker: false,
        kind: Kind::Audio,
        clock: 8000,
        payload_len: 160,
        fingerprint: u64::from(seq),
        cut_short: false,
    }
}

fn vectors() -> Option<Value> {
    let path = crate::shared("reference/rtp_vectors.json")?;
    Some(serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("rtp_vectors.json is JSON"))
}

fn packets_of(case: &Value) -> Vec<PacketSeen> {
    let clock = case["clock_rate"].as_u64().unwrap() as u32;
    let one = |p: &Value| {
        let mut out =
            packet(p["us"].as_i64().unwrap(), p["seq"].as_u64().unwrap() as u16, p["ts"].as_u64().unwrap() as u32);
        out.clock = p["rate"].as_u64().map_or(clock, |r| r as u32);
        out.pt = p["pt"].as_u64().unwrap_or(0) as u8;
        out
    };
    case["packets"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn packet_vectors() {
    let Some(vectors) = vectors() else { return };
    let mut checked = 0;
    for case in vectors["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let list = packets_of(case);
        let seqs: Vec<u16> = list.iter().map(|p| p.seq).collect();
        let set = &case["expect"]["set_based"];
        let want = ["unique", "duplicates", "reordered", "unique_lost"].map(|k| set[k].as_u64().unwrap());
        assert_eq!(<[u64; 4]>::from(set_counts(&seqs)), want, "{name}");
        let Some(steps) = case["expect"]["jitter_after_each"].as_array() else { continue };
        let mut j = 0.0;
        for (i, pair) in list.windows(2).enumerate() {
            // The vectors apply every D, also those a probe leaves out.
            j += (deviation_ms(&pair[0], &pair[1]).abs() - j) / 16.0;
            let want = steps[i + 1]["J_ms"].as_f64().unwrap();
            assert!((j - want).abs() < 2e-6 * f64::max(1.0, want), "{name} packet {}: {j} != {want}", i + 1);
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} jitter steps compared");
}

#[test]
fn restarts_follow_a1() {
    let Some(vectors) = vectors() else { return };
    let mut restarted = 0;
    for case in vectors["cases"].as_array().unwrap() {
        let expect = &case["expect"]["monitor_no_probation"];
        let seqs: Vec<u16> = packets_of(case).iter().map(|p| p.seq).collect();
        let last = places(&seqs).into_iter().flatten().map(|p| p.segment).max().unwrap_or(0);
        assert_eq!(u64::from(last), expect["resyncs"].as_u64().unwrap(), "{}", case["name"]);
        restarted += last;
    }
    assert!(restarted > 0);
}

#[test]
fn burst_vectors() {
    let Some(vectors) = vectors() else { return };
    let cases = vectors["burst_gap"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let bad: Vec<bool> = case["pattern"].as_str().unwrap().chars().map(|c| c != '1').collect();
        let got = burst_gap(&bad, case["gmin"].as_u64().unwrap() as usize);
        let want = |k: &str| case["expect"][k].as_u64().unwrap();
        assert_eq!(
            [got.bursts, got.burst_slots, got.burst_bad, got.gap_slots, got.gap_bad],
            ["bursts", "burst_packets", "burst_bad", "gap_packets", "gap_bad"].map(want),
            "{name}"
        );
        assert!((burst_ratio(&bad) - case["expect"]["burstR_observed"].as_f64().unwrap()).abs() < 1e-6, "{name}");
    }
}

#[test]
fn delay_vectors() {
    let Some(vectors) = vectors() else { return };
    for case in vectors["delay_variation"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let expect = &case["expect"];
        let delays = delays_above_least(&packets_of(case), 0.0);
        let want: Vec<f64> = expect["pdv_ms"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(delays.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "{name}: {delays:?}");
        let got = pdv(&delays);
        for (got, key) in
            [(got.mean, "pdv_mean_ms"), (got.p50, "pdv_p50_ms"), (got.p95, "pdv_p95_ms"), (got.max, "pdv_max_ms")]
        {
            assert!((got - expect[key].as_f64().unwrap()).abs() < 1e-6, "{name} {key}");
        }
        if let Some(flags) = expect["late_jb20_anchor_min"].as_array() {
            let want = flags.iter().filter(|f| f.as_bool() == Some(true)).count() as u64;
            assert_eq!(late(&delays)[0].packets, want, "{name}");
        }
    }
}

#[test]
fn copies_by_origin() {
    let mut list = vec![packet(0, 10, 0), packet(20_000, 11, 160), packet(20_500, 11, 160), packet(25_000, 11, 160)];
    list.push(packet(26_000, 11, 160));
    list[3].fingerprint = 999;
    let n = numbers(&list, 0.0);
    // The last has the fingerprint of the first copy, but came 5.5 ms after it.
    assert_eq!((n.packets, n.unique, n.duplicates_probe, n.duplicates_network), (5, 2, 1, 2));
    assert_eq!((n.expected, n.lost, n.jitter_ms.samples), (2, 0, 1));
}

#[test]
fn restart_is_a_new_segment_and_a_stray_is_set_aside() {
    let list: Vec<PacketSeen> = [65534, 65535, 0, 2, 30000, 3, 40000, 40001, 40003]
        .iter()
        .zip(0..)
        .map(|(s, i)| packet(i * 20_000, *s, i as u32 * 160))
        .collect();
    let n = numbers(&list, 0.0);
    assert_eq!((n.restarts, n.strays, n.unique, n.expected, n.lost), (1, 1, 8, 10, 2));
    assert_eq!(n.loss_run_lengths, [1, 1]);
}

#[test]
fn a_buffer_as_large_as_the_delay_is_enough() {
    let list: Vec<PacketSeen> =
        [0, 20_000, 80_000, 80_001].iter().zip(0..).map(|(at, i)| packet(*at, i, u32::from(i) * 160)).collect();
    let n = numbers(&list, 0.0);
    assert_eq!(n.late.iter().map(|l| l.packets).collect::<Vec<_>>(), [2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(n.pdv_ms.max, 40.0);
}
