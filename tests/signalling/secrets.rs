//! Secrets planted at every place a SIP message has for one: none reaches a record, a row or a segment, whatever the message
//! looks like otherwise. What an operator needs stays.

use crate::places::{Body, Header, MARK, METHODS, PLACES, STYLES, Session, Style, Target, Unended, compose, leaked};
use auscult_core::engine::Engine;
use auscult_core::model::Labels;
use auscult_core::model::{Event, Limits, Policy};
use auscult_core::units::Timestamp;
use auscult_core::wire::{LinkType, sip};
use auscult_store::Record;
use auscult_store::rowbinary::RowBinary;
use auscult_store::spool::{decode, encode};
use proptest::prelude::*;
use testkit::frame::{self, Lower};

/// What becomes of one message in everything that is stored, shown or logged, as one text.
fn all_outputs(message: &[u8]) -> String {
    let mut out = Vec::new();
    if let Ok(parsed) = sip::parse(message) {
        let (headers, session) = sip::sanitise(&parsed);
        // What is stored stays so when it is read again.
        let again = sip::sanitise_stored(&headers, &session, &[]);
        out.extend_from_slice(format!("{headers}\n{session}\n{}\n{}\n", again.0, again.1).as_bytes());
    }
    let ends = ["192.0.2.1:5060".parse().expect("an address"), "192.0.2.2:5060".parse().expect("an address")];
    let lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };
    let mut events: Vec<Event> = Vec::new();
    let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
    let at = Timestamp::from_secs(1_772_366_400);
    let mut sent = vec![message.to_vec()];
    if message.starts_with(b"SIP/2.0") {
        // An answer alone is of no call.
        sent.insert(0, compose(&[], "", "INVITE", Style::Usual));
    }
    for message in sent {
        let frame = frame::udp(ends[0], ends[1], lower, &message);
        engine.frame(at, LinkType::ETHERNET, &frame, frame.len(), &mut events);
    }
    engine.finish(&mut events);
    let labels = Labels { probe: "p".to_owned(), site: String::new(), trunks: Vec::new() };
    for event in events {
        out.extend_from_slice(format!("{event:?}\n").as_bytes());
        let Some(record) = Record::from_event(event) else { continue };
        let mut rows = RowBinary::default();
        record.encode(&labels, at, &mut rows).expect("a row");
        let segment = encode(1, record.table(), "t".to_owned(), &rows).expect("a segment");
        let read = decode(&segment.bytes).expect("a segment");
        out.extend_from_slice(&read.payload);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn no_place_lets_a_secret_through_in_any_style() {
    assert!(PLACES.len() > 190, "{}", PLACES.len());
    let secret = "Zq7xK0vN3+mW9/bT5sLd2Rf8";
    let mut found = Vec::new();
    for place in PLACES {
        let text = match place {
            Header(t) | Target(t) | Session(t) | Unended(t) | Body(_, t) => t,
        };
        assert!(text.contains(MARK), "{place:?}");
        for style in STYLES {
            for method in ["INVITE", "INFO"] {
                let message = compose(&[*place], secret, method, style);
                // The test can fail: the secret is there, and the message is one that is stored.
                let elsewhere = style == Style::Answer && matches!(place, Target(_));
                assert!(elsewhere || leaked(&String::from_utf8_lossy(&message), secret).is_some(), "{place:?}");
                let output = all_outputs(&message);
                assert!(method != "INVITE" || output.contains("SipMessage(SipMessageRecord"), "{place:?} {style:?}");
                if let Some(piece) = leaked(&output, secret) {
                    let line = output.lines().find(|l| l.contains(piece)).unwrap_or_default();
                    found.push(format!("{place:?} {style:?} {method}: {line}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} of {} leak:\n{}", found.len(), PLACES.len(), found.join("\n"));
}

#[test]
fn passwords_with_separators_lose_all_their_parts() {
    for separator in ["@", ":", ";", "?", ",", "\"", "\\", "&", "=", "%", " ", "<", ">", "'", "/", "@:", ";@"] {
        let secret = format!("Zq7xK0vN{separator}mW9bT5sL");
        for form in [
            "From: \"A\" <sip:a:%S@h>;tag=1",
            "To: <sip:b:%S@h>",
            "Route: <sip:a:%S@h;lr>",
            "P-Asserted-Identity: <sip:a:%S@h>",
        ] {
            let text = form.replace(MARK, &secret);
            let place = Header(Box::leak(text.into_boxed_str()));
            let output = all_outputs(&compose(&[place], "", "INVITE", Style::Usual));
            for part in ["Zq7xK0vN", "mW9bT5sL"] {
                let line = output.lines().find(|l| l.contains(part));
                assert_eq!(line, None, "{form} with {separator:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Several at once, anywhere, with any secret, in any message, with bytes changed at random around it.
    #[test]
    fn secrets_planted_at_random_never_come_out(
        chosen in prop::collection::vec(prop::sample::select(PLACES), 1..8),
        secret in "[A-Za-z0-9+/]{16,44}",
        method in prop::sample::select(&METHODS[..]),
        style in prop::sample::select(&STYLES[..]),
    ) {
        let message = compose(&chosen, &secret, method, style);
        let output = all_outputs(&message);
        let piece = leaked(&output, &secret);
        let line = piece.and_then(|p| output.lines().find(|l| l.contains(p)));
        prop_assert!(piece.is_none(), "{chosen:?} {style:?}: {line:?}");
    }
}

/// What an operator looks for is still in the text.
#[test]
fn what_an_operator_needs_stays() {
    let message = compose(&[], "", "INVITE", Style::Usual);
    let output = all_outputs(&message);
    for needed in [
        "INVITE sip:b@192.0.2.2 SIP/2.0\n",
        "Call-ID: call@192.0.2.1\n",
        "From: \"Alice\" <sip:alice@192.0.2.1>;tag=f\n",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\n",
        "User-Agent: Phone/1.0\n",
        "m=audio 4000 RTP/AVP 0 96\na=rtpmap:0 PCMU/8000\n",
        "uri: \"alice@192.0.2.1\", user: \"alice\", display_name: \"Alice\", user_agent: \"Phone/1.0\"",
    ] {
        assert!(output.contains(needed), "{needed:?} is not in {output}");
    }
}

/// Doubling the length of a message at most doubles what is written about it, and a hostile one is cut.
#[test]
fn hostile_lengths_are_cut() {
    for repeated in
        ["<sip:a@h>,", "\"", "a=b;", "\r\n ", "x:", "\r", "<", ";", "=", "\\\"", "%3a", "@", "Digest a=\"b\","]
    {
        for name in ["From", "Contact", "Authorization", "Reason", "User-Agent"] {
            let line = format!("{name}: {}", repeated.repeat(20_000 / repeated.len()));
            let place = Header(Box::leak(line.into_boxed_str()));
            let message = compose(&[place], "", "INVITE", Style::Usual);
            if let Ok(parsed) = sip::parse(&message) {
                let (headers, session) = sip::sanitise(&parsed);
                assert!(headers.len() <= 16_384 && session.len() <= 16_384, "{name} {repeated:?}");
            }
        }
    }
}

/// The real captures: what a person reads a trace for comes out as it went in, but for white space.
#[test]
fn what_real_traces_are_read_for_stays() {
    const NAMES: [&str; 17] = [
        "Via",
        "From",
        "To",
        "Contact",
        "CSeq",
        "Call-ID",
        "Allow",
        "Supported",
        "Reason",
        "Warning",
        "Record-Route",
        "Route",
        "Max-Forwards",
        "Content-Type",
        "User-Agent",
        "Server",
        "Session-Expires",
    ];
    const LINES: [&str; 9] = ["c=", "m=", "b=", "t=", "a=rtpmap:", "a=fmtp:", "a=ptime:", "a=sendrecv", "a=T38"];
    let Some(folder) = testkit::shared("captures") else { return };
    let tight = |line: &str| line.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let (mut same, mut messages) = (0u32, 0u32);
    let mut other = std::collections::BTreeSet::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("captures").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    for file in files.iter().filter(|f| f.to_string_lossy().contains(".pcap")) {
        let Ok(mut timeline) = auscult_capture::Timeline::open(&[file]) else { continue };
        while let Ok(Some(frame)) = timeline.next_frame() {
            let Some(datagram) = auscult_core::wire::fast_udp(frame.link, frame.bytes) else { continue };
            let Ok(message) = sip::parse(datagram.payload) else { continue };
            messages += 1;
            let (headers, session) = sip::sanitise(&message);
            let stored: Vec<String> = headers.lines().chain(session.lines()).map(tight).collect();
            let sent = message.headers().filter_map(|(name, value)| {
                let name = String::from_utf8_lossy(name).into_owned();
                let wanted = NAMES.iter().any(|n| n.eq_ignore_ascii_case(&name));
                wanted.then(|| format!("{name}: {}", sip::text(&value, 4096)))
            });
            let body = message.sdp().map(|b| String::from_utf8_lossy(b.bytes).into_owned()).unwrap_or_default();
            let lines = body.lines().filter(|l| LINES.iter().any(|known| l.starts_with(known))).map(str::to_owned);
            for line in sent.chain(lines) {
                if stored.contains(&tight(&line)) {
                    same += 1;
                } else {
                    other.insert(line);
                }
            }
        }
    }
    println!("{messages} messages, {same} lines as they were, {} different ones changed:", other.len());
    other.iter().for_each(|line| println!("{line}"));
    assert!(messages >= 100, "{messages}");
    assert!(other.len() * 50 < same as usize, "{} of {same}: {other:#?}", other.len());
}
