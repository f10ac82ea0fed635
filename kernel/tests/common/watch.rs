//! Watching values and goroutines: how many were dropped, what one waits for.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::runtime;

use super::eventually;

/// Counts how many of its kind were dropped.
pub(crate) struct CountsDrops(pub(crate) Arc<AtomicUsize>);

impl CountsDrops {
    /// The counter of a new kind.
    pub(crate) fn counter() -> Arc<AtomicUsize> {
        Arc::new(AtomicUsize::new(0))
    }
}

impl Drop for CountsDrops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a counter says.
pub(crate) fn count_of(counter: &Arc<AtomicUsize>) -> usize {
    counter.load(Ordering::Relaxed)
}

/// Waits until a dump shows this goroutine waiting for that reason.
pub(crate) fn until_it_waits(goid: u64, reason: &str) {
    let header = format!("goroutine {goid} [{reason}");
    assert!(
        eventually(|| runtime::stack(true).contains(&header)),
        "goroutine {goid} never waits for {reason:?}:\n{}",
        runtime::stack(true)
    );
}
