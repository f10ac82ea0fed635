//! Labels: keys and values that a goroutine carries for those who look at it (Go:
//! `runtime/pprof.Labels`).
//!
//! # Protocol
//!
//! A set never changes; `G::labels` owns one count of it, or is null. Only the goroutine itself
//! puts another set there, and `gdestroy` takes the last one away.
//!
//! | who reads | why the set is still there |
//! | --- | --- |
//! | the goroutine itself | nobody else replaces it |
//! | an interrupt on its CPU | the pointer is exchanged before the old count is dropped |
//! | others, with the scan bit | it cannot end; [`LOCK`] keeps the old set from being dropped |
//! | a report in a frozen world | as the interrupt |
//!
//! A goroutine that starts another one gives it its set: one load where there is none.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::base::lock::{Lock, Rank};
use crate::sched::g::{G, getg};

/// How often others try for [`LOCK`]: whoever holds it may stand still under the feet of a report.
const TRIES: usize = 10_000;

/// Keys and values, in the order of the keys, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a label, or gives it another value.
    pub fn insert(&mut self, key: &str, value: &str) {
        let value = String::from(value);
        match self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (String::from(key), value)),
        }
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// All labels, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The place in a G.
pub(super) struct LabelsCell(AtomicPtr<Labels>);

/// Held by a goroutine while it exchanges its set, and by others while they take a count of it.
static LOCK: Lock<()> = Lock::new(Rank::Chan, ());

impl LabelsCell {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// A count of the set.
    ///
    /// # Safety
    /// The set cannot be dropped meanwhile: see the table above.
    unsafe fn share(&self) -> Option<Arc<Labels>> {
        let labels = self.0.load(Ordering::Relaxed);
        if labels.is_null() {
            return None;
        }
        // SAFETY: `replace` made it of an Arc, and the caller keeps that count alive.
        unsafe {
            Arc::increment_strong_count(labels);
            Some(Arc::from_raw(labels))
        }
    }

    fn replace(&self, labels: Option<Arc<Labels>>) -> Option<Arc<Labels>> {
        let new = labels.map_or(ptr::null(), Arc::into_raw);
        let old = self.0.swap(new.cast_mut(), Ordering::Relaxed);
        // SAFETY: it was stored here with its count, which is nobody else's any more.
        (!old.is_null()).then(|| unsafe { Arc::from_raw(old) })
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }
}

/// The calling goroutine's labels.
pub fn current() -> Option<Arc<Labels>> {
    // SAFETY: the caller's own.
    unsafe { getg().labels.share() }
}

/// Gives the calling goroutine other labels, and returns those that it had.
pub fn set(labels: Option<Arc<Labels>>) -> Option<Arc<Labels>> {
    let labels = labels.filter(|labels| !labels.is_empty());
    let guard = LOCK.lock();
    let old = getg().labels.replace(labels);
    drop(guard);
    // Dropped by the caller, without the lock.
    old
}

/// The labels of another goroutine. None also if its CPU was stopped while they were exchanged.
///
/// # Safety
/// The goroutine cannot end: it is the caller, claimed by its scan bit, or all CPUs are frozen.
pub unsafe fn of(gp: &'static G) -> Option<Arc<Labels>> {
    if gp.labels.is_none() {
        return None;
    }
    let guard = (0..TRIES).find_map(|_| LOCK.try_lock());
    // SAFETY: it does not end, and the lock keeps it from exchanging the set.
    guard.and_then(|_| unsafe { gp.labels.share() })
}

/// Interrupt: the labels of this CPU's goroutine.
///
/// # Safety
/// `gp` is what this CPU runs, and interrupts are off.
pub unsafe fn of_interrupted(gp: &'static G) -> Option<Arc<Labels>> {
    // SAFETY: only this CPU's code, which stands still, drops the count.
    unsafe { gp.labels.share() }
}

/// A goroutine that was just made, and is dead yet, gets the labels of the one that makes it, which
/// is the caller.
pub(super) fn inherit(gp: &'static G, parent: &'static G) {
    // SAFETY: the caller's own. The dead G has none.
    let labels = unsafe { parent.labels.share() };
    let _ = gp.labels.replace(labels);
}

/// Whether the goroutine has any.
#[inline(always)]
pub(super) fn are_there(gp: &'static G) -> bool {
    !gp.labels.is_none()
}

/// Takes the labels away from a goroutine that has just ended.
pub(super) fn clear(gp: &'static G) {
    drop(gp.labels.replace(None));
}

#[cfg(test)]
mod tests {
    use super::Labels;
    use std::vec::Vec;

    #[test]
    fn keys_are_in_order_and_each_there_once() {
        let mut labels = Labels::new();
        for (key, value) in [("b", "1"), ("a", "2"), ("c", "3"), ("b", "4")] {
            labels.insert(key, value);
        }
        let all: Vec<_> = labels.iter().collect();
        assert_eq!(all, [("a", "2"), ("b", "4"), ("c", "3")]);
        assert_eq!((labels.get("b"), labels.get("d")), (Some("4"), None));
    }
}
