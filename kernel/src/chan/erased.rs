//! Sides of channels whose values are of some type, for `Select`.

use alloc::boxed::Box;
use core::cell::Cell;
use core::ptr::NonNull;

use crate::chan::raw::{Op, Slot};
use crate::chan::select::SelectChan;
use crate::chan::{Receiver, Sender};

/// A side of a channel of some type.
pub(super) trait Side {
    /// None: never ready.
    fn channel(&self) -> Option<&dyn SelectChan>;
    fn op(&self) -> Op;
    /// Where a received value goes.
    fn new_slot(&self) -> Option<ErasedSlot>;
}

impl<T> Side for Sender<T> {
    fn channel(&self) -> Option<&dyn SelectChan> {
        Some(self.select_chan())
    }
    fn op(&self) -> Op {
        Op::Send
    }
    fn new_slot(&self) -> Option<ErasedSlot> {
        None
    }
}

impl<T> Side for Receiver<T> {
    fn channel(&self) -> Option<&dyn SelectChan> {
        self.select_chan()
    }
    fn op(&self) -> Op {
        Op::Recv
    }
    fn new_slot(&self) -> Option<ErasedSlot> {
        Some(ErasedSlot::new::<T>())
    }
}

/// A boxed [`Slot`] of some type, which its lifetime does not show: a `Select` may outlive what it
/// selected from, since all that its drop does is to free memory. Whoever has a value in a slot
/// takes it out before.
pub(super) struct ErasedSlot {
    slot: NonNull<()>,
    free: unsafe fn(NonNull<()>),
}

impl ErasedSlot {
    fn new<T>() -> Self {
        /// # Safety
        /// `slot` is a `Box<Slot<T>>` that is not used any more.
        unsafe fn free<T>(slot: NonNull<()>) {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(slot.cast::<Slot<T>>().as_ptr()) });
        }
        let slot = NonNull::from(Box::leak(Box::new(Cell::new(None::<T>))));
        Self {
            slot: slot.cast(),
            free: free::<T>,
        }
    }

    /// Where the value goes.
    pub(super) fn elem(&self) -> *mut () {
        self.slot.as_ptr()
    }
}

impl Drop for ErasedSlot {
    // Not inlined: LLVM ends a caller by a jump through a pointer that it left below rsp, which
    // code without a red zone must not do.
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: made by `new` with this function.
        unsafe { (self.free)(self.slot) };
    }
}
