//! Time: `Duration`, `Instant`, `sleep`.

pub use core::time::Duration;

use crate::arch;
pub use crate::base::instant::Instant;
use crate::base::instant::after;
use crate::sched::wait;

/// Parks the goroutine for at least `d` (Go: `time.Sleep`). Zero returns at once. Never early; late
/// by what the timer interrupt and the way to a P take.
pub fn sleep(d: Duration) {
    if d.is_zero() {
        return;
    }
    wait::sleep_until(after(arch::nanotime(), d));
}
