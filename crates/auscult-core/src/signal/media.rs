//! Session descriptions of one call: who wants to receive what, where, and since when it moved.

use super::codecs::{UNUSUAL_MAX, codec};
use super::{PayloadKind, PayloadMap, Side, SignalEvent};
use crate::model::{CallUid, Srtp};
use crate::wire::sdp::{Address, Direction, Format, Media, MediaKind, Sdp};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Descriptions kept per call: two sides times hops of proxies times branches of a fork times media lines.
const ENTRIES_MAX: usize = 64;
/// Payload types of one media line; browsers name fifty.
const TYPES_MAX: usize = 64;

/// Which description replaces which: one per side, hop, dialog branch and media line. A relay rewrites SDP from
/// hop to hop, and every version of it is true where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DescriptionKey {
    pub side: Side,
    /// Signalling addresses of the hop, lower first.
    pub hop: (IpAddr, IpAddr),
    /// Hash of the dialog branch, 0 for the caller.
    pub branch: u64,
    pub index: u8,
}

/// One media line as its side negotiated it.
#[derive(Clone, Debug, PartialEq)]
struct NegotiatedLine {
    /// Addresses for RTP: of `c=` and `m=`, of ICE candidates, and of the line that it is bundled with.
    endpoints: SmallVec<[SocketAddr; 1]>,
    rtcp: Option<SocketAddr>,
    payloads: Arc<[PayloadMap]>,
    ptime_ms: Option<u16>,
    direction: Direction,
    srtp: Srtp,
}

#[derive(Clone, Debug)]
struct Entry {
    key: DescriptionKey,
    now: NegotiatedLine,
    /// What held before an offer inside the dialog whose answer has not come: CSeq of the offer, old line.
    before: Option<Box<(u32, NegotiatedLine)>>,
}

/// What was last stated of an address for one side.
#[derive(Clone, Debug, PartialEq)]
struct Stated {
    side: Side,
    endpoint: SocketAddr,
    rtcp: Option<SocketAddr>,
    payloads: Arc<[PayloadMap]>,
    ptime_ms: Option<u16>,
    direction: Direction,
    srtp: Srtp,
}

/// All descriptions of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Negotiated {
    entries: Vec<Entry>,
    stated: Vec<Stated>,
}

/// What of a description found no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub lines: u64,
    pub payload_types: u64,
}

/// What a message says about the description it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub uid: CallUid,
    pub call_id: &'a Arc<str>,
    pub key: DescriptionKey,
    /// CSeq of an offer inside an established dialog: until it is answered, the old key counts as well.
    pub open_offer: Option<u32>,
}

/// The final response to an offer inside an established dialog.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfferEnd {
    /// Side that made the offer.
    pub side: Side,
    pub cseq: u32,
    pub accepted: bool,
}

impl Negotiated {
    /// Addresses held, those that may come back into force among them; a line without one counts as one.
    pub fn len(&self) -> usize {
        self.entries.iter().map(Entry::len).sum()
    }

    /// Takes in one description. `room`: how many more addresses the whole program may hold.
    pub fn describe(&mut self, source: Source<'_>, sdp: &Sdp, mut room: usize, out: &mut Vec<SignalEvent>) -> LeftOut {
        let mut left_out = LeftOut::default();
        let mut changed = false;
        let mut replaced: Vec<SocketAddr> = Vec::new();
        for (index, media) in sdp.media.iter().enumerate() {
            let Ok(index) = u8::try_from(index) else { break };
            if !media.is_rtp() && media.kind != MediaKind::Image {
                continue;
            }
            let key = DescriptionKey { index, ..source.key };
            let known = self.entries.iter().position(|e| e.key == key);
            let held = known.and_then(|at| self.entries.get(at));
            let mut line = NegotiatedLine::of(media, sdp, held.map(|e| &e.now));
            let named = media.formats.iter().filter(|f| f.clock.is_some()).count();
            left_out.payload_types += (named - line.payloads.len()) as u64;
            self.share(&mut line, index);
            let Some(at) = known else {
                if room == 0 || self.entries.len() >= ENTRIES_MAX {
                    left_out.lines += 1;
                    continue;
                }
                line.endpoints.truncate(room);
                room -= line.len();
                changed = true;
                self.entries.push(Entry { key, now: line, before: None });
                continue;
            };
            let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.now != line) else { continue };
            changed = true;
            let more = line.len().saturating_sub(entry.now.len());
            line.endpoints.truncate(entry.now.len() + more.min(room));
            room -= more.min(room);
            let old = std::mem::replace(&mut entry.now, line);
            let gone = match source.open_offer {
                Some(cseq) if entry.before.is_some() || room >= old.len() => {
                    room -= if entry.before.is_none() { old.len() } else { 0 };
                    entry.before.replace(Box::new((cseq, old))).map(|before| before.1)
                }
                _ => Some(old),
            };
            replaced.extend(gone.into_iter().flat_map(|line| line.endpoints));
        }
        if changed {
            self.state(source.uid, source.call_id, source.key, false, out);
        }
        for endpoint in replaced {
            self.gone_unless_used(source.uid, endpoint, out);
        }
        left_out
    }

    /// The offer with this CSeq was answered: the old places are gone, or the old lines hold again.
    pub fn offer_ended(&mut self, uid: CallUid, call_id: &Arc<str>, offer: OfferEnd, out: &mut Vec<SignalEvent>) {
        let OfferEnd { side, cseq, accepted } = offer;
        let mut gone: Vec<SocketAddr> = Vec::new();
        let mut restored: Vec<DescriptionKey> = Vec::new();
        for entry in &mut self.entries {
            if entry.key.side != side || entry.before.as_ref().is_none_or(|before| before.0 != cseq) {
                continue;
            }
            let Some((_, old)) = entry.before.take().map(|before| *before) else { continue };
            if accepted {
                gone.extend(old.endpoints);
            } else {
                gone.extend(std::mem::replace(&mut entry.now, old).endpoints);
                let key = DescriptionKey { index: 0, ..entry.key };
                if !restored.contains(&key) {
                    restored.push(key);
                }
            }
        }
        for endpoint in gone {
            self.gone_unless_used(uid, endpoint, out);
        }
        for key in restored {
            self.state(uid, call_id, key, true, out);
        }
    }

    /// The call is over: nothing is expected any more.
    pub fn end(&mut self, uid: CallUid, out: &mut Vec<SignalEvent>) {
        let mut gone: Vec<SocketAddr> = Vec::new();
        self.stated.clear();
        for entry in self.entries.drain(..) {
            let old = entry.before.into_iter().flat_map(|before| before.1.endpoints);
            for endpoint in entry.now.endpoints.into_iter().chain(old) {
                if !gone.contains(&endpoint) {
                    gone.push(endpoint);
                }
            }
        }
        out.extend(gone.into_iter().map(|endpoint| SignalEvent::MediaGone { uid, endpoint }));
    }

    /// Takes the payload types of the same media line on another hop or of an earlier copy, where they are equal.
    fn share(&self, line: &mut NegotiatedLine, index: u8) {
        let same = self.entries.iter().find(|e| e.key.index == index && e.now.payloads == line.payloads);
        if let Some(entry) = same {
            line.payloads = Arc::clone(&entry.now.payloads);
        }
    }

    /// States every address of one description: `again`, or unless the same was stated for this side before. Lines that share an address
    /// are distinguished by payload type alone (RFC 9143 section 9.1): the first that names a type defines it.
    fn state(
        &mut self,
        uid: CallUid,
        call_id: &Arc<str>,
        key: DescriptionKey,
        again: bool,
        out: &mut Vec<SignalEvent>,
    ) {
        let own = |entry: &&Entry| DescriptionKey { index: key.index, ..entry.key } == key;
        // Each address with its lines, in the order in which the lines first name them.
        let mut named: Vec<(SocketAddr, usize)> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, entry)| own(entry)) {
            named.extend(entry.now.endpoints.iter().map(|endpoint| (*endpoint, at)));
        }
        named.sort_unstable();
        let mut addresses: Vec<&[(SocketAddr, usize)]> = named.chunk_by(|a, b| a.0 == b.0).collect();
        addresses.sort_by_key(|lines| lines.first().map(|(_, at)| *at));
        let known: HashMap<SocketAddr, usize> = (self.stated.iter().enumerate())
            .filter(|(_, stated)| stated.side == key.side)
            .map(|(at, stated)| (stated.endpoint, at))
            .collect();
        for lines in addresses {
            let Some((endpoint, first)) = lines.first().copied() else { continue };
            let media_index = self.entries.get(first).map_or(0, |entry| entry.key.index);
            let lines = lines.iter().filter_map(|(_, at)| Some(&self.entries.get(*at)?.now));
            let Some(new) = Stated::of(key.side, endpoint, lines) else { continue };
            match known.get(&endpoint).and_then(|at| self.stated.get_mut(*at)) {
                Some(stated) if *stated == new && !again => continue,
                Some(stated) => *stated = new.clone(),
                None => self.stated.push(new.clone()),
            }
            out.push(new.event(uid, call_id, media_index));
        }
    }

    fn gone_unless_used(&mut self, uid: CallUid, endpoint: SocketAddr, out: &mut Vec<SignalEvent>) {
        let uses = |line: &NegotiatedLine| line.endpoints.contains(&endpoint);
        let used = self.entries.iter().any(|e| uses(&e.now) || e.before.as_ref().is_some_and(|before| uses(&before.1)));
        let before = self.stated.len();
        if !used {
            self.stated.retain(|s| s.endpoint != endpoint);
        }
        if !used && self.stated.len() < before {
            out.push(SignalEvent::MediaGone { uid, endpoint });
        }
    }
}

impl Entry {
    fn len(&self) -> usize {
        self.now.len() + self.before.as_ref().map_or(0, |before| before.1.len())
    }
}

impl NegotiatedLine {
    fn of(media: &Media, sdp: &Sdp, held: Option<&NegotiatedLine>) -> NegotiatedLine {
        // On hold by address the side still owns its old key, and resumes there.
        let on_hold = media.address == Some(Address::Hold) && media.port != 0;
        let tagged = media.bundled_with.and_then(|at| sdp.media.get(at));
        let mut endpoints: SmallVec<[SocketAddr; 1]> = SmallVec::new();
        for endpoint in media.endpoints().chain(tagged.into_iter().flat_map(Media::endpoints)) {
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        let old = held.filter(|_| on_hold && endpoints.is_empty());
        if let Some(old) = old {
            endpoints = old.endpoints.clone();
        }
        NegotiatedLine {
            endpoints,
            rtcp: media.rtcp.or(tagged.and_then(|tagged| tagged.rtcp)).or(old.and_then(|old| old.rtcp)),
            payloads: payloads(media),
            ptime_ms: media.ptime_ms,
            direction: media.direction,
            srtp: media.srtp,
        }
    }

    fn len(&self) -> usize {
        self.endpoints.len().max(1)
    }
}

impl Stated {
    /// What the lines of one side that share an address say together: it is sent and received there if any line sends or
    /// receives.
    fn of<'a>(side: Side, endpoint: SocketAddr, mut lines: impl Iterator<Item = &'a NegotiatedLine>) -> Option<Stated> {
        let first = lines.next()?;
        let mut stated = Stated {
            side,
            endpoint,
            rtcp: first.rtcp,
            payloads: Arc::clone(&first.payloads),
            ptime_ms: first.ptime_ms,
            direction: first.direction,
            srtp: first.srtp,
        };
        let mut all: Vec<PayloadMap> = Vec::new();
        for line in lines {
            if all.is_empty() {
                all.extend(first.payloads.iter().cloned());
            }
            for map in line.payloads.iter() {
                if all.len() < TYPES_MAX && !all.iter().any(|known| known.payload_type == map.payload_type) {
                    all.push(map.clone());
                }
            }
            stated.direction = either(stated.direction, line.direction);
        }
        if all.len() > first.payloads.len() {
            stated.payloads = all.into();
        }
        Some(stated)
    }

    fn event(self, uid: CallUid, call_id: &Arc<str>, media_index: u8) -> SignalEvent {
        SignalEvent::Media {
            uid,
            call_id: Arc::clone(call_id),
            side: self.side,
            endpoint: self.endpoint,
            rtcp: self.rtcp,
            payloads: self.payloads,
            ptime_ms: self.ptime_ms,
            direction: self.direction,
            srtp: self.srtp,
            media_index,
        }
    }
}

/// The direction of two media that share an address.
fn either(a: Direction, b: Direction) -> Direction {
    let sends = |d| matches!(d, Direction::SendRecv | Direction::SendOnly);
    let receives = |d| matches!(d, Direction::SendRecv | Direction::RecvOnly);
    match (sends(a) || sends(b), receives(a) || receives(b)) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// The payload types of a media line, at most [`TYPES_MAX`], of which [`UNUSUAL_MAX`] may have names of their own: what is
/// more is measured as if it had not been named.
fn payloads(media: &Media) -> Arc<[PayloadMap]> {
    let mut unusual = 0;
    let named = media.formats.iter().filter_map(|f| payload(media, f));
    let kept = named.filter(|(_, usual)| {
        unusual += usize::from(!usual);
        *usual || unusual <= UNUSUAL_MAX
    });
    kept.map(|(map, _)| map).take(TYPES_MAX).collect::<Vec<_>>().into()
}

/// A payload type with a known name and clock rate, and whether the name is a usual one; without either it is not used.
fn payload(media: &Media, format: &Format) -> Option<(PayloadMap, bool)> {
    let clock = format.clock?;
    let is = |name: &str| format.name.eq_ignore_ascii_case(name);
    let kind = match media.kind {
        _ if is("telephone-event") || is("tone") => PayloadKind::TelephoneEvent,
        _ if is("CN") => PayloadKind::ComfortNoise,
        _ if is("t38") => PayloadKind::Fax,
        _ if PayloadKind::is_repair(&format.name) => PayloadKind::Repair,
        _ if is("X-NSE") => PayloadKind::Other,
        MediaKind::Audio => PayloadKind::Audio,
        MediaKind::Video => PayloadKind::Video,
        MediaKind::Image => PayloadKind::Fax,
        MediaKind::Other => PayloadKind::Other,
    };
    let (codec, usual) = codec(&primary(media, format).unwrap_or(format).name);
    Some((PayloadMap { payload_type: format.payload_type, codec, clock, kind }, usual))
}

/// The primary encoding of a redundant payload type (RFC 2198 section 5): the first type of its `a=fmtp`.
fn primary<'m>(media: &'m Media, format: &Format) -> Option<&'m Format> {
    if !format.name.eq_ignore_ascii_case("red") {
        return None;
    }
    let primary = format.fmtp.split('/').next()?.trim().parse::<u8>().ok()?;
    media.formats.iter().find(|f| f.payload_type.0 == primary && !f.name.is_empty())
}
