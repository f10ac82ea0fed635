//! Waiting until others are parked: a test that wants to meet a parked goroutine must know that it
//! is one.

use gosched::sched::SCHED;
use gosched::sched::g::Status;
use gosched::time::{self, Duration};

/// Waits until at least so many goroutines are parked for a reason, in Go's words.
pub(crate) fn until_parked(count: usize, reason: &str) {
    while parked(reason) < count {
        time::sleep(Duration::from_micros(100));
    }
}

fn parked(reason: &str) -> usize {
    let mut count = 0;
    SCHED.for_each_g(|gp| {
        let waits = gp.status() == Status::Waiting && gp.waitreason().text() == reason;
        count += usize::from(waits);
    });
    count
}
