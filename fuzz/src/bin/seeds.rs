//! Writes the committed corpus of every target, from the seeded world and by hand: `seeds fuzz/corpus`.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use testkit::World;

struct Corpus(PathBuf);

impl Corpus {
    fn put(&self, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let dir = self.0.join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(name), bytes)
    }

    fn texts(&self, target: &str, texts: &[&str]) -> Result<()> {
        texts.iter().enumerate().try_for_each(|(n, text)| self.put(target, &format!("{n:02}"), text.as_bytes()))
    }
}

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).ok_or_else(|| Error::other("usage: seeds DIR"))?;
    let corpus = Corpus(Path::new(&dir).to_owned());
    for seed in 0..3 {
        from_world(&corpus, seed)?;
    }
    by_hand(&corpus)?;
    scripts(&corpus)
}

/// Messages, media and files as the seeded world has them.
fn from_world(corpus: &Corpus, seed: u64) -> Result<()> {
    let capture = World::random(seed, 2).build();
    let (mut sip, mut media) = (0, 0);
    for (_, frame) in capture.pairs() {
        // A frame's payload, as far as a corpus needs it: what follows the headers.
        let text = frame.windows(8).position(|w| w == b"SIP/2.0 " || w == b"INVITE s" || w == b"BYE sip:");
        if let Some(at) = text.filter(|_| sip < 8) {
            sip += 1;
            let message = &frame[at..];
            corpus.put("sip_msg", &format!("{seed}-{sip}"), message)?;
            corpus.put("frame", &format!("{seed}-sip-{sip}"), &[&[0], frame.as_slice()].concat())?;
            if let Some(at) = message.windows(3).position(|w| w == b"v=0") {
                corpus.put("sdp", &format!("{seed}-{sip}"), &message[at..])?;
            }
        } else if text.is_none() && media < 8 && frame.len() > 60 {
            media += 1;
            corpus.put("frame", &format!("{seed}-media-{media}"), &[&[0], frame.as_slice()].concat())?;
            corpus.put("rtp_rtcp", &format!("{seed}-{media}"), &frame[42..])?;
        }
    }
    let plain = testkit::pcap::to_bytes(&capture.frames[..capture.frames.len().min(20)]);
    for name in ["pcap", "pcap.gz", "pcap.zst"] {
        corpus.put("pcap", &format!("{seed}.{name}"), &testkit::pcap::pack(name, &plain)?)?;
    }
    Ok(())
}

fn by_hand(corpus: &Corpus) -> Result<()> {
    corpus.texts(
        "statement",
        &[
            "SELECT codec, count() AS n FROM streams WHERE loss_pct > 1.5 AND codec IN ('PCMA', 'PCMU') GROUP BY codec ORDER BY n DESC LIMIT 10",
            "WITH a AS (SELECT * FROM calls) SELECT arrayMap(x -> x + 1, [1, 2]), quantile(0.95)(loss_pct) FROM a FORMAT JSON",
            "SELECT displayName(), version(), revision(), timezone()",
            "SELECT file('/etc/passwd')",
            "SELECT * APPLY(file) FROM calls",
            "SELECT 'a\\\\', \"x\", `y` FROM calls -- end",
            "SELECT CASE WHEN {x:UInt8} = 1 THEN 'a' ELSE 'b' END FROM calls SETTINGS max_threads = 1",
            "SHOW TABLES",
            "DESCRIBE TABLE calls",
        ],
    )?;
    corpus.texts(
        "vq_report",
        &[
            "VQSessionReport: CallTerm\r\nCallID: 5b1c02@192.0.2.10\r\nLocalID: \"Desk\" <sip:4021@pbx.example>\r\nOrigID: <sip:4021@pbx.example>\r\n\
             LocalAddr: IP=192.0.2.10 PORT=18440 SSRC=0x51A2C3D4\r\nRemoteAddr:IP=198.51.100.7 PORT=30022 SSRC=0BADCAFE\r\nLocalMetrics:\r\n\
             Timestamps: START=2025-03-04T09:15:02Z STOP=2025-03-04T09:18:44Z\r\nSessionDesc: PT=8 PD=PCMA SR=8000 FD=20 FO=160 FPP=1 PPS=50\r\n \
             FMTP=\"a=b c=d\" PLC=3 SSUP=off\r\nJitterBuffer: JBA=3 JBR=2 JBN=40 JBM=60 JBX=120\r\nPacketLoss: NLR=1.20 JDR=0.30\r\n\
             QualityEst: RLQ=88 RCQ=86 MOSLQ=4.3 MOSCQ=4.2 QoEEstAlg=G.107\r\nRemoteMetrics:\r\nPacketLoss: NLR=5.0 JDR=0\r\n",
            "VQAlertReport: Type=NLR Severity=Critical Dir=local\nMetrics:\n",
            "\n vqintervalreport\nCALLID:x\nPacketLoss:nlr = 2.5;JDR=0\nqualityest:moslq=3.9",
        ],
    )?;
    corpus.texts(
        "text",
        &[
            "@Zo\u{eb} M\u{fc}ller",
            "@a\u{1b}[2J\u{9b}\u{202e}b",
            "@e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
            "@\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}",
            " x\r\n\ty",
        ],
    )?;
    corpus.texts(
        "request",
        &[
            "query=SELECT 1&database=auscult&param_x=3&max_threads=1&decompress=1",
            "SELECT 'FORMAT x' FORMAT JSON SETTINGS a=1",
            "INSERT INTO `format` SETTINGS x='FORMAT y', z=1 FORMAT TSV\n\n1\t2\n",
            "(SELECT 1) UNION ALL (SELECT 2) -- end",
            "EXPLAIN AST SELECT 1; SELECT 7 INTO OUTFILE '/tmp/x'",
            "insert into format format JSONEachRow {\"a\":1}",
        ],
    )?;
    corpus.texts(
        "api_query",
        &[
            "/api/v1/calls?from=2026-11-20T20:13:51Z&to=2026-11-21T20:13:51Z&number=%2B4930&sort=worst&limit=50",
            "/api/v1/streams?address=192.0.2.0/24&ssrc=0x0000abcd&codec=PCMU",
            "/api/v1/stats?group_by=codec,trunk&bucket_s=60",
            "/api/v1/timeline?buckets=120&mos_below=3.5",
            "/api/v1/calls/0123456789abcdef",
            "/api/v1/calls?cursor=000000000000000000ffffffffffffffff00000000000000000000000000000000",
            "/metrics",
            "/readyz",
            "/assets/../x",
            "call_id=x%00%E2%80%AE&unknown%1B=1",
        ],
    )?;
    let example = include_str!("../../../docs/auscult.example.toml");
    let settings: Vec<&str> =
        example.lines().filter(|line| !line.starts_with("# ") && !line.contains("_file")).collect();
    let on: Vec<&str> = settings.iter().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    corpus.texts(
        "config",
        &["", "[probe]\nname = \"a\"\n[measure]\ninterval_s = 10\n", &settings.join("\n"), &on.join("\n")],
    )?;
    Ok(())
}

/// Inputs in the alphabets of the targets that read scripts.
fn scripts(corpus: &Corpus) -> Result<()> {
    // A call: invite, answer, media both ways, reports, bye.
    let call = [0u8, 0, 0, 40, 2, 0, 0, 90, 3, 0, 0, 20];
    let media: Vec<u8> = (0..200u8).flat_map(|i| [4 + (i & 1), 0, i, 10]).collect();
    corpus.put("engine_seq", "call", &[&call, media.as_slice(), &[6, 0, 0, 10, 7, 0, 0, 10, 8, 0, 0, 10]].concat())?;
    corpus.put(
        "engine_seq",
        "strangers",
        &(0..80u8).flat_map(|i| [11, i.wrapping_mul(37), i, 3]).collect::<Vec<u8>>(),
    )?;
    // One interface with a name and a resolution, then packets.
    let interface = [1u8, 0, 0, 0, 0, 0, 2, 0, 4, b'e', b't', b'h', b'0', 1, 1, 6];
    let packets: Vec<u8> = (0..20u8).flat_map(|i| [0x84, i, 0, 0, 0, 1, i, i, 0, 0]).collect();
    let late: Vec<u8> = (0..4u8)
        .flat_map(|i| [[4u8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [1, i, i, 0, 0, 0, 0, 0, 0]].concat())
        .collect();
    let offset = [1u8, 0, 0, 0, 0, 0, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for (name, script) in [
        ("plain", [&[0x11u8, 0][..], &interface, &packets].concat()),
        ("gzip", [&[0x30u8, 1][..], &interface, &packets].concat()),
        ("late", [&[0x15u8, 0][..], &interface, &packets, &late].concat()),
        ("offset", [&[0x1fu8, 0][..], &offset, &packets].concat()),
        (
            "sections",
            [&[0x12u8, 0][..], &interface, &[0, 1], &interface, &packets, &[11, 0, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1]]
                .concat(),
        ),
    ] {
        corpus.put("pcapng", name, &script)?;
        let part = [&[0u8][..], &script[1..]].concat();
        corpus.put("replay", name, &part)?;
        let len = (part.len() as u16).to_le_bytes();
        corpus.put("timeline", name, &[&len[..], &part, &len, &part, &part].concat())?;
    }
    let classic: Vec<u8> = (0..20u8).flat_map(|i| [0, i, 0, 0, 0, i, 0, 0, 0, 1, i, i]).collect();
    corpus.put("replay", "classic", &[&[1u8, 0][..], &classic].concat())?;
    // Segments: flags 1 is SYN; 0x80 in the first byte takes the script's own bytes.
    let ordered: Vec<u8> = (0..6u8).flat_map(|i| [1, 1, u8::from(i == 0), i * 20, 0, 20]).collect();
    let holes: Vec<u8> = (0..8u8).flat_map(|i| [9, 2, 0, (i ^ 5) * 30, 0, 30]).collect();
    corpus.put("tcp", "ordered", &ordered)?;
    corpus.put("tcp", "holes", &[ordered, holes].concat())?;
    for (name, head) in [("raw", [0u8, 9]), ("packed", [1, 3]), ("forged", [3, 200]), ("zstd", [7, 40])] {
        corpus.put("clickhouse_frames", name, &[&head[..], &[9, 0, 0, 0, 8, 0, 0, 0], b"some rows"].concat())?;
    }
    corpus.put(
        "clickhouse_frames",
        "bomb",
        &[&[7u8, 255, 0, 0, 0, 0, 0, 1, 0, 0][..], &zstd::encode_all(&[0u8; 4096][..], 1)?].concat(),
    )?;
    let header =
        br#"{"version":1,"table":"calls","columns":["a"],"rows":1,"token":"t","payload_length":9,"payload_crc32":0}"#;
    let len = (header.len() as u16).to_le_bytes();
    corpus.put("segment", "header", &[&len[..], header, b"some rows"].concat())?;
    corpus.put("segment", "zstd", &[&len[..], header, &zstd::encode_all(&[7u8; 500][..], 1)?].concat())?;
    for n in 0..8u8 {
        corpus.put("secrets", &format!("{n}"), &[&[n, n, n & 1][..], b"one; two=\"3\" <x>, four: five"].concat())?;
    }
    Ok(())
}
