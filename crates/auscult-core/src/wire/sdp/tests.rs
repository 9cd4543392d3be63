//! Unit tests of the SDP reader.

use super::*;

fn show(text: &str) -> String {
    show_cut(text, false)
}

fn show_cut(text: &str, cut: bool) -> String {
    let sdp = parse(text.as_bytes(), cut);
    let mut out = String::new();
    for m in &sdp.media {
        let formats: Vec<String> = m
            .formats
            .iter()
            .map(|f| format!("{}={}/{}", f.payload_type.0, f.name, f.clock.map_or(0, |c| c.hz())))
            .collect();
        let endpoint = m.endpoint().map_or("-".to_owned(), |e| e.to_string());
        let rtcp = m.rtcp.map_or("-".to_owned(), |e| e.to_string());
        let ptime = m.ptime_ms.map_or("-".to_owned(), |p| p.to_string());
        out += &format!(
            "{:?} {endpoint} rtcp {rtcp} ptime {ptime} {}{} {}\n",
            m.kind,
            m.direction.name(),
            match m.srtp {
                Srtp::Off => String::new(),
                Srtp::On { trailer: None } => " srtp".to_owned(),
                Srtp::On { trailer: Some(bytes) } => format!(" srtp+{bytes}"),
            },
            formats.join(" ")
        );
    }
    let odd: Vec<_> = sdp.anomalies().map(SdpAnomaly::name).collect();
    out + &odd.join("+")
}

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

#[test]
fn audio_with_names_rates_and_packet_time() {
    assert_eq!(
        show(&format!(
            "{HEAD}m=audio 4000 RTP/AVP 9 96 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
        )),
        "Audio 192.0.2.1:4000 rtcp 192.0.2.1:4001 ptime 20 sendrecv 9=G722/8000 96=opus/48000 101=telephone-event/8000\n"
    );
}

#[test]
fn connection_of_the_media_wins() {
    assert_eq!(
        show(
            "v=0\nc=IN IP4 10.0.0.1\na=sendonly\nm=audio 22334 RTP/AVP 0\nc=IN IP6 ::ffff:192.0.2.2\nm=video 6024 RTP/AVP 34\na=recvonly\nc=IN IP6 2001:db8::1\n"
        ),
        "Audio 192.0.2.2:22334 rtcp 192.0.2.2:22335 ptime - sendonly 0=PCMU/8000\n\
         Video [2001:db8::1]:6024 rtcp [2001:db8::1]:6025 ptime - recvonly 34=H263/90000\n"
    );
}

#[test]
fn rtcp_elsewhere_or_multiplexed() {
    let with = |a: &str| show(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n{a}"));
    assert!(with("a=rtcp:53020 IN IP4 126.16.64.4\r\n").contains("rtcp 126.16.64.4:53020"));
    assert!(with("a=rtcp:53020\r\n").contains("rtcp 192.0.2.1:53020"));
    assert!(with("a=rtcp-mux\r\n").contains("rtcp 192.0.2.1:4000"));
    assert!(
        with("a=rtcp:0\r\na=rtcp:70000\r\na=rtcp:\r\n").ends_with("192.0.2.1:4001 ptime - sendrecv 0=PCMU/8000\nport")
    );
    assert!(show(&format!("{HEAD}m=audio 65535 RTP/AVP 0\r\n")).contains("65535 rtcp - "));
}

#[test]
fn hold_and_refusal_have_no_endpoint() {
    assert_eq!(
        show(
            "v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\nm=audio 4000 RTP/AVP 0\na=inactive\nm=image 0 udptl t38\nc=IN IP4 10.0.0.1\n"
        ),
        "Audio - rtcp - ptime - sendonly 0=PCMU/8000\nAudio - rtcp - ptime - inactive 0=PCMU/8000\nImage - rtcp - ptime - sendrecv \n"
    );
}

#[test]
fn encrypted_media_is_marked() {
    for text in [
        "m=audio 4000 RTP/SAVP 0\n",
        "a=fingerprint:sha-256 AA\nm=audio 4000 RTP/AVP 0\n",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\n",
    ] {
        assert!(show(text).contains(" srtp "), "{text}");
    }
    assert!(!show("m=audio 4000 RTP/AVP 0\na=crypto:\n").contains("srtp"));
}

#[test]
fn the_suite_tells_what_encryption_adds() {
    let shown = |lines: &str| {
        let text = show(&format!("m=audio 4000 RTP/SAVP 0\n{lines}"));
        text.split_ascii_whitespace().find(|word| word.starts_with("srtp")).unwrap_or_default().to_owned()
    };
    for (suite, adds) in [
        ("AES_CM_128_HMAC_SHA1_80", "srtp+10"),
        ("aes_cm_128_hmac_sha1_32", "srtp+4"),
        ("F8_128_HMAC_SHA1_80", "srtp+10"),
        ("AES_256_CM_HMAC_SHA1_80", "srtp+10"),
        ("AES_192_CM_HMAC_SHA1_32", "srtp+4"),
        ("AEAD_AES_128_GCM", "srtp+16"),
        ("AEAD_AES_256_GCM", "srtp+16"),
        ("SEED_128_CCM_80", "srtp+10"),
        ("SEED_128_GCM_96", "srtp+12"),
        ("OF_TOMORROW_80", "srtp"),
    ] {
        assert_eq!(shown(&format!("a=crypto:1 {suite} inline:x|2^20\n")), adds, "{suite}");
    }
    let crypto = |rest: &str| format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {rest}\n");
    assert_eq!(shown(&crypto("inline:x|2^20|1066:4")), "srtp+14", "a master key identifier");
    assert_eq!(shown(&crypto("inline:x|1:4;inline:y|2:4")), "srtp+14");
    assert_eq!(shown(&crypto("inline:x|1:4000")), "srtp");
    assert_eq!(shown(&crypto("inline:x UNAUTHENTICATED_SRTP")), "srtp+0");
    let short = "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:y\n";
    assert_eq!(shown(&(crypto("inline:x") + short)), "srtp", "the answer will say");
    assert_eq!(shown(&(crypto("inline:x") + &crypto("inline:y"))), "srtp+10");
    assert_eq!(shown(&(crypto("inline:x") + "a=fingerprint:sha-256 AA\n")), "srtp");
    assert_eq!(shown("a=crypto:1\n"), "srtp");
}

#[test]
fn nonsense_is_dropped_and_noted() {
    let noted = |media: &str| show(&format!("{HEAD}{media}")).lines().last().unwrap_or_default().to_owned();
    assert_eq!(noted("m=audio 17002 RTP/AVP 4294967296\r\n"), "payload_type");
    assert_eq!(noted("m=audio 17002 RTP/AVP 128\r\n"), "payload_type");
    assert_eq!(noted("m=audio 65536 RTP/AVP 0\r\n"), "port");
    assert_eq!(noted("m=audio 65535/65535 RTP/AVP 0\r\n"), "port");
    assert_eq!(noted("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/0/2\r\n"), "clock_rate");
    assert_eq!(noted("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 X/4294967295\r\n"), "clock_rate");
    assert_eq!(noted("m=audio 4000 RTP/AVP 0\r\na=ptime:0\r\n"), "ptime");
    assert_eq!(noted("m=audio 4000 RTP/AVP 0\r\na=ptime:60000\r\n"), "ptime");
    assert_eq!(noted("m=audio\r\n"), "syntax");
    assert_eq!(noted("m=audio 4000 RTP/AVP 0\r\na=ssrc:4294967296 cname:x\r\n"), "ssrc");
    assert_eq!(noted(&"m=audio 4000 RTP/AVP 0\r\n".repeat(33)), "too_many_media");
    assert_eq!(noted(&format!("m=audio 4000 RTP/AVP 0\r\n{}", "a=\r\n".repeat(129))), "too_many_attributes");
    assert_eq!(show(""), "empty");
    assert_eq!(show("c=IN IP4 media.example.com\nm=audio 4000 RTP/AVP 0\n").lines().last(), Some("address"));
}

#[test]
fn a_rate_of_zero_does_not_take_the_static_one_away() {
    assert!(show(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/0\r\n")).contains("0=PCMU/8000"));
    assert!(show(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 X/0\r\n")).contains("0=X/0"));
}

#[test]
fn a_line_cut_by_content_length_teaches_nothing() {
    let text = format!("{HEAD}m=audio 40");
    assert_eq!(show_cut(&text, true), "truncated");
    assert!(show_cut(&format!("{HEAD}m=audio 4000 RTP/AVP 0"), false).contains("192.0.2.1:4000"));
}

#[test]
fn static_types_of_rfc3551() {
    let of = |pt| static_payload(PayloadType(pt)).map(|(n, c)| (n, c.hz()));
    assert_eq!(of(9), Some(("G722", 8_000)));
    assert_eq!(of(34), Some(("H263", 90_000)));
    assert_eq!((of(1), of(35), of(72), of(96)), (None, None, None, None));
}
