//! `park`, `park_timeout`, `yield_now` (std: the same of `std::thread`). The token and its protocol
//! are in `sched::token`.

use core::time::Duration;

use crate::sched::token;
use crate::sched::wait::Limit;

/// Waits until somebody gives this goroutine its token ([`Goroutine::unpark`]), and takes it. If
/// the token is there, returns at once. Unlike std's it never returns without one.
///
/// A dump says `park` of whoever waits here.
///
/// ```
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use gosched::{current, go, park};
///
/// static READY: AtomicBool = AtomicBool::new(false);
/// let waiter = current();
/// go(move || {
///     READY.store(true, Ordering::Release);
///     waiter.unpark();
/// });
/// while !READY.load(Ordering::Acquire) {
///     park();
/// }
/// ```
///
/// [`Goroutine::unpark`]: crate::Goroutine::unpark
pub fn park() {
    let _ = token::park(Limit::Forever);
}

/// [`park`] for at most `d`; zero only takes a token that is there. Never returns early without a
/// token. As with std's, the result does not say which it was.
///
/// ```
/// use gosched::park_timeout;
/// use gosched::time::{Duration, Instant};
///
/// let start = Instant::now();
/// park_timeout(Duration::from_millis(2));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
pub fn park_timeout(d: Duration) {
    let _ = token::park(Limit::after(d));
}

/// Lets others run: goes to the end of the global queue (std: `thread::yield_now`; Go:
/// `runtime.Gosched`, which is here `runtime::gosched`).
///
/// ```
/// use gosched::{spawn, yield_now};
///
/// let other = spawn(|| 1);
/// while !other.is_finished() {
///     yield_now();
/// }
/// ```
pub fn yield_now() {
    crate::sched::park::gosched();
}
