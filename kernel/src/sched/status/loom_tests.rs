//! Models of parking and readying: the real status word and run queue, with the steps of `park.rs`
//! around them. A goroutine is a cell, which plays its registers and its stack: written when it is
//! switched away from and while it runs, read when it is resumed and by a scanner. loom watches the
//! cell, so whoever touches it before its turn is found, even if no value comes out wrong.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{SCAN, Status, StatusWord};
use crate::model;
use crate::sched::runq::RunQueue;

/// What the registers hold when they are saved; the goroutine counts on when it is resumed.
const SAVED: usize = 7;

/// In the run queue: there is but one goroutine.
static GOROUTINE: u32 = 0;

/// The order of `park_m`.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Saved, waiting, unlocked.
    Right,
    /// The lock is released before the status says that it waits.
    UnlockBeforeWaiting,
    /// The lock is released on the goroutine's own stack, before the switch to g0.
    UnlockBeforeSaving,
}

struct World {
    status: StatusWord,
    registers: UnsafeCell<usize>,
    /// A wait queue under its lock: whether the goroutine is in it.
    queue: Mutex<bool>,
    /// Of the P on which it is readied.
    runq: RunQueue<u32>,
    resumed: AtomicU32,
}

// SAFETY: the cell's owner is who moved the G on by its status: that is what the models check.
unsafe impl Sync for World {}
// SAFETY: as above, by its owner.
unsafe impl Send for World {}

impl World {
    /// With the goroutine running on the caller's M.
    fn new() -> Arc<Self> {
        let status = StatusWord::new();
        status.change(Status::Idle, Status::Running).unwrap();
        Arc::new(Self {
            status,
            registers: UnsafeCell::new(0),
            queue: Mutex::new(false),
            runq: RunQueue::new(),
            resumed: AtomicU32::new(0),
        })
    }

    /// `G::casgstatus`.
    fn casgstatus(&self, from: Status, to: Status) {
        if let Err(found) = self.status.change(from, to) {
            self.status
                .change_after(found, from, to, thread::yield_now)
                .expect("the caller owns the goroutine");
        }
    }

    /// `mcall`: the switch to g0.
    fn save(&self) {
        // SAFETY: watched by loom.
        self.registers.with_mut(|place| unsafe { *place = SAVED });
    }

    /// `gopark_unlock`, and `park_unlock_m` on g0.
    fn park(&self, order: Order) {
        let mut queue = self.queue.lock().unwrap();
        *queue = true;
        if order == Order::UnlockBeforeSaving {
            drop(queue);
            self.save();
            self.casgstatus(Status::Running, Status::Waiting);
            return;
        }
        self.save();
        if order == Order::UnlockBeforeWaiting {
            drop(queue);
            self.casgstatus(Status::Running, Status::Waiting);
            return;
        }
        self.casgstatus(Status::Running, Status::Waiting);
        drop(queue);
    }

    /// A waker, if the goroutine is in the queue yet: `ready`.
    fn try_wake(&self) -> bool {
        let taken = core::mem::take(&mut *self.queue.lock().unwrap());
        if taken {
            self.ready();
        }
        taken
    }

    fn wake(&self) {
        while !self.try_wake() {
            thread::yield_now();
        }
    }

    fn ready(&self) {
        self.casgstatus(Status::Waiting, Status::Runnable);
        assert!(self.runq.put_next(&GOROUTINE).is_none(), "readied twice");
    }

    /// `execute`, and the goroutine, which goes on where it stopped.
    fn execute(&self) {
        self.casgstatus(Status::Runnable, Status::Running);
        // SAFETY: watched by loom.
        self.registers.with_mut(|place| unsafe {
            assert_eq!(*place, SAVED, "resumed before its registers were saved");
            *place += 1;
        });
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    /// The M that readied, done with what it runs.
    fn run_own(&self) {
        if self.runq.get().is_some() {
            self.execute();
        }
    }

    /// Another M.
    fn steal(&self) {
        if self.runq.steal_next().is_some() {
            self.execute();
        }
    }

    /// Looks at the stack of the goroutine, if it waits (`snapshot`, `sysmon`).
    fn scan(&self) -> bool {
        let claimed = self.status.try_claim(Status::Waiting);
        if claimed {
            // SAFETY: watched by loom.
            let saved = self.registers.with(|place| unsafe { *place });
            assert_eq!(
                saved, SAVED,
                "claimed while it was no longer, or not yet, parked"
            );
            // Not before: a load would order what the claim is to order.
            assert_eq!(self.status.load(), Status::Waiting as u32 | SCAN);
            self.status.unclaim();
        }
        claimed
    }

    fn assert_resumed_once(&self) {
        assert_eq!(self.resumed.load(Ordering::Relaxed), 1);
        assert_eq!(Status::of(self.status.load()), Status::Running);
    }
}

fn spawn<R: 'static>(
    world: &Arc<World>,
    f: impl FnOnce(&World) -> R + 'static,
) -> thread::JoinHandle<R> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

fn park_against_a_waker(order: Order) {
    model(3, move || {
        let world = World::new();
        let waker = spawn(&world, |world| {
            world.wake();
            world.run_own();
        });
        world.park(order);
        waker.join().unwrap();
        world.assert_resumed_once();
    });
}

/// A park while another readies: not lost, and resumed with its registers saved.
#[test]
fn a_park_is_not_lost_on_a_waker() {
    park_against_a_waker(Order::Right);
}

/// The models can fail: a waker meets a goroutine that does not wait yet.
#[test]
#[should_panic(expected = "the caller owns the goroutine")]
fn a_lock_released_before_the_status_is_found() {
    park_against_a_waker(Order::UnlockBeforeWaiting);
}

/// Without a status word to stop the waker this would be the goroutine on two stacks.
#[test]
#[should_panic(expected = "the caller owns the goroutine")]
fn a_lock_released_before_the_switch_is_found() {
    park_against_a_waker(Order::UnlockBeforeSaving);
}

/// The M that parked looks for work again, and may steal the very goroutine.
#[test]
fn it_is_resumed_once_however_many_look_for_it() {
    model(2, || {
        let world = World::new();
        let waker = spawn(&world, |world| {
            world.wake();
            world.run_own();
        });
        let thief = spawn(&world, World::steal);
        world.park(Order::Right);
        world.steal();
        thief.join().unwrap();
        waker.join().unwrap();
        world.assert_resumed_once();
    });
}

/// Of two wakers one finds it in the queue.
#[test]
fn two_wakers_ready_once() {
    model(2, || {
        let world = World::new();
        let wakers = [(); 2].map(|()| spawn(&world, World::try_wake));
        world.park(Order::Right);
        let woken = wakers.map(|waker| waker.join().unwrap());
        let woken = woken.into_iter().filter(|woken| *woken).count();
        assert!(woken <= 1);
        if woken == 0 {
            world.wake();
        }
        world.run_own();
        world.assert_resumed_once();
    });
}

/// A scanner sees nothing but a goroutine that is saved whole, from the instant that it waits.
#[test]
fn a_scanner_finds_it_saved() {
    model(3, || {
        let world = World::new();
        let scanner = spawn(&world, World::scan);
        world.park(Order::Right);
        scanner.join().unwrap();
        assert!(world.scan(), "it waits, and nobody has it");
    });
}

/// A waker waits for the scan bit, and what it resumes does not write where the scanner reads.
#[test]
fn a_waker_waits_for_the_scanner() {
    model(3, || {
        let world = World::new();
        let scanner = spawn(&world, World::scan);
        let waker = spawn(&world, |world| {
            world.wake();
            world.run_own();
        });
        world.park(Order::Right);
        scanner.join().unwrap();
        waker.join().unwrap();
        world.assert_resumed_once();
    });
}

/// One at a time has the scan bit.
#[test]
fn two_scanners_take_turns() {
    model(3, || {
        let world = World::new();
        world.park(Order::Right);
        let other = spawn(&world, World::scan);
        let mine = world.scan();
        assert!(other.join().unwrap() || mine, "the first to come gets it");
        assert_eq!(world.status.load(), Status::Waiting as u32);
    });
}

/// A park that its function refuses goes on at once, and nobody else has it.
#[test]
fn a_refused_park_goes_on() {
    model(3, || {
        let world = World::new();
        let scanner = spawn(&world, World::scan);
        world.save();
        world.casgstatus(Status::Running, Status::Waiting);
        world.casgstatus(Status::Waiting, Status::Runnable);
        world.execute();
        scanner.join().unwrap();
        world.assert_resumed_once();
    });
}
