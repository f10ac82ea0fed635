//! `Timer`: something that happens once, later.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::time::Instant;
use crate::time::after_func::AfterFunc;

/// A single event in the future (Go: `time.Timer`).
///
/// Dropping a timer does not stop it, as in Go.
pub struct Timer {
    after_func: Arc<AfterFunc>,
}

impl Timer {
    /// Calls `f` in a goroutine of its own after at least `d` (Go: `time.AfterFunc`), and again
    /// after each [`reset`](Self::reset). Calls of one timer run one after the other; each begins
    /// in a new goroutine, which waits for the call before it. A `d` beyond the end of time never
    /// ends.
    ///
    /// Costs two allocations, and for each call what a `go` statement costs.
    ///
    /// ```
    /// use gosched::chan;
    /// use gosched::time::{Duration, Timer};
    /// let (tx, rx) = chan::bounded(1);
    /// let _timer = Timer::after_func(Duration::from_millis(1), move || {
    ///     let _ = tx.send("tick");
    /// });
    /// assert_eq!(rx.recv(), Ok("tick"));
    /// ```
    pub fn after_func(d: Duration, f: impl FnMut() + Send + 'static) -> Timer {
        let after_func = AfterFunc::new(Box::new(f));
        after_func.reset((Instant::now() + d).as_nanos());
        Timer { after_func }
    }

    /// Stops the timer: true if this prevented the event, false if it has happened already or the
    /// timer was stopped before. A call of the function that has begun is not waited for.
    ///
    /// ```
    /// use gosched::time::{Duration, Timer};
    /// let timer = Timer::after_func(Duration::from_secs(3600), || unreachable!());
    /// assert!(timer.stop());
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.after_func.stop()
    }

    /// Lets the event happen after at least `d` from now, instead of when it was to. True if the
    /// event was still to come, false if it had happened or the timer was stopped.
    ///
    /// ```
    /// use gosched::time::{Duration, Timer};
    /// let timer = Timer::after_func(Duration::from_secs(3600), || {});
    /// assert!(timer.reset(Duration::from_secs(7200)));
    /// assert!(timer.stop());
    /// assert!(!timer.reset(Duration::from_secs(3600)));
    /// ```
    pub fn reset(&self, d: Duration) -> bool {
        self.after_func.reset((Instant::now() + d).as_nanos())
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Timer { .. }")
    }
}
