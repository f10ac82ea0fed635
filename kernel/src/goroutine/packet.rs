//! Packet: what a goroutine and its join handle share, in one allocation.
//!
//! # Protocol
//!
//! Two owners, counted: the handle and the goroutine. The goroutine defers ([`Deferred`]) the end
//! of its half before it does anything else, so that half ends last, however the goroutine ends:
//!
//! | | by the goroutine | then by the handle |
//! | --- | --- | --- |
//! | `value` | written once, before `ended`; stays empty if it calls goexit | taken after `ended` |
//! | `state.ended` | set under the lock, at its very end | read under the lock, or waited for |
//! | the packet | given up after that | given up when the handle goes |
//!
//! The lock that `ended` is under orders the value. Whoever is last to give the packet up frees it,
//! and drops a value that nobody took. Only after that is a scope told: the value may borrow from
//! it. A destructor that calls goexit comes back to the same place, with nothing left to drop.
//!
//! A goroutine that could not be created drops its half without having run (`Half`).
//!
//! Not an `Arc`: that has no way to say on stable Rust that there is no memory.

use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use super::scope::Family;
use crate::base::lock::{Lock, Rank};
use crate::sched::defer::{self, Deferred};
use crate::sched::g::getg;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

#[repr(C)]
struct Packet<'scope, T> {
    /// First: its address is the packet's.
    at_end: Deferred,
    owners: AtomicU32,
    /// The closure has returned; the goroutine's own.
    returned: AtomicBool,
    state: Lock<State>,
    value: UnsafeCell<Option<T>>,
    family: Option<&'scope Family>,
}

struct State {
    /// The goroutine has ended.
    ended: bool,
    joiner: WaitQueue,
}

/// Makes a packet; none if there is no memory. The goroutine counts as one of `family` until its
/// half is gone.
pub(super) fn packet<'scope, T>(
    family: Option<&'scope Family>,
) -> Option<(Half<'scope, T>, Handle<'scope, T>)> {
    // SAFETY: the size is not 0.
    let place = unsafe { alloc(Layout::new::<Packet<'scope, T>>()) };
    let place = NonNull::new(place.cast::<Packet<'scope, T>>())?;
    let packet = Packet {
        at_end: Deferred::new(end::<T>),
        owners: AtomicU32::new(2),
        returned: AtomicBool::new(false),
        state: Lock::new(
            Rank::Chan,
            State {
                ended: false,
                joiner: WaitQueue::new(),
            },
        ),
        value: UnsafeCell::new(None),
        family,
    };
    // SAFETY: fresh memory of the right layout.
    unsafe { place.write(packet) };
    if let Some(family) = family {
        family.enter();
    }
    Some((Half { packet: place }, Handle { packet: place }))
}

/// The goroutine's half.
pub(super) struct Half<'scope, T> {
    packet: NonNull<Packet<'scope, T>>,
}

// SAFETY: it only carries the packet into the goroutine; the value is made there and goes to the
// handle, which T: Send allows.
unsafe impl<T: Send> Send for Half<'_, T> {}

impl<T> Half<'_, T> {
    /// The goroutine's whole life: what becomes of `f`, and of the packet.
    pub(super) fn run(self, f: impl FnOnce() -> T) {
        let packet = ManuallyDrop::new(self).packet;
        // SAFETY: the packet lives until `end` gives this half up; the Deferred is its first field.
        unsafe { defer::push(packet.cast()) };
        let value = f();
        // SAFETY: as above.
        unsafe { packet.as_ref() }
            .returned
            .store(true, Ordering::Relaxed);
        // SAFETY: as above; the handle does not touch the value before `ended`.
        unsafe { *packet.as_ref().value.get() = Some(value) };
    }
}

impl<T> Drop for Half<'_, T> {
    /// The goroutine never came to be.
    fn drop(&mut self) {
        // SAFETY: this half is an owner.
        let packet = unsafe { self.packet.as_ref() };
        let family = packet.family;
        if packet.give_up() {
            // SAFETY: the last owner; `packet` allocated it with the layout that the box frees.
            drop(unsafe { Box::from_raw(self.packet.as_ptr()) });
        }
        if let Some(family) = family {
            family.leave(false);
        }
    }
}

/// At the end of the goroutine.
unsafe fn end<T>(at_end: NonNull<Deferred>) {
    let place = at_end.cast::<Packet<'_, T>>();
    // SAFETY: this half is an owner until it gives the packet up below.
    let packet = unsafe { place.as_ref() };
    let family = packet.family;
    // Zero owners: it was here already, and the value's destructor called goexit.
    let again = packet.owners.load(Ordering::Relaxed) == 0;
    let exited = again || !packet.returned.load(Ordering::Relaxed);
    let mut state = packet.state.lock();
    state.ended = true;
    let joiner = state.joiner.dequeue().map(|sudog| sudog.g);
    drop(state);
    if let Some(joiner) = joiner {
        park::goready(joiner);
    }
    if again || packet.give_up() {
        // SAFETY: the last owner. The Deferred is in no list, and back in it for the destructor.
        unsafe {
            defer::push(at_end);
            drop((*packet.value.get()).take());
            defer::remove(at_end);
            drop(Box::from_raw(place.as_ptr()));
        }
    }
    if let Some(family) = family {
        family.leave(exited);
    }
}

impl<T> Packet<'_, T> {
    /// One owner is done with it. True for the last one, who frees it.
    fn give_up(&self) -> bool {
        let last = self.owners.fetch_sub(1, Ordering::Release) == 1;
        if last {
            // As `Arc`: what the other did to the packet comes before the free.
            fence(Ordering::Acquire);
        }
        last
    }
}

/// The handle's half.
pub(super) struct Handle<'scope, T> {
    packet: NonNull<Packet<'scope, T>>,
}

// SAFETY: all that the handle does to a packet is under its lock, but for the value, which T: Send
// allows to be taken or dropped elsewhere.
unsafe impl<T: Send> Send for Handle<'_, T> {}
// SAFETY: by a shared reference only `ended` can be read.
unsafe impl<T: Send> Sync for Handle<'_, T> {}

impl<T> Handle<'_, T> {
    fn state(&self) -> &Lock<State> {
        // SAFETY: this half is an owner.
        unsafe { &self.packet.as_ref().state }
    }

    /// Whether the goroutine has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.state().lock().ended
    }

    /// Waits for the end of the goroutine.
    pub(super) fn wait(&mut self, limit: Limit) -> Waited {
        let state = self.state().lock();
        if state.ended {
            return Waited::Woken;
        }
        if limit.is_over() {
            return Waited::TimedOut;
        }
        let sudog = Sudog::new(getg(), ptr::null_mut());
        wait::wait(
            state,
            |state| &mut state.joiner,
            &sudog,
            Place::Back,
            limit,
            WaitReason::GoroutineJoin,
        )
    }

    /// The value, after the end was waited for; none if the goroutine called goexit.
    pub(super) fn take(&mut self) -> Option<T> {
        debug_assert!(self.is_ended(), "the value of a goroutine that runs");
        // SAFETY: the goroutine has ended, so its half does not write any more.
        unsafe { (*self.packet.as_ref().value.get()).take() }
    }
}

impl<T> Drop for Handle<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this half is an owner.
        if unsafe { self.packet.as_ref() }.give_up() {
            // SAFETY: the last owner; `packet` allocated it with the layout that the box frees.
            drop(unsafe { Box::from_raw(self.packet.as_ptr()) });
        }
    }
}
