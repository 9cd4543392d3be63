//! Round trips of SIP transactions, as scripts of messages (see `script`) and what they must give.

use crate::script::compose;
use auscult_core::model::{Limits, Policy, RoundTrips, Transport};
use auscult_core::signal::{CapturedMessage, Signal, SignalEvent};
use auscult_core::units::Timestamp;
use std::fmt::Write;

/// Both halves of each call, least to most in ms and how many.
fn check(script: &str, expected: &str) {
    check_with(&Limits::default(), Transport::Udp, script, expected);
}

fn check_with(limits: &Limits, transport: Transport, script: &str, expected: &str) {
    let mut signal = Signal::new(&Policy::default(), limits);
    let (mut events, mut last) = (Vec::new(), Timestamp::MIN);
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (time, what) = line.split_once(' ').expect("time and message");
        let (what, cut) = what.strip_suffix(" cut").map_or((what, false), |what| (what, true));
        let at = Timestamp((time.parse::<f64>().expect("seconds") * 1e9).round() as i64);
        last = last.max(at);
        let (src, dst, bytes) = compose(what.trim());
        let message = CapturedMessage { at, src, dst, transport, bytes: &bytes, cut_short: cut };
        signal.message(message, &mut events);
    }
    signal.finish(last, &mut events);
    let mut got = String::new();
    for event in events {
        let SignalEvent::Ended(call) = event else { continue };
        let half = |trips: Option<RoundTrips>| {
            trips.map_or("-".to_owned(), |t| {
                format!("{}..{} of {}", t.min.as_millis_f64(), t.max.as_millis_f64(), t.samples)
            })
        };
        let (caller, callee) = (half(call.sip_rtt_toward_caller), half(call.sip_rtt_toward_callee));
        writeln!(got, "caller {caller}, callee {callee}").expect("text");
    }
    assert_eq!(got.trim_end(), expected, "{script}");
}

#[test]
fn each_half_by_itself() {
    check(
        "0 a>b INVITE\n 0.04 b>a 100\n 1 b>a 180 to=t\n 3 b>a 200 to=t\n 3.1 a>b ACK to=t\n
         5 a>b UPDATE to=t cseq=2\n 5.03 b>a 200/UPDATE to=t cseq=2\n
         6 b>a INFO from=t to=f cseq=9\n 6.007 a>b 200/INFO from=t to=f cseq=9\n
         9 b>a BYE from=t to=f cseq=10\n 9.005 a>b 200/BYE from=t to=f cseq=10",
        "caller 5..7 of 2, callee 30..40 of 2",
    );
}

#[test]
fn a_person_or_a_ringing_phone_is_no_round_trip() {
    check("0 a>b INVITE\n 0.5 b>a 180 to=t\n 3 b>a 200 to=t\n 3.1 a>b ACK to=t", "caller -, callee -");
    check("0 a>b INVITE\n 0.5 b>a 200 to=t", "caller -, callee -");
    check("0 a>b INVITE\n 0.5 b>a 486 to=t", "caller -, callee -");
    // 100 behind another answer came out of order: when it was sent is not known.
    check("0 a>b INVITE\n 0.5 b>a 180 to=t\n 0.6 b>a 100", "caller -, callee -");
    // A transfer target may ask its user; a proxy's 408 is its timer.
    check(
        "0 a>b INVITE\n 1 b>a 200 to=t\n 2 a>b REFER cseq=2 to=t\n 2.1 b>a 202/REFER cseq=2 to=t\n
         3 a>b OPTIONS cseq=3 to=t\n 13 b>a 408/OPTIONS cseq=3 to=t",
        "caller -, callee -",
    );
    // Each INVITE in the dialog by its own 100.
    check(
        "0 a>b INVITE\n 1 b>a 200 to=t\n 2 b>a INVITE from=t to=f cseq=7\n 2.02 a>b 100 from=t to=f cseq=7\n
         2.5 a>b 200 from=t to=f cseq=7",
        "caller 20..20 of 1, callee -",
    );
}

#[test]
fn only_the_first_answer_counts() {
    check(
        "0 a>b INVITE\n 1 b>a 200 to=t\n 2 a>b BYE cseq=2 to=t\n 2.03 b>a 200/BYE cseq=2 to=t\n
         2.6 b>a 200/BYE cseq=2 to=t\n 3 b>a 481/BYE cseq=2 to=t",
        "caller -, callee 30..30 of 1",
    );
    check(
        "0 a>b INVITE\n 1 b>a 200 to=t\n 2 a>b INFO cseq=2 to=t\n 2.02 b>a 183/INFO cseq=2 to=t\n
         2.5 b>a 200/INFO cseq=2 to=t",
        "caller -, callee 20..20 of 1",
    );
}

/// Karn: the answer to a request that was sent twice may be one to either.
#[test]
fn a_request_sent_again_before_its_answer_gives_nothing() {
    check("0 a>b INVITE\n 0.5 a>b INVITE\n 0.54 b>a 100\n 1 b>a 180 to=t", "caller -, callee -");
    // Sent again although the answer had passed the probe: it was lost behind it, and answers the first.
    check(
        "0 a>b INVITE\n 0.04 b>a 100\n 0.5 a>b INVITE\n 0.58 b>a 100\n 1 b>a 180 to=t",
        "caller -, callee 40..40 of 1",
    );
}

#[test]
fn copies_by_the_capture_spoil_nothing() {
    check(
        "0 a>b INVITE\n 0.001 a>b INVITE\n 0.04 b>a 100\n 0.041 b>a 100\n 1 b>a 180 to=t",
        "caller -, callee 40..40 of 1",
    );
}

#[test]
fn an_answer_comes_from_where_the_request_went() {
    check("0 a>b INVITE\n 0.04 c>a 100\n 0.05 b>c 100\n 0.06 a>b 100\n 1 b>a 180 to=t", "caller -, callee -");
    check("0 a>b INVITE branch=x\n 0.04 b>a 100 branch=y\n 1 b>a 180 to=t", "caller -, callee -");
}

/// The probe sits beside a proxy and sees both of its sides.
#[test]
fn of_two_hops_the_one_nearest_to_the_answering_side_counts() {
    check(
        "0 a>p INVITE branch=1\n 0.0001 p>a 100 branch=1\n 0.001 p>b INVITE branch=2 vias=2\n
         0.061 b>p 100 branch=2 vias=2\n 1 b>p 200 to=t branch=2 vias=2\n 1.001 p>a 200 to=t branch=1\n
         5 b>p BYE from=t to=f branch=3\n 5.001 p>a BYE from=t to=f branch=4 vias=2\n
         5.021 a>p 200/BYE from=t to=f branch=4 vias=2\n 5.022 p>b 200/BYE from=t to=f branch=3",
        "caller 20..20 of 1, callee 60..60 of 1",
    );
    // Whichever is answered first.
    check(
        "0 a>p INVITE branch=1\n 0.001 p>b INVITE branch=2 vias=2\n 0.061 b>p 100 branch=2 vias=2\n
         0.2 p>a 100 branch=1\n 1 b>p 200 to=t branch=2 vias=2",
        "caller -, callee 60..60 of 1",
    );
}

/// RFC 3261 section 9.1: CANCEL has branch and CSeq number of its INVITE.
#[test]
fn cancel_is_a_transaction_of_its_own() {
    check(
        "0 a>b INVITE\n 0.04 b>a 100\n 1 b>a 180 to=t\n 5 a>b CANCEL\n 5.03 b>a 200/CANCEL\n 5.2 b>a 487 to=t\n
         5.3 a>b ACK to=t branch=INVITE1f",
        "caller -, callee 30..40 of 2",
    );
    // Given up before any answer: the answer to the one is not taken for an answer to the other.
    check("0 a>b INVITE\n 2 a>b CANCEL\n 2.03 b>a 200/CANCEL\n 2.04 b>a 487 to=t", "caller -, callee 30..30 of 1");
}

#[test]
fn no_time_is_negative_or_longer_than_the_transaction() {
    check("0.5 b>a 100\n 0.6 a>b INVITE\n 1 b>a 180 to=t", "caller -, callee -");
    // Seen later, but older by its stamp.
    check("0.6 a>b INVITE\n 0.5 b>a 100\n 1 b>a 180 to=t", "caller -, callee -");
    // The answer had come before the request in the capture; its repetition is no answer to it.
    check(
        "1 a>b INVITE\n 2 b>a 200 to=t\n 3 b>a 200/BYE cseq=2 to=t\n 3.001 a>b BYE cseq=2 to=t\n
           4 b>a 200/BYE cseq=2 to=t",
        "caller -, callee -",
    );
    let at = |end: &str| {
        format!("0 a>b INVITE\n 1 b>a 200 to=t\n 2 a>b OPTIONS cseq=2 to=t\n {end} b>a 200/OPTIONS cseq=2 to=t")
    };
    check(&at("2"), "caller -, callee 0..0 of 1");
    check(&at("34"), "caller -, callee 32000..32000 of 1");
    check(&at("34.001"), "caller -, callee -");
}

#[test]
fn what_waits_for_an_answer_is_bounded() {
    let script = |open: usize| {
        let mut script = "0 a>b INVITE\n 1 b>a 200 to=t\n".to_owned();
        for n in 0..open {
            writeln!(script, "{} a>b OPTIONS cseq={} to=t", 2.0 + n as f64 / 1000.0, 2 + n).expect("text");
        }
        script + "3 b>a 200/OPTIONS cseq=2 to=t"
    };
    check(&script(16), "caller -, callee 1000..1000 of 1");
    check(&script(17), "caller -, callee -");
    // Identities of messages are not kept beyond a number: a repetition would not be known as one.
    let limits = Limits { messages_per_call: 3, ..Limits::default() };
    let few = "0 a>b INVITE\n 1 b>a 200 to=t\n 2 a>b OPTIONS cseq=2 to=t\n 2.5 b>a 200/OPTIONS cseq=2 to=t";
    check(few, "caller -, callee 500..500 of 1");
    check_with(&limits, Transport::Udp, few, "caller -, callee -");
}

/// A message with a hole in it gets the time the hole was given up, up to 2 s after it passed.
#[test]
fn a_message_with_a_hole_in_tcp_has_no_time() {
    let script = |invite: &str, trying: &str| format!("0 a>b INVITE{invite}\n 0.04 b>a 100{trying}\n 1 b>a 180 to=t");
    let cut = |script: &str, transport, expected| check_with(&Limits::default(), transport, script, expected);
    cut(&script("", ""), Transport::Tcp, "caller -, callee 40..40 of 1");
    cut(&script(" cut", ""), Transport::Tcp, "caller -, callee -");
    cut(&script("", " cut"), Transport::Tcp, "caller -, callee -");
    // A datagram cut by the snap length came when it came.
    cut(&script(" cut", " cut"), Transport::Udp, "caller -, callee 40..40 of 1");
}

#[test]
fn calls_that_began_before_the_capture_have_sides_as_far_as_known() {
    check(
        "0 a>b INFO cseq=3 to=t\n 1 b>a UPDATE from=t to=f cseq=9\n 1.01 a>b 200/UPDATE from=t to=f cseq=9\n
         2 a>b BYE cseq=4 to=t\n 2.04 b>a 200/BYE cseq=4 to=t",
        "caller 40..40 of 1, callee 10..10 of 1",
    );
    // The record takes the asker of the first message for the caller, until an INVITE shows who is.
    check(
        "1 b>a UPDATE from=t to=f cseq=9\n 1.01 a>b 200/UPDATE from=t to=f cseq=9\n 2 b>a PRACK from=t to=f cseq=10\n
         3 a>b INVITE cseq=5\n 3.04 b>a 100 cseq=5\n 3.05 a>b 200/PRACK from=t to=f cseq=10",
        "caller 10..1050 of 2, callee 40..40 of 1",
    );
}
