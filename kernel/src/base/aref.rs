//! An atomic `Option<&'static T>`.
//!
//! Gs, Ms and Ps are never freed, so the scheduler passes them as `&'static`, and a word that
//! holds one or none needs no unsafe code at its users.

use core::ptr;

use crate::primitive::{AtomicPtr, Ordering};

/// One word that holds a `&'static T` or nothing.
#[repr(transparent)]
pub struct AtomicRef<T: 'static> {
    ptr: AtomicPtr<T>,
}

// SAFETY: it hands out `&'static T` to any thread, which T: Sync allows.
unsafe impl<T: Sync> Sync for AtomicRef<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for AtomicRef<T> {}

fn to_ptr<T>(value: Option<&'static T>) -> *mut T {
    value.map_or(ptr::null_mut(), |r| ptr::from_ref(r).cast_mut())
}

fn to_ref<T>(ptr: *mut T) -> Option<&'static T> {
    // SAFETY: only `to_ptr` of a `&'static T` is ever stored.
    unsafe { ptr.as_ref() }
}

impl<T> AtomicRef<T> {
    /// Holds nothing.
    #[cfg(not(loom))]
    pub const fn none() -> Self {
        Self {
            ptr: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Holds nothing.
    #[cfg(loom)]
    pub fn none() -> Self {
        Self {
            ptr: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// What it holds.
    #[inline]
    pub fn load(&self, order: Ordering) -> Option<&'static T> {
        to_ref(self.ptr.load(order))
    }

    /// Replaces what it holds.
    #[inline]
    pub fn store(&self, value: Option<&'static T>, order: Ordering) {
        self.ptr.store(to_ptr(value), order);
    }

    /// Replaces what it holds and returns the old.
    #[inline]
    pub fn swap(&self, value: Option<&'static T>, order: Ordering) -> Option<&'static T> {
        to_ref(self.ptr.swap(to_ptr(value), order))
    }

    /// Replaces `current` by `new`, if `current` is what it holds.
    ///
    /// # Errors
    /// What it holds instead.
    #[inline]
    pub fn compare_exchange(
        &self,
        current: Option<&'static T>,
        new: Option<&'static T>,
        success: Ordering,
        failure: Ordering,
    ) -> Result<(), Option<&'static T>> {
        self.ptr
            .compare_exchange(to_ptr(current), to_ptr(new), success, failure)
            .map(|_| ())
            .map_err(to_ref)
    }
}
