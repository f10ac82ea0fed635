//! What a goroutine still has to do when it ends, whatever way it ends (Go: `_defer`).
//!
//! There is no unwinding: `goexit`, and the panic of a test, abandon the frames of a goroutine
//! where they are. A frame that lends out what it owns (a scope), and whatever must hear of the end
//! (a join handle, the goroutine's locals, the other side of a coroutine), leaves a [`Deferred`]
//! here. `newproc::goexit`, which every end goes through, runs them, last in, first out, on the
//! goroutine's own stack: they may run the program's code, park, and call `goexit` again, which
//! goes on with those that are left.
//!
//! # Invariants
//!
//! - The list belongs to the running goroutine alone: no lock, no ordering. The switch to another
//!   CPU orders it with the rest of the goroutine's memory.
//! - A record stays in place from [`push`] until it was removed or its function was called. One on
//!   the stack of an abandoned frame does: what runs at the end runs further down.
//! - The list is empty when the goroutine is dead.
//!
//! A goroutine that defers nothing pays one load and a compare at its end.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::sched::g::getg;

/// One thing to do at the end; the first field (`repr(C)`) of what it is about.
pub struct Deferred {
    run: unsafe fn(NonNull<Deferred>),
    next: AtomicPtr<Deferred>,
}

impl Deferred {
    /// A record whose function will be called with its own address.
    pub const fn new(run: unsafe fn(NonNull<Deferred>)) -> Self {
        Self {
            run,
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// Makes it the first thing that the running goroutine does at its end.
///
/// # Safety
/// It is in no list, stays in place until it is removed or run, and its function may be called with
/// `deferred` at the end of this goroutine, on its stack.
pub unsafe fn push(deferred: NonNull<Deferred>) {
    let first = &getg().defers;
    // SAFETY: the caller's promise.
    let record = unsafe { deferred.as_ref() };
    record
        .next
        .store(first.load(Ordering::Relaxed), Ordering::Relaxed);
    first.store(deferred.as_ptr(), Ordering::Relaxed);
}

/// Takes a record that the running goroutine pushed, and that has not run, out of its list. Those
/// that were pushed after it are looked at on the way: the open scopes and, once, the locals.
pub fn remove(deferred: NonNull<Deferred>) {
    let first = &getg().defers;
    // SAFETY: it stays in place until it is out of the list.
    let following = unsafe { deferred.as_ref() }.next.load(Ordering::Relaxed);
    let mut at = first.load(Ordering::Relaxed);
    if at == deferred.as_ptr() {
        return first.store(following, Ordering::Relaxed);
    }
    while let Some(record) = NonNull::new(at) {
        // SAFETY: records in the list stay in place.
        let next = &unsafe { record.as_ref() }.next;
        if next.load(Ordering::Relaxed) == deferred.as_ptr() {
            return next.store(following, Ordering::Relaxed);
        }
        at = next.load(Ordering::Relaxed);
    }
    debug_assert!(false, "a deferred call is removed twice");
}

/// Calls `f`. If the goroutine ends inside instead of returning, `cleanup` is called then. For who
/// has promised something to others: a `Once` that its closure will be done, a group that it will
/// be told. Costs a few stores.
pub fn on_goexit<R>(cleanup: &dyn Fn(), f: impl FnOnce() -> R) -> R {
    #[repr(C)]
    struct Cleanup<'a> {
        record: Deferred,
        cleanup: &'a dyn Fn(),
    }
    unsafe fn run(record: NonNull<Deferred>) {
        // SAFETY: it is the first field of the Cleanup below, whose frame was abandoned as it was.
        let this = unsafe { record.cast::<Cleanup<'_>>().as_ref() };
        (this.cleanup)();
    }
    let this = Cleanup {
        record: Deferred::new(run),
        cleanup,
    };
    let record = NonNull::from(&this).cast::<Deferred>();
    // SAFETY: `this` stays in place until it is removed below, or its frame is abandoned.
    unsafe { push(record) };
    let result = f();
    remove(record);
    result
}

/// Runs what the running goroutine has deferred, and what that defers.
#[inline(always)]
pub fn run_all() {
    let first = &getg().defers;
    while let Some(deferred) = NonNull::new(first.load(Ordering::Relaxed)) {
        // SAFETY: records in the list stay in place.
        let record = unsafe { deferred.as_ref() };
        // Out first: if it calls goexit, it is not to run again.
        first.store(record.next.load(Ordering::Relaxed), Ordering::Relaxed);
        let run = record.run;
        // SAFETY: `push`'s promise.
        unsafe { run(deferred) };
    }
}
