//! Models of the WaitGroup: the word is the kernel's own, the queue is told again with loom's.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Added, GroupState};
use crate::{Parking, model};

/// A wait: its ticket, and who is told that it ended.
struct Waiter {
    ended: AtomicU32,
    told: Parking,
}

/// One waiter, which waits at most twice.
struct Model {
    state: GroupState,
    /// The number of releases, and which of the waits is in the queue.
    queue: Mutex<(u32, Option<usize>)>,
    waiters: [Waiter; 2],
    done: AtomicU32,
}

impl Model {
    fn new(count: i32) -> Arc<Self> {
        let model = Self {
            state: GroupState::new(),
            queue: Mutex::new((0, None)),
            waiters: core::array::from_fn(|_| Waiter {
                ended: AtomicU32::new(0),
                told: Parking::new(),
            }),
            done: AtomicU32::new(0),
        };
        assert_eq!(model.state.add(count), Added::Done);
        Arc::new(model)
    }

    fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        match self.state.add(-1) {
            Added::Done => return,
            Added::Release => (),
            other => panic!("{other:?}"),
        }
        let mut queue = self.queue.lock().unwrap();
        if !self.state.open() {
            return;
        }
        queue.0 += 1;
        let waiter = queue.1.take().map(|n| &self.waiters[n]);
        drop(queue);
        if let Some(waiter) = waiter.filter(|waiter| waiter.end()) {
            waiter.told.ready();
        }
    }

    /// The `n`th wait. Whether it was released; `limited`: the time is up when it begins to wait.
    fn wait(&self, n: usize, limited: bool) -> bool {
        if self.state.is_open() {
            return true;
        }
        let mut queue = self.queue.lock().unwrap();
        if !self.state.begin_wait() {
            return true;
        }
        queue.1 = Some(n);
        let round = queue.0;
        drop(queue);
        if limited && self.waiters[n].end() {
            let mut queue = self.queue.lock().unwrap();
            queue.1 = None;
            if queue.0 == round {
                self.state.end_wait();
                return false;
            }
        } else {
            self.waiters[n].told.park();
        }
        assert!(self.state.is_unused());
        true
    }
}

impl Waiter {
    fn end(&self) -> bool {
        self.ended
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

fn run(limited: bool) {
    model(3, move || {
        let model = Model::new(2);
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || model.done())
            })
            .collect();
        if model.wait(0, limited) {
            assert_eq!(model.done.load(Ordering::Relaxed), 2, "not all are done");
        } else {
            assert!(limited, "released by nobody");
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(model.state.is_unused(), "a waiter is left in the word");
    });
}

/// The waiter wakes, and only when both are done.
#[test]
fn the_last_done_releases() {
    run(false);
}

/// Time ends the wait while the last one is done.
#[test]
fn a_limit_leaves_nothing_behind() {
    run(true);
}

/// Time ends the wait, then a second round begins while the release of the first is still under
/// way: it neither opens the second too early nor takes it for misuse.
#[test]
fn a_late_release_does_no_harm() {
    model(3, || {
        let model = Model::new(1);
        let start = || {
            let model = model.clone();
            thread::spawn(move || model.done())
        };
        let first = start();
        model.wait(0, true);
        if model.state.is_open() {
            assert_eq!(model.state.add(1), Added::Done);
            let second = start();
            assert!(model.wait(1, false));
            assert_eq!(model.done.load(Ordering::Relaxed), 2, "opened too early");
            second.join().unwrap();
        }
        first.join().unwrap();
        assert!(model.state.is_unused(), "a waiter is left in the word");
    });
}
