//! Holding a CPU where it stands and letting it go: the words that the two sides share.
//!
//! # Protocol
//!
//! One CPU at a time is the *holder*: it has the [`Turn`]. For each CPU that it wants to stand
//! still it writes `asked` into that CPU's [`Slot`] and sends an NMI, which reaches a CPU that has
//! interrupts off, holds a lock, halts, or is amid the switch. The *victim* answers in its NMI
//! handler, or where another trap begins or ends if it comes there first:
//!
//! ```text
//! holder                              victim, in a trap
//!   take the turn
//!   slot = asked, send the NMI          asked → held, with the frame of where this CPU was
//!   wait, bounded, for held             stopped; or leave: nobody asks
//!   read what the frame leads to        wait while held
//!   slot = free (each that was asked)   leave: the CPU goes on
//!   give the turn
//! ```
//!
//! | slot | who writes what comes next |
//! | --- | --- |
//! | free | the holder: asked |
//! | asked | the victim: held; the holder, whose patience is over: free |
//! | held | the holder: free |
//!
//! - The victim's exchange to held releases the frame (and all the victim did before) to the
//!   holder's acquiring look; the holder's store of free releases its reads to the victim, which
//!   changes the frame and its stack only after it has seen it.
//! - A holder that wants to know where a goroutine stands has no use for a CPU amid an interrupt or
//!   the switch, whose registers tell nothing of it. It asks for a settled [`Place`]: a victim in a
//!   trap or the switch leaves its slot asked, and looks again when that trap ends or the next one
//!   begins. The holder also sends its NMI again from time to time. (To let such a CPU go and ask
//!   anew is not enough: where CPUs take turns, interrupts may be due each time that it goes on.)
//! - An NMI may come late, when its holder has given up or the victim stands already. It then
//!   finds free; or held by an outer trap, which it leaves alone; or the request of the next
//!   holder, which it answers as well as that one's own NMI would. A CPU that is in its NMI
//!   handler when the next request comes has the NMI latched and takes it at its `iretq`. So no
//!   request is lost and none needs a number.
//! - The holder can neither be preempted nor interrupted (its interrupts are off), takes no lock,
//!   allocates nothing and prints nothing while CPUs stand: any of them may hold any lock.
//! - It can be stopped itself, while it waits for the turn or holds others: by a CPU that *freezes*
//!   all others for good because the kernel dies. A victim that waits looks at `frozen` in each
//!   round and ends its wait by it, so the dying CPU never waits for a holder that it has stopped.
//!   The dying CPU itself answers no holder: one that is about to be frozen would never let it go.
//!
//! The struct knows nothing of interrupt controllers, so that models check it (`loom_tests`).

use core::ptr;

use crate::primitive::{AtomicBool, AtomicPtr, Ordering};

/// Where a CPU may be made to stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Wherever it is: in an interrupt or exception too.
    Anywhere,
    /// Neither in an interrupt or exception nor in the switch: the interrupted registers are those
    /// of `saved_g`.
    Settled,
}

/// The right to hold CPUs, one for all.
pub struct Turn {
    taken: AtomicBool,
}

impl Turn {
    /// Nobody holds.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
        }
    }

    /// Nobody holds.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
        }
    }

    /// Takes the turn if it is free.
    #[must_use = "who has the turn must give it"]
    pub fn try_take(&self) -> bool {
        // Acquire: pairs with `give`, so that all slots are seen free.
        !self.taken.load(Ordering::Relaxed) && !self.taken.swap(true, Ordering::Acquire)
    }

    /// Gives it back.
    pub fn give(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// How an NMI ended for its victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nobody wants it to stand here.
    NotAsked,
    /// The CPU stood and goes on.
    LetGo,
    /// It is to stand for good.
    Frozen,
}

/// One CPU's part, one word: null is free, [`asked`] what a holder wants, and any other the frame
/// that the CPU has left for the holder to see: it stands. (With the frame in a word of its own, an
/// NMI upon a trap's edge could put its frame in place of the one that the edge has offered.)
pub struct Slot<F> {
    state: AtomicPtr<F>,
}

/// The word of one who asks: an address that no frame has.
fn asked<F>(place: Place) -> *mut F {
    ptr::without_provenance_mut(1 + place as usize)
}

impl<F> Slot<F> {
    /// Nobody asks.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            state: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Nobody asks.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            state: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Holder: asks the CPU to stand at such a place. Its NMI is sent after this.
    pub fn ask(&self, place: Place) {
        self.state.store(asked(place), Ordering::Release);
    }

    /// Victim: whether a holder waits for it.
    pub fn is_asked(&self) -> bool {
        // `answer` acquires.
        let state = self.state.load(Ordering::Relaxed);
        state == asked(Place::Anywhere) || state == asked(Place::Settled)
    }

    /// Holder, that has asked: what the CPU left, if it stands.
    pub fn held(&self) -> Option<*mut F> {
        let state = self.state.load(Ordering::Acquire);
        let stands =
            !state.is_null() && state != asked(Place::Anywhere) && state != asked(Place::Settled);
        stands.then_some(state)
    }

    /// Holder: lets the CPU go, or no longer wants it to stand.
    pub fn let_go(&self) {
        // An exchange, not a store: loom would let a store that races with the victim's exchange
        // come before it.
        self.state.swap(ptr::null_mut(), Ordering::Release);
    }

    /// Victim, in its NMI handler or at an edge of a trap: if it was asked to stand at a place like
    /// this, stands until it is let go, or until `frozen`. `frame` stays as it is meanwhile.
    pub fn answer(
        &self,
        frame: *mut F,
        is_settled: bool,
        frozen: impl Fn() -> bool,
        pause: impl Fn(),
    ) -> Answer {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            let wanted =
                state == asked(Place::Anywhere) || state == asked(Place::Settled) && is_settled;
            // Else free; or held: this is an NMI upon a CPU that stands already.
            if !wanted {
                return Answer::NotAsked;
            }
            let exchange =
                self.state
                    .compare_exchange(state, frame, Ordering::AcqRel, Ordering::Relaxed);
            // It fails if that holder has given up; the next may have asked.
            if exchange.is_ok() {
                break;
            }
        }
        while self.state.load(Ordering::Acquire) == frame {
            if frozen() {
                return Answer::Frozen;
            }
            pause();
        }
        Answer::LetGo
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
