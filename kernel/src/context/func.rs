//! The functions that end a context, or a registration: values that are called like closures.
//!
//! Each is a clonable handle on one closure. A type of its own cannot implement `Fn` in stable
//! Rust; a call goes through `Deref`, so `cancel()` is written as in Go, and the type has a name
//! to put into a struct.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use crate::context::error::Cause;

macro_rules! function {
    ($(#[$doc:meta])* $name:ident: $($signature:tt)+) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<dyn $($signature)+ + Send + Sync>);

        impl $name {
            pub(super) fn new(f: impl $($signature)+ + Send + Sync + 'static) -> Self {
                Self(Arc::new(f))
            }
        }

        impl Deref for $name {
            type Target = dyn $($signature)+ + Send + Sync;
            fn deref(&self) -> &Self::Target {
                &*self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($name), " { .. }"))
            }
        }
    };
}

function! {
    /// Ends a context with [`Canceled`](super::ContextError::Canceled) (Go: `context.CancelFunc`).
    /// It may be called by several goroutines, any number of times; only the first call does
    /// anything. A later call may return while the first still ends the contexts below.
    ///
    /// Dropping it does *not* cancel, as in Go: a context that nobody cancels stays with its
    /// parent, and in its memory, until that ends.
    ///
    /// ```
    /// use gosched::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let again = cancel.clone();
    /// gosched::go(move || again());
    /// cancel();
    /// assert!(ctx.err().is_some());
    /// ```
    #[must_use = "the context ends when it is called, or else with its parent"]
    CancelFn: Fn()
}

function! {
    /// Like [`CancelFn`], with the reason that [`Context::cause`](super::Context::cause) will give
    /// (Go: `context.CancelCauseFunc`).
    ///
    /// ```
    /// extern crate alloc;
    /// use alloc::sync::Arc;
    /// use gosched::chan::RecvError;
    /// use gosched::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// cancel(Arc::new(RecvError));
    /// assert!(ctx.cause().is_some_and(|cause| cause.is::<RecvError>()));
    /// ```
    #[must_use = "the context ends when it is called, or else with its parent"]
    CancelCauseFn: Fn(Cause)
}

function! {
    /// Prevents the call that [`Context::after_func`](super::Context::after_func) arranged: true if
    /// it did, false if the call has begun (its end is not waited for) or was prevented before.
    ///
    /// Dropping it prevents nothing.
    ///
    /// ```
    /// use gosched::context::Context;
    /// let (ctx, _cancel) = Context::background().with_cancel();
    /// let stop = ctx.after_func(|| unreachable!());
    /// assert!(stop());
    /// assert!(!stop());
    /// ```
    StopFn: Fn() -> bool
}
