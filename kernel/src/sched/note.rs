//! Note: a one-shot event that an M sleeps for (Go: `note`), and the halt under it.
//!
//! # Protocol
//!
//! Words: `key` (clear or signalled), `cpu` (awake; halted: in `hlt`, or about to enter it; called:
//! as halted, but an IPI is on its way).
//!
//! ```text
//! sleeper                               waker
//!   interrupts off                        key = signalled
//!   cpu = halted                          fence (SeqCst)
//!   fence (SeqCst)                        if cpu was halted, now called: send IPI
//!   if key signalled or work(): undo
//!   sti; hlt                              (the IPI ends hlt)
//!   cpu = awake
//! ```
//!
//! Of the two stores at least one is seen by the other side's load, by the two fences: either the
//! sleeper sees the key, or the waker sees halted and sends the IPI, which stays pending while
//! interrupts are off and ends the `hlt` (the instruction after `sti` runs before any interrupt,
//! Intel SDM vol. 2, STI). The exchange lets one waker of many send it.
//!
//! A CPU that stays called has lost its IPI: no machine should do that, but the
//! [`watchdog`](super::watchdog) sends another rather than leave the work to wait.
//!
//! `work` is what interrupts leave behind for any M (input): the same argument covers it, with the
//! interrupt handler on the waker's side, on this CPU or another.
//!
//! Models: `loom_tests.rs`: halts against signals and against work; `spinning/halt_tests.rs`: with
//! the idle lists and run queues around them.

use crate::primitive::{AtomicU32, Ordering, fence};

/// What ended a sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The note was signalled.
    Signalled,
    /// The deadline passed.
    Deadline,
    /// Some interrupt came, or there was work before the halt.
    Interrupt,
}

const CLEAR: u32 = 0;
const SIGNALLED: u32 = 1;

const AWAKE: u32 = 0;
const HALTED: u32 = 1;
const CALLED: u32 = 2;

/// A one-shot event.
pub struct Note {
    key: AtomicU32,
    cpu: AtomicU32,
}

impl Note {
    /// Not signalled.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            key: AtomicU32::new(CLEAR),
            cpu: AtomicU32::new(AWAKE),
        }
    }

    /// Not signalled.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            key: AtomicU32::new(CLEAR),
            cpu: AtomicU32::new(AWAKE),
        }
    }

    /// Makes the note ready for its next use (Go: `noteclear`). Only the sleeper's M, or whoever is
    /// sure that nobody signals.
    pub fn clear(&self) {
        self.key.store(CLEAR, Ordering::Relaxed);
    }

    /// Signals. Returns whether the sleeper's CPU needs an interrupt.
    #[must_use = "a halted CPU sleeps on without its interrupt"]
    pub fn signal(&self) -> bool {
        self.key.store(SIGNALLED, Ordering::Release);
        self.poke()
    }

    /// For whoever published work elsewhere: whether the CPU is halted and nobody else wakes it.
    #[must_use = "a halted CPU sleeps on without its interrupt"]
    pub fn poke(&self) -> bool {
        fence(Ordering::SeqCst);
        self.cpu.load(Ordering::Relaxed) == HALTED
            && self
                .cpu
                .compare_exchange(HALTED, CALLED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Sleeper, interrupts off: announces the halt. False if there is a reason not to.
    #[must_use = "what stands against the halt must be looked at"]
    pub fn prepare(&self, work: impl Fn() -> bool) -> bool {
        self.cpu.store(HALTED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.key.load(Ordering::Acquire) == SIGNALLED || work() {
            self.cpu.store(AWAKE, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Sleeper: awake again, for whatever reason.
    pub fn awake(&self) {
        self.cpu.store(AWAKE, Ordering::Relaxed);
    }

    /// Whether it is signalled.
    pub fn is_signalled(&self) -> bool {
        self.key.load(Ordering::Acquire) == SIGNALLED
    }

    /// Whether the CPU halts and an IPI to it is on its way, or lost.
    pub fn is_called(&self) -> bool {
        self.cpu.load(Ordering::Relaxed) == CALLED
    }

    /// Whether the CPU halts, and nobody calls it: for interrupt handlers on the same CPU, and for
    /// displays.
    pub fn is_halted(&self) -> bool {
        self.cpu.load(Ordering::Relaxed) == HALTED
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
