//! Models of the mutex: the word is the kernel's own, the queue and the parking are told again with
//! loom's. Each ends with the word as it began, so no bit is left behind.

use alloc::collections::VecDeque;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;

use super::{Attempt, MutexState, Next};
use crate::{Parking, model};

const PENDING: u32 = 0;
const WOKEN: u32 = 1;
const HANDED_OVER: u32 = 2;
const TIMED_OUT: u32 = 3;

/// A wait: its ticket, and who is told that it ended.
struct Waiter {
    outcome: AtomicU32,
    told: Parking,
}

struct Model {
    state: MutexState,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    value: UnsafeCell<u32>,
    /// Who lost once is starving, as if it had waited for over 1 ms.
    starves: bool,
}

impl Model {
    fn new(starves: bool) -> Arc<Self> {
        Arc::new(Self {
            state: MutexState::new(),
            queue: Mutex::new(VecDeque::new()),
            value: UnsafeCell::new(0),
            starves,
        })
    }

    /// `RawMutex::lock_slow`; `limited`: the time of the wait is up when it begins to wait.
    fn lock(&self, limited: bool) -> bool {
        if self.state.lock_fast() {
            return true;
        }
        let mut attempt = Attempt::default();
        let (mut over, mut spun, mut waited) = (false, false, false);
        loop {
            let seen = self.state.load();
            if seen.is_free() {
                if self.state.take(seen, attempt) {
                    return true;
                }
                continue;
            }
            if !spun && seen.is_held_normally() {
                spun = true;
                attempt.awake = attempt.awake || self.state.claim_woken(seen);
                continue;
            }
            let mut queue = self.queue.lock().unwrap();
            if over {
                if attempt.awake {
                    self.state.not_awake();
                }
                self.wake_next(queue);
                return false;
            }
            if !self.queue(attempt) {
                continue;
            }
            let waiter = Arc::new(Waiter {
                outcome: AtomicU32::new(PENDING),
                told: Parking::new(),
            });
            if waited {
                queue.push_front(waiter.clone());
            } else {
                queue.push_back(waiter.clone());
            }
            drop(queue);
            if limited && end(&waiter, TIMED_OUT) {
                let mut queue = self.queue.lock().unwrap();
                queue.retain(|other| !Arc::ptr_eq(other, &waiter));
                if queue.is_empty() {
                    self.state.nobody_waits();
                }
                return false;
            }
            waiter.told.park();
            (over, waited) = (limited, true);
            if waiter.outcome.load(Ordering::Relaxed) == HANDED_OVER {
                self.state.end_starvation();
                return true;
            }
            attempt.starving = self.starves;
            attempt.awake = true;
        }
    }

    fn queue(&self, attempt: Attempt) -> bool {
        loop {
            let seen = self.state.load();
            if seen.is_free() {
                return false;
            }
            if self.state.queue(seen, attempt) {
                return true;
            }
        }
    }

    fn unlock(&self) {
        let left = self.state.unlock_fast();
        assert!(MutexState::was_locked(left));
        if MutexState::has_next(left) {
            self.wake_next(self.queue.lock().unwrap());
        }
    }

    fn wake_next(&self, mut queue: MutexGuard<'_, VecDeque<Arc<Waiter>>>) {
        let next = self.state.next(|| {
            let mut first = None;
            while let Some(waiter) = queue.pop_front() {
                if end(&waiter, WOKEN) {
                    first = Some(waiter);
                    break;
                }
            }
            (first, queue.is_empty())
        });
        if let Some((waiter, next)) = next {
            if next == Next::HandOver {
                waiter.outcome.store(HANDED_OVER, Ordering::Relaxed);
            }
            drop(queue);
            waiter.told.ready();
        }
    }

    fn count(&self) {
        // SAFETY: with the mutex held; loom says if not.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    /// The mutex is as new, and was held that often.
    fn ends_with(&self, count: u32) {
        assert!(self.state.lock_fast(), "a bit is left in the word");
        // SAFETY: as above.
        self.value
            .with(|value| assert_eq!(unsafe { *value }, count));
    }
}

fn end(waiter: &Waiter, outcome: u32) -> bool {
    waiter
        .outcome
        .compare_exchange(PENDING, outcome, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
}

/// `limited[i]`: how the thread `i` locks, `rounds` times; the last one is the main thread.
fn run(preemptions: usize, starves: bool, rounds: u32, limited: &[bool]) {
    let threads = limited.iter().map(|limited| (*limited, rounds)).collect();
    run_each(preemptions, starves, threads);
}

/// As `run`, with the rounds of each thread by themselves.
fn run_each(preemptions: usize, starves: bool, threads: Vec<(bool, u32)>) {
    model(preemptions, move || {
        let model = Model::new(starves);
        let go = |(limited, rounds): (bool, u32)| {
            let model = model.clone();
            move || {
                let mut got = 0;
                for _ in 0..rounds {
                    if model.lock(limited) {
                        model.count();
                        model.unlock();
                        got += 1;
                    }
                }
                got
            }
        };
        let (last, others) = threads.split_last().unwrap();
        let others: Vec<_> = others.iter().map(|how| thread::spawn(go(*how))).collect();
        let mut count = go(*last)();
        for other in others {
            count += other.join().unwrap();
        }
        model.ends_with(count);
    });
}

/// Two exclude each other, and nobody sleeps on.
#[test]
fn two_exclude_each_other() {
    run(3, false, 2, &[false, false]);
}

/// Three: somebody barges in before the one that was woken.
#[test]
fn three_exclude_each_other() {
    run(2, false, 1, &[false, false, false]);
}

/// Who was woken in vain starves, and is handed the mutex.
#[test]
fn starving_is_handed_over() {
    run(2, true, 2, &[false, false]);
    run(2, true, 1, &[false, false, false]);
}

/// Somebody comes by in the middle of a hand-over, when the word is not locked: the mutex is not
/// his. That takes one who unlocks, one who starves, and one who barges in, which none of the other
/// models has.
#[test]
fn nobody_takes_what_is_handed_over() {
    run_each(3, true, vec![(false, 1), (false, 1), (false, 2)]);
}

/// Time ends the wait of one while the mutex is unlocked, and the other is not forgotten.
#[test]
fn a_limit_loses_no_wake_up() {
    run(3, false, 1, &[true, false]);
    run(2, false, 1, &[true, false, false]);
}

/// Time ends waits while the mutex is handed over.
#[test]
fn a_limit_loses_no_hand_over() {
    run(2, true, 1, &[true, false, false]);
    run(2, true, 2, &[true, false]);
}
