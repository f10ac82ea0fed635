//! Host tests of the mutex's word, with threads that spin where goroutines would wait.

use core::cell::UnsafeCell;

use super::MutexState;
use crate::arch;
use crate::mem::fixture::in_threads;

struct Counted {
    state: MutexState,
    count: UnsafeCell<usize>,
}

// SAFETY: who holds the mutex is alone with the count; that this is so is what is tested.
unsafe impl Sync for Counted {}

impl Counted {
    fn add(&self, fast: bool) {
        while !(fast && self.state.lock_fast() || self.state.try_lock()) {
            arch::pause();
        }
        // SAFETY: held.
        unsafe { *self.count.get() += 1 };
        assert!(MutexState::was_locked(self.state.unlock_fast()));
    }
}

/// Each holder sees what the last one wrote (for ThreadSanitizer), and there is one at a time.
#[test]
fn holders_take_turns() {
    const THREADS: usize = 4;
    const TURNS: usize = 20_000;
    let counted = Counted {
        state: MutexState::new(),
        count: UnsafeCell::new(0),
    };
    in_threads(THREADS, |i| {
        for turn in 0..TURNS {
            counted.add((i + turn) % 2 == 0);
        }
    });
    assert_eq!(counted.count.into_inner(), THREADS * TURNS);
    assert!(!counted.state.is_locked());
}
