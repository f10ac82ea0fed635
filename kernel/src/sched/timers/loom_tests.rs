//! Models of the timers' heap. A timer's argument is the number of a shot, and what is armed ends
//! in one way: it is fired, or a stop says that it will not be.

use alloc::vec::Vec;
use loom::sync::Mutex;
use loom::thread;

use super::{NEVER, Timer, Timers};
use crate::{Leaked, model};

loom::lazy_static! {
    /// Argument and ticket of what has fired.
    static ref FIRED: Mutex<Vec<(usize, u32)>> = Mutex::new(Vec::new());
}

fn fire(arg: usize, ticket: u32) {
    FIRED.lock().unwrap().push((arg, ticket));
}

fn fired() -> Vec<(usize, u32)> {
    let mut fired = FIRED.lock().unwrap().clone();
    fired.sort_unstable();
    fired
}

struct World {
    heaps: [Timers; 2],
    timers: [Timer; 2],
}

impl World {
    fn new() -> Leaked<Self> {
        Leaked::new(Self {
            heaps: [Timers::new(), Timers::new()],
            timers: [Timer::new(), Timer::new()],
        })
    }

    fn arm(&'static self, heap: usize, timer: usize, when_ns: u64, arg: usize) {
        // SAFETY: the world stays in place, and `fire` takes any argument.
        unsafe { self.heaps[heap].add(&self.timers[timer], when_ns, fire, arg, arg as u32 + 1) };
    }
}

/// Fired or stopped, and the heap is empty either way.
#[test]
fn a_stop_against_who_runs() {
    model(3, || {
        let world = World::new();
        let w = world.get();
        w.arm(0, 0, 10, 0);
        let runner = thread::spawn(|| w.heaps[0].run(10));
        let stopped = w.timers[0].stop();
        let ran = runner.join().unwrap();
        assert_eq!(ran + usize::from(stopped), 1);
        assert_eq!(fired().len(), ran);
        assert_eq!((w.heaps[0].len(), w.heaps[0].min_when()), (0, NEVER));
        assert!(!w.timers[0].stop(), "it is in no heap any more");
    });
}

/// The M that holds the P and one that steals both run what is due: each timer fires once, and the
/// one that is not due stays.
#[test]
fn two_who_run_fire_each_once() {
    model(3, || {
        let world = World::new();
        let w = world.get();
        w.arm(0, 0, 10, 0);
        w.arm(0, 1, 20, 1);
        let other = thread::spawn(|| w.heaps[0].run(10));
        let mine = w.heaps[0].run(10);
        assert_eq!(other.join().unwrap() + mine, 1);
        assert_eq!(fired(), [(0, 1)]);
        assert_eq!(w.heaps[0].min_when(), 20);
    });
}

/// A reset: the owner stops the timer and arms it anew, on another P, for something else. What
/// fires comes with the argument and the ticket that belong together.
#[test]
fn a_reset_against_who_runs() {
    model(3, || {
        let world = World::new();
        let w = world.get();
        w.arm(0, 0, 10, 0);
        let runner = thread::spawn(|| w.heaps[0].run(10));
        let stopped = w.timers[0].stop();
        w.arm(1, 0, 20, 1);
        let ran = runner.join().unwrap();
        assert_eq!(ran + usize::from(stopped), 1);
        assert_eq!(w.heaps[1].run(20), 1);
        let first = (!stopped).then_some((0, 1));
        assert_eq!(
            fired(),
            first.into_iter().chain([(1, 2)]).collect::<Vec<_>>()
        );
    });
}

/// A reset onto the same heap while it is run: the old deadline fires or does not, the new one
/// stays where the heap's owner sees it.
#[test]
fn a_reset_on_the_heap_that_is_run() {
    model(3, || {
        let world = World::new();
        let w = world.get();
        w.arm(0, 0, 10, 0);
        w.arm(0, 1, 30, 1);
        let runner = thread::spawn(|| w.heaps[0].run(10));
        let stopped = w.timers[0].stop();
        w.arm(0, 0, 20, 2);
        assert_eq!(runner.join().unwrap() + usize::from(stopped), 1);
        assert_eq!((w.heaps[0].len(), w.heaps[0].min_when()), (2, 20));
        assert_eq!(w.heaps[0].run(30), 2);
    });
}

/// Whoever stops a timer may free it: who runs others does not touch it any more.
#[test]
fn a_stopped_timer_is_its_owners() {
    model(3, || {
        let world = World::new();
        let w = world.get();
        w.arm(0, 0, 10, 0);
        let runner = thread::spawn(|| w.heaps[0].run(15));
        let own = Leaked::new(Timer::new());
        // SAFETY: stopped, or fired, before it goes.
        unsafe { w.heaps[0].add(own.get(), 20, fire, 9, 10) };
        assert!(own.get().stop(), "it is not due");
        drop(own);
        runner.join().unwrap();
        w.heaps[0].run(15);
        assert_eq!(fired(), [(0, 1)]);
    });
}

/// Two stop the same timer, as its owner and an end of the goroutine may: one of them did.
#[test]
fn one_of_two_stops_it() {
    model(3, || {
        let world = World::new();
        let w = world.get();
        w.arm(0, 0, 10, 0);
        w.arm(0, 1, 20, 1);
        let other = thread::spawn(|| w.timers[0].stop());
        let mine = w.timers[0].stop();
        assert_ne!(other.join().unwrap(), mine);
        assert_eq!((w.heaps[0].len(), w.heaps[0].min_when()), (1, 20));
    });
}
