//! Tests of recognising SIP among other traffic and of cutting streams into messages.

use super::super::headers::Lines;
use super::*;
use proptest::prelude::*;

/// The first look at a buffer whose bytes came all at once; junk as far as the next line that may open a message.
fn frame_len(buf: &[u8], limit: usize) -> Framing {
    let limits = FramingLimits { message: limit, headers: limit };
    let (mut framer, mut junk) = (Framer::default(), 0);
    loop {
        match framer.next(&buf[junk..], &limits) {
            Framing::Junk(n) => junk += n,
            Framing::Skip(n) if junk > 0 => junk += n,
            first if junk == 0 => return first,
            _ if junk == buf.len() => return Framing::NotSip,
            _ => return Framing::Junk(junk),
        }
    }
}

const MESSAGE: &str = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nl: 4\r\n\r\nv=0\n";

#[test]
fn messages_are_cut_at_their_length() {
    for at in 0..MESSAGE.len() {
        assert_eq!(frame_len(&MESSAGE.as_bytes()[..at], 1000), Framing::Need, "prefix of {at}");
    }
    let two = format!("{MESSAGE}\r\n\r\n{MESSAGE}");
    assert_eq!(frame_len(two.as_bytes(), 1000), Framing::Message(MESSAGE.len()));
    assert_eq!(frame_len(&two.as_bytes()[MESSAGE.len()..], 1000), Framing::Skip(4));
}

#[test]
fn lengths_that_are_none() {
    let with = |length: &str| MESSAGE.replace("l: 4", length);
    let headers = |length: &str| with(length).find("v=0").unwrap_or_default();
    for (length, expect) in [
        ("X: 4", Framing::Message(headers("X: 4"))),
        ("l: -1", Framing::Message(headers("l: -1"))),
        ("l: 1073741824", Framing::TooLong(headers("l: 1073741824"))),
        ("l: 99999999999999999999999", Framing::TooLong(headers("l: 99999999999999999999999"))),
        ("l: 4\r\nl: 3", Framing::Message(headers("l: 4\r\nl: 3") + 3)),
    ] {
        assert_eq!(frame_len(with(length).as_bytes(), 1000), expect, "{length}");
    }
    let invalid_then_next = format!("{}{MESSAGE}", with("l: x"));
    assert_eq!(frame_len(invalid_then_next.as_bytes(), 1000), Framing::Message(with("l: x").len()));
}

#[test]
fn junk_is_skipped_to_the_next_start_line() {
    assert_eq!(frame_len(b"rest of a body\r\nINVITE sip:b@h SIP/2.0\r\n", 1000), Framing::Junk(16));
    assert_eq!(frame_len(b"\x16\x03\x01\x02\x00\x01", 1000), Framing::NotSip);
    assert_eq!(frame_len(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1000), Framing::NotSip);
    assert_eq!(frame_len("a".repeat(65).as_bytes(), 1000), Framing::NotSip);
    let endless = format!("INVITE sip:b@h SIP/2.0\r\n{}", "X: y\r\n".repeat(100));
    assert_eq!(frame_len(endless.as_bytes(), 600), Framing::HeadersTooLong(600));
}

#[test]
fn what_opens_message() {
    for yes in [
        "INVITE sip:b@h SIP/2.0\r\n",
        "\r\n\r\nSIP/2.0 200 OK",
        "sip/2.0 100 \r\n",
        "RE%47 soap.beep://x SIP/2.0\n",
        "INVITE sip:no-version",
        "OPTIONS <sip:a@h> SIP/7.0\r\n",
    ] {
        assert!(looks_like_sip(yes.as_bytes()), "{yes}");
    }
    for no in ["", "GET / HTTP/1.1\r\n", "\0\0\0\0", "SIP/2.0", "HTTP/1.1 200 OK\r\n", "M-SEARCH * HTTP/1.1\r\n"] {
        assert!(!looks_like_sip(no.as_bytes()), "{no}");
    }
}

/// What came out of a stream: heads of messages, their bodies where a length says where those end, and what was too long.
#[derive(Debug, PartialEq)]
enum Found {
    Message { head: Vec<u8>, body: Option<Vec<u8>> },
    TooLong,
    HeadersTooLong,
    NotSip,
}

/// Gives a stream to one framer in pieces of these sizes, over and over.
fn cut_into(bytes: &[u8], sizes: &[usize], limits: &FramingLimits) -> Vec<Found> {
    let (mut framer, mut buffer, mut found) = (Framer::default(), Vec::new(), Vec::new());
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        buffer.extend_from_slice(piece);
        rest = after;
        loop {
            let used = match framer.next(&buffer, limits) {
                Framing::Need => break,
                Framing::Message(n) => {
                    found.push(split(&buffer[..n]));
                    n
                }
                Framing::Skip(n) | Framing::Junk(n) => n,
                Framing::TooLong(n) => {
                    found.push(Found::TooLong);
                    n
                }
                Framing::HeadersTooLong(n) => {
                    found.push(Found::HeadersTooLong);
                    n
                }
                Framing::NotSip => {
                    found.push(Found::NotSip);
                    return found;
                }
            };
            assert!(used > 0 && used <= buffer.len());
            buffer.drain(..used);
        }
    }
    found
}

/// Head and body of a message, by [`Lines`].
fn split(message: &[u8]) -> Found {
    let (head, length) = head_of(message).expect("an empty line");
    let body = match length {
        Length::Invalid => None,
        _ => Some(message[head..].to_vec()),
    };
    Found::Message { head: message[..head].to_vec(), body }
}

/// Where the empty line of a message ends and what was said of its length, by another way than the framer's.
fn head_of(message: &[u8]) -> Option<(usize, Length)> {
    let start = memchr::memchr(b'\n', message)? + 1;
    let mut length = Length::Absent;
    for line in Lines::new(&message[start..]) {
        if line.bytes.is_empty() && line.terminated {
            return Some((start + line.end, length));
        }
        if let Some((name, value)) = split_header(line.bytes)
            && long_name(name).eq_ignore_ascii_case(b"Content-Length")
        {
            length = length.and(value);
        }
    }
    None
}

/// Pieces that streams are put together from: messages, and what breaks them.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "INVITE sip:b@h SIP/2.0\r\n",
        "SIP/2.0 200 OK\n",
        " BYE\tsip:b@h SIP/2.0 \r\n",
        "OPTIONS sip:b@h SIP/2.0\r\nl: 0\r\n\r\n",
        "ACK sip:b@h SIP/2.0\r\n\r\n",
        "INVITE sip:b@h",
        "Call-ID: x\r\n",
        "Subject: a\r\n b\r\n\tc\r\n",
        "X: folded over nothing\r\n \r\n \r\n",
        " \r\n",
        "Content-Length: 3\r\n",
        "CONTENT-LENGTH :\r\n 07\n",
        "l:\t12\r\n",
        "l: 5\r\n",
        "l: 999999\r\n",
        "l: 1 2\r\n",
        "l: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\n\n",
        "\r",
        "\0",
        " ",
        "abc",
        "v=0\r\n",
        "\u{16}\u{3}\u{1}",
        "GET / HTTP/1.1\r\n",
        "a line of no message that is longer than any method is and has no end of its own",
    ])
}

proptest! {
    /// Folds, line ends without CR, lengths of all forms, keep-alives and garbage between: how the stream is cut never shows.
    #[test]
    fn messages_do_not_depend_on_how_a_stream_is_cut(
        pieces in prop::collection::vec(piece(), 0..40),
        sizes in prop::collection::vec(1usize..60, 1..8),
        headers in 40usize..200,
        message in 100usize..400,
    ) {
        let stream = pieces.concat().into_bytes();
        let limits = FramingLimits { message, headers };
        let mut whole = cut_into(&stream, &[usize::MAX], &limits);
        let mut cut = [cut_into(&stream, &sizes, &limits), cut_into(&stream, &[1], &limits)];
        // What is the body of a message without a usable length, or else garbage that may have a limit of its own, is the cut's choice.
        if whole.iter().any(|found| matches!(found, Found::Message { body: None, .. })) {
            for found in cut.iter_mut().chain([&mut whole]) {
                found.retain(|found| matches!(found, Found::Message { .. }));
            }
        }
        for found in &cut {
            prop_assert_eq!(found, &whole);
        }
        for found in &whole {
            if let Found::Message { head, .. } = found {
                prop_assert!(head.len() <= headers.min(message));
            }
        }
    }

    /// The first message of a stream is the one that [`Lines`] finds.
    #[test]
    fn the_first_message_ends_where_its_lines_say(pieces in prop::collection::vec(piece(), 0..20)) {
        let stream = ["INVITE sip:b@h SIP/2.0\r\n", &pieces.concat()].concat().into_bytes();
        let limits = FramingLimits { message: 10_000, headers: 10_000 };
        let found = Framer::default().next(&stream, &limits);
        match head_of(&stream) {
            None => prop_assert_eq!(found, Framing::Need),
            Some((head, Length::Absent)) => prop_assert_eq!(found, Framing::Message(head)),
            Some((head, Length::Declared(n))) => {
                let total = usize::try_from(n).unwrap().saturating_add(head);
                let expected = match total {
                    10_001.. => Framing::TooLong(head),
                    _ if total > stream.len() => Framing::Need,
                    _ => Framing::Message(total),
                };
                prop_assert_eq!(found, expected);
            }
            Some((head, Length::Invalid)) => prop_assert!(matches!(found, Framing::Message(n) if n >= head)),
        }
    }
}

#[test]
fn a_header_block_above_its_limit_is_dropped_and_the_next_message_is_read() {
    let limits = FramingLimits { message: 10_000, headers: 200 };
    let long = |bytes: usize| format!("INVITE sip:b@h SIP/2.0\r\nX: {}\r\n\r\n", "a".repeat(bytes - 31));
    let found = |stream: &str| {
        let whole = cut_into(stream.as_bytes(), &[usize::MAX], &limits);
        assert_eq!(cut_into(stream.as_bytes(), &[1], &limits), whole);
        whole
    };
    let message = |text: &str| split(text.as_bytes());
    assert_eq!(long(200).len(), 200);
    assert_eq!(found(&long(200)), [message(&long(200))], "exactly the limit");
    assert_eq!(found(&long(201)), [Found::HeadersTooLong]);
    assert_eq!(found(&(long(900) + MESSAGE)), [Found::HeadersTooLong, message(MESSAGE)]);
    // Folds, and lines without an end of the block.
    assert_eq!(found(&format!("INVITE sip:b@h SIP/2.0\r\nX: a{}", "\r\n ".repeat(100))), [Found::HeadersTooLong]);
    let lost_empty_line = format!("INVITE sip:b@h SIP/2.0\r\nX: y\r\n{}", MESSAGE.replace("x", &"x".repeat(150)));
    assert_eq!(found(&lost_empty_line).len(), 2, "read again from the start line inside");
    // A body does not count.
    let body = format!("INVITE sip:b@h SIP/2.0\r\nl: 900\r\n\r\n{}", "b".repeat(900));
    assert_eq!(found(&body), [message(&body)]);
    assert_eq!(cut_into(long(201).as_bytes(), &[7], &FramingLimits { message: 200, headers: 300 }), [Found::TooLong]);
}

#[test]
fn a_stream_that_stops_being_sip_is_given_up() {
    let limits = FramingLimits { message: 10_000, headers: 1_000 };
    for junk in ["?", "a\n", "a: b\r\n", "INVITE sip:b@h\r\n"] {
        let stream = |bytes: usize| [MESSAGE, &junk.repeat(bytes / junk.len()), "\r\n", MESSAGE].concat();
        let found = cut_into(stream(60_000).as_bytes(), &[1460], &limits);
        assert_eq!(found, [split(MESSAGE.as_bytes()), split(MESSAGE.as_bytes())], "{junk:?}");
        let found = cut_into(stream(70_000).as_bytes(), &[1460], &limits);
        assert_eq!(found, [split(MESSAGE.as_bytes()), Found::NotSip], "{junk:?}");
    }
}
