//! `Instant`: a point on the kernel's one clock.
//!
//! An instant is the number of nanoseconds since boot, as `runtime::nanotime` counts them: it never
//! goes back, and all CPUs agree on it. It lies below everything that waits, so that locks,
//! channels and timers share the type; programs know it as `time::Instant`. The largest instant is
//! [`u64::MAX`]` - 1` (584 years after boot): `u64::MAX` is the scheduler's "never".
//!
//! Where `std` leaves open what an operator does beyond the ends of time, this one stays at the
//! end: a deadline that lies too far away is a deadline that is never reached, not a panic in the
//! middle of a computation of time limits. Who wants to know asks `checked_add` and `checked_sub`.

use core::ops::{Add, AddAssign, Sub, SubAssign};
use core::time::Duration;

use crate::arch;

/// The last instant; `u64::MAX` is the timers' "never".
const END_NS: u64 = u64::MAX - 1;

/// A point in time. As `std::time::Instant`: a measurement of a clock that never goes back, useful
/// only with [`Duration`]. Eight bytes.
///
/// ```
/// use gosched::time::{Duration, Instant};
/// let start = Instant::now();
/// let deadline = start + Duration::from_millis(5);
/// assert!(deadline > start);
/// assert_eq!(deadline - start, Duration::from_millis(5));
/// assert_eq!(start - deadline, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant {
    ns: u64,
}

impl Instant {
    /// Now. Costs a read of the cycle counter and a multiplication.
    ///
    /// ```
    /// use gosched::time::Instant;
    /// let before = Instant::now();
    /// assert!(Instant::now() >= before);
    /// ```
    pub fn now() -> Self {
        Self {
            ns: arch::nanotime(),
        }
    }

    /// The time since `earlier`; zero if that is later (`std::time::Instant::duration_since`).
    ///
    /// ```
    /// use gosched::time::{Duration, Instant};
    /// let now = Instant::now();
    /// assert_eq!((now + Duration::from_secs(1)).duration_since(now), Duration::from_secs(1));
    /// ```
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    /// The time since `earlier`, or nothing if that is later.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant};
    /// let now = Instant::now();
    /// assert_eq!(now.checked_duration_since(now + Duration::from_nanos(1)), None);
    /// ```
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.ns.checked_sub(earlier.ns).map(Duration::from_nanos)
    }

    /// The time since `earlier`; zero if that is later. The same as
    /// [`duration_since`](Self::duration_since), for those who want to say so.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant};
    /// let now = Instant::now();
    /// let later = now + Duration::from_nanos(1);
    /// assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
    /// ```
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }

    /// The time since this instant.
    ///
    /// ```
    /// use gosched::time::{self, Duration, Instant};
    /// let start = Instant::now();
    /// time::sleep(Duration::from_micros(10));
    /// assert!(start.elapsed() >= Duration::from_micros(10));
    /// ```
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// This instant and a duration, or nothing if that lies beyond the end of time.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant};
    /// assert_eq!(Instant::now().checked_add(Duration::MAX), None);
    /// ```
    pub fn checked_add(&self, d: Duration) -> Option<Instant> {
        let ns = self.ns.checked_add(u64::try_from(d.as_nanos()).ok()?)?;
        (ns <= END_NS).then_some(Self { ns })
    }

    /// This instant less a duration, or nothing if that lies before the boot.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant};
    /// assert_eq!(Instant::now().checked_sub(Duration::MAX), None);
    /// ```
    pub fn checked_sub(&self, d: Duration) -> Option<Instant> {
        let ns = self.ns.checked_sub(u64::try_from(d.as_nanos()).ok()?)?;
        Some(Self { ns })
    }

    /// The instant at this `nanotime`.
    pub(crate) fn from_nanos(ns: u64) -> Self {
        Self { ns: ns.min(END_NS) }
    }

    /// This instant in nanoseconds since boot, as `runtime::nanotime` counts. Never `NEVER`.
    pub(crate) fn as_nanos(self) -> u64 {
        self.ns
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// Stays at the end of time (584 years after boot) instead of overflowing.
    fn add(self, d: Duration) -> Instant {
        self.checked_add(d).unwrap_or(Self { ns: END_NS })
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    /// Stays at the boot instead of overflowing.
    fn sub(self, d: Duration) -> Instant {
        self.checked_sub(d).unwrap_or(Self { ns: 0 })
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, d: Duration) {
        *self = *self - d;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    /// An instant that wrapped, or became "never", would end waits at once or make them endless.
    #[test]
    fn time_has_two_ends_and_neither_wraps() {
        assert_eq!((at(5) + Duration::MAX).as_nanos(), END_NS);
        assert_eq!((at(END_NS) + Duration::from_nanos(1)).as_nanos(), END_NS);
        assert_eq!(at(u64::MAX).as_nanos(), END_NS);
        assert_eq!((at(5) - Duration::from_nanos(6)).as_nanos(), 0);
        assert_eq!(at(END_NS).checked_add(Duration::from_nanos(1)), None);
        assert_eq!(
            at(0).checked_add(Duration::from_nanos(END_NS)),
            Some(at(END_NS))
        );
        assert_eq!(at(5).checked_sub(Duration::from_nanos(5)), Some(at(0)));
        assert_eq!(at(5).checked_sub(Duration::from_nanos(6)), None);
    }

    #[test]
    fn differences_are_exact_and_never_negative() {
        assert_eq!(at(7) - at(3), Duration::from_nanos(4));
        assert_eq!(at(3) - at(7), Duration::ZERO);
        assert_eq!(at(3).checked_duration_since(at(7)), None);
        assert_eq!(at(7).checked_duration_since(at(7)), Some(Duration::ZERO));
        let mut moved = at(10);
        moved += Duration::from_nanos(5);
        moved -= Duration::from_nanos(1);
        assert_eq!(moved, at(14));
    }
}
