//! LazyLock: a value that is made when it is first looked at.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;

use crate::sync::once_lock::OnceLock;

/// A value that is made when it is first looked at: `std::sync::LazyLock`, Go's `sync.OnceValue`.
/// Costs one load afterwards.
///
/// ```
/// use gosched::sync::LazyLock;
/// static SQUARES: LazyLock<[u32; 3]> = LazyLock::new(|| [1, 2, 3].map(|n| n * n));
/// assert_eq!(SQUARES[2], 9);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    /// Taken by the one goroutine that makes the value.
    init: Cell<Option<F>>,
}

// SAFETY: `init` is touched inside the closure of `get_or_init` alone, of which one at a time runs.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// `init` is to make the value.
    ///
    /// ```
    /// use gosched::sync::LazyLock;
    /// static LAZY: LazyLock<u32> = LazyLock::new(|| 5);
    /// assert_eq!(*LAZY, 5);
    /// ```
    pub const fn new(init: F) -> Self {
        Self {
            value: OnceLock::new(),
            init: Cell::new(Some(init)),
        }
    }

    /// The value; makes it, or waits for who does, if it is not there yet.
    ///
    /// # Panics
    /// `LazyLock instance has previously been poisoned`: the goroutine that was to make the value
    /// ended before it had. `sync: Once called from inside its own closure`: the value is asked for
    /// by what is to make it.
    ///
    /// ```
    /// use gosched::sync::LazyLock;
    /// let lazy = LazyLock::new(|| 5);
    /// assert_eq!(*LazyLock::force(&lazy), 5);
    /// ```
    #[inline]
    pub fn force(this: &Self) -> &T {
        this.value.get_or_init(|| match this.init.take() {
            Some(init) => init(),
            None => panic!("LazyLock instance has previously been poisoned"),
        })
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
