//! Models of the word.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::Word;
use crate::model;

struct Channel {
    lock: Mutex<()>,
    word: Word,
}

impl Channel {
    fn with_values(n: usize) -> Arc<Self> {
        let word = Word::new();
        (0..n).for_each(|_| word.set(word.get().with_value()));
        Arc::new(Self {
            lock: Mutex::new(()),
            word,
        })
    }

    fn put(&self) {
        let _held = self.lock.lock().unwrap();
        self.word.set(self.word.get().with_value());
    }

    fn take(&self) {
        let _held = self.lock.lock().unwrap();
        self.word.set(self.word.get().without_value());
    }
}

/// A channel with room for one token, which says that there is something to do. Who has something
/// and finds no room relies on the receiver: that one sees it after it has taken the token.
#[test]
fn no_room_means_that_a_receiver_will_see() {
    model(3, || {
        let channel = Channel::with_values(1);
        let work = Arc::new(AtomicBool::new(false));
        let receiver = {
            let (channel, work) = (Arc::clone(&channel), Arc::clone(&work));
            thread::spawn(move || {
                channel.take();
                work.load(Ordering::Relaxed)
            })
        };
        work.store(true, Ordering::Relaxed);
        let relies = channel.word.glance().send_would_wait(1);
        assert!(receiver.join().unwrap() || !relies, "the work is forgotten");
    });
}

/// Who sees that a channel is closed sees what was done before it was.
#[test]
fn a_close_is_seen_with_what_was_before_it() {
    model(3, || {
        let channel = Channel::with_values(0);
        let done = Arc::new(AtomicBool::new(false));
        // Not in the closer, whose load would hide the other's from loom (`model`).
        let closed = channel.word.get().closed();
        let closer = {
            let (channel, done) = (Arc::clone(&channel), Arc::clone(&done));
            thread::spawn(move || {
                done.store(true, Ordering::Relaxed);
                channel.word.set(closed);
            })
        };
        if channel.word.glance().is_closed() {
            assert!(done.load(Ordering::Relaxed), "closed, but not done");
        }
        closer.join().unwrap();
    });
}

/// Each puts a value into its channel and then looks into the other's: at least one finds one.
#[test]
fn of_two_one_sees_the_other() {
    model(3, || {
        let (a, b) = (Channel::with_values(0), Channel::with_values(0));
        let other = {
            let (a, b) = (Arc::clone(&a), Arc::clone(&b));
            thread::spawn(move || {
                b.put();
                a.word.glance().recv_would_wait()
            })
        };
        a.put();
        let mine = b.word.glance().recv_would_wait();
        assert!(!(mine && other.join().unwrap()), "each finds nothing");
    });
}
