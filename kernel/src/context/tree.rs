//! The tree of what is cancelled together.
//!
//! A [`Node`] is the cancellable half of a context. Parents own their children, and children know
//! their parent weakly, to take leave of it: so there is no cycle, and a part of the tree that
//! nobody can end any more is freed. (The other half, [`Context`](super::Context), owns its parent,
//! and its node.)
//!
//! # Protocol
//!
//! A node is live or ended; it ends once, under its lock, which also hands over all its children:
//! after that it takes none. Whoever ended it then closes its channel, stops its timer, and ends
//! the children: with no lock held, so no two locks of the tree ever nest, whoever cancels what at
//! the same time; and with a list instead of recursion, so a chain may be as long as it likes.
//!
//! `err` is published under the lock, before the channel is closed. So who sees the channel closed
//! sees the error; and who sees the error closes the channel if that has not happened yet, before
//! telling anybody.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::convert::Infallible;
use core::mem;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::base::lock::{Lock, Rank};
use crate::chan::Receiver;
use crate::context::done::Done;
use crate::context::error::{Cause, ContextError};
use crate::go;
use crate::time::Timer;

const LIVE: u8 = 0;
const CANCELED: u8 = 1;
const DEADLINE_EXCEEDED: u8 = 2;

/// By the order of their birth.
type Children = BTreeMap<u64, Child>;

/// What ends with a node.
enum Child {
    Node(Arc<Node>),
    Call(Arc<Call>),
}

/// Where a child is in its parent.
struct Place {
    parent: Weak<Node>,
    number: u64,
}

impl Place {
    fn below(parent: &Arc<Node>) -> Self {
        Self {
            parent: Arc::downgrade(parent),
            number: parent.next_child.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Takes the child out of its parent.
    fn leave(&self) {
        if let Some(parent) = self.parent.upgrade() {
            let left = parent.state.lock().children.remove(&self.number);
            // Not under the lock: it may be the last owner.
            drop(left);
        }
    }
}

struct State {
    /// It takes no children any more.
    ended: bool,
    /// What the user gave as the reason.
    cause: Option<Cause>,
    children: Children,
    /// Ends it at its deadline.
    timer: Option<Timer>,
}

/// The cancellable half of a context.
pub(super) struct Node {
    state: Lock<State>,
    /// [`LIVE`], or how it ended; written once, under the lock.
    err: AtomicU8,
    done: Done,
    next_child: AtomicU64,
    place: Option<Place>,
}

impl Node {
    /// A node that ends with `parent`: at once, if that has ended.
    pub(super) fn new(parent: Option<&Arc<Node>>) -> Arc<Node> {
        let state = State {
            ended: false,
            cause: None,
            children: Children::new(),
            timer: None,
        };
        let node = Arc::new(Node {
            state: Lock::new(Rank::Chan, state),
            err: AtomicU8::new(LIVE),
            done: Done::new(),
            next_child: AtomicU64::new(0),
            place: parent.map(Place::below),
        });
        if let (Some(parent), Some(place)) = (parent, &node.place) {
            parent.adopt(place.number, Child::Node(node.clone()));
        }
        node
    }

    /// How it ended, if it did.
    pub(super) fn err(&self) -> Option<ContextError> {
        let err = match self.err.load(Ordering::Acquire) {
            LIVE => return None,
            CANCELED => ContextError::Canceled,
            _ => ContextError::DeadlineExceeded,
        };
        // Whoever ended it may not have come to this yet.
        self.done.close();
        Some(err)
    }

    /// Why it ended, if it did: what the user gave as the reason, else the error.
    pub(super) fn cause(&self) -> Option<Cause> {
        let err = self.err()?;
        let cause = self.state.lock().cause.clone();
        Some(cause.unwrap_or_else(|| Arc::new(err)))
    }

    /// The channel that is closed when it ends.
    pub(super) fn done(&self) -> &Receiver<Infallible> {
        self.done.receiver()
    }

    /// Ends it and all below it, if it has not ended.
    pub(super) fn cancel(&self, err: ContextError, cause: Option<Cause>) {
        let Some(children) = self.end(err, &cause) else {
            return;
        };
        if let Some(place) = &self.place {
            place.leave();
        }
        let mut list: VecDeque<Child> = children.into_values().collect();
        while let Some(child) = list.pop_front() {
            match child {
                Child::Node(node) => {
                    list.extend(node.end(err, &cause).unwrap_or_default().into_values());
                }
                Child::Call(call) => call.start(),
            }
        }
    }

    /// Ends this node alone. Its children are the caller's to end; nothing if it had ended before.
    fn end(&self, err: ContextError, cause: &Option<Cause>) -> Option<Children> {
        let cause = cause.clone();
        let mut state = self.state.lock();
        if mem::replace(&mut state.ended, true) {
            drop(state);
            return None;
        }
        state.cause = cause;
        let number = match err {
            ContextError::Canceled => CANCELED,
            ContextError::DeadlineExceeded => DEADLINE_EXCEEDED,
        };
        self.err.store(number, Ordering::Release);
        let children = mem::take(&mut state.children);
        let timer = state.timer.take();
        drop(state);
        self.done.close();
        if let Some(timer) = timer {
            timer.stop();
        }
        Some(children)
    }

    /// Takes in a child; ends it at once if this has ended.
    fn adopt(&self, number: u64, child: Child) {
        let mut state = self.state.lock();
        if !state.ended {
            state.children.insert(number, child);
            return;
        }
        let cause = state.cause.clone();
        drop(state);
        match child {
            Child::Call(call) => call.start(),
            Child::Node(node) => {
                let err = self.err().expect("an ended node has its error");
                node.cancel(err, cause);
            }
        }
    }

    /// Keeps the timer that ends it, to stop it when it ends otherwise.
    pub(super) fn set_timer(&self, timer: Timer) {
        let mut state = self.state.lock();
        if !state.ended {
            state.timer = Some(timer);
            return;
        }
        drop(state);
        timer.stop();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A chain of children would be dropped by as deep a recursion.
        let mut list = children_of(self);
        while let Some(child) = list.pop() {
            if let Child::Node(node) = child
                && let Some(mut node) = Arc::into_inner(node)
            {
                list.append(&mut children_of(&mut node));
            }
        }
    }
}

fn children_of(node: &mut Node) -> Vec<Child> {
    let children = mem::take(&mut node.state.lock().children);
    children.into_values().collect()
}

/// A function that is called when a node ends.
pub(super) struct Call {
    f: Lock<Option<Box<dyn FnOnce() + Send>>>,
    place: Option<Place>,
}

impl Call {
    /// Registers `f` with `parent`; without one it is never called.
    pub(super) fn new(parent: Option<&Arc<Node>>, f: Box<dyn FnOnce() + Send>) -> Arc<Call> {
        let call = Arc::new(Call {
            f: Lock::new(Rank::Chan, Some(f)),
            place: parent.map(Place::below),
        });
        if let (Some(parent), Some(place)) = (parent, &call.place) {
            parent.adopt(place.number, Child::Call(call.clone()));
        }
        call
    }

    /// Calls the function in a goroutine of its own, unless it was stopped.
    fn start(&self) {
        let f = self.f.lock().take();
        if let Some(f) = f {
            go(f);
        }
    }

    /// Prevents the call. False if it has begun, or was prevented before.
    pub(super) fn stop(&self) -> bool {
        let f = self.f.lock().take();
        if f.is_some()
            && let Some(place) = &self.place
        {
            place.leave();
        }
        f.is_some()
    }
}
