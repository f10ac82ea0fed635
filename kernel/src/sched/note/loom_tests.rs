//! Models of the note: `Notify` plays the CPU, whose `hlt` ends by an interrupt, also by one that
//! came before. A lost wake-up is a deadlock, which loom reports.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::Note;
use crate::model;

struct Cpu {
    note: Note,
    interrupt: Notify,
    work: AtomicBool,
}

impl Cpu {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            note: Note::new(),
            interrupt: Notify::new(),
            work: AtomicBool::new(false),
        })
    }

    fn has_work(&self) -> bool {
        self.work.load(Ordering::Relaxed)
    }

    /// Sleeps as `M::sleep` does, until there is a reason.
    fn sleep(&self) {
        while !self.note.is_signalled() && !self.has_work() {
            if self.note.prepare(|| self.has_work()) {
                self.interrupt.wait();
                self.note.awake();
            }
        }
    }

    fn signal(&self) {
        if self.note.signal() {
            self.interrupt.notify();
        }
    }

    fn publish(&self) {
        self.work.store(true, Ordering::Relaxed);
        if self.note.poke() {
            self.interrupt.notify();
        }
    }
}

fn spawn(cpu: &Arc<Cpu>, f: fn(&Cpu)) -> thread::JoinHandle<()> {
    let cpu = Arc::clone(cpu);
    thread::spawn(move || f(&cpu))
}

#[test]
fn a_signal_ends_the_sleep() {
    model(3, || {
        let cpu = Cpu::new();
        let waker = spawn(&cpu, Cpu::signal);
        cpu.sleep();
        waker.join().unwrap();
    });
}

#[test]
fn published_work_ends_the_sleep() {
    model(3, || {
        let cpu = Cpu::new();
        let waker = spawn(&cpu, Cpu::publish);
        cpu.sleep();
        waker.join().unwrap();
    });
}

/// Of two wakers one sends the interrupt; that is enough for both reasons.
#[test]
fn two_wakers_send_enough() {
    model(2, || {
        let cpu = Cpu::new();
        let wakers = [spawn(&cpu, Cpu::signal), spawn(&cpu, Cpu::publish)];
        cpu.sleep();
        for waker in wakers {
            waker.join().unwrap();
        }
        assert!(cpu.note.is_signalled() && cpu.has_work());
    });
}

/// What the signaller wrote before is seen by the sleeper, and the note is good for a second use.
#[test]
fn a_note_is_used_again() {
    model(2, || {
        let cpu = Cpu::new();
        for _ in 0..2 {
            let waker = spawn(&cpu, Cpu::signal);
            cpu.sleep();
            cpu.note.clear();
            waker.join().unwrap();
        }
    });
}
