//! `pull` (Go: `iter.Pull`): a function that pushes becomes an iterator.
//!
//! It is a [`Coroutine`] whose body is that function, and no more; Go's pair of functions `next`
//! and `stop` is one object here, with the names of `Iterator`.

use core::cell::UnsafeCell;
use core::fmt;
use core::iter::FusedIterator;

use super::coroutine::{Coroutine, Yielder};
use crate::goroutine::caller_pc;
use crate::sched::defer;

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
pub fn pull<T, F>(push: F) -> Pull<T>
where
    T: Send + 'static,
    F: FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
{
    let gopc = caller_pc!();
    // SAFETY: `push` borrows nothing that ends.
    unsafe { start(push, gopc) }
}

/// # Safety
/// What `push` borrows lives until the result is dropped or done.
unsafe fn start<T, F>(push: F, gopc: usize) -> Pull<T>
where
    T: Send,
    F: FnOnce(&mut dyn FnMut(T) -> bool) + Send,
{
    let body = move |yielder: &Yielder<T>| push(&mut |value| yielder.yield_(value));
    // SAFETY: the caller's promise.
    let coroutine = unsafe { Coroutine::start(body, gopc) };
    Pull { coroutine }
}

/// [`pull`] for a function that borrows: the iterator is lent to `f`, and the function has returned
/// before this does, or before the goroutine ends if `f` is left by `runtime::goexit`.
///
/// ```
/// use alloc::string::String;
/// use gosched::coro::pull_scoped;
///
/// let text = [String::from("one two"), String::from("three")];
/// let mut lines = 0;
/// let longest = pull_scoped(
///     |yield_| {
///         for line in &text {
///             lines += 1;
///             if !line.split(' ').all(&mut *yield_) {
///                 return;
///             }
///         }
///     },
///     |words| words.max_by_key(|word: &&str| word.len()),
/// );
/// assert_eq!((longest, lines), (Some("three"), 2));
/// ```
#[inline(never)]
pub fn pull_scoped<T, F, R>(push: F, f: impl FnOnce(&mut dyn Iterator<Item = T>) -> R) -> R
where
    T: Send,
    F: FnOnce(&mut dyn FnMut(T) -> bool) + Send,
{
    let gopc = caller_pc!();
    // SAFETY: it is stopped before this frame goes: by its drop, or by `stop`. `f` cannot take it
    // away, having only a reference to a type without a size.
    let pull = UnsafeCell::new(unsafe { start(push, gopc) });
    // SAFETY: called when the frames of `f`, and with them its reference, are abandoned.
    let stop = || unsafe { &mut *pull.get() }.stop();
    // SAFETY: the only reference until `f` has returned.
    defer::on_goexit(&stop, || f(unsafe { &mut *pull.get() }))
}

/// The iterator of [`pull`]. Dropping it stops the function.
pub struct Pull<T> {
    coroutine: Coroutine<T>,
}

impl<T> Pull<T> {
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

impl<T> Iterator for Pull<T> {
    type Item = T;

    /// The next value, or none if the function has returned. If it calls `runtime::goexit`, the
    /// caller does.
    fn next(&mut self) -> Option<T> {
        self.coroutine.resume()
    }
}

impl<T> FusedIterator for Pull<T> {}

impl<T> fmt::Debug for Pull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull")
            .field("coroutine", &self.coroutine)
            .finish()
    }
}
