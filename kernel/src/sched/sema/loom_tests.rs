//! Models of the semaphore: the real queue, wait and timer under it. A permit that is lost, or a
//! waiter that is, is a deadlock, which loom reports.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::Semaphore;
use crate::sched::g::go;
use crate::sched::m::run_timers;
use crate::sched::park::WaitReason;
use crate::sched::wait::{Limit, Waited};
use crate::{Leaked, model};

struct World {
    sema: Semaphore,
    /// Permits that goroutines have now.
    held: AtomicUsize,
}

impl World {
    fn new(permits: usize) -> Leaked<Self> {
        Leaked::new(Self {
            sema: Semaphore::new(permits),
            held: AtomicUsize::new(0),
        })
    }

    fn acquire(&self, n: usize, limit: Limit) -> Waited {
        let waited = self.sema.acquire(n, limit, WaitReason::Semacquire);
        if waited == Waited::Woken {
            self.has(n);
        }
        waited
    }

    fn has(&self, n: usize) {
        let held = self.held.fetch_add(n, Ordering::Relaxed) + n;
        assert!(
            held <= self.sema.size(),
            "{held} permits of {}",
            self.sema.size()
        );
    }

    fn release(&self, n: usize) {
        self.held.fetch_sub(n, Ordering::Relaxed);
        self.sema.release(n);
    }

    fn use_some(&self, n: usize) {
        assert_eq!(self.acquire(n, Limit::Forever), Waited::Woken);
        self.release(n);
    }

    fn assert_all_are_free(&self) {
        assert_eq!(self.sema.free(), self.sema.size());
    }
}

/// Three take turns with one permit.
#[test]
fn one_permit_for_three() {
    model(2, || {
        let world = World::new(1);
        let w = world.get();
        let others = [1, 2].map(|number| go(number, || w.use_some(1)));
        w.use_some(1);
        for other in others {
            other.join().unwrap();
        }
        w.assert_all_are_free();
    });
}

/// Wishes of several sizes: a small one does not overtake a large one for ever, and no permit is
/// given twice.
#[test]
fn wishes_of_several_sizes() {
    model(2, || {
        let world = World::new(2);
        let w = world.get();
        let others = [go(1, || w.use_some(2)), go(2, || w.use_some(1))];
        w.use_some(1);
        for other in others {
            other.join().unwrap();
        }
        w.assert_all_are_free();
    });
}

/// The limit against a release: the waiter got its permit, or the semaphore has it.
#[test]
fn a_limit_against_a_release() {
    model(2, || {
        let world = World::new(1);
        let w = world.get();
        assert!(w.sema.try_acquire(1));
        let waiter = go(1, || {
            let waited = w.acquire(1, Limit::Until(10));
            if waited == Waited::Woken {
                w.release(1);
            }
        });
        let clock = go(2, || run_timers(10));
        w.sema.release(1);
        clock.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(run_timers(10), 0, "a timer is left behind");
        w.assert_all_are_free();
    });
}

/// A large wish at the front gives up: the small one behind it, which it held back, goes on though
/// nobody releases anything more.
#[test]
fn a_limit_lets_those_behind_go_on() {
    model(2, || {
        let world = World::new(2);
        let w = world.get();
        assert!(w.sema.try_acquire(1));
        let large = go(1, || w.acquire(2, Limit::Until(10)));
        let small = go(2, || w.use_some(1));
        // The timer is armed when the large wish waits: until then it may be run in vain.
        while run_timers(10) == 0 {
            loom::thread::yield_now();
        }
        assert_eq!(large.join().unwrap(), Waited::TimedOut);
        small.join().unwrap();
        w.sema.release(1);
        w.assert_all_are_free();
    });
}

/// While somebody waits nobody barges in, not even for what is free.
#[test]
fn newcomers_queue_behind() {
    model(2, || {
        let world = World::new(2);
        let w = world.get();
        assert!(w.sema.try_acquire(1));
        let large = go(1, || w.use_some(2));
        while w.sema.state.lock().waiters.is_empty() {
            loom::thread::yield_now();
        }
        assert!(!w.sema.try_acquire(1));
        w.sema.release(1);
        large.join().unwrap();
        w.assert_all_are_free();
    });
}

/// What one had permits for, the next one sees.
#[test]
fn what_was_done_with_a_permit_is_seen() {
    model(2, || {
        let world = World::new(1);
        let w = world.get();
        let cell = Leaked::new(crate::primitive::Cell::new(0));
        let place = cell.get() as *const crate::primitive::Cell<i32> as usize;
        let add = move || {
            assert_eq!(w.acquire(1, Limit::Forever), Waited::Woken);
            // SAFETY: alive until the end of the model; watched by loom.
            let cell = unsafe { &*(place as *const crate::primitive::Cell<i32>) };
            cell.set(cell.get() + 1);
            w.release(1);
        };
        let other = go(1, add);
        add();
        other.join().unwrap();
        assert_eq!(cell.get().get(), 2);
    });
}
