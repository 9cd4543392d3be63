//! Voice quality reports by SIP (RFC 6035) as records of the call and stream they are about.

use super::join::Join;
use crate::media::Endpoint;
use crate::model::{RtcpKind, RtcpRecord};
use crate::units::{Ssrc, Timestamp};
use crate::wire::vqreport::{VqAddress, VqReport};
use std::net::SocketAddr;

/// The reporter's own view: what it received. Its stream comes from the remote address and goes to the local one.
/// `uid` is the call its CallID names. The reporter's SSRC is 0 where the report leaves it out.
pub fn record(
    join: &Join,
    at: Timestamp,
    src: SocketAddr,
    dst: SocketAddr,
    report: &VqReport,
    uid: Option<u64>,
) -> RtcpRecord {
    let (local, remote) = (&report.local_addr, &report.remote_addr);
    let stream = join.stream_between(remote.ssrc, endpoint(remote), endpoint(local));
    let ssrc = remote.ssrc.or_else(|| stream.map(|(_, ssrc, _)| ssrc)).unwrap_or(Ssrc(0));
    RtcpRecord {
        at,
        src,
        dst,
        kind: RtcpKind::VqReport,
        reporter: local.ssrc.unwrap_or(Ssrc(0)),
        call_uid: uid.or_else(|| stream.and_then(|(.., uid)| uid)),
        stream: stream.map(|(id, ..)| id),
        ntp: None,
        rtp_timestamp: None,
        sent_packets: None,
        sent_octets: None,
        block: None,
        voip: Some(report.local.voip(ssrc)),
        rtt_probe_reporter: None,
        implausible: implausible(report),
    }
}

/// Call-IDs the report names: its own, and that of the dialog (RFC 6035 section 4.6.1).
pub fn call_ids(report: &VqReport) -> impl Iterator<Item = &str> {
    let of_dialog = report.dialog_id.split(';').next().unwrap_or_default();
    [report.call_id.as_str(), of_dialog].into_iter().map(str::trim).filter(|id| !id.is_empty())
}

fn endpoint(address: &VqAddress) -> Option<Endpoint> {
    Some(Endpoint::from(SocketAddr::new(address.ip?, address.port?)))
}

fn implausible(report: &VqReport) -> String {
    let local = &report.local;
    match report.implausible {
        "" if [local.moslq, local.moscq].into_iter().flatten().any(|mos| mos < 1.0) => "MOS below 1".to_owned(),
        "" => String::new(),
        key => format!("{key} out of range"),
    }
}
