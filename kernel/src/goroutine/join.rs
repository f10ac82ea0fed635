//! `spawn` and `JoinHandle` (std: the same of `std::thread`). How the value travels is in `packet`.

use alloc::boxed::Box;
use core::any::Any;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use super::builder::{Builder, or_out_of_memory};
use super::handle::Goroutine;
use super::packet::Handle;
use crate::sched::wait::{Limit, Waited};

/// What became of a goroutine: its value, or an error if it ended by `runtime::goexit`, which is
/// then an [`Exited`]. The type is std's, so that code written for it compiles; a goroutine that
/// panics ends the image, and nobody is left to see a result.
pub type Result<T> = core::result::Result<T, Box<dyn Any + Send + 'static>>;

/// The error of a `join`: the goroutine called `runtime::goexit`.
///
/// ```
/// use gosched::{Exited, runtime, spawn};
///
/// let result = spawn(|| -> u32 { runtime::goexit() }).join();
/// assert!(result.is_err_and(|error| error.is::<Exited>()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exited;

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the goroutine called runtime::goexit")
    }
}

impl Error for Exited {}

/// A goroutine and its half of the packet: what both kinds of join handle hold.
pub(super) struct Join<'scope, T> {
    pub(super) goroutine: Goroutine,
    pub(super) handle: Handle<'scope, T>,
}

impl<T> Join<'_, T> {
    pub(super) fn join(mut self) -> Result<T> {
        let _ = self.handle.wait(Limit::Forever);
        self.result()
    }

    pub(super) fn join_timeout(mut self, d: Duration) -> core::result::Result<Result<T>, Self> {
        match self.handle.wait(Limit::after(d)) {
            Waited::Woken => Ok(self.result()),
            Waited::TimedOut => Err(self),
        }
    }

    fn result(&mut self) -> Result<T> {
        self.handle.take().ok_or_else(|| Box::new(Exited) as _)
    }
}

/// Starts a goroutine and gives a handle to wait for it with (std: `thread::spawn`). Without the
/// handle it goes on all the same.
///
/// Costs one allocation more than [`go`](crate::go). Out of memory is fatal, as in Go; with
/// [`Builder::spawn`] it is an error.
///
/// ```
/// use gosched::spawn;
///
/// let answer = spawn(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
#[inline(never)]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let gopc = caller_pc!();
    // SAFETY: nothing is borrowed that ends.
    let spawned = unsafe { Builder::new().start(f, None, gopc) };
    JoinHandle(or_out_of_memory(spawned))
}

/// The right to wait for a goroutine and to have its value (std: `thread::JoinHandle`). Dropping it
/// lets the goroutine go on alone.
pub struct JoinHandle<T>(pub(super) Join<'static, T>);

impl<T> JoinHandle<T> {
    /// Waits for the end of the goroutine, its locals' destructors included, and takes its value. A
    /// dump says `goroutine join` of whoever waits here.
    ///
    /// # Errors
    /// The goroutine called `runtime::goexit`.
    ///
    /// ```
    /// use alloc::vec::Vec;
    /// use gosched::spawn;
    ///
    /// let squares: Vec<_> = (0..4u32).map(|i| spawn(move || i * i)).collect();
    /// let sum: u32 = squares.into_iter().map(|square| square.join().unwrap()).sum();
    /// assert_eq!(sum, 14);
    /// ```
    pub fn join(self) -> Result<T> {
        self.0.join()
    }

    /// [`JoinHandle::join`] that waits for at most `d`. Neither std nor Go has it.
    ///
    /// # Errors
    /// The goroutine had not ended by then: the handle comes back.
    ///
    /// ```
    /// use gosched::time::Duration;
    /// use gosched::{park, spawn};
    ///
    /// let parked = spawn(park);
    /// let parked = parked.join_timeout(Duration::from_millis(1)).expect_err("it waits");
    /// parked.goroutine().unpark();
    /// parked.join().unwrap();
    /// ```
    pub fn join_timeout(self, d: Duration) -> core::result::Result<Result<T>, Self> {
        self.0.join_timeout(d).map_err(Self)
    }

    /// Whether [`JoinHandle::join`] would return at once.
    ///
    /// ```
    /// use gosched::{park, spawn};
    ///
    /// let parked = spawn(park);
    /// assert!(!parked.is_finished());
    /// parked.goroutine().unpark();
    /// ```
    pub fn is_finished(&self) -> bool {
        self.0.handle.is_ended()
    }

    /// The goroutine (std: `JoinHandle::thread`).
    ///
    /// ```
    /// use gosched::{park, spawn};
    ///
    /// let parked = spawn(park);
    /// assert_eq!((parked.goroutine().id(), parked.name()), (parked.id(), None));
    /// parked.goroutine().unpark();
    /// ```
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

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("goroutine", &self.0.goroutine)
            .finish_non_exhaustive()
    }
}
