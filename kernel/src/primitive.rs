//! Which atomics the protocol objects are built from: core's, or loom's in a model.
//!
//! Only structs that a model drives import from here (`Slot`, `RunQueue`, `Note`, `Spinning`,
//! `Ticket`, `MutexState`, `GroupState`, `Ring`, `Word`); everything else uses
//! `core::sync::atomic`.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
