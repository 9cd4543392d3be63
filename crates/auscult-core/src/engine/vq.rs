//! Voice quality reports by SIP (RFC 6035) as records of the call and stream they are about.

use super::correlator::Correlator;
use crate::media::Endpoint;
use crate::model::{CallUid, RtcpKind, RtcpRecord, VqSide};
use crate::signal::CapturedVqReport;
use crate::units::Ssrc;
use crate::wire::vqreport::{VqAddress, VqKind, VqMetrics, VqReport};
use std::net::SocketAddr;

/// One record per side. The reporter's own view is what it received: its stream comes from the remote address and goes to
/// the local one. The view it received from its peer is of the stream the other way. `uid` is the call its CallID names. The SSRC of
/// the side that measured is 0 where the report leaves it out.
pub fn records(correlator: &Correlator, captured: &CapturedVqReport, uid: Option<CallUid>) -> Vec<RtcpRecord> {
    let CapturedVqReport { at, src, dst, report } = captured;
    let (local, remote) = (&report.local_addr, &report.remote_addr);
    let own = (VqSide::Local, &report.local, local, remote);
    let told = report.remote.as_ref().map(|metrics| (VqSide::Remote, metrics, remote, local));
    let record = |(side, metrics, to, from): (VqSide, &VqMetrics, &VqAddress, &VqAddress)| {
        let stream = correlator.stream_between(from.ssrc, endpoint(from), endpoint(to));
        let ssrc = from.ssrc.or_else(|| stream.map(|(_, ssrc, _)| ssrc)).unwrap_or(Ssrc(0));
        let mut measured = metrics.beyond_rtcp(side);
        measured.described.extend(of_the_report(report));
        RtcpRecord {
            at: *at,
            src: *src,
            dst: *dst,
            kind: RtcpKind::VqReport,
            reporter: to.ssrc.unwrap_or(Ssrc(0)),
            call_uid: uid.or_else(|| stream.and_then(|(.., uid)| uid)),
            stream: stream.map(|(id, ..)| id),
            ntp: None,
            rtp_timestamp: None,
            sent_packets: None,
            sent_octets: None,
            block: None,
            voip: Some(metrics.voip(ssrc)),
            vq: Some(Box::new(measured)),
            rtt_probe_reporter: None,
            implausible: implausible(metrics),
        }
    };
    std::iter::once(own).chain(told).map(record).collect()
}

/// Which report it is, and what an alert is about.
fn of_the_report(report: &VqReport) -> impl Iterator<Item = (&'static str, String)> {
    let kind = match report.kind {
        VqKind::Session { call_term: false } => "VQSessionReport",
        VqKind::Session { call_term: true } => "VQSessionReport: CallTerm",
        VqKind::Interval => "VQIntervalReport",
        VqKind::Alert => "VQAlertReport",
    };
    let alert = ["Type", "Severity", "Dir"].into_iter().zip(report.alert.clone());
    std::iter::once(("Report", kind.to_owned())).chain(alert.filter(|(_, value)| !value.is_empty()))
}

/// Call-IDs the report names: its own, and that of the dialog (RFC 6035 section 4.6.1).
pub fn call_ids(report: &VqReport) -> impl Iterator<Item = &str> {
    let of_dialog = report.dialog_id.split(';').next().unwrap_or_default();
    [report.call_id.as_str(), of_dialog].into_iter().map(str::trim).filter(|id| !id.is_empty())
}

fn endpoint(address: &VqAddress) -> Option<Endpoint> {
    Some(Endpoint::from(SocketAddr::new(address.ip?, address.port?)))
}

fn implausible(metrics: &VqMetrics) -> String {
    match metrics.implausible {
        "" if [metrics.moslq, metrics.moscq].into_iter().flatten().any(|mos| mos < 1.0) => "MOS below 1".to_owned(),
        "" => String::new(),
        key => format!("{key} out of range"),
    }
}
