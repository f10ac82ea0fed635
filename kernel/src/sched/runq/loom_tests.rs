//! Models of the run queue: each item comes out exactly once, with what its creator wrote.
//!
//! What they cannot show: that `put` needs the acquire of `head`. Without it a slot could be
//! written before its reader has read, and loom has no loads that return a later store.

use alloc::boxed::Box;
use alloc::vec::Vec;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::{Overflow, RunQueue};
use crate::model;

/// What plays a goroutine: written by its creator, read by whoever gets it. loom watches the cell.
struct Item {
    number: UnsafeCell<usize>,
}

// SAFETY: that only the owner of an item touches its cell is what the models check.
unsafe impl Sync for Item {}

fn item(number: usize) -> &'static Item {
    let item = Item {
        number: UnsafeCell::new(usize::MAX),
    };
    // SAFETY: nobody else has the item yet.
    item.number.with_mut(|place| unsafe { *place = number });
    Box::leak(Box::new(item))
}

fn number(item: &'static Item) -> usize {
    // SAFETY: the creator wrote before it put the item into a queue.
    item.number.with(|place| unsafe { *place })
}

type Queue = RunQueue<Item>;

/// The owner's `put`, with what overflowed going to `global`.
fn put(queue: &Queue, item: &'static Item, global: &mut Vec<usize>) {
    while let Err(overflow) = queue.put(item) {
        global.extend(Overflow::iter(&overflow).map(number));
    }
}

/// The owner's `runqput` with `next`: what was to run next goes to the ring.
fn put_next(queue: &Queue, item: &'static Item, global: &mut Vec<usize>) {
    if let Some(kicked) = queue.put_next(item) {
        put(queue, kicked, global);
    }
}

fn drain(queue: &Queue, got: &mut Vec<usize>) {
    while let Some((item, _)) = queue.get() {
        got.push(number(item));
    }
}

/// A thief as `runqsteal` in its last pass: half the ring, else `runnext`; then it runs all.
fn steal(victim: &Queue, got: &mut Vec<usize>) {
    let own = Queue::new();
    let stolen = victim.steal_into(&own).or_else(|| victim.steal_next());
    got.extend(stolen.map(number));
    drain(&own, got);
}

fn thief(victim: &Arc<Queue>) -> thread::JoinHandle<Vec<usize>> {
    let victim = Arc::clone(victim);
    thread::spawn(move || {
        let mut got = Vec::new();
        steal(&victim, &mut got);
        got
    })
}

/// The owner does `work` while `thieves` steal once each; then every number up to `count` has come
/// out once.
fn each_once(thieves: usize, count: usize, work: fn(&Queue, &mut Vec<usize>)) {
    let queue = Arc::new(Queue::new());
    let thieves: Vec<_> = (0..thieves).map(|_| thief(&queue)).collect();
    let mut got = Vec::new();
    work(&queue, &mut got);
    for thief in thieves {
        got.extend(thief.join().unwrap());
    }
    drain(&queue, &mut got);
    got.sort_unstable();
    assert_eq!(got, (0..count).collect::<Vec<_>>());
}

#[test]
fn each_is_got_once_with_a_thief() {
    model(3, || {
        each_once(1, 3, |queue, got| {
            for i in 0..3 {
                put(queue, item(i), got);
            }
            drain(queue, got);
        });
    });
}

#[test]
fn each_is_got_once_with_two_thieves() {
    model(2, || {
        each_once(2, 3, |queue, got| {
            for i in 0..3 {
                put(queue, item(i), got);
            }
            got.extend(queue.get().map(|(item, _)| number(item)));
        });
    });
}

/// A thief is stolen from while it still fills its ring with what it stole.
#[test]
fn a_thief_is_stolen_from() {
    model(2, || {
        let queue = Arc::new(Queue::new());
        for i in 0..4 {
            put(&queue, item(i), &mut Vec::new());
        }
        let own = Arc::new(Queue::new());
        let second = thief(&own);
        let stolen = queue.steal_into(&own);
        let mut got: Vec<_> = stolen.into_iter().map(number).collect();
        drain(&own, &mut got);
        got.extend(second.join().unwrap());
        drain(&queue, &mut got);
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3]);
    });
}

#[test]
fn runnext_is_got_once() {
    model(3, || {
        each_once(1, 3, |queue, got| {
            put_next(queue, item(0), got);
            put_next(queue, item(1), got);
            got.extend(queue.get().map(|(item, _)| number(item)));
            put_next(queue, item(2), got);
        });
    });
}

#[test]
fn an_overflow_loses_nothing() {
    model(2, || {
        each_once(1, 6, |queue, got| {
            for i in 0..6 {
                put(queue, item(i), got);
            }
        });
    });
}

/// The ring goes round: slots are written again while a thief still copies.
#[test]
fn slots_are_used_again() {
    model(2, || {
        each_once(1, 7, |queue, got| {
            for i in 0..7 {
                put(queue, item(i), got);
                if i % 2 == 1 {
                    got.extend(queue.get().map(|(item, _)| number(item)));
                }
            }
        });
    });
}

/// Who looks while the owner kicks `runnext` into the ring and takes the new one sees that there is
/// work: at no instant is there none.
#[test]
fn a_queue_that_is_never_empty_never_looks_so() {
    model(3, || {
        let queue = Arc::new(Queue::new());
        let _ = queue.put_next(item(0));
        let looker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.is_empty())
        };
        put_next(&queue, item(1), &mut Vec::new());
        let got = queue.get().map(|(item, inherits)| (number(item), inherits));
        assert_eq!(got, Some((1, true)));
        assert!(!looker.join().unwrap(), "item 0 was there all the time");
    });
}

/// A queue that has its last item taken, then gets one, is not empty for whoever was told.
#[test]
fn what_was_put_before_is_seen() {
    model(3, || {
        let queue = Arc::new(Queue::new());
        let told = Arc::new(AtomicBool::new(false));
        let looker = {
            let (queue, told) = (Arc::clone(&queue), Arc::clone(&told));
            thread::spawn(move || told.load(Ordering::Acquire) && queue.is_empty())
        };
        put_next(&queue, item(0), &mut Vec::new());
        told.store(true, Ordering::Release);
        assert!(!looker.join().unwrap());
    });
}
