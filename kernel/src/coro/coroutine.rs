//! `Coroutine` and `Yielder`.
//!
//! # Who owns what
//!
//! Both sides share one [`Shared`], which the [`Coroutine`] owns. Its cells belong to the active
//! side (`sched::coro`): there is no lock, since at no time both run.
//!
//! | phase | active | leaves by |
//! | --- | --- | --- |
//! | suspended | whoever has the coroutine | resume, or drop → running |
//! | running | the body | yield → suspended, return → returned, goexit → exited |
//! | returned, exited | whoever has the coroutine | – |
//!
//! # The end
//!
//! The body's goroutine ends like any other, its locals first, and last of all (`sched::defer`) it
//! hands over to whoever resumed it, for the last time. If it ended by goexit, the resumer does the
//! same, as if it had called the body.
//!
//! A coroutine that is dropped while it is suspended is resumed once more, to end: from then on
//! each yield returns false at once. One that never began does not begin. So no goroutine is left
//! behind, unless the `Coroutine` itself is forgotten: then its goroutine stays suspended for ever,
//! in the middle of whatever it was doing. So the closure must not borrow: it might stand still
//! within a sort of what it borrows, or have lent it to the goroutines of a scope, when its owner
//! goes on.
//!
//! # Misuse
//!
//! Go finds at run time that `next` is called while the body runs, or `yield` while it does not.
//! Here `&mut self` rules out the first and a [`Yielder`] that cannot leave its goroutine the
//! second; the assertions stand guard over unsafe code.

use alloc::boxed::Box;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::goroutine::caller_pc;
use crate::mem::stack;
use crate::sched::coro::Coro;
use crate::sched::defer::{self, Deferred};
use crate::sched::fatal;
use crate::sched::lockedm::{self, Binding};
use crate::sched::newproc::{self, Attributes};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Suspended,
    Running,
    Returned,
    Exited,
}

#[repr(C)]
struct Shared<Y, R> {
    /// First: its address is that of the whole.
    at_end: Deferred,
    coro: Coro,
    phase: Cell<Phase>,
    /// The body is to end: nobody takes what it yields.
    stop: Cell<bool>,
    yielded: Cell<Option<Y>>,
    /// What bound whoever resumed, and binds the body while it runs.
    binding: Cell<Binding>,
    result: Cell<Option<R>>,
}

impl<Y, R> Shared<Y, R> {
    /// The body gives back what binds it to a CPU as it got it: the switch hands it over (Go:
    /// `coroutine: thread lock changed`).
    #[track_caller]
    fn assert_same_binding(&self) {
        assert!(
            self.binding.get() == lockedm::binding(),
            "coro: a pin or thread lock of the body's own is held over a yield, or at its end"
        );
    }
}

/// A closure that runs piece by piece, on a goroutine of its own.
///
/// A resume that comes back with a value costs two switches; nothing is allocated after
/// [`Coroutine::new`].
///
/// ```
/// use alloc::vec::Vec;
/// use gosched::coro::Coroutine;
///
/// let mut fibonacci = Coroutine::new(|yielder| {
///     let (mut a, mut b) = (0u64, 1);
///     while yielder.yield_(a) {
///         (a, b) = (b, a + b);
///     }
/// });
/// let first: Vec<u64> = core::iter::from_fn(|| fibonacci.resume()).take(7).collect();
/// assert_eq!(first, [0, 1, 1, 2, 3, 5, 8]);
/// ```
pub struct Coroutine<Y, R = ()> {
    shared: NonNull<Shared<Y, R>>,
    /// It owns the values.
    owns: PhantomData<(Y, R)>,
}

// SAFETY: the closure is Send, and whoever has the coroutine may take its values, which are too.
// The cells are touched by the running side alone, and the switch orders the two.
unsafe impl<Y: Send, R: Send> Send for Coroutine<Y, R> {}
// SAFETY: by a shared reference only the phase can be read, which changes by an exclusive one.
unsafe impl<Y: Send, R: Send> Sync for Coroutine<Y, R> {}

/// Carries the address of what is shared to the body's goroutine.
struct Body<Y, R>(NonNull<Shared<Y, R>>);

// SAFETY: as for `Coroutine`.
unsafe impl<Y: Send, R: Send> Send for Body<Y, R> {}

impl<Y, R> Body<Y, R> {
    /// The whole life of the body's goroutine.
    fn run(self, f: impl FnOnce(&Yielder<Y, R>) -> R) {
        // SAFETY: the coroutine, which owns it, does not go before this goroutine has ended.
        let shared = unsafe { self.0.as_ref() };
        // SAFETY: the Deferred is the first field; as above.
        unsafe { defer::push(self.0.cast()) };
        if shared.stop.get() {
            drop(f);
        } else {
            let yielder = Yielder {
                shared: self.0,
                of_one_goroutine: PhantomData,
            };
            shared.result.set(Some(f(&yielder)));
        }
        shared.phase.set(Phase::Returned);
    }
}

/// The last that the body's goroutine does.
unsafe fn end<Y, R>(at_end: NonNull<Deferred>) {
    // SAFETY: pushed by `Body::run`; the coroutine waits for this.
    let shared = unsafe { at_end.cast::<Shared<Y, R>>().as_ref() };
    if shared.phase.get() != Phase::Returned {
        shared.phase.set(Phase::Exited);
    }
    shared.assert_same_binding();
    // SAFETY: the body is active, and this is the last of its deferred calls: it was the first to
    // be pushed, and what others push when they run has run before it.
    unsafe { shared.coro.exit() }
}

impl<Y: Send, R: Send> Coroutine<Y, R> {
    /// A coroutine that has not begun: `f` runs from the first [`Coroutine::resume`] on (Go:
    /// `newcoro`). Makes a goroutine and one allocation; out of memory is fatal.
    ///
    /// ```
    /// use gosched::coro::{Coroutine, Yielder};
    ///
    /// let mut never = Coroutine::new(|_: &Yielder<u32>| unreachable!("nobody resumes it"));
    /// never.stop();
    /// ```
    ///
    /// What Go finds at run time, that two yield or resume at once, does not compile:
    ///
    /// ```compile_fail
    /// use gosched::coro::{Coroutine, Yielder};
    /// use gosched::scope;
    ///
    /// Coroutine::new(|yielder: &Yielder<u32>| {
    ///     scope(|s| {
    ///         s.spawn(|| yielder.yield_(1));
    ///     });
    /// });
    /// ```
    #[inline(never)]
    pub fn new<F>(f: F) -> Self
    where
        Y: 'static,
        R: 'static,
        F: FnOnce(&Yielder<Y, R>) -> R + Send + 'static,
    {
        let gopc = caller_pc!();
        // SAFETY: `f` borrows nothing that ends.
        unsafe { Self::start(f, gopc) }
    }

    /// # Safety
    /// What `f` borrows lives for as long as the coroutine is used.
    pub(super) unsafe fn start<F>(f: F, gopc: usize) -> Self
    where
        F: FnOnce(&Yielder<Y, R>) -> R + Send,
    {
        let shared = Box::new(Shared {
            at_end: Deferred::new(end::<Y, R>),
            coro: Coro::new(),
            phase: Cell::new(Phase::Suspended),
            stop: Cell::new(false),
            yielded: Cell::new(None),
            binding: Cell::new(lockedm::binding()),
            result: Cell::new(None),
        });
        let shared = NonNull::from(Box::leak(shared));
        let body = Body(shared);
        let attributes = Attributes {
            gopc,
            ..Attributes::default()
        };
        // SAFETY: the caller's promise; the coro is switched by resume and drop alone, and `run`
        // ends in `exit`.
        let started = unsafe { shared.as_ref().coro.start(move || body.run(f), attributes) };
        if started.is_err() {
            fatal::out_of_memory(stack::DEFAULT_SIZE);
        }
        Self {
            shared,
            owns: PhantomData,
        }
    }
}

impl<Y, R> Coroutine<Y, R> {
    fn shared(&self) -> &Shared<Y, R> {
        // SAFETY: the coroutine owns it.
        unsafe { self.shared.as_ref() }
    }

    /// Runs the body up to its next [`Yielder::yield_`], whose value this is; none when it has
    /// returned, now or before.
    ///
    /// The body runs as if it were called: in this slice, and locked or pinned to a CPU if the
    /// caller is. If it calls `runtime::goexit`, the caller does.
    ///
    /// ```
    /// use gosched::coro::Coroutine;
    ///
    /// let mut once = Coroutine::new(|yielder| {
    ///     yielder.yield_("only");
    /// });
    /// assert_eq!(once.resume(), Some("only"));
    /// assert_eq!(once.resume(), None);
    /// assert_eq!(once.resume(), None);
    /// ```
    #[track_caller]
    pub fn resume(&mut self) -> Option<Y> {
        if self.is_done() {
            return None;
        }
        self.switch();
        self.shared().yielded.take()
    }

    /// Whether the body has ended.
    ///
    /// ```
    /// use gosched::coro::Coroutine;
    ///
    /// let mut empty = Coroutine::<u32>::new(|_| ());
    /// assert!(!empty.is_done());
    /// assert_eq!(empty.resume(), None);
    /// assert!(empty.is_done());
    /// ```
    pub fn is_done(&self) -> bool {
        matches!(self.shared().phase.get(), Phase::Returned | Phase::Exited)
    }

    /// What the body returned: once, after it has.
    ///
    /// ```
    /// use gosched::coro::Coroutine;
    ///
    /// let mut sum = Coroutine::new(|yielder| {
    ///     let values = [1, 2, 3];
    ///     for value in values {
    ///         yielder.yield_(value);
    ///     }
    ///     values.iter().sum::<u32>()
    /// });
    /// while sum.resume().is_some() {}
    /// assert_eq!(sum.take_result(), Some(6));
    /// ```
    pub fn take_result(&mut self) -> Option<R> {
        self.shared().result.take()
    }

    /// Ends the body: a yield that it stands at returns false, and so do all later ones, at once.
    /// Returns when the body has returned; one that never began does not begin. Dropping does it
    /// too.
    ///
    /// ```
    /// use gosched::coro::Coroutine;
    ///
    /// let mut counter = Coroutine::new(|y| (0..).take_while(|i| y.yield_(*i)).count());
    /// assert_eq!(counter.resume(), Some(0));
    /// counter.stop();
    /// assert_eq!(counter.take_result(), Some(0));
    /// ```
    #[track_caller]
    pub fn stop(&mut self) {
        if !self.is_done() {
            self.shared().stop.set(true);
            self.switch();
        }
    }

    /// Lets the body run until it yields or ends.
    #[track_caller]
    fn switch(&mut self) {
        let shared = self.shared();
        assert!(
            shared.phase.get() == Phase::Suspended,
            "coro: resume called again before yield"
        );
        shared.phase.set(Phase::Running);
        shared.binding.set(lockedm::binding());
        // SAFETY: the body is suspended, so this side is active; the coroutine stays until it ends.
        unsafe { shared.coro.switch() };
        if shared.phase.get() == Phase::Exited {
            newproc::goexit();
        }
    }
}

impl<Y, R> Drop for Coroutine<Y, R> {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: the body has ended, and gave it up; `start` leaked the box.
        drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
    }
}

impl<Y, R> fmt::Debug for Coroutine<Y, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine")
            .field("phase", &self.shared().phase.get())
            .finish_non_exhaustive()
    }
}

/// The body's side of a [`Coroutine`].
pub struct Yielder<Y, R = ()> {
    shared: NonNull<Shared<Y, R>>,
    of_one_goroutine: PhantomData<*mut ()>,
}

impl<Y, R> Yielder<Y, R> {
    /// Hands `value` to whoever resumed, and waits for the next resume (Go: `yield`). False: the
    /// coroutine was stopped, and the body is to return. A value that is yielded after that is
    /// dropped.
    ///
    /// # Panics
    /// If the body has pinned itself or locked its thread and not undone that.
    ///
    /// ```
    /// use gosched::coro::Coroutine;
    ///
    /// let mut lines = Coroutine::new(|yielder| {
    ///     for line in "one\ntwo\nthree".lines() {
    ///         if !yielder.yield_(line) {
    ///             return;
    ///         }
    ///     }
    /// });
    /// assert_eq!(lines.resume(), Some("one"));
    /// ```
    #[track_caller]
    pub fn yield_(&self, value: Y) -> bool {
        // SAFETY: the body runs, so the coroutine is still there.
        let shared = unsafe { self.shared.as_ref() };
        assert!(
            shared.phase.get() == Phase::Running,
            "coro: yield called again before resume"
        );
        shared.assert_same_binding();
        if shared.stop.get() {
            return false;
        }
        shared.yielded.set(Some(value));
        shared.phase.set(Phase::Suspended);
        // SAFETY: the body is active; as above.
        unsafe { shared.coro.switch() };
        !shared.stop.get()
    }
}

impl<Y, R> fmt::Debug for Yielder<Y, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
