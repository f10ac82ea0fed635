//! The channel that is closed when a context ends, made when somebody first asks for it.
//!
//! Most contexts are never waited for, so most have no channel. Two may run into each other: the
//! one who makes the channel and the one who closes it. Each first publishes what it did (the
//! channel; the flag) and then looks at what the other did, both sequentially consistent: so one of
//! them sees the other, and whoever sees both the channel and the flag closes, which may be done
//! any number of times.
//!
//! A channel that was not closed stays open when its context goes, for whoever still has a clone of
//! the receiver: as in Go, being forgotten is not being cancelled.

use alloc::boxed::Box;
use core::convert::Infallible;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::chan::{self, Receiver, Signal};

struct Channel {
    signal: Signal,
    receiver: Receiver<Infallible>,
}

/// A channel without values, which can be closed.
pub(super) struct Done {
    /// Null, or a `Box<Channel>` that stays until the drop.
    channel: AtomicPtr<Channel>,
    closed: AtomicBool,
}

impl Done {
    /// Open; no channel yet.
    pub(super) const fn new() -> Self {
        Self {
            channel: AtomicPtr::new(ptr::null_mut()),
            closed: AtomicBool::new(false),
        }
    }

    /// The channel. If [`close`](Self::close) has returned before, it is closed.
    pub(super) fn receiver(&self) -> &Receiver<Infallible> {
        let channel = match self.channel() {
            Some(channel) => channel,
            None => self.make(),
        };
        if self.closed.load(Ordering::SeqCst) {
            channel.signal.close();
        }
        &channel.receiver
    }

    /// Closes the channel, or lets it be born closed.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(channel) = self.channel() {
            channel.signal.close();
        }
    }

    fn channel(&self) -> Option<&Channel> {
        // SAFETY: `make` stored a box, which is freed with `self`.
        unsafe { self.channel.load(Ordering::SeqCst).as_ref() }
    }

    #[cold]
    fn make(&self) -> &Channel {
        let (signal, receiver) = chan::signal();
        let made = Box::into_raw(Box::new(Channel { signal, receiver }));
        let stored = self.channel.compare_exchange(
            ptr::null_mut(),
            made,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        match stored {
            // SAFETY: stored just now, and freed with `self`.
            Ok(_) => unsafe { &*made },
            Err(other) => {
                // SAFETY: ours alone: somebody else was faster, whose box is freed with `self`.
                unsafe {
                    drop(Box::from_raw(made));
                    &*other
                }
            }
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        let channel = *self.channel.get_mut();
        if !channel.is_null() {
            // SAFETY: `make` stored a box; nobody refers to it without referring to `self`.
            drop(unsafe { Box::from_raw(channel) });
        }
    }
}
