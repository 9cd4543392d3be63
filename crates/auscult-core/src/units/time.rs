//! Time as integers: nanoseconds since the Unix epoch, differences, and NTP time.

use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, valid from 1677 to 2262. Frames are measured from
/// [`Timestamp::EARLIEST`] to [`Timestamp::LATEST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A signed length of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    pub const ZERO: Nanos = Nanos(0);
    pub const MAX: Nanos = Nanos(i64::MAX);

    pub const fn from_secs(s: i64) -> Nanos {
        Nanos(s.saturating_mul(1_000_000_000))
    }

    pub const fn from_millis(ms: i64) -> Nanos {
        Nanos(ms.saturating_mul(1_000_000))
    }

    pub const fn from_micros(us: i64) -> Nanos {
        Nanos(us.saturating_mul(1_000))
    }

    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    pub fn abs(self) -> Nanos {
        Nanos(self.0.saturating_abs())
    }
}

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The earliest time of a frame that is measured: 1970-01-01T00:00:00Z.
    pub const EARLIEST: Timestamp = Timestamp(0);

    /// The latest time of a frame that is measured: 2106-01-01T00:00:00Z.
    ///
    /// The `DateTime` columns of the store end at 2106-02-07 (32 bits of seconds). The month between is more than the
    /// longest timeout, so every time that is computed from a measured one fits those columns too. It is 156 years
    /// before the end of this type: adding intervals, timeouts and differences of measured times never saturates.
    pub const LATEST: Timestamp = Timestamp::from_secs(4_291_747_200);

    /// Whether a frame of this time is measured. Readers of captures and the engine refuse and count all others.
    #[inline(always)]
    pub const fn is_measurable(self) -> bool {
        // One comparison for both ends: the range begins at zero.
        self.0.cast_unsigned() <= Timestamp::LATEST.0.cast_unsigned()
    }

    pub const fn from_secs(s: i64) -> Timestamp {
        Timestamp(s.saturating_mul(1_000_000_000))
    }

    /// Seconds and a fraction in nanoseconds, as capture files carry them.
    /// A fraction beyond one second is added, not refused: broken writers exist.
    pub const fn from_secs_nanos(s: i64, nanos: i64) -> Timestamp {
        Timestamp(s.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// The latest multiple of `step` (counted from the epoch) that is not after `self`.
    pub fn floor_to(self, step: Nanos) -> Timestamp {
        let step = step.0.max(1);
        Timestamp(self.0.saturating_sub(self.0.rem_euclid(step)))
    }

    /// RFC 3339 in UTC with nine decimals, for example `2026-11-20T20:13:51.000000000Z`.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(t) => format!("{t:.9}"),
            Err(_) => "0000-01-01T00:00:00.000000000Z".to_owned(),
        }
    }

    /// Reads RFC 3339 (any offset). `None` when it is not a time or outside the range of the type.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let t: jiff::Timestamp = text.trim().parse().ok()?;
        i64::try_from(t.as_nanosecond()).ok().map(Timestamp)
    }
}

impl Add<Nanos> for Timestamp {
    type Output = Timestamp;
    fn add(self, d: Nanos) -> Timestamp {
        Timestamp(self.0.saturating_add(d.0))
    }
}

impl Sub<Nanos> for Timestamp {
    type Output = Timestamp;
    fn sub(self, d: Nanos) -> Timestamp {
        Timestamp(self.0.saturating_sub(d.0))
    }
}

impl Sub for Timestamp {
    type Output = Nanos;
    fn sub(self, earlier: Timestamp) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, d: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(d.0))
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    fn sub(self, d: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(d.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, d: Nanos) {
        *self = *self + d;
    }
}

impl SubAssign for Nanos {
    fn sub_assign(&mut self, d: Nanos) {
        *self = *self - d;
    }
}

impl Neg for Nanos {
    type Output = Nanos;
    fn neg(self) -> Nanos {
        Nanos(self.0.saturating_neg())
    }
}

/// NTP time as RTCP sender reports carry it: 32.32 fixed point seconds since 1900 (RFC 3550 section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, the form LSR and LRR use (RFC 3550 section 6.4.1).
    pub fn middle32(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_signed_and_saturate() {
        assert_eq!(Timestamp(5) - Timestamp(8), Nanos(-3));
        assert_eq!(Timestamp::MAX - Timestamp::MIN, Nanos::MAX);
        assert_eq!(Timestamp(-1).floor_to(Nanos(10)), Timestamp(-10));
    }

    #[test]
    fn measured_times_are_those_the_store_holds() {
        assert_eq!(Timestamp::EARLIEST.to_rfc3339(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp::LATEST.to_rfc3339(), "2106-01-01T00:00:00.000000000Z");
        assert!(Timestamp::LATEST + Nanos::from_secs(86_400) < Timestamp::from_secs(i64::from(u32::MAX)));
        for inside in [Timestamp::EARLIEST, Timestamp(1), Timestamp::LATEST - Nanos(1), Timestamp::LATEST] {
            assert!(inside.is_measurable(), "{inside:?}");
        }
        for outside in [Timestamp::MIN, Timestamp(-1), Timestamp::LATEST + Nanos(1), Timestamp::MAX] {
            assert!(!outside.is_measurable(), "{outside:?}");
        }
    }

    #[test]
    fn rfc3339_round_trip_keeps_nanoseconds() {
        let t = Timestamp(1_556_907_031_106_989_001);
        assert_eq!(t.to_rfc3339(), "2019-05-03T18:10:31.106989001Z");
        assert_eq!(Timestamp::parse_rfc3339(&t.to_rfc3339()), Some(t));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn ntp_figure_of_rfc3550() {
        // RFC 3550 section 6.4.1: [10 Nov 1995 11:33:25.125 UTC] = b44d:b705.2000.0000
        let ntp = NtpTime(0xb44d_b705_2000_0000);
        assert_eq!(ntp.middle32(), 0xb705_2000);
    }
}
