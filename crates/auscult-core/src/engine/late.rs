//! Addresses of streams that ended lately: the last reports about them may come after their end.

use crate::media::Endpoint;
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;

/// Reports are this late at most: two of the longest usual intervals between reports (RFC 3550 section 6.2).
const LATE: Nanos = Nanos::from_secs(20);

/// The addresses of this period and of the one before, each with the time up to which it is known.
pub struct LateFlows {
    present: HashMap<Endpoint, Timestamp, Seeded>,
    before: HashMap<Endpoint, Timestamp, Seeded>,
    since: Timestamp,
    most: usize,
    /// Addresses that found no place.
    pub left_out: u64,
}

impl LateFlows {
    /// `most`: addresses remembered of each period; RTCP of further ones is of unknown streams.
    pub fn new(most: usize, hasher: Seeded) -> LateFlows {
        LateFlows {
            present: HashMap::with_hasher(hasher.clone()),
            before: HashMap::with_hasher(hasher),
            since: Timestamp::MIN,
            most,
            left_out: 0,
        }
    }

    /// A stream from or to the address ended at this time or before it.
    pub fn note(&mut self, endpoint: Endpoint, ended: Timestamp) {
        if self.present.len() < self.most || self.present.contains_key(&endpoint) {
            self.present.insert(endpoint, ended + LATE);
        } else {
            self.left_out += 1;
        }
    }

    /// An interval begins; addresses are forgotten one to two periods after they were noted.
    pub fn start_interval(&mut self, start: Timestamp) {
        if start - self.since >= LATE {
            std::mem::swap(&mut self.present, &mut self.before);
            self.present.clear();
            self.since = start;
        }
    }

    pub fn contains(&self, endpoint: &Endpoint, at: Timestamp) -> bool {
        [&self.present, &self.before].iter().any(|known| known.get(endpoint).is_some_and(|until| at <= *until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_remembered_for_a_time_and_up_to_a_number() {
        let mut late = LateFlows::new(500, Seeded::new(1));
        let end = |ip: u128| Endpoint { ip, port: 4000 };
        let at = |s: i64| Timestamp::from_secs(1_000 + s);
        late.start_interval(at(0));
        late.note(end(1), at(5));
        late.start_interval(at(20));
        assert!(late.contains(&end(1), at(25)) && !late.contains(&end(2), at(25)));
        assert!(!late.contains(&end(1), at(26)), "however long no interval began");
        late.start_interval(at(40));
        assert!(!late.contains(&end(1), at(25)), "two periods later");
        (0..1_000).for_each(|ip| late.note(end(ip), at(40)));
        assert_eq!((late.present.len(), late.left_out), (500, 500));
    }
}
