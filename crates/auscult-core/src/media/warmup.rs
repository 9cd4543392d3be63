//! The first packets of a segment, kept back until its base is known: packed, because at the start of the busy hour
//! every stream has some.

use super::sample::Sample;

/// Packets kept back at most.
pub const WARMUP: usize = 64;
/// Bytes that the fifty packets of a settled segment take when they come at a regular pace.
const USUAL: usize = 216;

/// Storage for the first packets of a segment; shards recycle it.
pub type WarmupBuffer = Box<Samples>;

/// Samples, each as its difference from the one before: of time, and of the rest where that is not the same as before.
#[derive(Debug)]
pub struct Samples {
    packed: Vec<u8>,
    len: u16,
    first_at: i64,
    last: Sample,
    rest: Rest,
}

/// Differences of timestamp and sequence number, the latter with the sample's flags in its lower two bits.
type Rest = (i32, i32);

/// The lowest bit of a time says whether a [`Rest`] follows, so times have 63 bits: a clock of three hundred years.
const OTHER: i64 = 1;

const NONE: Sample = Sample { at: 0, timestamp: 0, seq: 0, marker: false, consecutive: false };

impl Default for Samples {
    fn default() -> Self {
        Samples { packed: Vec::with_capacity(USUAL), len: 0, first_at: 0, last: NONE, rest: (0, 0) }
    }
}

impl Samples {
    /// # Errors
    /// When there is no room for another one.
    pub fn push(&mut self, sample: Sample) -> Result<(), ()> {
        if self.len() == WARMUP {
            return Err(());
        }
        if self.len == 0 {
            self.first_at = sample.at;
        }
        let seq = i32::from(sample.seq.wrapping_sub(self.last.seq).cast_signed());
        let rest = (
            sample.timestamp.wrapping_sub(self.last.timestamp).cast_signed(),
            seq << 2 | i32::from(sample.marker) << 1 | i32::from(sample.consecutive),
        );
        let time = sample.at.wrapping_sub(self.last.at) << 1;
        let packed = std::mem::take(&mut self.packed);
        let packed = match rest == self.rest {
            true => postcard::to_extend(&time, packed),
            false => postcard::to_extend(&(time | OTHER, rest), packed),
        };
        self.packed = packed.expect("numbers have a packed form");
        self.rest = rest;
        self.last = sample;
        self.len += 1;
        Ok(())
    }

    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn clear(&mut self) {
        self.packed.clear();
        (self.len, self.last, self.rest) = (0, NONE, (0, 0));
    }

    /// Timestamp of the last sample, if there is one.
    pub fn last_timestamp(&self) -> Option<u32> {
        (self.len > 0).then_some(self.last.timestamp)
    }

    /// Time of the first sample.
    pub fn first_at(&self) -> i64 {
        self.first_at
    }

    pub fn iter(&self) -> impl Iterator<Item = Sample> {
        let (mut packed, mut last, mut rest) = (&self.packed[..], NONE, (0, 0));
        std::iter::from_fn(move || {
            let time;
            (time, packed) = postcard::take_from_bytes::<i64>(packed).ok()?;
            if time & OTHER != 0 {
                (rest, packed) = postcard::take_from_bytes::<Rest>(packed).ok()?;
            }
            let (timestamp, seq) = rest;
            last = Sample {
                at: last.at.wrapping_add(time >> 1),
                timestamp: last.timestamp.wrapping_add_signed(timestamp),
                seq: last.seq.wrapping_add_signed((seq >> 2) as i16),
                marker: seq & 2 != 0,
                consecutive: seq & 1 != 0,
            };
            Some(last)
        })
    }
}

/// Recycles the storage of settled segments, so that a new segment allocates only when more are open than ever before.
#[derive(Debug, Default)]
pub struct Pool {
    free: Vec<WarmupBuffer>,
}

impl Pool {
    const KEPT: usize = 1024;

    pub fn take(&mut self) -> WarmupBuffer {
        self.free.pop().unwrap_or_default()
    }

    pub fn give(&mut self, mut warmup: WarmupBuffer) {
        if self.free.len() < Self::KEPT {
            warmup.clear();
            self.free.push(warmup);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_held_comes_back(
            samples in prop::collection::vec((-(1i64 << 61)..1 << 61, any::<(u32, u16, bool, bool)>()), 0..WARMUP + 3),
        ) {
            let samples: Vec<Sample> = samples
                .into_iter()
                .map(|(at, (timestamp, seq, marker, consecutive))| Sample { at, timestamp, seq, marker, consecutive })
                .collect();
            let mut warmup = WarmupBuffer::default();
            let room = samples.iter().take_while(|s| warmup.push(**s).is_ok()).count();
            prop_assert_eq!(room, samples.len().min(WARMUP));
            prop_assert_eq!(warmup.iter().collect::<Vec<_>>(), &samples[..room]);
            prop_assert_eq!(warmup.first_at(), samples.first().map_or(0, |s| s.at));
        }
    }

    #[test]
    fn fifty_packets_in_step_take_what_is_set_aside() {
        let mut warmup = WarmupBuffer::default();
        for i in 0..50u32 {
            let at = 1_794_301_200_000_000_000 + i64::from(i) * 20_000_000 + i64::from(i * 7919 % 4_000_000);
            let sample = Sample { at, timestamp: i * 960, seq: i as u16, marker: i == 0, consecutive: i > 0 };
            warmup.push(sample).expect("room");
        }
        assert_eq!(warmup.packed.capacity(), USUAL);
    }
}
