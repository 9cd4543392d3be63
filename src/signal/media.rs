//! Session descriptions of one call: who wants to receive what, where, and since when it moved.

use super::codecs::{UNUSUAL_MAX, codec};
use super::{Fact, PayloadKind, PayloadMap, Side};
use crate::model::Srtp;
use crate::wire::sdp::{Address, Direction, Media, MediaKind, Sdp};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Descriptions kept per call: two sides times hops of proxies times branches of a fork times media lines.
const ENTRIES_MAX: usize = 64;
/// Payload types of one media line; browsers name fifty.
const TYPES_MAX: usize = 64;

/// Which description replaces which: one per side, hop, dialog branch and media line. A relay rewrites SDP from
/// hop to hop, and every version of it is true where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub side: Side,
    /// Signalling addresses of the hop, lower first.
    pub hop: (IpAddr, IpAddr),
    /// Hash of the dialog branch, 0 for the caller.
    pub branch: u64,
    pub index: u8,
}

#[derive(Clone, Debug, PartialEq)]
struct Wish {
    endpoint: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    payloads: Arc<[PayloadMap]>,
    ptime_ms: Option<u16>,
    direction: Direction,
    srtp: Srtp,
}

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    now: Wish,
    /// What held before an offer inside the dialog whose answer has not come: CSeq of the offer, old wish.
    before: Option<Box<(u32, Wish)>>,
}

/// All descriptions of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Negotiated {
    entries: Vec<Entry>,
}

/// What of a description found no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub lines: u64,
    pub payload_types: u64,
}

/// What a message says about the description it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub uid: u64,
    pub call_id: &'a Arc<str>,
    pub place: Place,
    /// CSeq of an offer inside an established dialog: until it is answered, the old place counts as well.
    pub open_offer: Option<u32>,
}

impl Negotiated {
    /// Descriptions held, those that may come back into force among them.
    pub fn len(&self) -> usize {
        self.entries.len() + self.entries.iter().filter(|e| e.before.is_some()).count()
    }

    /// Takes in one description. `room`: how many more descriptions the whole program may hold.
    pub fn describe(&mut self, source: Source<'_>, sdp: &Sdp, mut room: usize, out: &mut Vec<Fact>) -> LeftOut {
        let mut left_out = LeftOut::default();
        for (index, media) in sdp.media.iter().enumerate() {
            let Ok(index) = u8::try_from(index) else { break };
            if !media.is_rtp() && media.kind != MediaKind::Image {
                continue;
            }
            let source = Source { place: Place { index, ..source.place }, ..source };
            let known = self.entries.iter().position(|e| e.place == source.place);
            let held = known.and_then(|at| self.entries.get(at)).map(|e| e.now.clone());
            let mut wish = Wish::of(media, held.as_ref());
            let named = media.formats.iter().filter(|f| f.clock.is_some()).count();
            left_out.payload_types += (named - wish.payloads.len()) as u64;
            self.share(&mut wish, index);
            if known.is_none() && (room == 0 || self.entries.len() >= ENTRIES_MAX) {
                left_out.lines += 1;
                continue;
            }
            self.announce(source, &wish, out);
            match known.and_then(|at| self.entries.get_mut(at)) {
                None => {
                    room -= 1;
                    self.entries.push(Entry { place: source.place, now: wish, before: None });
                }
                Some(entry) if entry.now == wish => {}
                Some(entry) => {
                    let old = std::mem::replace(&mut entry.now, wish);
                    let replaced = match source.open_offer {
                        Some(cseq) if entry.before.is_some() || room > 0 => {
                            room -= usize::from(entry.before.is_none());
                            entry.before.replace(Box::new((cseq, old))).map(|before| before.1)
                        }
                        _ => Some(old),
                    };
                    if let Some(replaced) = replaced {
                        self.gone_unless_used(source.uid, replaced.endpoint, out);
                    }
                }
            }
        }
        left_out
    }

    /// The offer with this CSeq was answered: the old places are gone, or the old wishes hold again.
    pub fn offer_ended(
        &mut self,
        uid: u64,
        call_id: &Arc<str>,
        side: Side,
        cseq: u32,
        accepted: bool,
        out: &mut Vec<Fact>,
    ) {
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(at) else { return };
            if entry.place.side != side || entry.before.as_ref().is_none_or(|before| before.0 != cseq) {
                continue;
            }
            let Some((_, old)) = entry.before.take().map(|before| *before) else { continue };
            let place = entry.place;
            let gone = if accepted { old.endpoint } else { std::mem::replace(&mut entry.now, old.clone()).endpoint };
            self.gone_unless_used(uid, gone, out);
            if !accepted {
                old.fact(uid, call_id, place, out);
            }
        }
    }

    /// The call is over: nothing is expected any more.
    pub fn end(&mut self, uid: u64, out: &mut Vec<Fact>) {
        let mut gone: Vec<SocketAddr> = Vec::new();
        for entry in self.entries.drain(..) {
            let old = entry.before.and_then(|before| before.1.endpoint);
            for endpoint in [entry.now.endpoint, old].into_iter().flatten() {
                if !gone.contains(&endpoint) {
                    gone.push(endpoint);
                }
            }
        }
        out.extend(gone.into_iter().map(|endpoint| Fact::MediaGone { uid, endpoint }));
    }

    /// Takes the payload types of the same media line on another hop or of an earlier copy, where they are equal.
    fn share(&self, wish: &mut Wish, index: u8) {
        let same = self.entries.iter().find(|e| e.place.index == index && e.now.payloads == wish.payloads);
        if let Some(entry) = same {
            wish.payloads = Arc::clone(&entry.now.payloads);
        }
    }

    /// States a wish, unless the same was stated for this side on another hop or by an earlier copy.
    fn announce(&self, source: Source<'_>, wish: &Wish, out: &mut Vec<Fact>) {
        let stated = self
            .entries
            .iter()
            .any(|e| e.place.side == source.place.side && e.place.index == source.place.index && e.now == *wish);
        if !stated {
            wish.fact(source.uid, source.call_id, source.place, out);
        }
    }

    fn gone_unless_used(&self, uid: u64, endpoint: Option<SocketAddr>, out: &mut Vec<Fact>) {
        let Some(endpoint) = endpoint else { return };
        let used = self.entries.iter().any(|e| {
            e.now.endpoint == Some(endpoint)
                || e.before.as_ref().is_some_and(|before| before.1.endpoint == Some(endpoint))
        });
        if !used {
            out.push(Fact::MediaGone { uid, endpoint });
        }
    }
}

impl Wish {
    fn of(media: &Media, held: Option<&Wish>) -> Wish {
        // On hold by address the side still owns its old place, and resumes there.
        let old = held.filter(|_| media.address == Some(Address::Hold) && media.port != 0);
        Wish {
            endpoint: media.endpoint().or(old.and_then(|w| w.endpoint)),
            rtcp: media.rtcp.or(old.and_then(|w| w.rtcp)),
            payloads: payloads(media),
            ptime_ms: media.ptime_ms,
            direction: media.direction,
            srtp: media.srtp,
        }
    }

    fn fact(&self, uid: u64, call_id: &Arc<str>, place: Place, out: &mut Vec<Fact>) {
        let Some(endpoint) = self.endpoint else { return };
        out.push(Fact::Media {
            uid,
            call_id: Arc::clone(call_id),
            side: place.side,
            endpoint,
            rtcp: self.rtcp,
            payloads: Arc::clone(&self.payloads),
            ptime_ms: self.ptime_ms,
            direction: self.direction,
            srtp: self.srtp,
            media_index: place.index,
        });
    }
}

/// The payload types of a media line, at most [`TYPES_MAX`], of which [`UNUSUAL_MAX`] may have names of their own: what is
/// more is measured as if it had not been named.
fn payloads(media: &Media) -> Arc<[PayloadMap]> {
    let mut unusual = 0;
    let named = media.formats.iter().filter_map(|f| payload(media.kind, f));
    let kept = named.filter(|(_, usual)| {
        unusual += usize::from(!usual);
        *usual || unusual <= UNUSUAL_MAX
    });
    kept.map(|(map, _)| map).take(TYPES_MAX).collect::<Vec<_>>().into()
}

/// A payload type with a known name and clock rate, and whether the name is a usual one; without either it says nothing.
fn payload(kind: MediaKind, format: &crate::wire::sdp::Format) -> Option<(PayloadMap, bool)> {
    let clock = format.clock?;
    let is = |name: &str| format.name.eq_ignore_ascii_case(name);
    let kind = match kind {
        _ if is("telephone-event") || is("tone") => PayloadKind::TelephoneEvent,
        _ if is("CN") => PayloadKind::ComfortNoise,
        _ if is("t38") => PayloadKind::Fax,
        _ if is("red") || is("rtx") || is("ulpfec") || is("flexfec-03") || is("X-NSE") => PayloadKind::Other,
        MediaKind::Audio => PayloadKind::Audio,
        MediaKind::Video => PayloadKind::Video,
        MediaKind::Image => PayloadKind::Fax,
        MediaKind::Other => PayloadKind::Other,
    };
    let (codec, usual) = codec(&format.name);
    Some((PayloadMap { payload_type: format.payload_type, codec, clock, kind }, usual))
}
