//! Numbers, names and Call-IDs in events: none where they are hidden, whatever carried them, and the same by any number of shards.

use super::*;
use auscult_core::model::{Labels, MessagePolicy, Messages, Transport};
use auscult_core::privacy::{KEY_BYTES, Key, Mask, Mode, Privacy, PrivacySettings};
use std::collections::BTreeSet;
use testkit::numbers::Numbers;

fn privacy(mode: Mode, keys: &[u8]) -> Privacy {
    let keys = keys.iter().map(|byte| Key::new([*byte; KEY_BYTES])).collect();
    Privacy::new(PrivacySettings { mode, mask: Mask::default(), keys, emergency_numbers: Vec::new() }).expect("a key")
}

fn setup(privacy: Privacy, shards: usize) -> Setup {
    let keep_headers = vec!["X-Kept".to_owned()];
    Setup { policy: Policy { privacy, keep_headers, ..Policy::default() }, shards, ..Setup::rested() }
}

#[test]
fn no_event_shows_a_number_where_they_are_hidden() {
    let world = Numbers::new();
    let clear = run(&world.frames, &setup(Privacy::clear(), 1));
    let shown: BTreeSet<String> =
        clear.lines().iter().flat_map(|line| world.shown_by(line)).map(str::to_owned).collect();
    // So that it can fail: what the allow-list stores is there in clear, by every transport.
    assert!(shown.len() > 120, "{}: {shown:?}", shown.len());
    for place in [
        "From over Udp",
        "From over Tcp",
        "From over WebSocket",
        "From over Vxlan",
        "codec over Udp",
        "Call-ID over Tcp",
        "QoEEstAlg of a voice quality report over Udp",
        "To over Tcp (name)",
    ] {
        assert!(shown.iter().any(|found| found.starts_with(place)), "{place} is not shown in clear: {shown:?}");
    }
    for mode in [Mode::Masked, Mode::Pseudonym] {
        let hidden = run(&world.frames, &setup(privacy(mode, &[1]), 1));
        for line in hidden.lines() {
            assert_eq!(world.shown_by(&line), [""; 0], "{mode:?}: {line}");
        }
        // Nothing else is lost or found by hiding.
        let figures = |run: &Run| {
            let calls = run
                .calls()
                .iter()
                .map(|c| (c.state, c.final_code, c.messages, c.streams.len(), c.first_at))
                .collect::<Vec<_>>();
            (calls, run.streams().len(), run.intervals().len(), run.events.len())
        };
        assert_eq!(figures(&hidden), figures(&clear), "{mode:?}");
        for shards in [2, 8] {
            assert_eq!(
                run(&world.frames, &setup(privacy(mode, &[1]), shards)).lines(),
                hidden.lines(),
                "{mode:?}, {shards} shards"
            );
        }
    }
}

#[test]
fn a_call_has_one_call_id_and_pseudonyms_that_a_search_finds() {
    let world = Numbers::new();
    let hidden = privacy(Mode::Pseudonym, &[2, 1]);
    let found = run(&world.frames, &setup(hidden.clone(), 1));
    let [caller, callee, call_id] = &world.call;
    let id = hidden.call_id(call_id).into_owned();
    let call = found.calls().into_iter().find(|call| *call.call_id == *id).expect("the call over UDP").clone();
    assert_eq!((call.transport, call.caller.user.as_str()), (Transport::Udp, &*hidden.user(caller)));
    assert_eq!((call.callee.user.as_str(), call.caller.display_name.as_str()), (&*hidden.user(callee), ""));
    assert_eq!(call.caller.uri, format!("{}@192.0.2.1", hidden.user(caller)));
    let messages: Vec<_> =
        found.events.iter().filter_map(|e| if let Event::SipMessage(m) = e { Some(m) } else { None }).collect();
    let of_call: Vec<_> = messages.iter().filter(|m| m.call_uid == call.uid).collect();
    assert_eq!(of_call.len(), 6);
    for message in of_call {
        assert!(message.call_id == call.call_id && message.headers.contains(&format!("\nCall-ID: {id}\n")));
        assert!(
            message.headers.contains(&format!("<sip:{}@192.0.2.1;user=phone>", hidden.user(caller))),
            "{}",
            message.headers
        );
    }
    assert!(found.streams().iter().any(|s| s.call_id == call.call_id && s.call_uid == Some(call.uid)));
}

#[test]
fn messages_are_left_out_or_lose_their_bodies() {
    let world = Numbers::new();
    let of = |messages: MessagePolicy| {
        let setup = Setup { policy: Policy { messages, ..Policy::default() }, ..Setup::rested() };
        let run = run(&world.frames, &setup);
        let texts: Vec<(bool, bool)> = run
            .events
            .iter()
            .filter_map(|e| {
                if let Event::SipMessage(m) = e { Some((!m.headers.is_empty(), !m.sdp.is_empty())) } else { None }
            })
            .collect();
        (texts.len(), texts.iter().filter(|t| t.0).count(), texts.iter().filter(|t| t.1).count())
    };
    let (whole, headers) = (of(MessagePolicy::all(Messages::Whole)), of(MessagePolicy::all(Messages::Headers)));
    assert!(whole.0 > 100 && whole.2 > 50);
    assert_eq!(headers, (whole.0, whole.0, 0));
    assert_eq!(of(MessagePolicy::all(Messages::Off)), (0, 0, 0));
    // By trunk: 192.0.2.1 is the source of all calls.
    let labels = Labels { trunks: vec![("192.0.2.1".parse().unwrap(), "quiet".to_owned())], ..Labels::default() };
    let trunk = |name: &str| MessagePolicy {
        usual: Messages::Whole,
        of_trunks: vec![(name.to_owned(), Messages::Off)],
        labels: labels.clone(),
    };
    assert_eq!(of(trunk("quiet")).0, 0);
    assert_eq!(of(trunk("other")), whole);
}

#[test]
fn what_begins_after_a_change_is_stated_by_the_new_rules() {
    let world = Numbers::new();
    // Each call of the beginning has two messages.
    let half = 90;
    let mut engine = setup(Privacy::clear(), 1).engine();
    let mut events = Vec::new();
    for (n, frame) in world.frames.iter().enumerate() {
        if n == half {
            engine.set_privacy(privacy(Mode::Masked, &[1]), MessagePolicy::default());
        }
        feed(&mut engine, frame, &mut events);
    }
    engine.finish(&mut events);
    let changed = Timestamp(world.frames[half].at);
    let calls: Vec<_> =
        events.iter().filter_map(|e| if let Event::CallEnded(c) = e { Some(c) } else { None }).collect();
    let (before, after): (Vec<&&Box<CallRecord>>, Vec<_>) = calls.iter().partition(|call| call.first_at < changed);
    assert!(before.len() > 20 && after.len() > 20);
    assert!(before.iter().all(|call| !call.call_id.starts_with('c')), "{:?}", before[0].call_id);
    assert!(after.iter().all(|call| call.call_id.starts_with('c') && world.shown_by(&format!("{call:?}")).is_empty()));
}
