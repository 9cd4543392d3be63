//! Voice quality reports of RFC 6035: `application/vq-rtcpxr` bodies of PUBLISH and NOTIFY.
//!
//! Endpoints differ in spacing, order, case, quoting and folding, so all of that is read. What a report leaves out is
//! `None`; a value outside its range is `None` too, and the first such key is named.

use crate::model::{VoipMetrics, VqMeasured, VqSide};
use crate::privacy::Privacy;
use crate::units::text::clean;
use crate::units::{Ssrc, Timestamp};
use crate::wire::sip::{fmtp_text, phrase_text};
use std::borrow::Cow;
use std::net::IpAddr;

/// Largest body read; reports are about 1 KiB.
const MAX_BYTES: usize = 64 * 1024;
/// Longest text kept of a field.
const MAX_TEXT: usize = 256;

/// What a report says is hidden by [`VqReport::hide`], when its Call-ID has found the call.
const CLEAR: Privacy = Privacy::clear();

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VqError {
    #[error("vq-rtcpxr: longer than 64 KiB")]
    TooLong,
    #[error("vq-rtcpxr: does not begin with VQSessionReport, VQIntervalReport or VQAlertReport")]
    NotAReport,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VqKind {
    /// `call_term`: the last report of the session.
    Session {
        call_term: bool,
    },
    #[default]
    Interval,
    Alert,
}

/// One report (RFC 6035 section 4.6).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VqReport {
    pub kind: VqKind,
    pub call_id: String,
    pub local_id: String,
    pub remote_id: String,
    pub orig_id: String,
    pub local_group: String,
    pub remote_group: String,
    pub dialog_id: String,
    pub local_addr: VqAddress,
    pub remote_addr: VqAddress,
    /// What an alert is about: `Type`, `Severity` and `Dir` as written.
    pub alert: [String; 3],
    pub local: VqMetrics,
    /// The far end's view, as it sent it to the reporter.
    pub remote: Option<VqMetrics>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VqAddress {
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub ssrc: Option<Ssrc>,
}

/// Metrics of one end. Names are those of the RFC; times in milliseconds, shares in percent, levels in dB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VqMetrics {
    pub start: Option<Timestamp>,
    pub stop: Option<Timestamp>,
    /// What describes the session and the estimates, by the keys of the RFC, each once and as written: payload type, codec
    /// name, sample rate, frame duration, bytes and frames per packet, packets per second, parameters, loss concealment,
    /// silence suppression, algorithms.
    pub described: Vec<(&'static str, String)>,
    /// Loss concealment: 0 unknown, 1 disabled, 2 enhanced, 3 standard.
    pub plc: Option<u8>,
    /// Jitter buffer: adaptive (0 unknown, 2 no, 3 yes), rate, nominal, maximum, absolute maximum.
    pub jba: Option<u8>,
    pub jbr: Option<u8>,
    pub jbn: Option<u16>,
    pub jbm: Option<u16>,
    pub jbx: Option<u16>,
    /// Lost in the network, discarded by the jitter buffer.
    pub nlr: Option<f32>,
    pub jdr: Option<f32>,
    pub bld: Option<f32>,
    pub bd: Option<u32>,
    pub gld: Option<f32>,
    pub gd: Option<u32>,
    pub gmin: Option<u8>,
    pub rtd: Option<u16>,
    pub esd: Option<u16>,
    pub owd: Option<u16>,
    pub sowd: Option<u16>,
    pub iaj: Option<f32>,
    pub maj: Option<f32>,
    pub sl: Option<i8>,
    pub nl: Option<i8>,
    pub rerl: Option<u8>,
    pub rlq: Option<u8>,
    pub rcq: Option<u8>,
    pub extri: Option<u8>,
    pub extro: Option<u8>,
    pub moslq: Option<f32>,
    pub moscq: Option<f32>,
    /// First key whose value is not possible; empty when all are.
    pub implausible: &'static str,
}

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<VqReport, VqError> {
    if body.len() > MAX_BYTES {
        return Err(VqError::TooLong);
    }
    let text = String::from_utf8_lossy(body);
    let mut lines = unfolded(&text);
    let first = lines.find(|l| !l.trim().is_empty()).ok_or(VqError::NotAReport)?;
    let (name, value) = field(&first).ok_or(VqError::NotAReport)?;
    let mut report = VqReport { kind: kind(name, value)?, ..VqReport::default() };
    if report.kind == VqKind::Alert {
        for (key, value) in pairs(value) {
            match key.to_ascii_lowercase().as_str() {
                "type" => report.alert[0] = phrase_text(value.as_bytes(), MAX_TEXT, &CLEAR),
                "severity" => report.alert[1] = phrase_text(value.as_bytes(), MAX_TEXT, &CLEAR),
                "dir" => report.alert[2] = phrase_text(value.as_bytes(), MAX_TEXT, &CLEAR),
                _ => {}
            }
        }
    }
    let mut remote = false;
    for line in lines {
        let Some((name, value)) = field(&line) else { continue };
        match name.to_ascii_lowercase().as_str() {
            "callid" => report.call_id = short(value),
            "localid" => report.local_id = short(value),
            "remoteid" => report.remote_id = short(value),
            "origid" => report.orig_id = short(value),
            "localgroup" => report.local_group = short(value),
            "remotegroup" => report.remote_group = short(value),
            "dialogid" => report.dialog_id = short(value),
            "localaddr" => report.local_addr = address(value),
            "remoteaddr" => report.remote_addr = address(value),
            "localmetrics" => remote = false,
            "remotemetrics" => {
                remote = true;
                report.remote.get_or_insert_default();
            }
            _ => {
                let metrics = if remote { report.remote.get_or_insert_default() } else { &mut report.local };
                for (key, value) in pairs(value) {
                    if let Some(bad) = metrics.set(key, value)
                        && metrics.implausible.is_empty()
                    {
                        metrics.implausible = bad;
                    }
                }
            }
        }
    }
    Ok(report)
}

impl VqReport {
    /// Hides numbers in the texts that become part of a record.
    pub fn hide(&mut self, privacy: &Privacy) {
        if privacy.is_clear() {
            return;
        }
        let described = self.remote.iter_mut().chain([&mut self.local]).flat_map(|side| &mut side.described);
        for text in described.map(|(_, text)| text).chain(&mut self.alert) {
            *text = privacy.product(text).into_owned();
        }
    }
}

impl VqMetrics {
    /// What a VoIP metrics block of RTCP XR (RFC 3611 section 4.7) has too, about the stream of `ssrc`.
    pub fn voip(&self, ssrc: Ssrc) -> VoipMetrics {
        let short = |ms: Option<u32>| ms.map(|ms| ms.min(u32::from(u16::MAX)) as u16);
        // RFC 3611 section 4.7.6: loss concealment, buffer adaptivity and rate.
        let configured = [(self.plc, 3, 6), (self.jba, 3, 4), (self.jbr, 15, 0)];
        let rx_config = (configured.into_iter())
            .filter_map(|(value, mask, shift)| Some((value? & mask) << shift))
            .reduce(|all, bits| all | bits);
        VoipMetrics {
            ssrc,
            loss_pct: self.nlr,
            discard_pct: self.jdr,
            burst_density_pct: self.bld,
            gap_density_pct: self.gld,
            burst_ms: short(self.bd),
            gap_ms: short(self.gd),
            round_trip_ms: self.rtd,
            end_system_ms: self.esd,
            signal_dbm: self.sl,
            noise_dbm: self.nl,
            residual_echo_return_loss_db: self.rerl,
            gmin: self.gmin,
            r: self.rlq,
            external_r: self.extri,
            mos_lq: self.moslq,
            mos_cq: self.moscq,
            rx_config,
            jitter_buffer_nominal_ms: self.jbn,
            jitter_buffer_maximum_ms: self.jbm,
            jitter_buffer_absolute_maximum_ms: self.jbx,
        }
    }

    /// What it has not.
    pub fn beyond_rtcp(&self, side: VqSide) -> VqMeasured {
        VqMeasured {
            side,
            start: self.start,
            stop: self.stop,
            one_way_delay_ms: self.owd,
            symmetric_one_way_delay_ms: self.sowd,
            interarrival_jitter_ms: self.iaj,
            mean_absolute_jitter_ms: self.maj,
            r_cq: self.rcq,
            external_r_out: self.extro,
            described: self.described.clone(),
        }
    }

    /// Keeps a value as written; one written again replaces it.
    fn describe(&mut self, key: &'static str, value: &str) {
        self.described.retain(|(known, _)| *known != key);
        self.described.push((key, short(value)));
    }

    /// Takes one metric; returns its key when the value is not possible.
    fn set(&mut self, key: &str, value: &str) -> Option<&'static str> {
        macro_rules! number {
            ($field:ident, $name:literal, $low:expr, $high:expr) => {{
                self.$field = within(value, f64::from($low), f64::from($high)).map(|v| v as _);
                self.$field.is_none().then_some($name)
            }};
        }
        macro_rules! described {
            ($name:literal, $low:expr, $high:expr) => {{
                let good = within(value, f64::from($low), f64::from($high)).is_some();
                if good {
                    self.describe($name, value);
                }
                (!good).then_some($name)
            }};
        }
        match key.to_ascii_uppercase().as_str() {
            "START" => time(&mut self.start, value, "START"),
            "STOP" => time(&mut self.stop, value, "STOP"),
            "PT" => described!("PT", 0, 127),
            "SR" => described!("SR", 1, 192_000),
            "FD" => described!("FD", 0, 10_000),
            "FO" => described!("FO", 0, u16::MAX),
            "FPP" => described!("FPP", 0, u16::MAX),
            "PPS" => described!("PPS", 0, u16::MAX),
            "PLC" => {
                self.plc = within(value, 0.0, 3.0).map(|v| v as u8);
                described!("PLC", 0, 3)
            }
            "SSUP" => {
                let good = value.eq_ignore_ascii_case("on") || value.eq_ignore_ascii_case("off");
                if good {
                    self.describe("SSUP", value);
                }
                (!good).then_some("SSUP")
            }
            "JBA" => number!(jba, "JBA", 0, 3),
            "JBR" => number!(jbr, "JBR", 0, 15),
            "JBN" => number!(jbn, "JBN", 0, u16::MAX),
            "JBM" => number!(jbm, "JBM", 0, u16::MAX),
            "JBX" => number!(jbx, "JBX", 0, u16::MAX),
            "NLR" => number!(nlr, "NLR", 0, 100),
            "JDR" => number!(jdr, "JDR", 0, 100),
            "BLD" => number!(bld, "BLD", 0, 100),
            "BD" => number!(bd, "BD", 0, 3_600_000),
            "GLD" => number!(gld, "GLD", 0, 100),
            "GD" => number!(gd, "GD", 0, 1_000_000_000),
            "GMIN" => number!(gmin, "GMIN", 1, 255),
            "RTD" => number!(rtd, "RTD", 0, u16::MAX),
            "ESD" => number!(esd, "ESD", 0, u16::MAX),
            "OWD" => number!(owd, "OWD", 0, u16::MAX),
            "SOWD" => number!(sowd, "SOWD", 0, u16::MAX),
            "IAJ" => number!(iaj, "IAJ", 0, u16::MAX),
            "MAJ" => number!(maj, "MAJ", 0, u16::MAX),
            "SL" => number!(sl, "SL", -126, 126),
            "NL" => number!(nl, "NL", -126, 126),
            "RERL" => number!(rerl, "RERL", 0, 126),
            "RLQ" => number!(rlq, "RLQ", 0, 120),
            "RCQ" => number!(rcq, "RCQ", 0, 120),
            "EXTRI" => number!(extri, "EXTRI", 0, 120),
            "EXTRO" => number!(extro, "EXTRO", 0, 120),
            "MOSLQ" => number!(moslq, "MOSLQ", 0, 4.9),
            "MOSCQ" => number!(moscq, "MOSCQ", 0, 4.9),
            free => {
                if let Some(key) = TEXTS.into_iter().find(|text| text.eq_ignore_ascii_case(free)) {
                    let clean = match key {
                        "FMTP" => fmtp_text(value.as_bytes(), MAX_TEXT, &CLEAR),
                        _ => phrase_text(value.as_bytes(), MAX_TEXT, &CLEAR),
                    };
                    self.describe(key, &clean);
                }
                None
            }
        }
    }
}

/// Keys whose values are free text.
const TEXTS: [&str; 9] =
    ["PD", "FMTP", "QoEEstAlg", "MOSLQEstAlg", "MOSCQEstAlg", "RLQEstAlg", "RCQEstAlg", "ExtRIEstAlg", "ExtROEstAlg"];

fn time(field: &mut Option<Timestamp>, value: &str, key: &'static str) -> Option<&'static str> {
    *field = Timestamp::parse_rfc3339(value);
    field.is_none().then_some(key)
}

fn within(value: &str, low: f64, high: f64) -> Option<f64> {
    value.parse::<f64>().ok().filter(|v| (low..=high).contains(v))
}

fn kind(name: &str, value: &str) -> Result<VqKind, VqError> {
    match name.to_ascii_lowercase().as_str() {
        "vqsessionreport" => Ok(VqKind::Session { call_term: value.eq_ignore_ascii_case("CallTerm") }),
        "vqintervalreport" => Ok(VqKind::Interval),
        "vqalertreport" => Ok(VqKind::Alert),
        _ => Err(VqError::NotAReport),
    }
}

/// Lines with their continuations (RFC 3261 section 7.3.1) joined by a space.
fn unfolded(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let mut line = Cow::Borrowed(lines.next()?);
        while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
            let line = line.to_mut();
            line.push(' ');
            line.push_str(more.trim());
        }
        Some(line)
    })
}

/// Name and value of a line. The first report line may come without a colon.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    match line.split_once(':') {
        Some((name, value)) => Some((name.trim(), value.trim())),
        None => (!line.is_empty()).then_some((line, "")),
    }
}

/// `KEY=value` pairs; spaces around `=` are allowed, and values in quotes may hold spaces.
fn pairs(mut text: &str) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        let (key, rest) = text.split_once('=')?;
        let key = key.rsplit(|c: char| c.is_whitespace() || c == ';' || c == ',').find(|k| !k.is_empty())?;
        let rest = rest.trim_start();
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(|c: char| c.is_whitespace() || c == ';' || c == ',').unwrap_or(rest.len())),
        };
        text = after;
        Some((key, value))
    })
}

fn address(value: &str) -> VqAddress {
    let mut address = VqAddress::default();
    for (key, value) in pairs(value) {
        match key.to_ascii_uppercase().as_str() {
            "IP" => address.ip = value.trim_matches(['[', ']']).parse().ok(),
            "PORT" => address.port = value.parse().ok(),
            "SSRC" => address.ssrc = ssrc(value),
            _ => {}
        }
    }
    address
}

/// Hexadecimal with `0x`; without it too where it is not a decimal number.
fn ssrc(value: &str) -> Option<Ssrc> {
    let hex = |digits| u32::from_str_radix(digits, 16).ok();
    let number = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => hex(digits),
        None if value.len() == 8 => hex(value),
        None => value.parse().ok().or_else(|| hex(value)),
    };
    number.map(Ssrc)
}

/// A field without quotes, as text fit to be stored, at most [`MAX_TEXT`] bytes.
fn short(value: &str) -> String {
    clean(value.trim().trim_matches('"'), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SESSION: &str = "VQSessionReport: CallTerm\r\n\
        CallID: 5b1c02@192.0.2.10\r\n\
        LocalID: \"Front desk\" <sip:4021@pbx.example.test>\r\n\
        RemoteID: <sip:5117@gw.example.test>\r\n\
        OrigID: <sip:4021@pbx.example.test>\r\n\
        LocalAddr: IP=192.0.2.10 PORT=18440 SSRC=0x51A2C3D4\r\n\
        RemoteAddr:IP=198.51.100.7 PORT=30022 SSRC=0BADCAFE\r\n\
        LocalGroup: site-a\r\n\
        LocalMetrics:\r\n\
        Timestamps: START=2025-03-04T09:15:02Z STOP=2025-03-04T09:18:44Z\r\n\
        SessionDesc: PT=8 PD=PCMA SR=8000 FD=20 FO=160 FPP=1 PPS=50\r\n \
        FMTP=\"annexb=no; key=x y\" PLC=3 SSUP=off\r\n\
        JitterBuffer: JBA=3 JBR=2 JBN=40 JBM=60 JBX=120\r\n\
        PacketLoss: NLR=1.20 JDR=0.30\r\n\
        BurstGapLoss: BLD=41.67 BD=240 GLD=0.60 GD=9800 GMIN=16\r\n\
        Delay: RTD=105 ESD=65 SOWD=118 IAJ=4 MAJ=6\r\n\
        Signal: SL=-21 NL=-50 RERL=55\r\n\
        QualityEst: RLQ=88 RCQ=86 MOSLQ=4.3 MOSCQ=4.2 QoEEstAlg=G.107\r\n\
        RemoteMetrics:\r\n\
        PacketLoss: NLR=5.0 JDR=0\r\n\
        DialogID: 5b1c02@192.0.2.10;to-tag=b71;from-tag=9c2\r\n";

    #[test]
    fn a_session_report() {
        let r = parse(SESSION.as_bytes()).unwrap();
        assert_eq!(r.kind, VqKind::Session { call_term: true });
        assert_eq!((r.call_id.as_str(), r.local_group.as_str()), ("5b1c02@192.0.2.10", "site-a"));
        assert_eq!(r.dialog_id, "5b1c02@192.0.2.10;to-tag=b71;from-tag=9c2");
        assert_eq!((r.local_addr.port, r.local_addr.ssrc), (Some(18_440), Some(Ssrc(0x51a2_c3d4))));
        assert_eq!((r.remote_addr.ip, r.remote_addr.ssrc), ("198.51.100.7".parse().ok(), Some(Ssrc(0x0bad_cafe))));
        let m = &r.local;
        assert_eq!(m.start.map(Timestamp::to_rfc3339).as_deref(), Some("2025-03-04T09:15:02.000000000Z"));
        let described: Vec<_> = m.described.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(
            described,
            [
                ("PT", "8"),
                ("PD", "PCMA"),
                ("SR", "8000"),
                ("FD", "20"),
                ("FO", "160"),
                ("FPP", "1"),
                ("PPS", "50"),
                ("FMTP", "annexb=no;key=***"),
                ("PLC", "3"),
                ("SSUP", "off"),
                ("QoEEstAlg", "G.107"),
            ]
        );
        assert_eq!((m.nlr, m.jdr, m.bld, m.gmin), (Some(1.2), Some(0.3), Some(41.67), Some(16)));
        assert_eq!((m.rtd, m.owd, m.iaj, m.sl), (Some(105), None, Some(4.0), Some(-21)));
        assert_eq!((m.rlq, m.moslq, m.moscq, m.implausible), (Some(88), Some(4.3), Some(4.2), ""));
        let remote = r.remote.unwrap();
        assert_eq!((remote.nlr, remote.moslq), (Some(5.0), None));
    }

    #[test]
    fn as_a_block_of_rtcp() {
        let local = parse(SESSION.as_bytes()).unwrap().local;
        let v = local.voip(Ssrc(9));
        // Standard concealment, adaptive, rate 2.
        assert_eq!((v.ssrc, v.loss_pct, v.burst_density_pct), (Ssrc(9), Some(1.2), Some(41.67)));
        assert_eq!((v.rx_config, v.burst_ms, v.gap_ms), (Some(0b1111_0010), Some(240), Some(9800)));
        assert_eq!((v.r, v.mos_lq), (Some(88), Some(4.3)));
        let unnamed = VoipMetrics { ssrc: Ssrc(1), ..VoipMetrics::default() };
        assert_eq!(VqMetrics::default().voip(Ssrc(1)), unnamed, "nothing reads 0");
        let more = local.beyond_rtcp(VqSide::Local);
        assert_eq!((more.one_way_delay_ms, more.symmetric_one_way_delay_ms), (None, Some(118)));
        assert_eq!((more.interarrival_jitter_ms, more.mean_absolute_jitter_ms), (Some(4.0), Some(6.0)));
        assert_eq!((more.r_cq, more.external_r_out, more.stop), (Some(86), None, local.stop));
    }

    #[test]
    fn what_is_written_twice_is_kept_once() {
        let twice = format!("VQIntervalReport\n{}", "SessionDesc: PD=PCMU PD=G729\n".repeat(500));
        assert_eq!(parse(twice.as_bytes()).unwrap().local.described, [("PD", "G729".to_owned())]);
    }

    #[test]
    fn reports_as_phones_write_them() {
        let r = parse(b"\n vqintervalreport\nCALLID:x\nPacketLoss:nlr = 2.5;JDR=0\nqualityest:moslq=3.9").unwrap();
        assert_eq!(
            (r.kind, r.call_id.as_str(), r.local.nlr, r.local.moslq),
            (VqKind::Interval, "x", Some(2.5), Some(3.9))
        );
        let r = parse(b"VQAlertReport: Type=NLR Severity=Critical Dir=local\nMetrics:\n").unwrap();
        assert_eq!((r.kind, r.alert), (VqKind::Alert, ["NLR", "Critical", "local"].map(str::to_owned)));
    }

    #[test]
    fn impossible_values_are_left_out_and_named() {
        let r = parse(b"VQSessionReport\nQualityEst: RLQ=127 MOSLQ=12.7 MOSCQ=4.1\nPacketLoss: NLR=-1").unwrap();
        assert_eq!((r.local.rlq, r.local.moslq, r.local.moscq, r.local.nlr), (None, None, Some(4.1), None));
        assert_eq!((r.local.implausible, r.kind), ("RLQ", VqKind::Session { call_term: false }));
    }

    #[test]
    fn what_is_no_report() {
        assert_eq!(parse(b"v=0\r\n"), Err(VqError::NotAReport));
        assert_eq!(parse(b""), Err(VqError::NotAReport));
        assert_eq!(parse(&vec![b' '; MAX_BYTES + 1]), Err(VqError::TooLong));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(body in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..1200) {
            let _ = parse(&body);
            let mut damaged = SESSION.as_bytes()[..cut.min(SESSION.len())].to_vec();
            damaged.extend(body);
            if let Ok(report) = parse(&damaged) {
                prop_assert!(report.call_id.len() <= MAX_TEXT);
                prop_assert!(report.local.moslq.is_none_or(|m| (0.0..=4.9).contains(&m)));
            }
        }
    }
}
