//! `Goroutine`: a name for a goroutine that anybody may keep (std: `Thread`).
//!
//! It holds the G and the number that the goroutine had on it, and a share of its name. Gs are
//! never freed but used again, so the number decides: a handle whose number is not the G's any more
//! names a goroutine that has ended. Making one costs nothing but the count of the name, and a
//! goroutine without a name has nothing allocated for it.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;

use crate::sched::g::{G, getg};
use crate::sched::newproc::Created;
use crate::sched::token;

/// A handle to a goroutine, as `std::thread::Thread`. It keeps nothing alive but the name.
#[derive(Clone)]
pub struct Goroutine {
    gp: &'static G,
    goid: u64,
    name: Option<Arc<str>>,
}

impl Goroutine {
    pub(super) fn new(created: Created, name: Option<Arc<str>>) -> Self {
        Self {
            gp: created.gp,
            goid: created.goid,
            name,
        }
    }

    /// Its number, which no other goroutine ever has (Go: the number in `goroutine 7 [running]`).
    ///
    /// ```
    /// use gosched::{current, runtime};
    ///
    /// assert_eq!(current().id(), runtime::goid());
    /// ```
    pub fn id(&self) -> u64 {
        self.goid
    }

    /// The name that its [`Builder`](crate::Builder) gave it.
    ///
    /// ```
    /// use gosched::Builder;
    ///
    /// let worker = Builder::new().name("worker").spawn(|| ()).expect("there is memory");
    /// assert_eq!(worker.goroutine().name(), Some("worker"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Gives the goroutine the token that [`park`](crate::park) waits for. It has at most one:
    /// two `unpark` before a `park` are as good as one. Without effect once it has ended.
    ///
    /// Everything before the `unpark` happens before the return of the `park` that takes the token.
    /// Costs a lock of the goroutine's own, and if it is parked what readying any goroutine does.
    ///
    /// ```
    /// use gosched::{park, spawn};
    ///
    /// let sleeper = spawn(|| park());
    /// sleeper.goroutine().unpark();
    /// sleeper.join().expect("it returns");
    /// ```
    pub fn unpark(&self) {
        token::unpark(self.gp, self.goid);
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine")
            .field("id", &self.goid)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The calling goroutine (std: `thread::current`).
///
/// ```
/// use gosched::{current, park};
///
/// current().unpark();
/// park(); // the token is there
/// ```
pub fn current() -> Goroutine {
    let gp = getg();
    Goroutine {
        gp,
        goid: gp.goid.load(Ordering::Relaxed),
        // SAFETY: the caller's own.
        name: unsafe { gp.shared_name() },
    }
}
