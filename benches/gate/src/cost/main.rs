//! What hostile messages cost, as a function of their length: `cost` does each case twice, the second time with twice the bytes, and
//! prints a line for each; `cost CASE` does one, `cost CASE BYTES` does it once with so many bytes.
//!
//! `tools/cost-gate` runs it under valgrind, which counts the instructions inside of each call of [`counted_part`].

mod messages;
mod packets;

use auscult_core::engine::{Engine, With};
use auscult_core::model::{Event, Limits, Policy, TimestampSource};
use auscult_core::privacy::{Key, Mode, Privacy, PrivacySettings};
use auscult_core::units::Timestamp;
use auscult_core::wire::LinkType;
use messages::Fill;
use packets::Frames;
use std::hint::black_box;
use std::process::ExitCode;

/// Start of an interval, ns since the epoch.
const START: i64 = 1_794_301_200_000_000_000;
/// Time between two frames: no timer of a stream runs out within a case.
const GAP_NS: i64 = 1_000;
/// Bytes of the smaller message of each case; a header block has at most 64 KiB.
const BYTES: usize = 16 * 1024;
/// The same where each byte has a frame of its own.
const FEW_BYTES: usize = 1024;
/// The same where a limit of 64 KiB is to be passed more than once.
const MANY_BYTES: usize = 192 * 1024;
/// Payload of the segments that carry a message.
const PIECES: [usize; 6] = [1, 2, 7, 100, 536, 1_460];

struct Case {
    name: String,
    bytes: usize,
    frames: Box<dyn Fn(usize) -> Frames>,
    policy: Policy,
}

/// A kind of body, what it is filled with, and what makes it.
type Bodies = (&'static str, &'static [Fill], fn(Fill, usize) -> Vec<u8>);
/// An order of segments, and what makes it.
type Order = (&'static str, fn(usize, &[u8]) -> Frames);

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let cases = cases();
    if let Some(wanted) = wanted.as_ref().filter(|wanted| cases.iter().all(|case| case.name != **wanted)) {
        eprintln!("cost: there is no case {wanted}; `cost` alone does all");
        return ExitCode::from(2);
    }
    for case in cases.iter().filter(|case| wanted.as_ref().is_none_or(|wanted| case.name == *wanted)) {
        let sizes = match std::env::args().nth(2).and_then(|bytes| bytes.parse().ok()) {
            Some(bytes) => vec![bytes],
            None => vec![case.bytes, 2 * case.bytes],
        };
        for bytes in sizes {
            let frames = (case.frames)(bytes);
            let mut engine = Engine::new(Limits::default(), case.policy.clone(), 1, 0x5eed);
            engine.set_source("cost", TimestampSource::CaptureFile, 1);
            counted_part(&mut engine, &frames);
            // Bytes of the message, frames, and bytes of the frames.
            println!("{} {bytes} {} {}", case.name, frames.len(), frames.iter().map(Vec::len).sum::<usize>());
        }
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn counted_part(engine: &mut Engine, frames: &Frames) {
    let mut sink = With(|event: Event| {
        black_box(&event);
    });
    for (bytes, at) in frames.iter().zip((START..).step_by(GAP_NS as usize)) {
        engine.frame(Timestamp(at), LinkType::ETHERNET, bytes, bytes.len(), &mut sink);
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, bytes: usize, frames: Box<dyn Fn(usize) -> Frames>| {
        cases.push(Case { name, bytes, frames, policy: Policy::default() });
    };
    let bodies: [Bodies; 5] = [
        ("sip", messages::HEADERS, messages::headers),
        ("sip", messages::START_LINES, messages::start_line),
        ("multipart", messages::MULTIPART, messages::multipart),
        ("sdp", messages::SDP, messages::sdp),
        ("vq_report", messages::VQ_REPORT, messages::vq_report),
    ];
    for (kind, fills, message) in bodies {
        for fill in fills {
            add(format!("udp.{kind}.{}", fill.name), BYTES, Box::new(move |n| packets::udp(&message(*fill, n))));
        }
        // The first of each kind is the one that folds, or splits the most.
        let fill = fills[0];
        add(format!("fragments.{kind}.{}", fill.name), BYTES, Box::new(move |n| packets::fragments(&message(fill, n))));
    }
    let folds = messages::HEADERS[0];
    add(
        "fragments_of_8.sip.folds".to_owned(),
        900,
        Box::new(move |n| packets::fragments_of(8, &messages::headers(folds, n))),
    );
    add(
        "fragments_reversed.sip.folds".to_owned(),
        BYTES,
        Box::new(move |n| packets::fragments(&messages::headers(folds, n)).into_iter().rev().collect()),
    );
    for size in PIECES {
        for filled in messages::CONNECTIONS {
            let bytes = if size < 100 { FEW_BYTES } else { BYTES };
            let frames = move |n| packets::stream(size, &messages::connection(filled, n));
            add(format!("tcp_{size}.{}", filled.0), bytes, Box::new(frames));
        }
        let bytes = if size < 100 { FEW_BYTES } else { BYTES };
        for fill in messages::HEADERS.iter().take(11) {
            let frames = move |n| packets::stream(size, &messages::headers(*fill, n));
            add(format!("tcp_{size}.sip.{}", fill.name), bytes, Box::new(frames));
        }
        add(format!("tcp_{size}.body"), bytes, Box::new(move |n| packets::stream(size, &messages::body(n))));
        for fill in messages::STREAMS {
            let endless = ["starts_as_headers", "endless_headers", "endless_folds"].contains(&fill.name);
            let bytes = if endless && size >= 100 { MANY_BYTES } else { bytes };
            add(
                format!("tcp_{size}.stream.{}", fill.name),
                bytes,
                Box::new(move |n| packets::stream(size, &messages::stream(*fill, n))),
            );
        }
    }
    let orders: [Order; 4] = [
        ("reversed", packets::reversed),
        ("behind_holes", packets::behind_holes),
        ("overlapping", packets::overlapping),
        ("repeated", packets::repeated),
    ];
    for (order, frames) in orders {
        for size in [1, 536] {
            let bytes = if size == 1 { FEW_BYTES } else { BYTES };
            let message = move |n| frames(size, &messages::headers(folds, n));
            add(format!("tcp_{size}_{order}.sip.folds"), bytes, Box::new(message));
            let no_lengths = messages::STREAMS[9];
            let stream = move |n| frames(size, &messages::stream(no_lengths, n));
            add(format!("tcp_{size}_{order}.stream.no_lengths"), bytes, Box::new(stream));
        }
    }
    for (name, quoted) in [("text", &b"INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\n"[..]), ("nothing", b"")] {
        add(format!("icmp.{name}"), BYTES, Box::new(move |n| packets::icmp(quoted, n)));
    }
    for (name, packet) in messages::RTCP {
        add(format!("rtcp.{name}"), BYTES, Box::new(move |n| packets::rtcp(&messages::compound(*packet, n))));
    }
    for (name, block) in messages::XR {
        add(format!("rtcp.{name}"), BYTES, Box::new(move |n| packets::rtcp(&messages::xr(block, n))));
    }
    add("rtcp.xr_long_block".to_owned(), BYTES, Box::new(|n| packets::rtcp(&messages::xr_long_block(n))));
    cases.extend(hidden());
    cases
}

/// Messages whose numbers become pseudonyms, with a hash for each user and for each word of seven digits.
fn hidden() -> Vec<Case> {
    let settings =
        PrivacySettings { mode: Mode::Pseudonym, keys: vec![Key::new([1; 32])], ..PrivacySettings::default() };
    let privacy = Privacy::new(settings).unwrap_or_default();
    let policy = Policy { privacy, keep_headers: vec!["X-Kept".to_owned()], ..Policy::default() };
    let bodies: [Bodies; 4] = [
        ("sip", messages::HEADERS, messages::headers),
        ("sip", messages::NUMBERS, messages::headers),
        ("sip", messages::START_LINES, messages::start_line),
        ("sdp", messages::SDP, messages::sdp),
    ];
    let of = |(kind, fills, message): Bodies| {
        let policy = policy.clone();
        fills.iter().map(move |fill| Case {
            name: format!("hidden.{kind}.{}", fill.name),
            bytes: BYTES,
            frames: Box::new(move |n| packets::udp(&message(*fill, n))),
            policy: policy.clone(),
        })
    };
    bodies.into_iter().flat_map(of).collect()
}
