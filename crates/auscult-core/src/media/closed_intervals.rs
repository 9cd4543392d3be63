//! What was counted of a stream in the intervals before the present one, packed: looked at once in an interval, held for
//! every stream there is. A clean call's take about 150 bytes instead of 470 and a histogram.

use crate::model::StreamStats;

#[derive(Debug, Default)]
pub struct ClosedIntervalTotals(Option<Box<[u8]>>);

impl ClosedIntervalTotals {
    /// Adds the interval that follows.
    pub fn add(&mut self, later: &StreamStats) {
        let mut all = self.numbers();
        all.merge(later);
        let packed = postcard::to_allocvec(&all).expect("numbers have a packed form");
        self.0 = Some(packed.into_boxed_slice());
    }

    pub fn numbers(&self) -> StreamStats {
        match &self.0 {
            Some(packed) => postcard::from_bytes(packed).expect("it was packed here"),
            None => StreamStats::default(),
        }
    }
}
