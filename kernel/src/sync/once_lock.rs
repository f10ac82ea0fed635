//! OnceLock: a value that is set one time. The value is there when its [`Once`] is done, and never
//! changes as long as it is shared; that is all that its `unsafe` code stands on.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::time::Duration;

use crate::base::instant::Instant;
use crate::sched::wait::Limit;
use crate::sync::once::Once;

/// A value that is set one time: `std::sync::OnceLock`.
///
/// ```
/// use gosched::sync::OnceLock;
/// static LIMIT: OnceLock<usize> = OnceLock::new();
/// assert_eq!(LIMIT.get(), None);
/// assert_eq!(*LIMIT.get_or_init(|| 5), 5);
/// assert_eq!(LIMIT.set(6), Err(6));
/// assert_eq!(LIMIT.get(), Some(&5));
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by the one goroutine that the once lets in, alone, and is shared
// with all from then on; any may drop it.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: as for its value.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// Without a value.
    ///
    /// ```
    /// static CELL: gosched::sync::OnceLock<u32> = gosched::sync::OnceLock::new();
    /// assert_eq!(CELL.get(), None);
    /// ```
    pub const fn new() -> Self {
        Self {
            once: Once::new(),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The value, if it is set. One load.
    ///
    /// ```
    /// let cell = gosched::sync::OnceLock::from(1);
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: done means that the value is there, and nobody changes it any more.
        self.once
            .is_completed()
            .then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, if it is set, to change it: that it is borrowed for writing shows that nobody
    /// else looks.
    ///
    /// ```
    /// let mut cell = gosched::sync::OnceLock::from(1);
    /// assert_eq!(cell.get_mut(), Some(&mut 1));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: as in `get`.
        self.once
            .is_completed()
            .then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Sets the value. Waits for somebody who sets it at the same time.
    ///
    /// # Errors
    /// It is set already, and here is yours back.
    ///
    /// ```
    /// let cell = gosched::sync::OnceLock::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("this is called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; `f` makes it if there is none. Of several at a time one makes it, and the others
    /// wait. If its goroutine ends inside `f`, the next one tries.
    ///
    /// # Panics
    /// `sync: Once called from inside its own closure`: `f` asks for the value that it is to make.
    ///
    /// ```
    /// let cell = gosched::sync::OnceLock::new();
    /// assert_eq!(*cell.get_or_init(|| 1), 1);
    /// assert_eq!(*cell.get_or_init(|| 2), 1);
    /// ```
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: this closure is the only one that runs, and nobody looks before it is done.
            unsafe { (*self.value.get()).write(value) };
        });
        self.get().expect("the closure has set it")
    }

    /// Waits until somebody sets the value.
    ///
    /// ```
    /// use gosched::{go, sync::OnceLock};
    /// static CELL: OnceLock<u32> = OnceLock::new();
    /// go(|| CELL.set(1).expect("nobody else sets it"));
    /// assert_eq!(*CELL.wait(), 1);
    /// ```
    pub fn wait(&self) -> &T {
        self.once.wait_within(Limit::Forever, true);
        self.get().expect("waited until it is set")
    }

    /// Waits until somebody sets the value, at most `d`.
    ///
    /// ```
    /// use gosched::{sync::OnceLock, time::Duration};
    /// assert_eq!(OnceLock::<u32>::new().wait_timeout(Duration::from_millis(1)), None);
    /// ```
    pub fn wait_timeout(&self, d: Duration) -> Option<&T> {
        self.once.wait_within(Limit::after(d), true);
        self.get()
    }

    /// As [`OnceLock::wait_timeout`], until an instant.
    ///
    /// ```
    /// use gosched::{sync::OnceLock, time::Instant};
    /// assert_eq!(OnceLock::<u32>::new().wait_deadline(Instant::now()), None);
    /// ```
    pub fn wait_deadline(&self, deadline: Instant) -> Option<&T> {
        self.once.wait_within(Limit::until(deadline), true);
        self.get()
    }

    /// Takes the value out, if it is set; it can be set anew.
    ///
    /// ```
    /// let mut cell = gosched::sync::OnceLock::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert_eq!(cell.get(), None);
    /// ```
    pub fn take(&mut self) -> Option<T> {
        let set = self.once.is_completed();
        self.once = Once::new();
        // SAFETY: it was there, and with a new `Once` it counts as gone.
        set.then(|| unsafe { self.value.get_mut().assume_init_read() })
    }

    /// The value, if it is set, when the cell is no longer needed.
    ///
    /// ```
    /// assert_eq!(gosched::sync::OnceLock::from(1).into_inner(), Some(1));
    /// ```
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
