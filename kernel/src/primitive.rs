//! Which atomics and cells the protocol objects are built from: core's, or loom's in a model, where
//! loom watches the cells too.
//!
//! Only what a model drives imports from here (`Slot`, `RunQueue`, `Note`, `Spinning`, `Keeper`,
//! `Agenda`, `StatusWord`, `Ticket`, `Timer`, `Sudog`, `MutexState`, `GroupState`, `Ring`, `Word`,
//! `Chan`); everything else uses `core`.

#[cfg(not(loom))]
pub(crate) use core::cell::Cell;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(loom)]
pub(crate) use loom::cell::Cell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
