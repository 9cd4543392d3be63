//! RTCP that a mirror shows twice: the same bytes between the same addresses within moments are one report.
//!
//! Recognised as for RTP: by the identification in the IP header, and without one by the time between both. A report
//! that says again what the last one said comes seconds later.

use crate::model::CallUid;
use crate::units::{Nanos, Timestamp};
use hashbrown::HashMap;
use std::hash::BuildHasher;
use std::net::SocketAddr;

/// Time in which a datagram with the same identification is the same datagram; senders wait longer than that (RFC 3550
/// section 6.2), and 16 bits of identification come round later.
const SAME_DATAGRAM: Nanos = Nanos::from_secs(1);
/// The same where the IP header does not show it.
const MIRROR_WINDOW: Nanos = Nanos::from_millis(2);

/// What a datagram was when it came first.
#[derive(Clone, Copy, Debug)]
struct First {
    at: Timestamp,
    ip_id: Option<u16>,
    call: Option<CallUid>,
}

/// Datagrams of this second and of the one before, by the hash of addresses and bytes.
#[derive(Debug)]
pub struct Copies<S> {
    hasher: S,
    present: HashMap<u64, First, S>,
    before: HashMap<u64, First, S>,
    since: Timestamp,
    most: usize,
    /// Datagrams that found no place.
    pub left_out: u64,
}

impl<S: BuildHasher + Clone> Copies<S> {
    /// `most`: datagrams remembered of each second; of more, copies are taken for reports.
    pub fn new(most: usize, hasher: S) -> Copies<S> {
        Copies {
            present: HashMap::with_hasher(hasher.clone()),
            before: HashMap::with_hasher(hasher.clone()),
            hasher,
            since: Timestamp::MIN,
            most,
            left_out: 0,
        }
    }

    pub fn key(&self, src: SocketAddr, dst: SocketAddr, bytes: &[u8]) -> u64 {
        self.hasher.hash_one((src, dst, bytes))
    }

    /// The call of the datagram that this one copies; `None` when it copies none.
    pub fn of(&self, key: u64, at: Timestamp, ip_id: Option<u16>) -> Option<Option<CallUid>> {
        let first = self.present.get(&key).or_else(|| self.before.get(&key))?;
        let known = |id: Option<u16>| id.filter(|id| *id != 0);
        let window = match (known(first.ip_id), known(ip_id)) {
            (None, None) => MIRROR_WINDOW,
            (a, b) if a == b => SAME_DATAGRAM,
            _ => return None,
        };
        ((at - first.at).abs() <= window).then_some(first.call)
    }

    pub fn remember(&mut self, key: u64, at: Timestamp, ip_id: Option<u16>, call: Option<CallUid>) {
        if (at - self.since).abs() >= SAME_DATAGRAM {
            std::mem::swap(&mut self.present, &mut self.before);
            self.present.clear();
            self.since = at;
        }
        if self.present.len() < self.most {
            self.present.insert(key, First { at, ip_id, call });
        } else {
            self.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Seeded;

    const A: &str = "192.0.2.1:4001";
    const CALL: CallUid = CallUid(7);
    const B: &str = "192.0.2.2:4001";

    fn at(us: i64) -> Timestamp {
        Timestamp::from_secs(1_000) + Nanos::from_micros(us)
    }

    fn seen(ip_id: Option<u16>) -> (Copies<Seeded>, u64) {
        let mut copies = Copies::new(100, Seeded::new(1));
        let key = copies.key(A.parse().unwrap(), B.parse().unwrap(), b"report");
        copies.remember(key, at(0), ip_id, Some(CALL));
        (copies, key)
    }

    #[test]
    fn the_same_datagram_is_a_copy_and_the_same_report_again_is_not() {
        let (copies, key) = seen(Some(9));
        assert_eq!(copies.of(key, at(900_000), Some(9)), Some(Some(CALL)));
        assert_eq!(copies.of(key, at(1_000_001), Some(9)), None, "the identification may have come round");
        assert_eq!(copies.of(key, at(10), Some(10)), None, "sent again");
        assert_eq!(copies.of(key, at(10), None), None);
        for nothing in [None, Some(0)] {
            let (copies, key) = seen(nothing);
            assert_eq!(copies.of(key, at(2_000), Some(0)), Some(Some(CALL)));
            assert_eq!(copies.of(key, at(2_001), None), None);
        }
    }

    #[test]
    fn other_bytes_or_addresses_are_another_datagram() {
        let (copies, key) = seen(Some(9));
        let (a, b) = (A.parse().unwrap(), B.parse().unwrap());
        assert!(copies.key(b, a, b"report") != key && copies.key(a, b, b"Report") != key);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_time_and_number() {
        let (mut copies, key) = seen(Some(9));
        for n in 0..200 {
            copies.remember(n, at(1), Some(9), None);
        }
        assert!(copies.present.len() <= 100 && copies.before.len() <= 100);
        copies.remember(1, at(1_500_000), None, None);
        copies.remember(2, at(3_000_000), None, None);
        assert_eq!((copies.present.len(), copies.before.len()), (1, 1));
        assert_eq!(copies.of(key, at(0), Some(9)), None);
    }
}
