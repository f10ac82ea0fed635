//! Senders that choose before they have a value.
//!
//! A sender that waits in a select names its value only when its case was chosen, as crossbeam's
//! do: so it waits without one (*lazily*: its sudog's `elem` is null), and being chosen means to be
//! granted a place for the value. `elem` then says where it goes:
//!
//! - null: to nobody; the channel is closed, and the value stays with the sender.
//! - [`RESERVED`]: into the buffer. `reserved` keeps the room free meanwhile, and who finds the
//!   buffer empty waits, even after a close: the value is on its way.
//! - A receiver's sudog: to that receiver, which is out of all queues and parked, and which the
//!   sender alone will ready.
//!
//! A receiver that meets a lazy sender on a rendezvous channel must wait for it, even if it came
//! with `try_recv` or a select with a default: it has the sender's word, and the sender is readied
//! when the receiver is parked ([`Chan::collect`]).

use core::ptr;
use core::sync::atomic::Ordering;

use crate::chan::error::SendError;
use crate::chan::raw::{Chan, Slot, slot};
use crate::sched::g::{G, getg};
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::Sudog;

/// The grant of a place in the buffer: an address that no sudog has.
static RESERVED_PLACE: u8 = 0;
pub(super) const RESERVED: *mut () = (&raw const RESERVED_PLACE).cast_mut().cast();

/// A sender in the queue that will name its value when it is chosen.
pub(super) fn is_lazy(sender: &Sudog) -> bool {
    sender.elem.get().is_null()
}

impl<T> Chan<T> {
    /// A lazy sender gives its value to the place that it was granted.
    pub(super) fn complete_send(&self, grant: *mut (), value: T) -> Result<(), SendError<T>> {
        if grant.is_null() {
            return Err(SendError(value));
        }
        if grant == RESERVED {
            return self.fill_reserved(value);
        }
        // SAFETY: the sudog of a receiver that is parked until it is readied here.
        let receiver = unsafe { &*grant.cast::<Sudog>() };
        // SAFETY: its slot, likewise.
        unsafe { slot(receiver.elem.get()) }.set(Some(value));
        park::goready(receiver.g);
        Ok(())
    }

    #[cold]
    pub(super) fn collect(slot: &Slot<T>, sender: &'static G) -> T {
        await_owed(sender, WaitReason::ChanReceive);
        slot.take().expect("the sender owed a value")
    }
}

/// With the channel's lock held: a lazy sender is to give its value to this receiver. Returns whom
/// [`await_owed`] has to ready.
pub(super) fn owe(sender: &Sudog, receiver: &Sudog) -> &'static G {
    sender.elem.set(ptr::from_ref(receiver).cast_mut().cast());
    sender.g
}

/// No lock held: parks, readies the lazy sender, and returns when it has given its value.
pub(super) fn await_owed(sender: &'static G, reason: WaitReason) {
    getg().waiting.store(0, Ordering::Relaxed);
    // Readied only from g0, when this goroutine is parked: it is the one who readies us.
    park::gopark(
        |_, sender| {
            // SAFETY: the address of a G; Gs are never freed.
            park::goready(unsafe { &*(sender as *const G) });
            true
        },
        ptr::from_ref(sender) as usize,
        reason,
    );
}
