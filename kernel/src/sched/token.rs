//! The token of `park` and `unpark`: at most one for each goroutine.
//!
//! # Protocol
//!
//! One lock for each G guards `token_of` and the queue in which the goroutine itself, and nobody
//! else, waits.
//!
//! | | token there | parked | neither |
//! | --- | --- | --- | --- |
//! | `park` | takes it, returns | – | waits in the queue |
//! | `unpark` | stays one token | ends the wait; no token is left | leaves the token |
//!
//! With a limit, time or `unpark` ends the wait (`wait`), never both: an `unpark` that comes too
//! late finds nobody and leaves the token for the next `park`. So no `unpark` is lost, and the only
//! way out of `park` is a token or the limit.
//!
//! # Gs are used again
//!
//! A handle names a goroutine by G and number, and may be older than the goroutine that the G is
//! now. So the token holds the number of the one it is for, 0 for none, and is worth nothing to
//! another. An `unpark` with a number that is not the G's any more does nothing: it reads the
//! number under the lock, so it cannot have the old number and come after somebody who knew the new
//! one. What is left in a dead G needs no clearing, and neither the start nor the end of a
//! goroutine knows of this file.
//!
//! Rejected: one atomic word of number and state. A wait that time may end as well needs its ticket
//! in there too, and 64 bits are too few for both.

use core::ptr;
use core::sync::atomic::Ordering;

use crate::base::lock::{Lock, Rank};
use crate::sched::g::{G, getg};
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

/// The token of a G.
pub struct Token {
    state: Lock<State>,
}

struct State {
    /// The goroutine that may take the token, 0 if there is none.
    token_of: u64,
    /// The goroutine, while it is parked.
    parked: WaitQueue,
}

impl Token {
    /// No token, nobody parked.
    pub const fn new() -> Self {
        let state = State {
            token_of: 0,
            parked: WaitQueue::new(),
        };
        Self {
            state: Lock::new(Rank::Chan, state),
        }
    }
}

/// The running goroutine takes its token; waits until there is one, or for the limit.
pub fn park(limit: Limit) -> Waited {
    let gp = getg();
    let mut state = gp.token.state.lock();
    if state.token_of == gp.goid.load(Ordering::Relaxed) {
        state.token_of = 0;
        return Waited::Woken;
    }
    if limit.is_over() {
        return Waited::TimedOut;
    }
    let sudog = Sudog::new(gp, ptr::null_mut());
    wait::wait(
        state,
        |state| &mut state.parked,
        &sudog,
        Place::Back,
        limit,
        WaitReason::Park,
    )
}

/// Gives goroutine `goid`, which lived on `gp` when it got that number, its token.
pub fn unpark(gp: &'static G, goid: u64) {
    let mut state = gp.token.state.lock();
    if gp.goid.load(Ordering::Relaxed) != goid {
        return;
    }
    match state.parked.dequeue().map(|sudog| sudog.g) {
        Some(parked) => {
            drop(state);
            park::goready(parked);
        }
        None => state.token_of = goid,
    }
}
