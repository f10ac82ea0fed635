//! What the suites about waits share: others that run meanwhile, and the look.
#![allow(dead_code, reason = "no suite uses all of it")]

use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::{AtomicBool, Ordering};

use gosched::runtime::{self, Deadlock};
use gosched::sync::{Mutex, WaitGroup};
use gosched::{chan, go};

/// Others that run all the time, until this goes.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    group: WaitGroup,
}

impl Load {
    /// They make channels and goroutines and throw them away, so the heap moves under who looks.
    pub(crate) fn churning() -> Self {
        Self::of(|| {
            let (tx, rx) = chan::bounded(0);
            go(move || tx.send(vec![1u8; 40]).unwrap());
            assert_eq!(rx.recv().unwrap().len(), 40);
        })
    }

    /// They keep what they have: for who looks for something that memory that was used before, and
    /// is pointed to from there, would hide.
    pub(crate) fn steady() -> Self {
        static TURN: Mutex<u64> = Mutex::new(0);
        Self::of(|| {
            *TURN.lock() += 1;
            runtime::gosched();
        })
    }

    fn of(step: fn()) -> Self {
        let (stop, group) = (Arc::new(AtomicBool::new(false)), WaitGroup::new());
        for _ in 0..3 {
            let stopped = stop.clone();
            group.go(move || {
                while !stopped.load(Ordering::Relaxed) {
                    step();
                }
            });
        }
        Self { stop, group }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.group.wait();
    }
}

/// Overwrites what calls have left below this frame.
#[inline(never)]
fn scrub() {
    let mut words = [0usize; 512];
    core::hint::black_box(&mut words);
}

/// The deadlock that goroutine `goid` is in.
#[inline(never)]
pub(crate) fn deadlock_of(goid: u64) -> Option<Deadlock> {
    scrub();
    runtime::deadlocks().into_iter().find(|deadlock| {
        let all = || deadlock.cycle.iter().chain(&deadlock.others);
        all().any(|waiter| waiter.goid == goid)
    })
}
