//! RTCP that comes before anything is known of its streams: kept for some seconds, because a stream is recognised only after
//! several packets, and an offer may be seen after the first report.

use crate::media::Endpoint;
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A stream may begin this long after its first report.
pub const KEPT: Nanos = Nanos::from_secs(10);
/// Datagrams kept (2.5 MiB with their tables).
const MAX_DATAGRAMS: usize = 1024;
/// Of them, those from or to one address.
const MAX_OF_ADDRESS: usize = 16;
/// Longest datagram kept: what an Ethernet frame carries.
const MAX_BYTES: usize = 1500;

/// A datagram as it was captured.
#[derive(Debug, PartialEq, Eq)]
pub struct EarlyRtcp {
    pub at: Timestamp,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub bytes: Box<[u8]>,
    pub wire_len: usize,
}

/// Datagrams by serial number, which is their order, and the serials of each address.
pub struct EarlyReports {
    datagrams: BTreeMap<u64, EarlyRtcp>,
    by_address: HashMap<Endpoint, SmallVec<[u64; 2]>, Seeded>,
    serial: u64,
}

impl EarlyReports {
    pub fn new(hasher: Seeded) -> EarlyReports {
        EarlyReports { datagrams: BTreeMap::new(), by_address: HashMap::with_hasher(hasher), serial: 0 }
    }

    /// Keeps a datagram; false where there is no place for it.
    pub fn keep(&mut self, at: Timestamp, src: SocketAddr, dst: SocketAddr, bytes: &[u8], wire_len: usize) -> bool {
        let ends = [Endpoint::from(src), Endpoint::from(dst)];
        let full = |end| self.by_address.get(end).is_some_and(|serials| serials.len() >= MAX_OF_ADDRESS);
        if self.datagrams.len() >= MAX_DATAGRAMS || bytes.len() > MAX_BYTES || ends.iter().any(full) {
            return false;
        }
        self.serial += 1;
        for end in ends {
            self.by_address.entry(end).or_default().push(self.serial);
        }
        self.datagrams.insert(self.serial, EarlyRtcp { at, src, dst, bytes: bytes.into(), wire_len });
        true
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Takes out what was sent from or to a media address, or the port above it, at most [`KEPT`] before `at`; in the order
    /// it came.
    pub fn take(&mut self, media: &[Endpoint], at: Timestamp) -> Vec<EarlyRtcp> {
        if self.datagrams.is_empty() {
            return Vec::new();
        }
        let ports = |end: &Endpoint| [*end, Endpoint { port: end.port.wrapping_add(1), ..*end }];
        let serials = media.iter().flat_map(ports).filter_map(|end| self.by_address.get(&end)).flatten();
        let mut serials: SmallVec<[u64; 16]> = serials.copied().collect();
        serials.sort_unstable();
        serials.dedup();
        let in_time = |serial: &u64| self.datagrams.get(serial).is_some_and(|d| at - d.at <= KEPT);
        serials.retain(|serial| in_time(serial));
        serials.into_iter().filter_map(|serial| self.remove(serial)).collect()
    }

    /// Gives up what is older than [`KEPT`] at `now`, or everything; how many datagrams.
    pub fn expire(&mut self, now: Option<Timestamp>) -> u64 {
        let old = |d: &EarlyRtcp| now.is_none_or(|now| now - d.at > KEPT);
        let serials: Vec<u64> = self.datagrams.iter().filter(|(_, d)| old(d)).map(|(serial, _)| *serial).collect();
        serials.iter().for_each(|serial| drop(self.remove(*serial)));
        serials.len() as u64
    }

    fn remove(&mut self, serial: u64) -> Option<EarlyRtcp> {
        let datagram = self.datagrams.remove(&serial)?;
        for end in [Endpoint::from(datagram.src), Endpoint::from(datagram.dst)] {
            if let Some(serials) = self.by_address.get_mut(&end) {
                serials.retain(|s| *s != serial);
                if serials.is_empty() {
                    self.by_address.remove(&end);
                }
            }
        }
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_secs(1_000) + Nanos::from_millis(ms)
    }

    fn address(n: u16, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, (n >> 8) as u8, n as u8], port))
    }

    #[test]
    fn reports_come_out_by_their_media_address_once_and_in_order() {
        let mut early = EarlyReports::new(Seeded::new(1));
        assert!(early.keep(at(0), address(1, 5001), address(2, 6001), b"a", 1));
        assert!(early.keep(at(1), address(2, 6000), address(1, 5000), b"b", 1));
        assert!(early.keep(at(2), address(3, 7001), address(4, 7003), b"c", 1));
        let media = [Endpoint::from(address(1, 5000)), Endpoint::from(address(2, 6000))];
        let out: Vec<_> = early.take(&media, at(50)).into_iter().map(|d| d.bytes).collect();
        assert_eq!(out, [(*b"a").into(), Box::<[u8]>::from(*b"b")]);
        assert!(early.take(&media, at(50)).is_empty());
        assert!(early.take(&[Endpoint::from(address(3, 7000))], at(10_003)).is_empty(), "too long ago");
        assert_eq!((early.expire(Some(at(10_000))), early.expire(Some(at(10_003))), early.is_empty()), (0, 1, true));
        assert!(early.by_address.is_empty());
    }

    #[test]
    fn the_number_of_datagrams_is_bounded_for_each_address_and_for_all() {
        let mut early = EarlyReports::new(Seeded::new(1));
        let kept = (0..100).filter(|i| early.keep(at(0), address(1000 + i, 5001), address(1, 5001), b"x", 1)).count();
        assert_eq!(kept, MAX_OF_ADDRESS);
        let kept = (0..5000).filter(|i| early.keep(at(0), address(*i, 1), address(*i, 2), b"x", 1)).count();
        assert_eq!(kept, MAX_DATAGRAMS - MAX_OF_ADDRESS);
        assert!(!early.keep(at(0), address(1, 1), address(1, 2), &[0; MAX_BYTES + 1], MAX_BYTES + 1));
        assert_eq!(early.expire(None), MAX_DATAGRAMS as u64);
        assert!(early.by_address.is_empty());
    }
}
