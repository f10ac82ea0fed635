//! `Ticker`: something that happens again and again.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::chan::{self, Receiver, TimeChan};
use crate::sched::timers::NEVER;
use crate::time::Instant;

/// A clock that ticks on a channel (Go: `time.Ticker`).
///
/// Each value is the instant at which the tick was due. The channel holds one tick at most: a
/// receiver that is slow misses ticks, and gets the next one on time again. While nobody waits, a
/// ticker costs nothing; nothing has to be done when it goes.
pub struct Ticker {
    chan: Arc<TimeChan<Instant>>,
    channel: Receiver<Instant>,
}

impl Ticker {
    /// Ticks each `period`, for the first time after one period.
    ///
    /// # Panics
    /// `non-positive interval for NewTicker`, when `period` is zero.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant, Ticker};
    /// let start = Instant::now();
    /// let ticker = Ticker::new(Duration::from_millis(1));
    /// for tick in ticker.channel().iter().take(3) {
    ///     assert!(tick > start);
    /// }
    /// ```
    pub fn new(period: Duration) -> Ticker {
        assert!(!period.is_zero(), "non-positive interval for NewTicker");
        let (first_ns, period_ns) = chan::first_tick(period);
        let chan = TimeChan::new(first_ns, period_ns, Instant::from_nanos);
        let channel = Receiver::of_clock(chan.clone(), false);
        Ticker { chan, channel }
    }

    /// Where the ticks come from. Its length is always 0, as in Go.
    ///
    /// ```
    /// use gosched::time::{Duration, Ticker};
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// assert!(ticker.channel().try_recv().is_err());
    /// ```
    pub fn channel(&self) -> &Receiver<Instant> {
        &self.channel
    }

    /// No more ticks: also one that was due, and was not received, does not come any more. The
    /// channel is not closed: who waits there, waits on.
    ///
    /// ```
    /// use gosched::time::{self, Duration, Ticker};
    /// let ticker = Ticker::new(Duration::from_micros(1));
    /// time::sleep(Duration::from_micros(10));
    /// ticker.stop();
    /// assert!(ticker.channel().try_recv().is_err());
    /// ```
    pub fn stop(&self) {
        self.chan.set(NEVER, 0);
    }

    /// Ticks each `period` from now on, whether it was stopped or not. Ticks of before do not come
    /// any more.
    ///
    /// # Panics
    /// `non-positive interval for Ticker.Reset`, when `period` is zero.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant, Ticker};
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// let period = Duration::from_millis(1);
    /// let start = Instant::now();
    /// ticker.reset(period);
    /// assert!(ticker.channel().recv().unwrap() >= start + period);
    /// ```
    pub fn reset(&self, period: Duration) {
        assert!(!period.is_zero(), "non-positive interval for Ticker.Reset");
        let (first_ns, period_ns) = chan::first_tick(period);
        self.chan.set(first_ns, period_ns);
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Ticker { .. }")
    }
}
