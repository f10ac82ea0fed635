//! Models of keeping timers: the real words and notes, with the steps of `idle.rs` around them. A P
//! is idle all the time. An M that halts ends its part there; when all is quiet, who got an
//! interrupt goes on. The claim: in the end somebody halts until the first timer is due, or
//! sooner, or the agenda tells those who run of a timer that nobody keeps.

use alloc::vec::Vec;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::thread;

use super::Keeper;
use crate::sched::note::Note;
use crate::sched::timers::NEVER;
use crate::{Leaked, model};

struct M {
    note: Note,
    /// An interrupt has been sent to its CPU, which halts, or is about to.
    interrupt: AtomicBool,
}

impl M {
    fn new() -> Self {
        Self {
            note: Note::new(),
            interrupt: AtomicBool::new(false),
        }
    }

    fn wake(&self) {
        if self.note.signal() {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }

    fn poke(&self) {
        if self.note.poke() {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
}

/// How the part of an M ends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    /// It halts, at most until this deadline.
    Halted(u64),
    /// Somebody called it.
    Called,
}

struct World {
    keeper: Keeper<M>,
    /// `min_when` of the Ps.
    deadlines: [AtomicU64; MS],
    ms: [M; MS],
    /// `Item::OrphanedTimers`.
    orphaned: AtomicBool,
    /// Which Ms are on the idle list.
    midle: Mutex<[bool; MS]>,
}

const MS: usize = 3;

impl World {
    /// The first P has a timer at this time.
    fn new(deadline: u64) -> Leaked<Self> {
        let deadlines = core::array::from_fn(|p| if p == 0 { deadline } else { NEVER });
        Leaked::new(Self {
            keeper: Keeper::new(),
            deadlines: deadlines.map(AtomicU64::new),
            ms: core::array::from_fn(|_| M::new()),
            orphaned: AtomicBool::new(false),
            midle: Mutex::new([false; MS]),
        })
    }

    fn first_timer(&self) -> u64 {
        let when = |deadline: &AtomicU64| deadline.load(Ordering::SeqCst);
        self.deadlines.iter().map(when).min().unwrap()
    }

    /// `Timers::add`, then `idle::wake_for_timer`.
    fn arm(&self, p: usize, when_ns: u64) {
        self.deadlines[p].store(when_ns, Ordering::SeqCst);
        if let Some(m) = self.keeper.sleeps_past(when_ns) {
            m.poke();
        }
    }

    /// `idle::keep_timers`.
    fn keep_timers(&self, m: &'static M) -> u64 {
        if !self.keeper.begin(m) {
            return NEVER;
        }
        self.orphaned.swap(false, Ordering::SeqCst);
        let until = self.keeper.settle(|| self.first_timer());
        if until == NEVER {
            let _ = self.stop_keeping(m);
            fence(Ordering::SeqCst);
            if self.first_timer() != NEVER {
                self.orphaned.store(true, Ordering::SeqCst);
            }
        }
        until
    }

    /// `idle::stop_keeping`.
    fn stop_keeping(&self, m: &'static M) -> bool {
        let until = self.keeper.end(m);
        if until.is_some_and(|until| until != NEVER) {
            self.orphaned.store(true, Ordering::SeqCst);
        }
        until.is_some()
    }

    /// `pidleput`, of a P with timers.
    fn leave_p(&self) {
        self.orphaned.store(true, Ordering::SeqCst);
    }

    /// `idle::run_timers_of_idle_ps`, of an M that runs; nothing is due.
    fn look_at_orphans(&self) {
        if self.orphaned.swap(false, Ordering::SeqCst) && self.first_timer() != NEVER {
            fence(Ordering::SeqCst);
            if !self.keeper.is_there() {
                self.orphaned.store(true, Ordering::SeqCst);
            }
        }
    }

    /// `idle::timers_want`.
    fn timers_want(&self, until: u64) -> bool {
        self.first_timer() < until && (until != NEVER || !self.keeper.is_there())
    }

    /// `idle::pass_on_keeping`.
    fn pass_on_keeping(&self) {
        let next = self.midle.lock().unwrap().iter().position(|idle| *idle);
        if let Some(index) = next {
            self.ms[index].poke();
        }
    }

    /// `idle::sleep_without_p`.
    fn stopm(&'static self, index: usize) -> End {
        self.midle.lock().unwrap()[index] = true;
        self.sleep(index)
    }

    /// The loop in it.
    fn sleep(&'static self, index: usize) -> End {
        let m = &self.ms[index];
        loop {
            let until = self.keep_timers(m);
            if m.note.prepare(|| self.timers_want(until)) {
                return End::Halted(until);
            }
            if let Some(end) = self.awake(m) {
                return end;
            }
        }
    }

    fn awake(&'static self, m: &'static M) -> Option<End> {
        let orphaned = self.stop_keeping(m) || self.orphaned.load(Ordering::SeqCst);
        if !m.note.is_signalled() {
            return None;
        }
        if orphaned {
            self.pass_on_keeping();
        }
        Some(End::Called)
    }

    /// `idle::start_spinning_m`, for this very M, if it is on the idle list.
    fn call(&self, index: usize) {
        if core::mem::take(&mut self.midle.lock().unwrap()[index]) {
            self.ms[index].wake();
        }
    }

    /// These ends were reached, and all is quiet but for the interrupts that were sent.
    fn assert_the_first_timer_is_kept(&'static self, mut ends: Vec<(usize, End)>) {
        loop {
            let sent = |index: usize| self.ms[index].interrupt.swap(false, Ordering::Relaxed);
            let Some(next) = ends.iter_mut().find(|(index, _)| sent(*index)) else {
                break;
            };
            let m = &self.ms[next.0];
            m.note.awake();
            next.1 = self.awake(m).unwrap_or_else(|| self.sleep(next.0));
        }
        let until = ends.iter().map(|(_, end)| match end {
            End::Halted(until) => *until,
            End::Called => NEVER,
        });
        let first = self.first_timer();
        let is_told = self.orphaned.load(Ordering::SeqCst);
        assert!(
            until.min().unwrap() <= first || is_told,
            "{ends:?} past {first}"
        );
    }
}

/// One M falls asleep while others arm timers and then fall asleep themselves.
fn arm_against_a_sleeper(preemptions: usize, deadline: u64, armed: &'static [&'static [u64]]) {
    model(preemptions, move || {
        let world = World::new(deadline);
        let w = world.get();
        let arms = |index: usize, when_ns: &'static [u64]| {
            move || {
                when_ns.iter().for_each(|when_ns| w.arm(index, *when_ns));
                (index, w.stopm(index))
            }
        };
        let sleeper = thread::spawn(|| (0, w.stopm(0)));
        let second = armed.get(1).map(|when_ns| thread::spawn(arms(2, when_ns)));
        let mut ends = Vec::from([arms(1, armed[0])()]);
        ends.extend(second.map(|second| second.join().unwrap()));
        ends.push(sleeper.join().unwrap());
        w.assert_the_first_timer_is_kept(ends);
    });
}

/// There was no timer: the sleeper keeps nothing.
#[test]
fn the_first_timer_against_a_sleeper() {
    arm_against_a_sleeper(3, NEVER, &[&[10]]);
}

/// An earlier timer than the one that the keeper goes to sleep for.
#[test]
fn an_earlier_timer_against_the_keeper() {
    arm_against_a_sleeper(3, 20, &[&[10]]);
}

/// Another one while the keeper looks once more.
#[test]
fn two_timers_against_the_keeper() {
    arm_against_a_sleeper(3, 30, &[&[20, 10]]);
}

/// Two Ms arm timers, and no order between them helps.
#[test]
fn two_who_arm_against_the_keeper() {
    arm_against_a_sleeper(2, 30, &[&[20], &[10]]);
}

/// The keeper is called to run something: another M that sleeps keeps the timers from then on.
#[test]
fn a_keeper_that_is_called_has_a_successor() {
    model(3, || {
        let world = World::new(10);
        let w = world.get();
        let sleepers = [0, 1].map(|index| thread::spawn(move || (index, w.stopm(index))));
        w.call(0);
        let ends = sleepers.map(|sleeper| sleeper.join().unwrap());
        w.assert_the_first_timer_is_kept(ends.into());
    });
}

/// Called while a timer is armed by one who then sleeps.
#[test]
fn a_timer_against_a_change_of_keepers() {
    model(2, || {
        let world = World::new(20);
        let w = world.get();
        let sleepers = [0, 1].map(|index| thread::spawn(move || (index, w.stopm(index))));
        w.call(0);
        w.arm(2, 10);
        let mut ends: Vec<_> = sleepers.map(|sleeper| sleeper.join().unwrap()).into();
        ends.push((2, w.stopm(2)));
        w.assert_the_first_timer_is_kept(ends);
    });
}

/// A P with the first timer is left to a keeper that is about to find that it has none to keep, and
/// that is called to run something then; and an M that runs took the keeper's word.
#[test]
fn a_timer_is_left_to_a_keeper_of_nothing() {
    model(2, || {
        let world = World::new(NEVER);
        let w = world.get();
        let keeper = thread::spawn(move || (0, w.stopm(0)));
        let leaver = thread::spawn(move || {
            w.arm(1, 10);
            w.leave_p();
            (1, w.stopm(1))
        });
        w.look_at_orphans();
        w.call(0);
        let ends = [keeper, leaver].map(|m| m.join().unwrap());
        w.assert_the_first_timer_is_kept(ends.into());
    });
}
