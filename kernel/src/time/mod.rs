//! Time: `Duration`, `Instant`, sleeping, timers.
//!
//! - [`Instant`] is `std`'s, [`Timer`] and [`Ticker`] are Go's (1.23 and later).
//! - Nothing here is ever early. How late it is depends on the timer interrupt of one CPU and the
//!   way to a P: a timer that comes due preempts the goroutine that runs there, it does not wait
//!   for the end of a time slice.
//! - A wait that would go beyond the end of time (584 years after boot) goes to that end.
//! - An armed timer stands in the heap of a P ([`timers`](crate::sched::timers)); there is no
//!   thread or goroutine that watches timers.

mod after_func;
pub(crate) mod alarm;
mod ticker;
mod timer;

pub use core::time::Duration;

pub use ticker::Ticker;
pub use timer::Timer;

pub use crate::base::instant::Instant;
use crate::sched::wait;

/// Parks the goroutine for at least `d` (Go: `time.Sleep`). Zero returns at once. Never early; late
/// by what the timer interrupt and the way to a P take.
///
/// ```
/// use gosched::time::{self, Duration};
/// time::sleep(Duration::from_millis(1));
/// ```
pub fn sleep(d: Duration) {
    if !d.is_zero() {
        sleep_until(Instant::now() + d);
    }
}

/// Parks the goroutine until `deadline`; not at all if that has passed. The way to act at a steady
/// rate, which the time spent acting does not slow down (`std::thread::sleep_until`).
///
/// ```
/// use gosched::time::{self, Duration, Instant};
/// let mut next = Instant::now();
/// for _ in 0..3 {
///     next += Duration::from_millis(1);
///     time::sleep_until(next);
/// }
/// ```
pub fn sleep_until(deadline: Instant) {
    if deadline > Instant::now() {
        wait::sleep_until(deadline.as_nanos());
    }
}
