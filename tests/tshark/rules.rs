//! Why Auscult's figures and tshark's may differ. The first rule that holds explains a difference.

use super::{Case, LISTED, Rule};

pub const HEAD: &str = "\
# Auscult and tshark

Written by `tests/tshark.rs` (`AUSCULT_UPDATE=1`). It compares every RTP stream of the real captures with what
`tshark -q -z rtp,streams` of Wireshark 4.0 says about it, with the heuristics `rtp_udp` and `rtp_stun` on. Where tshark
is installed the test runs it too, over the same captures, the samples and random worlds, by the same rules.

Compared are packets, lost packets, largest delta, largest and mean jitter. A stream that only one of the two lists is a
difference too. `rtp,streams` shows no skew, so skew is not compared. Packets and lost packets must be equal. Times may
differ by 0.001 ms, the mean by 0.002 ms or 0.1 %.

Each difference has a rule below. The test does tshark's sums over the packets that Auscult read. A rule about loss or
jitter holds only if these sums give tshark's figure (the mean to 5 %), except where the rule says otherwise. So the
packets are the same, and the difference is in the arithmetic. A rule that explains nothing any more fails the test.

## Rules

";

pub const RULES: &[Rule] = &[
    Rule {
        name: "too few packets",
        recorded: true,
        says: "tshark lists what looks like RTP where it was told so, here by a TURN server's relay over TCP, from the first \
               packet on. Auscult takes four in sequence for a stream where no session description names the address.",
        holds: |c| c.figure == LISTED && c.theirs.is_some_and(|line| line.packets < 4),
    },
    Rule {
        name: "no clock rate",
        recorded: true,
        says: "A dynamic payload type without SDP, or telephone events alone. Neither knows the clock rate. Auscult says \
               null, tshark 0.",
        holds: |c| jitter(c) && !c.known && theirs(c) == 0.0,
    },
    Rule {
        name: "copies hide loss",
        recorded: true,
        says: "tshark's lost is expected less packets, copies included. Each copy takes one from it, down below 0. \
               Auscult counts copies by themselves: its lost less the copies is tshark's.",
        holds: |c| lost(c) && has(c, "duplicates") && !moved(c) && c.ours - count(c, "duplicates") == theirs(c),
    },
    Rule {
        name: "sent elsewhere",
        recorded: true,
        says: "On hold the sender goes on to another address and comes back. tshark counts the time away as loss. \
               Auscult sees the numbers arrive at the other address: nothing was lost.",
        holds: |c| {
            let there = count(c, "sent_elsewhere") - count(c, "duplicates");
            lost(c) && count(c, "sent_elsewhere") > 0.0 && c.ours + there == theirs(c)
        },
    },
    Rule {
        name: "restart is a gap",
        recorded: false,
        says: "The sender began anew with another sequence number. tshark counts the numbers between as lost. For \
               Auscult that is another sequence (RFC 3550 A.1).",
        holds: |c| lost(c) && has(c, "restarts"),
    },
    Rule {
        name: "ends by arrival",
        recorded: true,
        says: "tshark expects the numbers from the packet that came first to the one that came last. Auscult expects \
               them from the lowest to the highest. They part where the first or last packets came out of order, or where \
               the last is a late copy. Copies count as above.",
        holds: |c| {
            let off = theirs(c) - (c.ours - count(c, "duplicates"));
            let copies = if has(c, "duplicates") { 20.0 } else { 0.0 };
            lost(c) && !moved(c) && off.abs() <= count(c, "reorder_extent").max(copies)
        },
    },
    Rule {
        name: "wrap counted twice",
        recorded: false,
        says: "A packet from before the wrap of the sequence number comes after it. tshark then counts the wrap again: \
               65536 lost.",
        holds: |c| {
            let off = theirs(c) - (c.ours - count(c, "duplicates"));
            lost(c) && has(c, "reordered") && (off - 65_536.0).abs() <= count(c, "reorder_extent")
        },
    },
    Rule {
        name: "timestamps before the first",
        recorded: true,
        says: "tshark measures nothing at timestamps before that of the first packet. When the sender's timestamp jumps \
               back, its jitter, and its largest time between packets, are those of the time before. Auscult begins a new \
               segment and measures on.",
        holds: |c| {
            (jitter(c) || c.figure == "max delta")
                && sums_fit(c)
                && !has(c, "duplicates")
                && c.sums.is_some_and(|s| s.passed_over > 0)
        },
    },
    Rule {
        name: "jump of the timestamp",
        recorded: false,
        says: "The sender's timestamp jumped against the clock, by more than a second (200 ms where neither events nor \
               copies explain it). tshark takes it for jitter. Auscult \
               begins a new segment and keeps the jitter of the old one.",
        holds: |c| {
            let least = if has(c, "telephone_events") || has(c, "duplicates") { 1_000.0 } else { 200.0 };
            jitter(c) && sums_fit(c) && c.sums.is_some_and(|s| s.largest_step > least)
        },
    },
    Rule {
        name: "telephone events",
        recorded: true,
        says: "The packets of an event share one timestamp. tshark leaves them out and takes the first packet after \
               them for late by all of their time. Auscult measures from speech to \
               speech.",
        holds: |c| jitter(c) && sums_fit(c) && has(c, "telephone_events"),
    },
    Rule {
        name: "copies in the jitter",
        recorded: true,
        says: "A copy has the timestamp of the packet before it and comes at another time, so tshark's jitter rises, or \
               falls for copies that follow at once. Auscult leaves copies out.",
        holds: |c| jitter(c) && sums_fit(c) && has(c, "duplicates"),
    },
    Rule {
        name: "comfort noise",
        recorded: true,
        says: "tshark counts the step to and from a comfort noise packet into the running jitter, but leaves those \
               packets out of mean and maximum. Auscult measures between packets of speech only.",
        holds: |c| jitter(c) && sums_fit(c) && has(c, "comfort_noise"),
    },
    Rule {
        name: "several payload types",
        recorded: true,
        says: "tshark keeps one jitter for all payload types of a stream. Auscult keeps one for each and gives that of \
               the type with most packets.",
        holds: |c| jitter(c) && sums_fit(c) && types(c) > 1,
    },
    Rule {
        name: "old type after an offer",
        recorded: false,
        says: "A re-INVITE offers another codec, and the old one is sent until the answer. From the offer on tshark has \
               no clock rate for the old payload type, and takes the first packet of the new one for late by the time \
               between. Here the test cannot do its sums; it allows a figure up to 25 ms higher. Auscult keeps the rate.",
        holds: |c| jitter(c) && types(c) > 1 && theirs(c) > c.ours && theirs(c) - c.ours < 25.0,
    },
    Rule {
        name: "markers left out",
        recorded: true,
        says: "tshark leaves packets with a marker out of mean and maximum. Auscult counts every packet of speech \
               (RFC 3550 A.8).",
        holds: |c| jitter(c) && sums_fit(c) && c.sums.is_some_and(|s| s.left_out > 0),
    },
];

/// What tshark leaves out of its mean weighs by its place in the stream; the mean is repeated as near as this.
const MEAN: f64 = 0.05;

fn lost(c: &Case) -> bool {
    c.figure == "lost" && sums_fit(c)
}

fn jitter(c: &Case) -> bool {
    matches!(c.figure, "max jitter" | "mean jitter")
}

fn moved(c: &Case) -> bool {
    has(c, "restarts") || has(c, "sent_elsewhere")
}

fn count(c: &Case, field: &str) -> f64 {
    c.stream[field].as_f64().unwrap()
}

fn has(c: &Case, field: &str) -> bool {
    count(c, field) > 0.0
}

fn types(c: &Case) -> usize {
    c.stream["payload_types"].as_array().unwrap().len()
}

fn theirs(c: &Case) -> f64 {
    let Some(line) = c.theirs else { return f64::NAN };
    match c.figure {
        "lost" => line.lost as f64,
        "max jitter" => line.max_jitter,
        "mean jitter" => line.mean_jitter,
        "max delta" => line.max_delta,
        _ => f64::NAN,
    }
}

/// Whether tshark's sums over our packets give tshark's figure.
fn sums_fit(c: &Case) -> bool {
    let Some(s) = c.sums else { return false };
    let (sum, tolerance) = match c.figure {
        "lost" => (s.lost as f64, 0.0),
        "max jitter" => (s.max_jitter, 0.001),
        "max delta" => (s.max_delta, 0.001),
        _ => (s.mean_jitter, f64::max(0.002, MEAN * theirs(c))),
    };
    !c.exact || (sum - theirs(c)).abs() <= tolerance
}
