//! `scope`: goroutines that borrow (std: `thread::scope`).
//!
//! What `f` borrows lives in frames below that of [`scope`], and the scope itself in it. So that
//! frame must not go before the last goroutine of the scope is gone, whoever joins it or not:
//!
//! - [`scope`] returns after it has waited for all;
//! - a goroutine that leaves `f` by `goexit`, or by the panic of a test, abandons its frames and
//!   gives the stack back: it has deferred (`sched::defer`) the same wait, so the stack stays until
//!   then.
//!
//! A goroutine that goexits abandons its frames, and with them whatever it was just doing to what
//! it borrows mutably: a slice may be half sorted, with an element in it twice. Nobody may see
//! that. So a scope one of whose goroutines has gone that way does not return: it goes on with the
//! goexit, as `std`'s panics when one of its threads has.
//!
//! [`Family`] counts the goroutines. One is counted before it is created and is uncounted after it
//! has dropped all that it had, its value included unless a handle has it. The count is zero for
//! good once the scope's own goroutine waits: only those that are counted can start others then.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::time::Duration;

use super::builder::{Builder, or_out_of_memory};
use super::handle::Goroutine;
use super::join::{Join, Result};
use crate::base::lock::{Lock, Rank};
use crate::sched::defer::{self, Deferred};
use crate::sched::g::getg;
use crate::sched::newproc;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place};

/// The goroutines of a scope.
#[repr(C)]
pub(super) struct Family {
    /// First: its address is the family's.
    at_end: Deferred,
    state: Lock<State>,
}

struct State {
    /// Goroutines that are not gone.
    members: usize,
    /// One of them has not returned.
    exited: bool,
    /// The scope's own, when it waits.
    waiting: WaitQueue,
}

impl Family {
    fn new() -> Self {
        let state = State {
            members: 0,
            exited: false,
            waiting: WaitQueue::new(),
        };
        Self {
            at_end: Deferred::new(at_end),
            state: Lock::new(Rank::Chan, state),
        }
    }

    /// One more is about to be created.
    pub(super) fn enter(&self) {
        self.state.lock().members += 1;
    }

    /// One is gone, by goexit or not. The last one's unlock is the last that is done to the family.
    pub(super) fn leave(&self, exited: bool) {
        let mut state = self.state.lock();
        state.members -= 1;
        state.exited |= exited;
        let waiting = match state.members {
            0 => state.waiting.dequeue().map(|sudog| sudog.g),
            _ => None,
        };
        drop(state);
        if let Some(gp) = waiting {
            park::goready(gp);
        }
    }

    /// Waits until all are gone.
    fn wait(&self) {
        let state = self.state.lock();
        if state.members == 0 {
            return;
        }
        let sudog = Sudog::new(getg(), ptr::null_mut());
        let _ = wait::wait(
            state,
            |state| &mut state.waiting,
            &sudog,
            Place::Back,
            Limit::Forever,
            WaitReason::GoroutineJoin,
        );
    }
}

/// The scope's own goroutine ends within it.
unsafe fn at_end(at_end: NonNull<Deferred>) {
    // SAFETY: `scope` deferred its family, whose frame is abandoned, but still there.
    unsafe { at_end.cast::<Family>().as_ref() }.wait();
}

/// Where goroutines that borrow are started; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    pub(super) family: Family,
    // Invariant in both, as std's: 'scope must not shrink, or what it borrows could.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, in which goroutines may be started that borrow from around it, and returns when all of
/// them have ended (std: `thread::scope`). A dump says `goroutine join` of whoever waits here.
///
/// If a goroutine of the scope calls `runtime::goexit`, the scope does so too when all have ended:
/// what the other was doing to what it borrows is half done, and not to be seen. If `f` itself is
/// left by `goexit`, the calling goroutine waits for the others before it ends.
///
/// ```
/// use gosched::scope;
///
/// let mut squares = [0; 8];
/// scope(|s| {
///     for (i, square) in squares.iter_mut().enumerate() {
///         s.spawn(move || *square = i * i);
///     }
/// });
/// assert_eq!(squares[7], 49);
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        family: Family::new(),
        scope: PhantomData,
        env: PhantomData,
    };
    let at_end = NonNull::from(&scope.family).cast();
    // SAFETY: the Deferred is the family's first field, and removed before the frame is left.
    unsafe { defer::push(at_end) };
    let result = f(&scope);
    scope.family.wait();
    defer::remove(at_end);
    if scope.family.state.lock().exited {
        newproc::goexit();
    }
    result
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a goroutine of the scope. Its closure may borrow what was there before the scope, and
    /// may start others. Out of memory is fatal; with [`Builder::spawn_scoped`] it is an error.
    ///
    /// ```
    /// use alloc::string::String;
    /// use gosched::scope;
    ///
    /// let text = String::from("one two three");
    /// let words = scope(|s| s.spawn(|| text.split(' ').count()).join().unwrap());
    /// assert_eq!(words, 3);
    /// ```
    #[inline(never)]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let gopc = caller_pc!();
        // SAFETY: the scope is not left before the goroutine has ended.
        let spawned = unsafe { Builder::new().start(f, Some(&self.family), gopc) };
        ScopedJoinHandle(or_out_of_memory(spawned))
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.family.state.lock().members;
        f.debug_struct("Scope")
            .field("goroutines", &members)
            .finish_non_exhaustive()
    }
}

/// The right to wait for a goroutine of a scope and to have its value (std: the same). Dropping it
/// leaves the waiting to the scope.
pub struct ScopedJoinHandle<'scope, T>(pub(super) Join<'scope, T>);

impl<T> ScopedJoinHandle<'_, T> {
    /// As [`JoinHandle::join`](crate::JoinHandle::join).
    ///
    /// # Errors
    /// The goroutine called `runtime::goexit`.
    ///
    /// ```
    /// use gosched::scope;
    ///
    /// let numbers = [1, 2, 3, 4];
    /// let sum: u32 = scope(|s| {
    ///     let (left, right) = numbers.split_at(2);
    ///     let left = s.spawn(|| left.iter().sum::<u32>());
    ///     right.iter().sum::<u32>() + left.join().unwrap()
    /// });
    /// assert_eq!(sum, 10);
    /// ```
    pub fn join(self) -> Result<T> {
        self.0.join()
    }

    /// As [`JoinHandle::join_timeout`](crate::JoinHandle::join_timeout).
    ///
    /// # Errors
    /// The goroutine had not ended by then: the handle comes back.
    pub fn join_timeout(self, d: Duration) -> core::result::Result<Result<T>, Self> {
        self.0.join_timeout(d).map_err(Self)
    }

    /// Whether [`ScopedJoinHandle::join`] would return at once.
    pub fn is_finished(&self) -> bool {
        self.0.handle.is_ended()
    }

    /// The goroutine (std: `ScopedJoinHandle::thread`).
    pub fn goroutine(&self) -> &Goroutine {
        &self.0.goroutine
    }

    /// [`goroutine`](Self::goroutine), by the name that it has in std.
    pub fn thread(&self) -> &Goroutine {
        self.goroutine()
    }

    /// Its number, as [`Goroutine::id`].
    pub fn id(&self) -> u64 {
        self.0.goroutine.id()
    }

    /// Its name, as [`Goroutine::name`].
    pub fn name(&self) -> Option<&str> {
        self.0.goroutine.name()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("goroutine", &self.0.goroutine)
            .finish_non_exhaustive()
    }
}
