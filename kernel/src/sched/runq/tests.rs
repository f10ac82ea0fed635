//! Host tests of the run queue: its order, and a stress with threads, also under ThreadSanitizer.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use super::{RUNQ_SIZE, RunQueue};
use crate::mem::fixture::{in_threads, random};

static NUMBERS: [usize; RUNQ_SIZE + 1] = {
    let mut numbers = [0; RUNQ_SIZE + 1];
    let mut i = 0;
    while i < numbers.len() {
        numbers[i] = i;
        i += 1;
    }
    numbers
};

#[test]
fn runnext_goes_first_and_inherits() {
    let queue = RunQueue::new();
    assert!(queue.put(&NUMBERS[0]).is_ok() && queue.put(&NUMBERS[1]).is_ok());
    assert_eq!(queue.put_next(&NUMBERS[2]), None);
    assert_eq!(queue.put_next(&NUMBERS[3]), Some(&2));
    let got = [queue.get(), queue.get(), queue.get(), queue.get()];
    let want = [(&3, true), (&0, false), (&1, false)].map(Some);
    assert_eq!(got[..3], want);
    assert!(got[3].is_none() && queue.is_empty());
}

#[test]
fn a_full_ring_gives_up_its_older_half() {
    let queue = RunQueue::new();
    for number in &NUMBERS[..RUNQ_SIZE] {
        assert!(queue.put(number).is_ok());
    }
    let Err(overflow) = queue.put(&NUMBERS[RUNQ_SIZE]) else {
        panic!("the ring was full")
    };
    assert!(overflow.iter().eq(&NUMBERS[..RUNQ_SIZE / 2]));
    assert!(queue.put(&NUMBERS[RUNQ_SIZE]).is_ok());
    let left = core::iter::from_fn(|| queue.get()).map(|(number, _)| number);
    assert!(left.eq(&NUMBERS[RUNQ_SIZE / 2..]));
}

#[test]
fn a_thief_takes_the_older_half_and_runs_its_last() {
    for count in 1..=RUNQ_SIZE {
        let (queue, own) = (RunQueue::new(), RunQueue::new());
        for number in &NUMBERS[..count] {
            assert!(queue.put(number).is_ok());
        }
        let half = count.div_ceil(2);
        assert_eq!(queue.steal_into(&own), Some(&NUMBERS[half - 1]));
        assert_eq!((own.len(), queue.len()), (half - 1, count - half));
    }
    let (queue, own) = (RunQueue::<usize>::new(), RunQueue::new());
    assert_eq!(queue.steal_into(&own), None);
    assert_eq!(queue.steal_next(), None);
}

/// What plays a goroutine: written by its creator, read by whoever gets it, without atomics.
struct Item {
    number: UnsafeCell<usize>,
    got: AtomicUsize,
}

// SAFETY: the creator alone writes `number`, before it puts the item into a queue.
unsafe impl Sync for Item {}

fn items(count: usize) -> &'static [Item] {
    let unwritten = |_| Item {
        number: UnsafeCell::new(usize::MAX),
        got: AtomicUsize::new(0),
    };
    (0..count).map(unwritten).collect::<Vec<_>>().leak()
}

fn take(item: &Item, number_of: impl Fn(&Item) -> usize) {
    // SAFETY: written before it was put.
    assert_eq!(unsafe { *item.number.get() }, number_of(item));
    item.got.fetch_add(1, Ordering::Relaxed);
}

/// One owner, several thieves: each of many items comes out once.
#[test]
fn each_item_is_got_once() {
    const ITEMS: usize = 100_000;
    const THIEVES: usize = 3;
    let items = items(ITEMS);
    let number_of = |item: &Item| {
        let offset = core::ptr::from_ref(item).addr() - items.as_ptr().addr();
        offset / size_of::<Item>()
    };
    let queue = RunQueue::new();
    let global = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    let put = |item| {
        while let Err(overflow) = queue.put(item) {
            global.lock().unwrap().extend(overflow.iter());
        }
    };
    let own = || {
        let mut chance = random(1);
        for (i, item) in items.iter().enumerate() {
            // SAFETY: nobody has the item yet.
            unsafe { *item.number.get() = i };
            match chance(4) {
                0 => put(item),
                1 => {
                    put(item);
                    queue
                        .get()
                        .into_iter()
                        .for_each(|(item, _)| take(item, number_of));
                }
                _ => queue.put_next(item).into_iter().for_each(put),
            }
        }
        done.store(true, Ordering::Release);
    };
    let steal = || {
        let mine = RunQueue::new();
        loop {
            let last = done.load(Ordering::Acquire);
            let stolen = queue.steal_into(&mine).or_else(|| queue.steal_next());
            let more = stolen.is_some();
            stolen.into_iter().for_each(|item| take(item, number_of));
            while let Some((item, _)) = mine.get() {
                take(item, number_of);
            }
            if !more && last {
                break;
            }
            if !more {
                std::thread::yield_now();
            }
        }
    };
    in_threads(1 + THIEVES, |i| if i == 0 { own() } else { steal() });
    assert!(queue.is_empty());
    global
        .into_inner()
        .unwrap()
        .into_iter()
        .for_each(|item| take(item, number_of));
    assert!(
        items
            .iter()
            .all(|item| item.got.load(Ordering::Relaxed) == 1)
    );
}
