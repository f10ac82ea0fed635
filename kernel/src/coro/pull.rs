//! `pull` (Go: `iter.Pull`): a function that pushes becomes an iterator.
//!
//! It is a [`Coroutine`] whose body is that function, and no more; Go's pair of functions `next`
//! and `stop` is one object here, with the names of `Iterator`.

use core::fmt;
use core::iter::FusedIterator;

use super::coroutine::Coroutine;
use crate::goroutine::caller_pc;

/// An iterator over what `push` hands to the function that it is given (Go: `iter.Pull`). That
/// returns whether more is wanted: once it has returned false, `push` is to return.
///
/// `push` does not begin before the first `next`. It runs on a goroutine of its own, and only while
/// `next` or `stop` waits for it; see [`Coroutine`].
///
/// ```
/// use gosched::coro::pull;
///
/// fn countdown(from: u32, yield_: &mut dyn FnMut(u32) -> bool) {
///     for i in (1..=from).rev() {
///         if !yield_(i) {
///             return;
///         }
///     }
/// }
///
/// let (mut a, mut b) = (pull(|y| countdown(3, y)), pull(|y| countdown(9, y)));
/// assert_eq!((a.next(), b.next()), (Some(3), Some(9)));
/// assert_eq!(a.zip(b).last(), Some((1, 7)));
/// ```
#[inline(never)]
pub fn pull<'a, T, F>(push: F) -> Pull<'a, T>
where
    T: Send + 'a,
    F: FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'a,
{
    let gopc = caller_pc!();
    // SAFETY: the result has the lifetime of what `push` borrows.
    let coroutine = unsafe {
        Coroutine::start(
            move |yielder| push(&mut |value| yielder.yield_(value)),
            gopc,
        )
    };
    Pull { coroutine }
}

/// The iterator of [`pull`]. Dropping it stops the function.
pub struct Pull<'a, T> {
    coroutine: Coroutine<'a, T>,
}

impl<T> Pull<'_, T> {
    /// Ends it (Go: `stop`): the function's call returns false, and this returns when the function
    /// has returned. If it never began, it does not begin. Again and again without effect.
    ///
    /// ```
    /// use gosched::coro::pull;
    ///
    /// let mut numbers = pull(|yield_| while yield_(1) {});
    /// assert_eq!(numbers.next(), Some(1));
    /// numbers.stop();
    /// assert_eq!(numbers.next(), None);
    /// ```
    #[track_caller]
    pub fn stop(&mut self) {
        self.coroutine.stop();
    }
}

impl<T> Iterator for Pull<'_, T> {
    type Item = T;

    /// The next value, or none if the function has returned. If it calls `runtime::goexit`, the
    /// caller does.
    fn next(&mut self) -> Option<T> {
        self.coroutine.resume()
    }
}

impl<T> FusedIterator for Pull<'_, T> {}

impl<T> fmt::Debug for Pull<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull")
            .field("coroutine", &self.coroutine)
            .finish()
    }
}
