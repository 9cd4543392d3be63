//! Call flows, each as a script of messages and the events it must give.

use crate::script::{check, check_with, compose, run};
use auscult_core::model::{Limits, Policy, Transport};
use auscult_core::signal::{CapturedMessage, Signal, SignalEvent};
use auscult_core::units::{Nanos, Timestamp};

const OFFER: &str = "sdp=10.0.0.1:4000";
const ANSWER: &str = "sdp=10.0.0.2:6000";

/// INVITE at 0, answered at 3, acknowledged.
fn up() -> String {
    format!("0 a>b INVITE {OFFER}\n 0.01 b>a 100\n 1 b>a 180 to=t\n 3 b>a 200 to=t {ANSWER}\n 3.1 a>b ACK to=t\n")
}

const UP_FACTS: &str = "media Caller 10.0.0.1:4000 0=PCMU sendrecv\n media Callee 10.0.0.2:6000 0=PCMU sendrecv\n";
const GONE: &str = "gone 10.0.0.1:4000\n gone 10.0.0.2:6000\n";

#[test]
fn simple_call_released_by_the_callee() {
    check(
        &format!("{} 10 b>a BYE from=t to=f reason=Q.850;cause=16\n 10.1 a>b 200/BYE from=t to=f", up()),
        &format!(
            "{UP_FACTS}{GONE} ended c1 completed 200 invite 0 ringing 1 answered 3 ended 10 by callee messages 7 branches 1 acked reason Q.850;cause=16"
        ),
    );
}

#[test]
fn challenges_merge_into_one_attempt() {
    check(
        &format!(
            "0 a>b INVITE {OFFER}\n 0.1 b>a 401 to=x\n 0.2 a>b ACK to=x branch=INVITE1f\n 0.3 a>b INVITE cseq=2 {OFFER}\n\
             0.4 b>a 407 cseq=2 to=y\n 0.5 a>b ACK cseq=2 to=y branch=INVITE2f\n 0.6 a>b INVITE cseq=3 {OFFER}\n\
             2 b>a 180 cseq=3 to=t\n 4 b>a 200 cseq=3 to=t\n 4.1 a>b ACK cseq=3 to=t\n 9 a>b BYE cseq=4 to=t"
        ),
        "media Caller 10.0.0.1:4000 0=PCMU sendrecv
         gone 10.0.0.1:4000
         ended c1 completed 200 invite 0 ringing 2 answered 4 ended 9 by caller auth 2 messages 11 branches 1 acked",
    );
}

#[test]
fn a_challenge_nobody_answers_is_a_failure() {
    check(
        "0 a>b INVITE\n 0.1 b>a 401 to=x\n 0.2 a>b ACK to=x\n 64.2 tick",
        "ended c1 failed 401 invite 0 ringing - answered - ended 0.1 by - messages 3",
    );
}

/// Users type their password: 17 to 51 s in captures.
#[test]
fn credentials_that_come_late_belong_to_the_challenged_call() {
    for (retry, answer) in [("17", "18"), ("51", "52"), ("64", "65")] {
        check(
            &format!(
                "0 a>b INVITE {OFFER}\n 0.1 b>a 407 to=x\n 0.2 a>b ACK to=x branch=INVITE1f\n\
                 {retry} a>b INVITE cseq=2 {OFFER}\n {answer} b>a 200 cseq=2 to=t {ANSWER}\n {answer}.1 a>b ACK cseq=2 to=t\n\
                 70 a>b BYE cseq=3 to=t\n 70.1 b>a 200/BYE cseq=3 to=t"
            ),
            &format!(
                "media Caller 10.0.0.1:4000 0=PCMU sendrecv\n media Callee 10.0.0.2:6000 0=PCMU sendrecv\n\
                 gone 10.0.0.1:4000\n gone 10.0.0.2:6000\n\
                 ended c1 completed 200 invite 0 ringing - answered {answer} ended 70 by caller auth 1 messages 8 \
                 branches 1 acked"
            ),
        );
    }
}

/// Near-misses: another From tag, another answer than a challenge, later than the time allowed.
#[test]
fn what_is_no_retry_of_a_challenged_call_is_another_one() {
    let refused = |status: u32, second: &str| {
        let script = format!(
            "0 a>b INVITE\n 0.1 b>a {status} to=x\n 0.2 a>b ACK to=x branch=INVITE1f\n {second}\n 40 b>a 486 cseq=2 to=y\n 90 tick"
        );
        let text = run(&Policy::default(), &Limits::default(), &script);
        text.lines().map(|l| l.split_whitespace().skip(2).take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(refused(407, "20 a>b INVITE cseq=2 from=g"), ["failed 407", "unfinished 0"]);
    assert_eq!(refused(403, "20 a>b INVITE cseq=2"), ["failed 403", "failed 486"]);
    // Too late: a row of its own, which names the first attempt.
    check(
        "0 a>b INVITE\n 0.1 b>a 401 to=x\n 0.2 a>b ACK to=x branch=INVITE1f\n 65 a>b INVITE cseq=2\n 65.1 b>a 401 cseq=2 to=y\n\
         65.2 a>b ACK cseq=2 to=y branch=INVITE2f\n 200 a>b INVITE cseq=3\n 201 b>a 486 cseq=3 to=z",
        "ended c1 failed 401 invite 0 ringing - answered - ended 0.1 by - messages 3\n\
         ended c1 failed 401 invite 65 ringing - answered - ended 65.1 by - retry 1 messages 3\n\
         ended c1 failed 486 invite 200 ringing - answered - ended 201 by - retry 1 messages 2",
    );
    // The same, but with the tag of another caller.
    check(
        "0 a>b INVITE\n 0.1 b>a 401 to=x\n 65 a>b INVITE cseq=2 from=g\n 65.1 b>a 486 cseq=2 from=g to=y",
        "ended c1 failed 401 invite 0 ringing - answered - ended 0.1 by - messages 2\n\
         ended c1 failed 486 invite 65 ringing - answered - ended 65.1 by - messages 2",
    );
}

/// Credentials that are refused again and again are one call that failed, with the number of its challenges.
#[test]
fn credentials_refused_again_and_again_are_one_failed_call() {
    let round = |n: usize, at: usize| {
        format!(
            "{at} a>b INVITE cseq={n}\n {at}.1 b>a 401 cseq={n} to=t{n}\n {at}.2 a>b ACK cseq={n} to=t{n} branch=INVITE{n}f\n"
        )
    };
    let script: String = (1..=5).map(|n| round(n, 30 * (n - 1))).collect();
    check(&script, "ended c1 failed 401 invite 0 ringing - answered - ended 120.1 by - auth 4 messages 15");
}

/// A call seen from its middle that is released is completed; a BYE that is refused released nothing.
#[test]
fn a_call_joined_midway_that_is_released_is_completed() {
    check(
        "0 a>b INVITE cseq=7 to=t\n 0.1 b>a 200 cseq=7 to=t\n 0.2 a>b ACK cseq=7 to=t\n 5 b>a BYE from=t to=f cseq=2\n\
         5.1 a>b 200/BYE from=t to=f cseq=2",
        "ended c1 completed 0 invite - ringing - answered - ended 5 by - reinvites 1 messages 5 acked mid-call",
    );
    check(
        "0 a>b BYE to=t cseq=2\n 0.1 b>a 481/BYE to=t cseq=2",
        "ended c1 mid_call 0 invite - ringing - answered - ended 0 by - messages 2 mid-call",
    );
    check(
        "0 a>b BYE to=t cseq=2\n 0.1 b>a 200/BYE to=t cseq=2",
        "ended c1 completed 0 invite - ringing - answered - ended 0 by - messages 2 mid-call",
    );
}

/// A call whose 200 and BYE were captured before its INVITE has ended.
#[test]
fn a_call_whose_invite_was_captured_after_its_bye_is_completed() {
    check(
        "0 b>a 200 to=t\n 0.2 a>b BYE to=t cseq=2\n 0.4 a>b INVITE\n 0.5 b>a 200/BYE to=t cseq=2",
        "ended c1 completed 200 invite 0 ringing - answered 0 ended 0.2 by - messages 4",
    );
}

/// Of a call of which only answers were seen, the final code is kept.
#[test]
fn the_final_code_is_kept_when_only_answers_were_seen() {
    check(
        "0 b>a 100\n 0.5 b>a 200 to=t",
        "ended c1 mid_call 200 invite - ringing - answered - ended 0.5 by capture_ended messages 2 mid-call",
    );
    check(
        "0 b>a 100\n 0.5 b>a 486 to=t",
        "ended c1 mid_call 486 invite - ringing - answered - ended 0.5 by - messages 2 mid-call",
    );
}

#[test]
fn session_interval_too_small_is_retried() {
    check(
        "0 a>b INVITE\n 0.1 b>a 422 to=x\n 0.2 a>b ACK to=x\n 0.3 a>b INVITE cseq=2\n 1 b>a 200 cseq=2 to=t\n 2 a>b BYE cseq=3 to=t",
        "ended c1 completed 200 invite 0 ringing - answered 1 ended 2 by caller messages 6 branches 1",
    );
}

#[test]
fn cancelled_by_the_caller() {
    check(
        "0 a>b INVITE\n 1 b>a 180 to=t\n 5 a>b CANCEL reason=SIP;cause=200\n 5.1 b>a 200/CANCEL\n 5.2 b>a 487 to=t\n 5.3 a>b ACK to=t",
        "ended c1 cancelled 487 invite 0 ringing 1 answered - ended 5 by caller messages 6 branches 1 reason SIP;cause=200",
    );
}

#[test]
fn cancel_without_a_final_answer_ends_after_64_t1() {
    check(
        "0 a>b INVITE\n 1 b>a 180 to=t\n 5 a>b CANCEL\n 36.9 tick\n 40 a>b INVITE id=c2\n 40 b>a 486 id=c2 to=t",
        "ended c1 cancelled 0 invite 0 ringing 1 answered - ended 5 by caller messages 3 branches 1
         ended c2 failed 486 invite 40 ringing - answered - ended 40 by - messages 2",
    );
}

#[test]
fn failures_keep_the_code() {
    for code in ["302", "404", "486", "503", "603"] {
        check(
            &format!("0 a>b INVITE\n 1 b>a {code} to=t\n 1.1 a>b ACK to=t branch=INVITE1f"),
            &format!("ended c1 failed {code} invite 0 ringing - answered - ended 1 by - messages 3"),
        );
    }
}

#[test]
fn two_hundred_that_crosses_the_cancel_wins() {
    check(
        "0 a>b INVITE\n 1 b>a 180 to=t\n 5 a>b CANCEL\n 5.05 b>a 200 to=t\n 5.1 b>a 481/CANCEL to=t\n 5.2 a>b ACK to=t\n 5.3 a>b BYE cseq=2 to=t",
        "ended c1 completed 200 invite 0 ringing 1 answered 5.05 ended 5.3 by caller messages 7 branches 1 acked",
    );
}

#[test]
fn answers_in_any_order() {
    check(
        "0 a>b INVITE\n 0.019 b>a 200 to=t\n 0.022 b>a 100 to=t\n 0.033 b>a 180 to=t\n 0.04 a>b ACK to=t\n 9 b>a BYE from=t to=f",
        "ended c1 completed 200 invite 0 ringing - answered 0.019 ended 9 by callee messages 6 branches 1 acked",
    );
    check(
        "0 b>a 100\n 0.001 b>a 200 to=t\n 0.002 a>b INVITE\n 0.04 a>b ACK to=t\n 9 a>b BYE cseq=2 to=t",
        "ended c1 completed 200 invite 0 ringing - answered 0.001 ended 9 by caller messages 5 acked",
    );
    check(
        "0 b>a 404 to=t\n 0.002 a>b INVITE\n 0.04 a>b ACK to=t",
        "ended c1 failed 404 invite 0 ringing - answered - ended 0 by - messages 3",
    );
}

#[test]
fn hold_and_resume_by_direction_and_by_zero_address() {
    check(
        &format!(
            "{} 8 b>a INVITE from=t to=f sdp=0.0.0.0:6000\n 8.1 a>b 200 from=t to=f sdp=10.0.0.1:4000/recvonly\n\
             8.2 b>a ACK from=t to=f\n 9 b>a INVITE from=t to=f cseq=2 sdp=10.0.0.2:6002\n 9.1 a>b 200 from=t to=f cseq=2 {OFFER}\n\
             9.2 b>a ACK from=t to=f cseq=2\n 12 a>b INVITE cseq=2 to=t sdp=10.0.0.1:4000/inactive\n\
             12.1 b>a 200 cseq=2 to=t sdp=10.0.0.2:6002/inactive\n 12.2 a>b ACK cseq=2 to=t\n 20 a>b BYE cseq=3 to=t",
            up()
        ),
        &format!(
            "{UP_FACTS}
             media Callee 10.0.0.2:6000 0=PCMU sendonly
             media Caller 10.0.0.1:4000 0=PCMU recvonly
             media Callee 10.0.0.2:6002 0=PCMU sendrecv
             gone 10.0.0.2:6000
             media Caller 10.0.0.1:4000 0=PCMU sendrecv
             media Caller 10.0.0.1:4000 0=PCMU inactive
             media Callee 10.0.0.2:6002 0=PCMU inactive
             gone 10.0.0.1:4000
             gone 10.0.0.2:6002
             ended c1 completed 200 invite 0 ringing 1 answered 3 ended 20 by caller reinvites 3 messages 15 branches 1 acked"
        ),
    );
}

#[test]
fn an_offer_that_is_refused_changes_nothing() {
    check(
        &format!("{} 8 a>b INVITE cseq=2 to=t sdp=10.0.0.1:4444\n 8.1 b>a 488 cseq=2 to=t\n 20 a>b BYE cseq=3 to=t", up()),
        &format!(
            "{UP_FACTS}
             media Caller 10.0.0.1:4444 0=PCMU sendrecv
             gone 10.0.0.1:4444
             media Caller 10.0.0.1:4000 0=PCMU sendrecv
             {GONE}
             ended c1 completed 200 invite 0 ringing 1 answered 3 ended 20 by caller reinvites 1 messages 8 branches 1 acked"
        ),
    );
}

#[test]
fn update_offers_count_and_move_media() {
    check(
        &format!(
            "{} 8 a>b UPDATE cseq=2 to=t sdp=10.0.0.1:4002\n 8.1 b>a 200/UPDATE cseq=2 to=t {ANSWER}\n 20 a>b BYE cseq=3 to=t",
            up()
        ),
        &format!(
            "{UP_FACTS}
             media Caller 10.0.0.1:4002 0=PCMU sendrecv
             gone 10.0.0.1:4000
             gone 10.0.0.1:4002
             gone 10.0.0.2:6000
             ended c1 completed 200 invite 0 ringing 1 answered 3 ended 20 by caller reinvites 1 messages 8 branches 1 acked"
        ),
    );
}

#[test]
fn early_media_by_183_and_prack() {
    check(
        &format!(
            "0 a>b INVITE {OFFER}\n 1 b>a 183 to=t {ANSWER}\n 1.1 a>b PRACK cseq=2 to=t\n 1.2 b>a 200/PRACK cseq=2 to=t\n\
             5 b>a 200 to=t {ANSWER}\n 5.1 a>b ACK to=t\n 9 a>b BYE cseq=3 to=t"
        ),
        &format!(
            "{UP_FACTS}{GONE} ended c1 completed 200 invite 0 ringing 1 answered 5 ended 9 by caller messages 7 branches 1 acked"
        ),
    );
}

#[test]
fn offer_in_the_answer_and_answer_in_the_ack() {
    check(
        &format!("0 a>b INVITE\n 3 b>a 200 to=t {ANSWER}\n 3.1 a>b ACK to=t {OFFER}\n 9 a>b BYE cseq=2 to=t"),
        "media Callee 10.0.0.2:6000 0=PCMU sendrecv
         media Caller 10.0.0.1:4000 0=PCMU sendrecv
         gone 10.0.0.2:6000
         gone 10.0.0.1:4000
         ended c1 completed 200 invite 0 ringing - answered 3 ended 9 by caller messages 4 branches 1 acked",
    );
}

#[test]
fn forks_are_one_call_with_branches() {
    check(
        "0 a>p INVITE branch=u\n 0.1 p>b INVITE branch=d1 vias=2\n 0.1 p>c INVITE branch=d2 vias=2\n\
         1 b>p 180 to=t1 branch=d1 vias=2\n 1.1 p>a 180 to=t1 branch=u\n 1.2 c>p 180 to=t2 branch=d2 vias=2\n 1.3 p>a 180 to=t2 branch=u\n\
         3 b>p 486 to=t1 branch=d1 vias=2\n 4 c>p 200 to=t2 branch=d2 vias=2\n 4.1 p>a 200 to=t2 branch=u\n 5 a>c BYE cseq=2 to=t2",
        "ended c1 completed 200 invite 0 ringing 1 answered 4 ended 5 by caller messages 11 branches 2",
    );
}

#[test]
fn the_losing_branch_of_a_fork_does_not_end_the_call() {
    check(
        "0 a>p INVITE branch=u\n 0.1 p>b INVITE branch=d1 vias=2\n 0.1 p>c INVITE branch=d2 vias=2\n\
         4 c>p 200 to=t2 branch=d2 vias=2\n 4.1 p>a 200 to=t2 branch=u\n 4.2 p>b CANCEL branch=d1 vias=1\n\
         4.3 b>p 487 to=t1 branch=d1 vias=2\n 4.35 a>c ACK to=t2\n 5 finish",
        "ended c1 unfinished 200 invite 0 ringing - answered 4 ended 4.35 by capture_ended messages 8 branches 1 acked",
    );
}

#[test]
fn a_second_answered_branch_is_hung_up_without_ending_the_call() {
    check(
        "0 a>b INVITE\n 1 b>a 200 to=t1\n 1.1 c>a 200 to=t2\n 1.2 a>b ACK to=t1\n 1.3 a>c ACK to=t2 branch=k2\n\
         1.4 a>c BYE cseq=2 to=t2\n 9 a>b BYE cseq=3 to=t1",
        "ended c1 completed 200 invite 0 ringing - answered 1 ended 9 by caller messages 7 branches 2 acked",
    );
}

#[test]
fn a_failure_behind_a_proxy_alone_fails_the_call_after_64_t1() {
    check(
        "0 a>p INVITE branch=u\n 0.1 p>b INVITE branch=d1 vias=2\n 3 b>p 503 to=t1 branch=d1 vias=2\n 34.9 tick\n 35 tick\n 99 tick",
        "ended c1 failed 503 invite 0 ringing - answered - ended 3 by - messages 3",
    );
}

#[test]
fn a_failure_then_the_next_server() {
    check(
        "0 a>b INVITE branch=s1\n 0.5 b>a 503 to=x branch=s1\n 0.6 a>b ACK to=x branch=s1\n 0.7 a>c INVITE branch=s2\n 2 c>a 200 to=t branch=s2\n 9 a>c BYE cseq=2 to=t",
        "ended c1 completed 200 invite 0 ringing - answered 2 ended 9 by caller messages 6 branches 1",
    );
}

#[test]
fn copies_by_hops_and_by_the_capture_are_not_retransmissions() {
    check(
        "messages\n 0 a>p INVITE branch=u\n 0.001 a>p INVITE branch=u\n 0.002 p>b INVITE branch=d vias=2\n 0.5 a>p INVITE branch=u\n 0.501 a>p INVITE branch=u\n\
         1 b>p 200 to=t branch=d vias=2\n 1.01 p>a 200 to=t branch=u\n 1.51 p>a 200 to=t branch=u\n 2 a>b BYE cseq=2 to=t",
        "message 0 INVITE
         message 0.002 INVITE
         message 0.5 INVITE again
         message 1 200/INVITE
         message 1.01 200/INVITE
         message 1.51 200/INVITE again
         message 2 BYE
         ended c1 completed 200 invite 0 ringing - answered 1 ended 2 by caller retransmissions 2 messages 7 branches 1",
    );
}

#[test]
fn a_lost_answer_is_known_from_its_retransmission() {
    check(
        &format!(
            "0 a>b INVITE {OFFER}\n 3.5 b>a 200 to=t {ANSWER}\n 4.5 b>a 200 to=t {ANSWER}\n 9 a>b BYE cseq=2 to=t"
        ),
        &format!(
            "{UP_FACTS}{GONE} ended c1 completed 200 invite 0 ringing - answered 3.5 ended 9 by caller retransmissions 1 messages 4 branches 1"
        ),
    );
}

#[test]
fn retransmitted_bye_stays_with_its_call() {
    check(
        &format!(
            "{} 10 a>b BYE cseq=2 to=t\n 10.5 a>b BYE cseq=2 to=t\n 11.5 a>b BYE cseq=2 to=t\n 13.5 a>b BYE cseq=2 to=t\n\
             17.5 a>b BYE cseq=2 to=t\n 21.5 a>b BYE cseq=2 to=t\n 26.4 tick\n 26.5 tick\n 30 a>b BYE cseq=2 to=t",
            up()
        ),
        &format!(
            "{UP_FACTS}{GONE} ended c1 completed 200 invite 0 ringing 1 answered 3 ended 10 by caller retransmissions 5 messages 11 branches 1 acked"
        ),
    );
}

#[test]
fn one_message_of_an_unknown_call_is_no_call() {
    for message in ["b>a 200 to=t sdp=-", "a>b BYE to=t", "a>b ACK to=t", "a>b INVITE to=t", "a>b CANCEL"] {
        check(&format!("0 {message}\n 0.5 {message}\n 0.501 {message}\n 999 tick"), "");
    }
}

#[test]
fn two_messages_of_an_unknown_call_are_a_call_that_began_before() {
    check(
        "messages\n 0 a>b BYE cseq=9 to=t\n 0.1 b>a 200/BYE cseq=9 to=t\n 9 tick",
        "message 0 BYE
         message 0.1 200/BYE
         ended c1 completed 0 invite - ringing - answered - ended 0 by - messages 2 mid-call",
    );
    check(
        &format!(
            "0 a>b INVITE cseq=7 to=t {OFFER}\n 0.1 b>a 200 cseq=7 to=t {ANSWER}\n 0.2 a>b ACK cseq=7 to=t\n 9 finish"
        ),
        &format!(
            "{UP_FACTS}{GONE} ended c1 mid_call 0 invite - ringing - answered - ended 0.2 by capture_ended reinvites 1 messages 3 acked mid-call"
        ),
    );
    check(
        "0 b>a 180 to=t\n 2 b>a 200 to=t\n 9 b>a BYE from=t to=f",
        "ended c1 mid_call 200 invite - ringing 0 answered 2 ended 9 by callee messages 3 mid-call",
    );
}

#[test]
fn a_capture_that_begins_between_challenge_and_retry() {
    check(
        "0 b>a 401 to=x\n 0.1 a>b ACK to=x\n 0.2 a>b INVITE cseq=2\n 1 b>a 486 cseq=2 to=t",
        "ended c1 mid_call 401 invite - ringing - answered - ended 0 by - messages 2 acked mid-call
         ended c1 failed 486 invite 0.2 ringing - answered - ended 1 by - messages 2",
    );
}

#[test]
fn no_answer_at_all_times_out() {
    // Timer B is 64*T1 after the first INVITE, whatever is repeated. Before, the end of the capture decides nothing.
    let repeated = "0 a>b INVITE\n 0.5 a>b INVITE\n 1.5 a>b INVITE";
    check(
        &format!("{repeated}\n 31.9 tick\n 31.9 finish"),
        "ended c1 unfinished 0 invite 0 ringing - answered - ended 1.5 by capture_ended retransmissions 2 messages 3",
    );
    check(
        &format!("{repeated}\n 32.1 tick\n 32.1 finish"),
        "ended c1 setup_timeout 0 invite 0 ringing - answered - ended 1.5 by timeout retransmissions 2 messages 3",
    );
    // The next server begins it anew; an answer of any kind ends it.
    check(
        &format!("{repeated}\n 20 a>c INVITE branch=second\n 51 tick\n 51.5 c>a 200 branch=second to=t"),
        "ended c1 unfinished 200 invite 0 ringing - answered 51.5 ended 51.5 by capture_ended retransmissions 2 messages 5 branches 1",
    );
    check(
        &format!("{repeated}\n 2 b>a 100\n 199 b>a 486 to=t"),
        "ended c1 failed 486 invite 0 ringing - answered - ended 199 by - retransmissions 2 messages 5",
    );
    check(
        "0 a>b INVITE\n 2 b>a 100\n 199.9 tick\n 200.1 tick",
        "ended c1 setup_timeout 0 invite 0 ringing - answered - ended 2 by timeout messages 2",
    );
}

#[test]
fn an_answered_call_without_a_sign_of_life_times_out() {
    let policy = Policy { call_timeout: Nanos::from_secs(60), ..Policy::default() };
    check_with(
        &policy,
        &Limits::default(),
        &format!("{} 40 a>b INFO cseq=2 to=t\n 99.9 tick\n 100 tick", up()),
        &format!(
            "{UP_FACTS}{GONE} ended c1 unfinished 200 invite 0 ringing 1 answered 3 ended 40 by timeout messages 6 branches 1 acked"
        ),
    );
}

#[test]
fn ticks_change_nothing_but_the_time_of_a_fact() {
    let policy = Policy { call_timeout: Nanos::from_secs(30), ..Policy::default() };
    let script =
        format!("{} 20 a>b OPTIONS cseq=2 to=t\n 70 a>b INVITE id=c2\n 71 b>a 486 id=c2 to=x\n 300 finish", up());
    let mut ticked = String::new();
    for line in script.lines() {
        let time: f64 = line.trim().split(' ').next().and_then(|t| t.parse().ok()).expect("time");
        for back in [0.75, 0.5, 0.25, 0.0] {
            ticked += &format!("{} tick\n", (time - back).max(0.0));
        }
        ticked += &format!("{line}\n");
    }
    let limits = Limits::default();
    assert_eq!(run(&policy, &limits, &script), run(&policy, &limits, &ticked));
}

#[test]
fn the_same_call_id_after_the_end_is_another_call() {
    check(
        "0 a>b INVITE\n 1 b>a 486 to=t\n 2 a>b INVITE cseq=2\n 3 b>a 200 cseq=2 to=u\n 4 a>b BYE cseq=3 to=u\n\
         5 a>b INVITE from=f2\n 6 b>a 180 from=f2 to=v",
        "ended c1 failed 486 invite 0 ringing - answered - ended 1 by - messages 2
         ended c1 completed 200 invite 2 ringing - answered 3 ended 4 by caller messages 3 branches 1
         ended c1 unfinished 0 invite 5 ringing 6 answered - ended 6 by capture_ended messages 2 branches 1",
    );
}

#[test]
fn other_methods_make_no_calls_and_belong_to_calls_they_name() {
    let others = ["REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY", "MESSAGE", "INFO", "PUBLISH", "REFER"];
    for method in others {
        check(
            &format!(
                "messages\n 0 a>b {method}\n 0.1 b>a 401/{method} to=x\n 0.2 a>b {method} cseq=2\n 0.3 b>a 200/{method} cseq=2 to=x"
            ),
            "",
        );
    }
    check(
        "messages\n 0 a>b INVITE\n 0.1 b>a 200 to=t\n 0.2 a>b REFER cseq=2 to=t\n 0.3 b>a 202/REFER cseq=2 to=t\n 0.4 a>b BYE cseq=3 to=t",
        "message 0 INVITE
         message 0.1 200/INVITE
         message 0.2 REFER
         message 0.3 202/REFER
         message 0.4 BYE
         ended c1 completed 200 invite 0 ringing - answered 0.1 ended 0.4 by caller messages 5 branches 1",
    );
}

#[test]
fn a_status_nobody_knows_changes_nothing() {
    check(
        "0 a>b INVITE\n 1 b>a 4294967301 to=t\n 2 b>a 700 to=t\n 3 b>a 486 to=t",
        "ended c1 failed 486 invite 0 ringing - answered - ended 3 by - messages 4",
    );
}

#[test]
fn calls_over_the_limit_make_room_among_those_not_up() {
    let limits = Limits { calls: 2, ..Limits::default() };
    check_with(
        &Policy::default(),
        &limits,
        "0 a>b INVITE id=up\n 1 b>a 200 id=up to=t\n 2 a>b INVITE id=half\n 3 a>b INVITE id=next\n 3.1 b>a 200 id=next to=t\n\
         4 a>b INVITE id=none\n 5 finish",
        "ended half trying 0 invite 2 ringing - answered - ended - by - messages 1
         ended up unfinished 200 invite 0 ringing - answered 1 ended 1 by capture_ended messages 2 branches 1
         ended next unfinished 200 invite 3 ringing - answered 3.1 ended 3.1 by capture_ended messages 2 branches 1",
    );
}

#[test]
fn a_flood_of_single_messages_does_not_push_out_calls() {
    let limits = Limits { calls: 2, ..Limits::default() };
    check_with(
        &Policy::default(),
        &limits,
        "0 a>b INVITE id=x\n 1 a>b BYE id=s1 to=t\n 2 a>b BYE id=s2 to=t\n 3 a>b BYE id=s3 to=t\n 4 a>b INVITE id=y\n 5 a>b BYE id=s4 to=t\n 6 b>a 486 id=x to=t",
        "ended x failed 486 invite 0 ringing - answered - ended 6 by - messages 2
         ended y unfinished 0 invite 4 ringing - answered - ended 4 by capture_ended messages 1",
    );
}

#[test]
fn messages_media_and_branches_over_the_limit() {
    let limits = Limits { messages_per_call: 3, media_endpoints: 1, branches_per_call: 1, ..Limits::default() };
    check_with(
        &Policy::default(),
        &limits,
        &format!(
            "messages\n 0 a>b INVITE {OFFER}\n 1 b>a 183 to=t1 {ANSWER}\n 2 b>a 183 to=t2\n 3 b>a 200 to=t1\n 4 a>b BYE cseq=2 to=t1"
        ),
        "media Caller 10.0.0.1:4000 0=PCMU sendrecv
         message 0 INVITE
         message 1 183/INVITE
         message 2 183/INVITE
         gone 10.0.0.1:4000
         ended c1 completed 200 invite 0 ringing 1 answered 3 ended 4 by caller dropped 2 messages 5 branches 1",
    );
}

#[test]
fn media_keeps_a_call_alive_and_vouches_for_a_single_message() {
    let policy = Policy { call_timeout: Nanos::from_secs(60), ..Policy::default() };
    check_with(
        &policy,
        &Limits::default(),
        &format!("{} 50 media\n 100 media\n 159.9 tick\n 160 tick", up()),
        &format!(
            "{UP_FACTS}{GONE} ended c1 unfinished 200 invite 0 ringing 1 answered 3 ended 100 by timeout messages 5 branches 1 acked"
        ),
    );
    let limits = Limits { calls: 1, ..Limits::default() };
    check_with(
        &policy,
        &limits,
        &format!("messages\n 0 b>a 200 to=t {ANSWER}\n 1 media\n 2 a>b INVITE id=no-room\n 60.9 tick\n 61 tick"),
        "media Callee 10.0.0.2:6000 0=PCMU sendrecv
         message 0 200/INVITE
         gone 10.0.0.2:6000
         ended c1 mid_call 200 invite - ringing - answered - ended 1 by capture_ended messages 1 mid-call",
    );
}

#[test]
fn the_order_of_facts_does_not_come_from_a_table() {
    let mut script = String::new();
    for n in 0..200 {
        script += &format!("{} a>b INVITE id=c{} {OFFER}\n", n / 10, n * 7919 % 1000);
    }
    let (policy, limits) = (Policy::default(), Limits::default());
    for end in ["19 finish", "1000 tick"] {
        let script = format!("{script}{end}");
        assert_eq!(run(&policy, &limits, &script), run(&policy, &limits, &script));
    }
}

/// The row of a challenged call is written when no credentials can come any more, and not before.
#[test]
fn a_challenged_call_ends_when_its_time_for_credentials_is_over() {
    let (src, dst) = ("10.0.0.1:5060".parse().unwrap(), "10.0.0.2:5060".parse().unwrap());
    let ended_at = |limits: &Limits| {
        let mut signal = Signal::new(&Policy::default(), limits);
        let mut events = Vec::new();
        for (ms, what) in [(0, "a>b INVITE"), (100, "b>a 401 to=x"), (200, "a>b ACK to=x branch=INVITE1f")] {
            let (_, _, bytes) = compose(what);
            let at = Timestamp::EARLIEST + Nanos::from_millis(ms);
            let transport = Transport::Udp;
            let message = CapturedMessage { at, src, dst, transport, bytes: &bytes, cut_short: false };
            signal.message(message, &mut events);
        }
        let mut ticks = (1..100_000).map(|tenth| Nanos::from_millis(100 * tenth));
        ticks.find(|at| {
            signal.fire(Timestamp::EARLIEST + *at, &mut events);
            events.iter().any(|f| matches!(f, SignalEvent::Ended(_)))
        })
    };
    assert_eq!(ended_at(&Limits::default()), Some(Nanos::from_millis(64_100)));
    let shorter = Limits { challenge_hold: Nanos::from_secs(20), ..Limits::default() };
    assert_eq!(ended_at(&shorter), Some(Nanos::from_millis(20_100)));
}
