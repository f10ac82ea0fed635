//! `Timer`: something that happens once, later.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::chan::{self, Receiver, TimeChan};
use crate::sched::timers::NEVER;
use crate::time::Instant;
use crate::time::after_func::AfterFunc;

/// A single event in the future (Go: `time.Timer`): a value on a channel, or the call of a
/// function.
///
/// Dropping a timer does not stop it, as in Go.
pub struct Timer {
    event: Event,
    channel: Receiver<Instant>,
}

enum Event {
    Value(Arc<TimeChan<Instant>>),
    Call(Arc<AfterFunc>),
}

impl Timer {
    /// Gives a value on its [`channel`](Self::channel) after at least `d` (Go: `time.NewTimer`):
    /// the instant at which it was due. A `d` beyond the end of time never ends.
    ///
    /// Costs one allocation, and, while somebody waits, what a sleep costs.
    ///
    /// ```
    /// use gosched::time::{Duration, Instant, Timer};
    /// let start = Instant::now();
    /// let timer = Timer::new(Duration::from_millis(1));
    /// let due = timer.channel().recv().unwrap();
    /// assert!(due >= start + Duration::from_millis(1));
    /// assert!(Instant::now() >= due);
    /// ```
    pub fn new(d: Duration) -> Timer {
        let chan = TimeChan::new(due_ns(d), 0, Instant::from_nanos);
        Timer {
            channel: Receiver::of_clock(chan.clone(), false),
            event: Event::Value(chan),
        }
    }

    /// Calls `f` in a goroutine of its own after at least `d` (Go: `time.AfterFunc`), and again
    /// after each [`reset`](Self::reset). Calls of one timer run one after the other; each begins
    /// in a new goroutine, which waits for the call before it. A `d` beyond the end of time never
    /// ends. A call that ends by `runtime::goexit` is the last.
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
        let call = AfterFunc::new(Box::new(f));
        call.reset(due_ns(d));
        Timer {
            event: Event::Call(call),
            channel: chan::never(),
        }
    }

    /// Where the value comes from; of a timer that calls a function none ever does. Its length is
    /// always 0, as in Go.
    ///
    /// ```
    /// use gosched::select;
    /// use gosched::time::{Duration, Timer};
    /// let soon = Timer::new(Duration::from_millis(1));
    /// let late = Timer::new(Duration::from_secs(3600));
    /// select! {
    ///     recv(soon.channel()) -> due => assert!(due.is_ok()),
    ///     recv(late.channel()) -> _ => unreachable!(),
    /// }
    /// ```
    pub fn channel(&self) -> &Receiver<Instant> {
        &self.channel
    }

    /// Stops the timer: true if this prevented the event, false if it has happened already (the
    /// value was received, the call has begun) or the timer was stopped before.
    ///
    /// After it no value comes from the channel, until a reset; the channel is not closed. A call
    /// that has begun is not waited for.
    ///
    /// ```
    /// use gosched::time::{self, Duration, Timer};
    /// let timer = Timer::new(Duration::from_micros(1));
    /// time::sleep(Duration::from_micros(10));
    /// assert!(timer.stop(), "nobody had received the value");
    /// assert!(timer.channel().try_recv().is_err());
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&self) -> bool {
        match &self.event {
            Event::Value(chan) => chan.set(NEVER, 0),
            Event::Call(call) => call.stop(),
        }
    }

    /// Lets the event happen after at least `d` from now, instead of when it was to. True if the
    /// event was still to come, false if it had happened or the timer was stopped.
    ///
    /// A value that was due and was not received does not come any more.
    ///
    /// ```
    /// use gosched::time::{Duration, Timer};
    /// let timer = Timer::after_func(Duration::from_secs(3600), || {});
    /// assert!(timer.reset(Duration::from_secs(7200)));
    /// assert!(timer.stop());
    /// assert!(!timer.reset(Duration::from_secs(3600)));
    /// ```
    pub fn reset(&self, d: Duration) -> bool {
        match &self.event {
            Event::Value(chan) => chan.set(due_ns(d), 0),
            Event::Call(call) => call.reset(due_ns(d)),
        }
    }
}

fn due_ns(d: Duration) -> u64 {
    (Instant::now() + d).as_nanos()
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Timer { .. }")
    }
}
