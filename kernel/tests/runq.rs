//! The run queue and the order of stealing by themselves, with the capacity that the kernel uses.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gosched::runtime;
use gosched::sched::find::RandomOrder;
use gosched::sched::runq::{RUNQ_SIZE, RunQueue};
use gosched::sync::WaitGroup;

/// Stands for a goroutine.
struct Item {
    number: usize,
    seen: AtomicUsize,
}

type Queue = &'static RunQueue<Item>;

fn queue() -> Queue {
    Box::leak(Box::new(RunQueue::new()))
}

fn items(n: usize) -> &'static [Item] {
    let new = |number| Item {
        number,
        seen: AtomicUsize::new(0),
    };
    Box::leak((0..n).map(new).collect::<Vec<_>>().into_boxed_slice())
}

/// Go's TestSchedLocalQueue: for every fill the ring gives back what it was given, in order, and is
/// empty then.
#[gosched::test]
fn the_ring_is_first_in_first_out_for_every_fill() {
    let (queue, items) = (queue(), items(RUNQ_SIZE));
    for fill in 0..=RUNQ_SIZE {
        for item in &items[..fill] {
            assert!(queue.put(item).is_ok());
        }
        assert_eq!(queue.len(), fill);
        for expected in 0..fill {
            let (item, inherits) = queue.get().expect("it was put");
            assert_eq!((item.number, inherits), (expected, false));
        }
        assert!(queue.get().is_none() && queue.is_empty());
    }
}

#[gosched::test]
fn the_next_slot_runs_first_and_gives_up_the_one_before() {
    let (queue, items) = (queue(), items(3));
    assert!(queue.put(&items[0]).is_ok());
    assert!(queue.put_next(&items[1]).is_none());
    let kicked = queue.put_next(&items[2]);
    assert_eq!(kicked.map(|i| i.number), Some(1));
    assert_eq!(
        queue.get().map(|(i, inherits)| (i.number, inherits)),
        Some((2, true))
    );
    assert_eq!(
        queue.get().map(|(i, inherits)| (i.number, inherits)),
        Some((0, false))
    );
}

/// A full ring gives up its older half, in order, and has room then.
#[gosched::test]
fn a_full_ring_overflows_by_its_older_half() {
    let (queue, items) = (queue(), items(RUNQ_SIZE + 1));
    for item in &items[..RUNQ_SIZE] {
        assert!(queue.put(item).is_ok());
    }
    let Err(overflow) = queue.put(&items[RUNQ_SIZE]) else {
        panic!("a full ring took one more")
    };
    assert!(overflow.iter().map(|i| i.number).eq(0..RUNQ_SIZE / 2));
    assert!(queue.put(&items[RUNQ_SIZE]).is_ok());
    assert_eq!(queue.len(), RUNQ_SIZE / 2 + 1);
}

/// Go's TestSchedLocalQueueSteal: each is seen once, and the thief gets half, rounded up.
#[gosched::test]
fn a_thief_gets_half_and_nobody_is_seen_twice() {
    let items = items(RUNQ_SIZE);
    for n in 0..RUNQ_SIZE {
        let (from, to) = (queue(), queue());
        for item in &items[..n] {
            item.seen.store(0, Ordering::Relaxed);
            assert!(from.put(item).is_ok());
        }
        let mut stolen = 0;
        if let Some(item) = from.steal_into(to) {
            item.seen.fetch_add(1, Ordering::Relaxed);
            stolen = 1;
        }
        while let Some((item, _)) = to.get() {
            item.seen.fetch_add(1, Ordering::Relaxed);
            stolen += 1;
        }
        assert_eq!(stolen, n.div_ceil(2));
        while let Some((item, _)) = from.get() {
            item.seen.fetch_add(1, Ordering::Relaxed);
        }
        assert!(
            items[..n]
                .iter()
                .all(|i| i.seen.load(Ordering::Relaxed) == 1)
        );
    }
}

/// One owner that puts and gets, thieves on all other CPUs: in the end each was taken exactly once.
#[gosched::test]
fn owner_and_thieves_take_each_exactly_once() {
    const ROUNDS: usize = 200;
    const N: usize = 200;
    let (items, queue) = (items(ROUNDS * N), queue());
    let done: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let group = WaitGroup::new();
    for _ in 0..runtime::num_cpu() - 1 {
        group.go(move || {
            let mine = self::queue();
            while !done.load(Ordering::Acquire) {
                if let Some(item) = queue.steal_into(mine).or_else(|| queue.steal_next()) {
                    item.seen.fetch_add(1, Ordering::Relaxed);
                }
                while let Some((item, _)) = mine.get() {
                    item.seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for round in items.chunks(N) {
        for (i, item) in round.iter().enumerate() {
            let to_ring = if i % 5 == 0 {
                queue.put_next(item)
            } else {
                Some(item)
            };
            if let Some(item) = to_ring {
                assert!(queue.put(item).is_ok(), "fewer than fit");
            }
        }
        while let Some((item, _)) = queue.get() {
            item.seen.fetch_add(1, Ordering::Relaxed);
        }
    }
    done.store(true, Ordering::Release);
    group.wait();
    assert!(items.iter().all(|i| i.seen.load(Ordering::Relaxed) == 1));
}

/// Go's TestSchedLocalQueueEmpty: a queue that holds one all the time, in the slot or in the ring,
/// is never called empty while the owner moves it from one to the other.
#[gosched::test]
fn a_queue_is_never_called_empty_while_it_holds_one() {
    if runtime::num_cpu() < 2 {
        return;
    }
    let (queue, thief, items) = (queue(), queue(), items(2));
    let done: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    queue.put_next(&items[0]);
    let group = WaitGroup::new();
    group.go(move || {
        while !done.load(Ordering::Acquire) {
            assert!(!queue.is_empty());
        }
    });
    for i in 1..50_000 {
        // The other one becomes next, and this one is kicked into the ring.
        let kicked = queue.put_next(&items[i % 2]).expect("the slot is full");
        assert!(queue.put(kicked).is_ok());
        // The slot is emptied while the ring holds one, then filled again, then the ring is
        // emptied.
        let (next, inherits) = queue.get().expect("the slot is full");
        assert!(inherits);
        queue.put_next(next);
        assert!(queue.steal_into(thief).is_some());
        if i % 64 == 0 {
            runtime::gosched();
        }
    }
    done.store(true, Ordering::Release);
    group.wait();
}

/// Go's TestStealOrder: whatever the random number, each P is visited exactly once.
#[gosched::test]
fn every_order_visits_each_p_exactly_once() {
    for n in 1..=64 {
        for random in 0..200_u32 {
            let mut visits = vec![0; n];
            for p in RandomOrder::new(n, random.wrapping_mul(0x9e37_79b9)) {
                visits[p] += 1;
            }
            assert!(
                visits.iter().all(|&v| v == 1),
                "{n} Ps, {random}: {visits:?}"
            );
        }
    }
}

gosched::test_main!();
