//! Models of a hold: `Notify` plays the NMI line, which latches one NMI while another is being
//! handled, and like it may bring one that nobody of now has sent. A CPU that stands for ever is a
//! deadlock, which loom reports; a frame that is read while its CPU runs is a race on its cell.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::{Answer, Place, Slot, Turn};
use crate::model;

/// What a victim changes while it runs, and a holder reads while it stands.
struct Stack(UnsafeCell<u32>);

struct Machine {
    turn: Turn,
    slot: Slot<Stack>,
    nmi: Notify,
    /// Plays the loop of the victim that stands: what it waits for has changed.
    changed: Notify,
    frozen: AtomicBool,
    ended: AtomicU32,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            turn: Turn::new(),
            slot: Slot::new(),
            nmi: Notify::new(),
            changed: Notify::new(),
            frozen: AtomicBool::new(false),
            ended: AtomicU32::new(0),
        })
    }

    /// The victim: works and takes NMIs until so many others have ended. Whether it was frozen.
    fn run(&self, others: u32) -> bool {
        self.run_at(others, true)
    }

    /// The same for one that each NMI finds in a trap, at whose end it looks again.
    fn run_in_traps(&self, others: u32) -> bool {
        self.run_at(others, false)
    }

    fn run_at(&self, others: u32, is_settled: bool) -> bool {
        let stack = Stack(UnsafeCell::new(0));
        let frame = (&raw const stack).cast_mut();
        loop {
            // SAFETY: a holder that reads it now is what the model looks for.
            stack.0.with_mut(|word| unsafe { *word += 1 });
            if self.ended.load(Ordering::Acquire) == others {
                return false;
            }
            self.nmi.wait();
            let frozen = || self.frozen.load(Ordering::Acquire);
            let pause = || self.changed.wait();
            if frozen() {
                return true;
            }
            let answer = self.slot.answer(frame, is_settled, frozen, pause);
            let at_the_end = match answer {
                Answer::NotAsked if self.slot.is_asked() => {
                    self.slot.answer(frame, true, frozen, pause)
                }
                answer => answer,
            };
            if at_the_end == Answer::Frozen {
                return true;
            }
        }
    }

    /// Asks once, if it has the turn; looks at the frame if the victim stands within `patience`
    /// looks.
    fn hold(&self, patience: usize) {
        if !self.turn.try_take() {
            return;
        }
        self.slot.ask(Place::Settled);
        self.nmi.notify();
        for _ in 0..patience {
            if let Some(stack) = self.slot.held() {
                // SAFETY: the victim stands until it is let go.
                assert!(unsafe { (*stack).0.with(|word| *word > 0) });
                break;
            }
            thread::yield_now();
        }
        self.slot.let_go();
        self.changed.notify();
        self.turn.give();
    }

    fn end(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.nmi.notify();
    }
}

/// One holder beside the victim, which runs by `run`: whether it was frozen.
fn with_one_holder(patience: usize, run: fn(&Machine, u32) -> bool) {
    model(2, move || {
        let machine = Machine::new();
        let holder = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                machine.hold(patience);
                machine.end();
            })
        };
        assert!(!run(&machine, 1));
        holder.join().unwrap();
    });
}

/// A holder with or without patience sees the victim's stack standing still or not at all, and
/// the victim always goes on.
#[test]
fn a_held_cpu_stands_and_goes_on() {
    for patience in [0, 1, 2] {
        with_one_holder(patience, Machine::run);
    }
}

/// One that stands only when its trap ends does no harm either.
#[test]
fn a_cpu_in_a_trap_stands_at_its_end() {
    for patience in [1, 2] {
        with_one_holder(patience, Machine::run_in_traps);
    }
}

/// Two ask at once: one after the other holds, also when the first one's NMI comes late.
#[test]
fn two_holders_take_turns() {
    model(2, || {
        let machine = Machine::new();
        let holders: [_; 2] = core::array::from_fn(|patience| {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                machine.hold(patience);
                machine.end();
            })
        });
        assert!(!machine.run(2));
        for holder in holders {
            holder.join().unwrap();
        }
    });
}

/// The kernel dies while the victim stands for a holder that never lets go: the victim is frozen.
#[test]
fn freezing_wins() {
    model(2, || {
        let machine = Machine::new();
        let dying = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || {
                // The holder was stopped for good when it had asked.
                assert!(machine.turn.try_take());
                machine.slot.ask(Place::Anywhere);
                machine.nmi.notify();
                machine.frozen.store(true, Ordering::Release);
                machine.changed.notify();
                machine.nmi.notify();
            })
        };
        assert!(machine.run(u32::MAX));
        dying.join().unwrap();
    });
}
