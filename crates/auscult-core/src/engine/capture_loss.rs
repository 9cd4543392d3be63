//! Whether missing packets were lost by the capture: judged packet by packet, by what else is missing at that moment.
//!
//! A full ring or mirror port drops the frames that pass at that moment, whoever sent them; a network path drops packets
//! of its own hosts. So the far ends that miss a packet within a few milliseconds are counted, and compared with how many
//! would by the loss of that time (Poisson). Loss that strikes everything the probe sees at once, such as a failing uplink
//! that carries all of it, looks the same. Work is done per gap, never per packet.

use super::timestamps::CommonDivisor;
use crate::media::{FlowKey, Gap};
use crate::model::StreamId;
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::IpAddr;

const BIN: Nanos = Nanos::from_millis(1);
/// Bins held, and how far back they are read: packets of a batch may be counted before those of the batch are measured.
const BINS: usize = 8_000;
const HORIZON: i64 = 7_000;
/// The number of no bin, far from the limits of arithmetic.
const NEVER: i64 = i64::MIN / 2;
/// Bins of one sum of many; judgements are a whole number of them apart.
const BLOCK: i64 = 50;
const BLOCKS: usize = BINS / BLOCK as usize;
/// Windows looked at, in bins to either side: delay variation blurs the moment at which a packet is missing.
const HALF_WIDTHS: [i64; 3] = [2, 5, 20];
/// ln(1e-6 / 3): of one in a million windows, three of which are tried.
const LOG_ALPHA: f64 = -14.9;
/// ln(1e-3): what a part has to show by itself, the direction with fewer gaps or the streams of the less frequent hosts.
const LOG_ALPHA_SIDE: f64 = -6.9;
/// Streams and hosts without which nothing is compared.
const ENOUGH_STREAMS: u32 = 8;
const ENOUGH_HOSTS: usize = 5;
/// Far ends, besides the packet's own, that have to miss one, too.
const OTHERS: usize = 2;
/// Background loss is that of so many blocks to either side, or of all that is read where that is more; without the bins
/// next to the moment.
const NEAR: i64 = 10;
const NEXT_TO: i64 = 50;
/// Steps in which an outage around the moment is left out of the background, and the share missing that makes one.
const OUTAGE_STEP: i64 = 20;
const OUTAGE_SHARE: f64 = 0.8;
/// Bins of a window that is looked at for an outage by itself, from one such window to the next, and windows.
const OUTAGE: i64 = 2 * OUTAGE_STEP + 1;
const OUTAGE_EVERY: i64 = 10;
const WINDOWS: i64 = HORIZON / OUTAGE_EVERY;
/// Less of the bins around a moment is missing: it is in no outage.
const OUTAGE_PART: f64 = 0.35;
/// Notes kept of one bin; of more, a sample by a hash of the stream.
const NOTES: usize = 16;
/// Longer gaps are noted and judged by so many packets at either end.
const EDGE: u32 = 32;
/// Gaps are judged this much after they were noticed: others may not have been noticed yet, and the background needs both sides.
pub const JUDGED_AFTER: Nanos = Nanos::from_millis(600);
/// Time between judgements.
const EVERY: Nanos = Nanos::from_millis(250);
/// A host with this share of all streams is what the probe stands next to: it is no evidence against the network that it has
/// part in all loss.
const HUB_SHARE: f64 = 0.9;
/// Times that go back by more make all that is held worthless.
const BACK: Nanos = Nanos::from_secs(1);

/// A packet missing at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    /// Orders the notes of a bin for sampling.
    rank: u32,
    /// The host with fewer streams, and the other one.
    far: u32,
    near: u32,
    toward_near: bool,
}

/// Packets of a bin or block.
#[derive(Clone, Copy, Debug)]
struct Count {
    number: i64,
    missing: u32,
    received: u32,
}

impl Count {
    const NONE: Count = Count { number: NEVER, missing: 0, received: 0 };

    fn share_missing(missing: u64, received: u64) -> f64 {
        (missing + 1) as f64 / (missing + received + 1) as f64
    }
}

/// What is missing in a bin.
#[derive(Clone, Debug, Default)]
struct Notes {
    notes: SmallVec<[Note; 2]>,
    /// The last judgement, and when it was made.
    judged: Option<(u32, Moment)>,
}

/// What is missing at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// No more than the background.
    Usual,
    /// Nearly everything, but that alone proves nothing with so few streams.
    Doubtful,
    /// The capture lost packets: this share of those that passed, beyond the background.
    Excess(f64),
}

/// Which way a stream goes: its far end, the host with fewer streams, and whether it comes from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    pub far: u32,
    pub toward_near: bool,
}

/// Streams that a host sends and receives.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    sends: u32,
    receives: u32,
}

impl Host {
    fn streams(&self) -> u32 {
        self.sends + self.receives
    }
}

/// A gap that waits for its judgement.
#[derive(Clone, Copy, Debug)]
struct Pending {
    gap: Gap,
    /// Share of the stream's packets that is missing in the network, as far as known.
    own_share: f64,
}

impl Pending {
    fn deadline(&self) -> Timestamp {
        (self.gap.noticed + JUDGED_AFTER).floor_to(EVERY) + EVERY
    }
}

/// What was decided of a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    pub gap: Gap,
    /// Of the missing packets: those that the capture lost and the network did not, an expectation, and its variance.
    pub capture: f64,
    pub variance: f64,
    /// Of the others: those that it may have lost.
    pub doubtful: f64,
}

#[derive(Debug)]
pub struct CaptureLossDetector {
    /// The bin that packets come in, and how many came.
    present: Timestamp,
    received: u32,
    /// Of the first time in each bin.
    divisor: CommonDivisor,
    bins: Vec<Count>,
    /// From the first gap on.
    notes: Vec<Notes>,
    /// Sums of [`BLOCK`] bins.
    blocks: Vec<Count>,
    newest: i64,
    /// Streams of each host, and of all.
    hosts: HashMap<u32, Host, Seeded>,
    streams: u32,
    pending: VecDeque<Pending>,
    most: usize,
    judgement: u32,
    /// Of the present judgement: the first bin that is not looked at, and packets missing and received of all before.
    until: i64,
    held: (u64, u64),
    /// Outages of everything as of a judgement: window, and far ends in [`CaptureLossDetector::outage_of_others`].
    outages: (u32, Vec<(i64, usize)>),
    /// Gaps that found no place: they count as evidence about others, and stay undecided themselves.
    pub left_out: u64,
}

impl CaptureLossDetector {
    /// `most`: gaps that may wait for their judgement.
    pub fn new(most: usize, hasher: &Seeded) -> CaptureLossDetector {
        CaptureLossDetector {
            present: Timestamp::MIN,
            received: 0,
            divisor: CommonDivisor::default(),
            bins: vec![Count::NONE; BINS],
            notes: Vec::new(),
            blocks: vec![Count::NONE; BLOCKS],
            newest: NEVER,
            hosts: HashMap::with_hasher(hasher.clone()),
            streams: 0,
            pending: VecDeque::new(),
            most,
            judgement: 0,
            until: NEVER,
            held: (0, 0),
            outages: (0, Vec::new()),
            left_out: 0,
        }
    }

    pub fn stream_started(&mut self, key: &FlowKey) {
        self.streams += 1;
        let [sender, receiver] = hosts_of(key);
        self.hosts.entry(sender).or_default().sends += 1;
        self.hosts.entry(receiver).or_default().receives += 1;
    }

    pub fn stream_ended(&mut self, key: &FlowKey) {
        self.streams = self.streams.saturating_sub(1);
        let [sender, receiver] = hosts_of(key);
        self.of_host(sender, |host| host.sends = host.sends.saturating_sub(1));
        self.of_host(receiver, |host| host.receives = host.receives.saturating_sub(1));
    }

    fn of_host(&mut self, id: u32, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(&id) {
            change(host);
            if host.streams() == 0 {
                self.hosts.remove(&id);
            }
        }
    }

    /// Whether media from `sender`, or to `receiver`, passes the probe.
    pub fn passes(&self, sender: IpAddr, receiver: IpAddr) -> bool {
        let host = |address: IpAddr| self.hosts.get(&host_id(address_bits(address))).copied().unwrap_or_default();
        host(sender).sends > 0 || host(receiver).receives > 0
    }

    /// Counts packets that came, in their order.
    #[inline]
    pub fn packets(&mut self, times: impl Iterator<Item = Timestamp>) {
        let (mut present, mut received) = (self.present.0, 0);
        for at in times {
            if at.0.wrapping_sub(present).cast_unsigned() < BIN.0.cast_unsigned() {
                received += 1;
            } else {
                self.next_bin(at, std::mem::take(&mut received));
                present = self.present.0;
            }
        }
        self.received += received;
    }

    #[inline(never)]
    fn next_bin(&mut self, at: Timestamp, received: u32) {
        self.received += received;
        self.count_received();
        if at < self.present - BACK {
            self.forget();
        }
        self.divisor.add(at);
        (self.present, self.received) = (at.floor_to(BIN), 1);
    }

    /// Moves what came in the present bin to where it is read.
    fn count_received(&mut self) {
        let received = std::mem::take(&mut self.received);
        if received > 0 {
            self.count(bin_of(self.present), 0, received);
        }
    }

    fn forget(&mut self) {
        self.newest = NEVER;
        self.bins.fill(Count::NONE);
        self.blocks.fill(Count::NONE);
    }

    /// Returns the place of the bin; `None` where it is forgotten.
    fn count(&mut self, number: i64, missing: u32, received: u32) -> Option<usize> {
        if number <= self.newest - BINS as i64 {
            return None;
        }
        self.newest = self.newest.max(number);
        let place = number.rem_euclid(BINS as i64) as usize;
        let block = number.div_euclid(BLOCK);
        let block_place = block.rem_euclid(BLOCKS as i64) as usize;
        for (count, number) in [(&mut self.bins[place], number), (&mut self.blocks[block_place], block)] {
            if count.number != number {
                *count = Count { number, ..Count::NONE };
            }
            count.missing += missing;
            count.received += received;
        }
        Some(place)
    }

    /// Takes numbers missing between two packets of a stream. `own_share`: the share of its packets that the network loses, as
    /// far as known. `false`: it found no place and is not judged.
    pub fn gap(&mut self, gap: &Gap, key: &FlowKey, own_share: f64) -> bool {
        if self.notes.is_empty() {
            self.notes = vec![Notes::default(); BINS];
        }
        let kept = self.pending.len() < self.most;
        if kept {
            self.pending.push_back(Pending { gap: *gap, own_share });
        } else {
            // Its packets count all the same: a background without them would make the loss of other moments look excessive.
            self.left_out += 1;
        }
        let note = self.note(gap.stream, key);
        for at in noted(gap) {
            self.add(bin_of(at), note);
        }
        kept
    }

    /// The divisor of the times of an interval, and begins the next.
    pub fn take_divisor(&mut self) -> CommonDivisor {
        std::mem::take(&mut self.divisor)
    }

    /// Hosts that have streams.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Packets that came between two times, multiples of 50 ms within the last seconds.
    pub fn received(&mut self, from: Timestamp, until: Timestamp) -> u64 {
        self.count_received();
        let block = |at: Timestamp| bin_of(at).div_euclid(BLOCK);
        let blocks = (block(from)..block(until)).map(|number| self.blocks[number.rem_euclid(BLOCKS as i64) as usize]);
        let counts = blocks.zip(block(from)..).filter(|(count, number)| count.number == *number);
        counts.map(|(count, _)| u64::from(count.received)).sum()
    }

    /// Whether enough hosts pass that a loss by the capture would strike several at once.
    pub fn can_tell(&self) -> bool {
        self.streams >= ENOUGH_STREAMS && self.hosts.len() >= ENOUGH_HOSTS
    }

    /// When gaps are judged next; [`Timestamp::MAX`] when none waits.
    pub fn deadline(&self) -> Timestamp {
        self.pending.front().map_or(Timestamp::MAX, Pending::deadline)
    }

    /// Judges the gaps whose time has come by `now`, in the order in which they were noticed.
    pub fn judge(&mut self, now: Timestamp, mut out: impl FnMut(Judged)) {
        while let Some(deadline) = self.pending.front().map(Pending::deadline).filter(|at| *at <= now) {
            // What came later is not looked at: it may have been counted already, or not.
            self.begin_judgement(bin_of(deadline));
            while let Some(first) = self.pending.front().copied().filter(|p| p.deadline() <= deadline) {
                self.pending.pop_front();
                out(self.judge_gap(&first));
            }
        }
    }

    /// Judges what waits of one stream, or of all, by what is known now.
    pub fn judge_now(&mut self, stream: Option<StreamId>, mut out: impl FnMut(Judged)) {
        self.begin_judgement(self.newest.max(bin_of(self.present)) + 1);
        let (of_it, rest) = self.pending.drain(..).partition(|p| stream.is_none_or(|id| p.gap.stream == id));
        self.pending = rest;
        let of_it: VecDeque<Pending> = of_it;
        for pending in of_it {
            out(self.judge_gap(&pending));
        }
    }

    /// Bins from `until` on are not looked at.
    fn begin_judgement(&mut self, until: i64) {
        self.count_received();
        self.judgement = self.judgement.wrapping_add(1);
        self.until = until;
        let first = (until - HORIZON).div_euclid(BLOCK);
        let read = self.blocks.iter().filter(|b| b.number >= first && (b.number + 1) * BLOCK <= until);
        self.held = read.fold((0, 0), |(m, r), b| (m + u64::from(b.missing), r + u64::from(b.received)));
    }

    /// A stream's far end and direction, as of the streams there are.
    pub fn way(&self, key: &FlowKey) -> Way {
        let Note { far, toward_near, .. } = self.note(StreamId(0), key);
        Way { far, toward_near }
    }

    fn note(&self, stream: StreamId, key: &FlowKey) -> Note {
        let [src, dst] = hosts_of(key);
        let src_is_far = (self.streams_of(src), src) <= (self.streams_of(dst), dst);
        let (far, near) = if src_is_far { (src, dst) } else { (dst, src) };
        Note { rank: mixed(stream.0), far, near, toward_near: src_is_far }
    }

    fn add(&mut self, number: i64, note: Note) {
        let fresh = self.bin(number).is_none_or(|bin| bin.missing == 0);
        let Some(place) = self.count(number, 1, 0) else { return };
        let Notes { notes, judged } = &mut self.notes[place];
        if fresh {
            notes.clear();
            notes.shrink_to_fit();
            *judged = None;
        }
        if notes.len() < NOTES {
            notes.push(note);
        } else if let Some(last) = notes.iter_mut().max_by_key(|n| n.rank).filter(|n| n.rank > note.rank) {
            *last = note;
        }
    }

    fn judge_gap(&mut self, pending: &Pending) -> Judged {
        let gap = pending.gap;
        let whole = gap.missing <= 2 * EDGE;
        let (mut looked_at, mut capture, mut variance, mut doubtful) = (0, 0.0, 0.0, 0.0);
        for at in noted(&gap) {
            let bin = bin_of(at);
            if !whole && bin <= self.until - HORIZON + NEXT_TO {
                // The beginning of a long outage is forgotten: its end is enough.
                continue;
            }
            looked_at += 1;
            match self.moment(bin) {
                Moment::Usual => {}
                Moment::Doubtful => doubtful += 1.0,
                Moment::Excess(share) => {
                    // A packet that the network loses never comes to the capture.
                    let own = pending.own_share.clamp(0.0, 1.0);
                    let likely = share * (1.0 - own) / (share + own - share * own);
                    capture += likely;
                    variance += likely * (1.0 - likely);
                }
            }
        }
        let scale = f64::from(gap.missing) / f64::from(looked_at.max(1));
        Judged { gap, capture: capture * scale, variance: variance * scale, doubtful: doubtful * scale }
    }

    fn bin(&self, number: i64) -> Option<&Count> {
        Some(&self.bins[number.rem_euclid(BINS as i64) as usize]).filter(|bin| bin.number == number)
    }

    fn moment(&mut self, number: i64) -> Moment {
        if self.bin(number).is_none() {
            return Moment::Usual;
        }
        let place = number.rem_euclid(BINS as i64) as usize;
        if let Some((judgement, moment)) = self.notes[place].judged
            && judgement == self.judgement
        {
            return moment;
        }
        let moment = self.judge_moment(number);
        self.notes[place].judged = Some((self.judgement, moment));
        moment
    }

    fn judge_moment(&mut self, number: i64) -> Moment {
        let mut background = None;
        let mut share = 0.0;
        for half in HALF_WIDTHS {
            let (from, to) = (number - half, number + half + 1);
            let (missing, received) = self.sum(from, to);
            if missing <= OTHERS as u64 {
                continue;
            }
            let packets = (missing + received) as f64;
            share = missing as f64 / packets;
            let expected = packets * *background.get_or_insert_with(|| self.background(number));
            if log_tail(missing as f64, expected) > LOG_ALPHA {
                continue;
            }
            if self.strikes_unrelated(from, to, missing, expected) {
                return Moment::Excess(((missing as f64 - expected) / packets).clamp(0.0, 1.0));
            }
        }
        if share < OUTAGE_PART {
            return Moment::Usual;
        }
        // At the beginning, in the middle or at the end of it.
        let windows = [0, OUTAGE_STEP, OUTAGE - 1].map(|before| (number - before, number - before + OUTAGE));
        match windows.into_iter().filter_map(|(from, to)| self.outage_of_others(from, to)).max() {
            Some(others) if self.is_repeated_outage(others) => Moment::Excess(1.0),
            Some(_) => Moment::Doubtful,
            None => Moment::Usual,
        }
    }

    /// Whether there were more outages of everything, of so many other far ends, than independent losses bring about. With few
    /// streams one of them alone proves little.
    fn is_repeated_outage(&mut self, others: usize) -> bool {
        if self.outages.0 != self.judgement {
            let newest = (self.until - OUTAGE).div_euclid(OUTAGE_EVERY);
            let windows = newest - WINDOWS + 1..=newest;
            let from = |window: i64| window * OUTAGE_EVERY;
            let found = windows.filter_map(|w| Some((w, self.outage_of_others(from(w), from(w) + OUTAGE)?)));
            self.outages = (self.judgement, found.collect());
        }
        let (mut outages, mut last) = (0u32, NEVER);
        for (window, _) in self.outages.1.iter().filter(|(_, of_window)| *of_window >= others) {
            outages += u32::from(*window - last > OUTAGE / OUTAGE_EVERY);
            last = *window;
        }
        let (missing, received) = self.held;
        let each = Count::share_missing(missing, received).powi(others.min(64) as i32);
        log_tail(f64::from(outages.max(1)), each * WINDOWS as f64) <= LOG_ALPHA
    }

    /// Far ends that have no host in common with one of them, where nearly all of a window is missing.
    fn outage_of_others(&self, from: i64, to: i64) -> Option<usize> {
        let (missing, received) = self.sum(from, to);
        if missing <= OTHERS as u64 || (missing as f64) < OUTAGE_SHARE * (missing + received) as f64 {
            return None;
        }
        let notes = self.notes_of(from, to);
        let (host, _) = most_frequent(&notes)?;
        let others = distinct(notes.iter().filter(|n| n.far != host && n.near != host));
        let both = match self.is_hub(host) {
            true => {
                distinct(notes.iter().filter(|n| n.toward_near)).min(distinct(notes.iter().filter(|n| !n.toward_near)))
            }
            false => 0,
        };
        // Where others have a good part in it, it is no loss of the one host.
        let all = distinct(notes.iter());
        let others = if others >= OTHERS && 4 * others >= all { all - 1 } else { others };
        Some(others.max(both.saturating_sub(1))).filter(|others| *others >= OTHERS)
    }

    fn notes_of(&self, from: i64, to: i64) -> Vec<Note> {
        let lossy = (from..to.min(self.until)).filter(|number| self.bin(*number).is_some_and(|bin| bin.missing > 0));
        lossy.flat_map(|number| self.notes[number.rem_euclid(BINS as i64) as usize].notes.iter().copied()).collect()
    }

    /// Whether the probe stands next to a host: nearly all streams are its own.
    fn is_hub(&self, host: u32) -> bool {
        self.share_of(host) >= HUB_SHARE
    }

    fn share_of(&self, host: u32) -> f64 {
        f64::from(self.streams_of(host)) / f64::from(self.streams.max(1))
    }

    /// Share of packets that are missing around a moment, and over all that is held: the larger of both.
    fn background(&self, number: i64) -> f64 {
        let outage = |from: i64| {
            let (missing, received) = self.sum(from, from + OUTAGE_STEP);
            missing as f64 >= OUTAGE_SHARE * (missing + received) as f64
        };
        let (mut from, mut to) = (number - NEXT_TO, number + NEXT_TO + 1);
        while from > self.until - HORIZON && outage(from - OUTAGE_STEP) {
            from -= OUTAGE_STEP;
        }
        while to < self.until && outage(to) {
            to += OUTAGE_STEP;
        }
        // Each side by itself, too: loss may have begun here.
        let (first, last) = (from.div_euclid(BLOCK), (to + BLOCK - 1).div_euclid(BLOCK));
        let (before, after) = (self.sum_blocks(first - NEAR, first), self.sum_blocks(last, last + NEAR));
        let share = |(missing, received): (u64, u64)| Count::share_missing(missing, received);
        let near = share((before.0 + after.0, before.1 + after.1)).max(share(before)).max(share(after));
        let (all, inside) = (self.held, self.sum(from, to));
        near.max(share((all.0.saturating_sub(inside.0), all.1.saturating_sub(inside.1))))
    }

    /// Whether streams that have no host in common miss packets in a window, more than the background explains.
    fn strikes_unrelated(&self, from: i64, to: i64, missing: u64, expected: f64) -> bool {
        let notes = self.notes_of(from, to);
        let sampled = missing as f64 / (notes.len() as f64).max(1.0);
        let Some((host, of_host)) = most_frequent(&notes) else { return false };
        let share = self.share_of(host);
        if share < HUB_SHARE || of_host < notes.len() {
            // All of them beyond doubt, and without those of the most frequent host, which may be its own loss, still more than
            // usual.
            let all = distinct(notes.iter()) as f64 * sampled;
            let others = distinct(notes.iter().filter(|n| n.far != host && n.near != host));
            let without = expected * (1.0 - share).max(0.0);
            if others >= OTHERS
                && log_tail(all - 1.0, expected) <= LOG_ALPHA
                && log_tail(others as f64 * sampled, without) <= LOG_ALPHA_SIDE
            {
                return true;
            }
        }
        if share < HUB_SHARE {
            return false;
        }
        // Next to one host: what it sends is lost by the capture, or behind it where its receivers would miss it, too, and the
        // probe would not. So both directions have to be struck.
        let toward = distinct(notes.iter().filter(|n| n.near == host && n.toward_near));
        let away = distinct(notes.iter().filter(|n| n.near == host && !n.toward_near));
        let (more, fewer) = (toward.max(away) as f64 * sampled, toward.min(away) as f64 * sampled);
        toward.min(away) >= 2
            && log_tail(more - 1.0, expected / 2.0) <= LOG_ALPHA
            && log_tail(fewer, expected / 2.0) <= LOG_ALPHA_SIDE
    }

    fn streams_of(&self, host: u32) -> u32 {
        self.hosts.get(&host).map_or(0, Host::streams)
    }

    /// Packets missing and received in bins.
    fn sum(&self, from: i64, to: i64) -> (u64, u64) {
        let bins = (from..to.min(self.until)).filter_map(|number| self.bin(number));
        bins.fold((0, 0), |(m, r), bin| (m + u64::from(bin.missing), r + u64::from(bin.received)))
    }

    /// The same in whole blocks.
    fn sum_blocks(&self, from: i64, to: i64) -> (u64, u64) {
        let block =
            |number: i64| Some(&self.blocks[number.rem_euclid(BLOCKS as i64) as usize]).filter(|b| b.number == number);
        let blocks = (from..to.min(self.until.div_euclid(BLOCK))).filter_map(block);
        blocks.fold((0, 0), |(m, r), b| (m + u64::from(b.missing), r + u64::from(b.received)))
    }
}

fn bin_of(at: Timestamp) -> i64 {
    at.0.div_euclid(BIN.0)
}

/// Short identities of the two hosts. They are the same in every run, so that what is found does not depend on a seed.
pub fn hosts_of(key: &FlowKey) -> [u32; 2] {
    [key.src_ip, key.dst_ip].map(host_id)
}

fn host_id(ip: u128) -> u32 {
    mixed(ip as u64 ^ (ip >> 64) as u64)
}

/// An address as [`FlowKey`] has it.
fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn mixed(n: u64) -> u32 {
    let n = (n ^ n >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
}

/// When the packets of a gap would have passed: all of them, or those at both ends of a long one.
fn noted(gap: &Gap) -> impl Iterator<Item = Timestamp> {
    let (at, missing, edge) = (gap.at, i64::from(gap.missing), i64::from(EDGE));
    let length = i128::from((gap.noticed - gap.at).0);
    let last = (missing - edge).max(edge) + 1..=missing;
    let time = move |k: i64| at + Nanos((length * i128::from(k) / i128::from(missing + 1)) as i64);
    (1..=missing.min(edge)).chain(last).map(time)
}

/// The host with part in most notes, the smaller one of two, and in how many.
fn most_frequent(notes: &[Note]) -> Option<(u32, usize)> {
    let mut hosts: Vec<u32> = notes.iter().flat_map(|n| [n.far, n.near]).collect();
    hosts.sort_unstable();
    let mut best: Option<(u32, usize)> = None;
    for run in hosts.chunk_by(|a, b| a == b) {
        if best.is_none_or(|(_, count)| run.len() > count) {
            best = run.first().map(|host| (*host, run.len()));
        }
    }
    best
}

fn distinct<'a>(notes: impl Iterator<Item = &'a Note>) -> usize {
    let mut far: Vec<u32> = notes.map(|n| n.far).collect();
    far.sort_unstable();
    far.dedup();
    far.len()
}

/// Upper bound of ln P(X >= count) for a Poisson count.
fn log_tail(count: f64, expected: f64) -> f64 {
    if count <= expected || expected <= 0.0 {
        return if expected <= 0.0 && count > 0.0 { f64::NEG_INFINITY } else { 0.0 };
    }
    // Stirling's series for ln count!.
    let log_factorial = count * count.ln() - count + 0.5 * (std::f64::consts::TAU * count).ln() + 1.0 / (12.0 * count);
    count * expected.ln() - expected - log_factorial - (1.0 - expected / (count + 1.0)).ln()
}
