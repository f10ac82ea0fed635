//! A channel that never carries a value and is closed by hand alone: the end of something.
//!
//! It has no sender that could be dropped: what nobody has closed stays open, whoever goes.

use alloc::sync::Arc;
use core::convert::Infallible;

use crate::chan::raw::Chan;
use crate::chan::receiver::{Flavor, Receiver};

/// Closes the channel.
pub(crate) struct Signal {
    chan: Arc<Chan<Infallible>>,
}

/// An open channel.
pub(crate) fn signal() -> (Signal, Receiver<Infallible>) {
    let chan = Arc::new(Chan::new(Some(0)));
    let receiver = Receiver {
        flavor: Flavor::Chan(chan.clone()),
    };
    (Signal { chan }, receiver)
}

impl Signal {
    /// Closes the channel, if it is not closed yet.
    pub(crate) fn close(&self) {
        // An error says that it is.
        let _ = self.chan.close();
    }
}
