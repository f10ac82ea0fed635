//! Contexts: cancellation, deadlines and values that travel along with a piece of work
//! (Go: package `context`).
//!
//! A context is made from another one and ends with it. It consists of two halves: a [`Link`] in
//! the chain that leads to the background, for the values; and a node of the [`tree`] of what is
//! cancelled together, which links without a cancel function of their own share with their parent.
//! Links own their parents, nodes own their children.
//!
//! Whatever walks the chain or the tree does so in a loop, not by recursion: goroutines have small
//! stacks, and chains may be long.
//!
//! No goroutine watches a context. One is started when a deadline passes, to end the contexts, and
//! one for each function of [`Context::after_func`].

mod done;
mod error;
mod func;
mod group;
mod tree;
mod value;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::convert::Infallible;
use core::fmt;
use core::iter;

pub use error::{Cause, ContextError};
pub use func::{CancelCauseFn, CancelFn, StopFn};

use crate::chan::{self, Receiver};
use crate::context::tree::{Call, Node};
use crate::context::value::Pair;
use crate::time::{Duration, Instant, Timer};

/// Says when a piece of work is to end, and carries values along with it (Go: `context.Context`).
///
/// Clones are the same context, and cost one atomic addition. All that makes a context from another
/// one reads both ways: `ctx.with_cancel()` and, as in Go, `Context::with_cancel(&ctx)`.
///
/// ```
/// use gosched::context::{Context, ContextError};
/// use gosched::time::Duration;
/// let (ctx, cancel) = Context::background().with_timeout(Duration::from_secs(3600));
/// let worker = ctx.clone();
/// let (tx, rx) = gosched::chan::bounded(1);
/// gosched::go(move || {
///     let _ = worker.done().recv(); // an error: closed
///     let _ = tx.send(worker.err());
/// });
/// cancel();
/// assert_eq!(rx.recv(), Ok(Some(ContextError::Canceled)));
/// ```
#[derive(Clone)]
pub struct Context {
    place: Place,
}

/// Where a context is in its chain.
#[derive(Clone)]
enum Place {
    Background,
    Todo,
    Below(Arc<Link>),
}

/// How a context was made, for `Debug`.
#[derive(Clone, Copy)]
enum Made {
    Cancel,
    Deadline,
    Value,
    WithoutCancel,
}

struct Link {
    parent: Context,
    made: Made,
    /// What ends it; none if nothing does.
    node: Option<Arc<Node>>,
    deadline: Option<Instant>,
    pair: Option<Box<dyn Pair>>,
}

/// What `done` gives for contexts that never end.
static NEVER_DONE: Receiver<Infallible> = chan::never();

impl Context {
    /// The context that all others stem from: without end, deadline and values
    /// (Go: `context.Background`).
    ///
    /// ```
    /// use gosched::context::Context;
    /// let ctx = Context::background();
    /// assert!(ctx.err().is_none() && ctx.deadline().is_none());
    /// ```
    pub const fn background() -> Context {
        Context {
            place: Place::Background,
        }
    }

    /// The same as [`background`](Self::background), for places where it is not clear yet which
    /// context to use (Go: `context.` + `TO` + `DO`).
    ///
    /// ```
    /// use gosched::context::Context;
    /// assert!(Context::todo().err().is_none());
    /// ```
    pub const fn todo() -> Context {
        Context { place: Place::Todo }
    }

    /// A context that ends when the function is called, or with this one (Go:
    /// `context.WithCancel`). Call the function as soon as the work is done: until then the context
    /// stays with its parent.
    ///
    /// ```
    /// use gosched::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// cancel();
    /// assert!(ctx.done().recv().is_err());
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// ```
    pub fn with_cancel(&self) -> (Context, CancelFn) {
        let node = Node::new(self.node());
        let ctx = self.below(Made::Cancel, Some(node.clone()), self.deadline());
        (ctx, cancel_fn(node))
    }

    /// Like [`with_cancel`](Self::with_cancel), with a function that takes the reason
    /// (Go: `context.WithCancelCause`).
    ///
    /// ```
    /// extern crate alloc;
    /// use alloc::sync::Arc;
    /// use gosched::chan::RecvError;
    /// use gosched::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// cancel(Arc::new(RecvError));
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// assert!(ctx.cause().is_some_and(|cause| cause.is::<RecvError>()));
    /// ```
    pub fn with_cancel_cause(&self) -> (Context, CancelCauseFn) {
        let node = Node::new(self.node());
        let ctx = self.below(Made::Cancel, Some(node.clone()), self.deadline());
        let cancel = move |cause| node.cancel(ContextError::Canceled, Some(cause));
        (ctx, CancelCauseFn::new(cancel))
    }

    /// A context that ends at `deadline`, when the function is called, or with this one, whichever
    /// comes first (Go: `context.WithDeadline`). The deadline of this one stays if it is earlier.
    ///
    /// ```
    /// use gosched::context::{Context, ContextError};
    /// use gosched::time::{Duration, Instant};
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// let (ctx, _cancel) = Context::background().with_deadline(deadline);
    /// assert!(ctx.done().recv().is_err());
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// assert!(Instant::now() >= deadline);
    /// ```
    pub fn with_deadline(&self, deadline: Instant) -> (Context, CancelFn) {
        self.until(deadline, None)
    }

    /// Like [`with_deadline`](Self::with_deadline), with the reason that `cause` gives once the
    /// deadline has passed (Go: `context.WithDeadlineCause`).
    ///
    /// ```
    /// extern crate alloc;
    /// use alloc::sync::Arc;
    /// use gosched::chan::RecvError;
    /// use gosched::context::{Context, ContextError};
    /// use gosched::time::Instant;
    /// let now = Instant::now();
    /// let (ctx, _cancel) = Context::background().with_deadline_cause(now, Arc::new(RecvError));
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// assert!(ctx.cause().is_some_and(|cause| cause.is::<RecvError>()));
    /// ```
    pub fn with_deadline_cause(&self, deadline: Instant, cause: Cause) -> (Context, CancelFn) {
        self.until(deadline, Some(cause))
    }

    /// `with_deadline`, after `d` from now (Go: `context.WithTimeout`).
    ///
    /// ```
    /// use gosched::context::{Context, ContextError};
    /// use gosched::time::Duration;
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(1));
    /// assert!(ctx.done().recv().is_err());
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    pub fn with_timeout(&self, d: Duration) -> (Context, CancelFn) {
        self.until(Instant::now() + d, None)
    }

    /// `with_deadline_cause`, after `d` from now (Go: `context.WithTimeoutCause`).
    ///
    /// ```
    /// extern crate alloc;
    /// use alloc::sync::Arc;
    /// use gosched::chan::RecvError;
    /// use gosched::context::Context;
    /// use gosched::time::Duration;
    /// let background = Context::background();
    /// let (ctx, cancel) =
    ///     background.with_timeout_cause(Duration::from_secs(3600), Arc::new(RecvError));
    /// cancel(); // not by the deadline, so with no reason but the usual
    /// assert!(ctx.cause().is_some_and(|cause| !cause.is::<RecvError>()));
    /// ```
    pub fn with_timeout_cause(&self, d: Duration, cause: Cause) -> (Context, CancelFn) {
        self.until(Instant::now() + d, Some(cause))
    }

    /// This context, with one more value (Go: `context.WithValue`). It hides an older value of the
    /// same key. Keys of different types are never the same: a type of one's own as the key keeps
    /// others from meeting it.
    ///
    /// ```
    /// use gosched::context::Context;
    /// #[derive(PartialEq, Eq)]
    /// struct User;
    /// let ctx = Context::background().with_value(User, "gopher");
    /// assert_eq!(ctx.value::<&str>(&User), Some(&"gopher"));
    /// ```
    pub fn with_value<K, V>(&self, key: K, value: V) -> Context
    where
        K: Eq + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let link = Link {
            parent: self.clone(),
            made: Made::Value,
            node: self.node().cloned(),
            deadline: self.deadline(),
            pair: Some(value::pair(key, value)),
        };
        Context {
            place: Place::Below(Arc::new(link)),
        }
    }

    /// A context with the values of this one that does not end with it: it has neither its end nor
    /// its deadline (Go: `context.WithoutCancel`).
    ///
    /// ```
    /// use gosched::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let rest = ctx.without_cancel();
    /// cancel();
    /// assert!(ctx.err().is_some() && rest.err().is_none());
    /// ```
    pub fn without_cancel(&self) -> Context {
        self.below(Made::WithoutCancel, None, None)
    }

    /// Calls `f` in a goroutine of its own when this context ends; at once if it has ended
    /// (Go: `context.AfterFunc`). The function that it returns prevents that.
    ///
    /// ```
    /// use gosched::chan;
    /// use gosched::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let (tx, rx) = chan::bounded(1);
    /// let stop = ctx.after_func(move || tx.send("cleaned up").unwrap_or(()));
    /// cancel();
    /// assert_eq!(rx.recv(), Ok("cleaned up"));
    /// assert!(!stop());
    /// ```
    pub fn after_func(&self, f: impl FnOnce() + Send + 'static) -> StopFn {
        let call = Call::new(self.node(), Box::new(f));
        StopFn::new(move || call.stop())
    }

    /// A channel that is closed when the context ends, and never carries a value: for `select!`, or
    /// to wait (Go: `Context.Done`). It is made at the first call. Of contexts that never end it is
    /// never closed.
    ///
    /// ```
    /// use gosched::chan::TryRecvError;
    /// use gosched::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// assert_eq!(ctx.done().try_recv(), Err(TryRecvError::Empty));
    /// cancel();
    /// assert_eq!(ctx.done().try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    pub fn done(&self) -> &Receiver<Infallible> {
        self.node().map_or(&NEVER_DONE, |node| node.done())
    }

    /// Why the context ended; nothing while it has not (Go: `Context.Err`). Once this is an error,
    /// `done` is closed. While it is nothing, the call costs a load.
    ///
    /// ```
    /// use gosched::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// assert_eq!(ctx.err(), None);
    /// cancel();
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// ```
    pub fn err(&self) -> Option<ContextError> {
        self.node()?.err()
    }

    /// The reason that was given for the end of this context, or of the one that it ended with; the
    /// [`ContextError`] if none was; nothing while it has not ended (Go: `context.Cause`).
    ///
    /// ```
    /// use gosched::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// assert!(ctx.cause().is_none());
    /// cancel();
    /// let cause = ctx.cause();
    /// assert!(cause.is_some_and(|cause| cause.is::<ContextError>()));
    /// ```
    pub fn cause(&self) -> Option<Cause> {
        self.node()?.cause()
    }

    /// When the context will end at the latest, if that is known (Go: `Context.Deadline`).
    ///
    /// ```
    /// use gosched::context::Context;
    /// use gosched::time::{Duration, Instant};
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// let (ctx, cancel) = Context::background().with_deadline(deadline);
    /// let (later, _cancel) = ctx.with_deadline(deadline + Duration::from_secs(1));
    /// assert_eq!(later.deadline(), Some(deadline));
    /// cancel();
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.link()?.deadline
    }

    /// The value of the nearest key that equals `key`, if it is a `V` (Go: `Context.Value`). Looks
    /// at one context after the other on the way to the background.
    ///
    /// ```
    /// use gosched::context::Context;
    /// let ctx = Context::background().with_value("retries", 3_u32);
    /// assert_eq!(ctx.value::<u32>(&"retries"), Some(&3));
    /// assert_eq!(ctx.value::<u64>(&"retries"), None);
    /// assert_eq!(ctx.value::<u32>(&"name"), None);
    /// ```
    pub fn value<V: 'static>(&self, key: &(impl Eq + Send + Sync + 'static)) -> Option<&V> {
        let key: &dyn Any = key;
        self.links()
            .filter_map(|link| link.pair.as_deref())
            .find_map(|pair| pair.get(key))?
            .downcast_ref()
    }

    fn until(&self, deadline: Instant, cause: Option<Cause>) -> (Context, CancelFn) {
        if self.deadline().is_some_and(|earlier| earlier <= deadline) {
            return self.with_cancel();
        }
        let node = Node::new(self.node());
        let ctx = self.below(Made::Deadline, Some(node.clone()), Some(deadline));
        let left = deadline - Instant::now();
        if left.is_zero() {
            node.cancel(ContextError::DeadlineExceeded, cause);
        } else {
            let ends = node.clone();
            node.set_timer(Timer::after_func(left, move || {
                ends.cancel(ContextError::DeadlineExceeded, cause.clone());
            }));
        }
        (ctx, cancel_fn(node))
    }

    fn below(&self, made: Made, node: Option<Arc<Node>>, deadline: Option<Instant>) -> Context {
        let link = Link {
            parent: self.clone(),
            made,
            node,
            deadline,
            pair: None,
        };
        Context {
            place: Place::Below(Arc::new(link)),
        }
    }

    fn link(&self) -> Option<&Arc<Link>> {
        match &self.place {
            Place::Below(link) => Some(link),
            Place::Background | Place::Todo => None,
        }
    }

    /// This context's link, its parent's, and so on.
    fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        iter::successors(self.link(), |link| link.parent.link())
    }

    fn node(&self) -> Option<&Arc<Node>> {
        self.link()?.node.as_ref()
    }
}

fn cancel_fn(node: Arc<Node>) -> CancelFn {
    CancelFn::new(move || node.cancel(ContextError::Canceled, None))
}

impl Drop for Context {
    fn drop(&mut self) {
        // A chain of parents would be dropped by as deep a recursion.
        let mut next = core::mem::replace(&mut self.place, Place::Background);
        while let Place::Below(link) = next {
            let Some(mut link) = Arc::into_inner(link) else {
                return;
            };
            next = core::mem::replace(&mut link.parent.place, Place::Background);
        }
    }
}

impl fmt::Debug for Context {
    /// How it was made, in Go's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links: Vec<&Arc<Link>> = self.links().collect();
        let root = links.last().map_or(self, |last| &last.parent);
        f.write_str(match root.place {
            Place::Todo => concat!("context.", "TO", "DO"),
            _ => "context.Background",
        })?;
        for link in links.iter().rev() {
            f.write_str(match link.made {
                Made::Cancel => ".WithCancel",
                Made::Deadline => ".WithDeadline",
                Made::Value => ".WithValue",
                Made::WithoutCancel => ".WithoutCancel",
            })?;
        }
        Ok(())
    }
}
