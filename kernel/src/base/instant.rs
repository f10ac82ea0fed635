//! Instant: a point in time, and arithmetic with it that saturates.
//!
//! It lies below everything that waits, so that a lock, a channel and a timer share the type; it is
//! shown to programs as `time::Instant`. An instant is a `nanotime` other than `u64::MAX`, which
//! means "never" to the timers: sums stop one nanosecond before.

use core::ops::{Add, Sub};
use core::time::Duration;

use crate::arch;

/// A point in time, in nanoseconds since boot. As `std::time::Instant`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant {
    ns: u64,
}

impl Instant {
    /// Now. Costs a read of the cycle counter and a multiplication.
    pub fn now() -> Self {
        Self {
            ns: arch::nanotime(),
        }
    }

    /// The time since `earlier`; zero if that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    /// The time since this instant.
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// This instant in nanoseconds since boot, as `runtime::nanotime` counts.
    pub(crate) fn as_nanos(self) -> u64 {
        self.ns
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// Stays at the end of time instead of overflowing.
    fn add(self, d: Duration) -> Instant {
        Instant {
            ns: after(self.ns, d),
        }
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// `ns` and a duration, at most the last instant before "never" (584 years after boot).
pub fn after(ns: u64, d: Duration) -> u64 {
    let d = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    ns.saturating_add(d).min(u64::MAX - 1)
}
