//! Values: moved once and dropped once, whatever their size and alignment, and however the channel,
//! the send or the receive ends.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use chans::{Count, Counted, Random, ms, until_parked, us};
use gosched::chan::{self, Receiver, Sender};
use gosched::runtime;
use gosched::select;
use gosched::sync::WaitGroup;

/// A page, filled with one number.
#[derive(Clone, Copy, PartialEq)]
struct Page([u64; 512]);

/// The same at the start of a page of its own.
#[derive(Clone, Copy, PartialEq)]
#[repr(align(4096))]
struct AlignedPage([u64; 512]);

/// Sends 200 values from two goroutines to two others, by plain operations and by select, and
/// leaves it to `check` whether the n-th is right.
fn all_arrive<T: Send + 'static>(cap: usize, make: fn(usize) -> T, check: fn(&T) -> usize) {
    let (tx, rx) = if cap == usize::MAX {
        chan::unbounded()
    } else {
        chan::bounded(cap)
    };
    let (group, sum) = (WaitGroup::new(), Count::new());
    for first in 0..2 {
        let tx = tx.clone();
        group.go(move || {
            for n in (first..200).step_by(2) {
                if n % 3 == 0 {
                    select! { send(tx, make(n)) -> sent => assert!(sent.is_ok()) }
                } else {
                    assert!(tx.send(make(n)).is_ok());
                }
            }
        });
    }
    drop(tx);
    for _ in 0..2 {
        let (rx, sum) = (rx.clone(), sum.clone());
        group.go(move || {
            while let Ok(value) = rx.recv() {
                sum.add(check(&value));
                select! {
                    recv(rx) -> value => if let Ok(value) = value { _ = sum.add(check(&value)) },
                    default => {}
                }
            }
        });
    }
    group.wait();
    assert_eq!(sum.get(), 199 * 200 / 2);
}

/// A copy that is cut short, or written over by the next one.
#[gosched::test]
fn values_of_a_page_arrive_whole() {
    fn whole(page: &[u64; 512]) -> usize {
        assert!(page.iter().all(|&word| word == page[0]), "a torn value");
        page[0] as usize
    }
    for cap in [0, 1, 7, usize::MAX] {
        all_arrive(cap, |n| Page([n as u64; 512]), |page| whole(&page.0));
    }
}

/// A buffer or a parked value at an address that is only as aligned as the allocator's default.
#[gosched::test]
fn page_aligned_values_stay_aligned() {
    fn check(page: &AlignedPage) -> usize {
        assert_eq!(core::ptr::from_ref(page).addr() % 4096, 0);
        assert!(page.0.iter().all(|&word| word == page.0[0]), "a torn value");
        page.0[0] as usize
    }
    for cap in [0, 3, usize::MAX] {
        all_arrive(cap, |n| AlignedPage([n as u64; 512]), check);
    }
}

/// A buffer of no bytes: allocated, divided by its size, or counted by addresses.
#[gosched::test]
fn values_without_size_are_counted() {
    for (tx, rx) in [chan::bounded(1000), chan::unbounded()] {
        (0..1000).for_each(|_| tx.send(()).unwrap());
        assert_eq!((tx.len(), rx.len()), (1000, 1000));
        assert_eq!(rx.try_iter().count(), 1000);
        assert!(rx.try_recv().is_err());
    }
    let (tx, rx) = chan::bounded(0);
    let group = WaitGroup::new();
    group.go(move || (0..1000).for_each(|_| tx.send(()).unwrap()));
    assert_eq!(rx.iter().count(), 1000);
    group.wait();
}

/// A value without size that has a drop.
#[gosched::test]
fn values_without_size_are_dropped() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Tick;
    impl Drop for Tick {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    DROPS.store(0, Ordering::Relaxed);
    for (tx, rx) in [chan::bounded(10), chan::unbounded()] {
        for _ in 0..10 {
            assert!(tx.send(Tick).is_ok());
        }
        drop(rx.recv());
        drop((tx, rx));
    }
    assert_eq!(DROPS.load(Ordering::Relaxed), 20);
}

/// What a channel still holds goes with its last receiver, since nobody can get it any more; or
/// with its last handle. Never twice: the buffer's ring may have wrapped.
#[gosched::test]
fn values_inside_are_dropped_once() {
    for cap in [1, 5, usize::MAX] {
        for wrapped in 0..5 {
            let (tx, rx) = if cap == usize::MAX {
                chan::unbounded()
            } else {
                chan::bounded(cap)
            };
            let drops = Count::new();
            for _ in 0..wrapped {
                assert!(tx.send(Counted::new(&drops)).is_ok());
                drop(rx.recv());
            }
            let inside = cap.min(100);
            for _ in 0..inside {
                assert!(tx.send(Counted::new(&drops)).is_ok());
            }
            assert_eq!(drops.get(), wrapped);
            drop(rx);
            assert_eq!(
                drops.get(),
                wrapped + inside,
                "nobody can receive them any more"
            );
            let back = tx.send(Counted::new(&drops)).unwrap_err();
            assert_eq!(drops.get(), wrapped + inside, "the sender has it back");
            drop((back, tx));
            assert_eq!(drops.get(), wrapped + inside + 1);
        }
    }
    let drops = Count::new();
    let (tx, rx) = chan::bounded(3);
    for _ in 0..3 {
        assert!(tx.send(Counted::new(&drops)).is_ok());
    }
    drop(tx);
    assert_eq!(drops.get(), 0, "receivers can still get them");
    drop(rx);
    assert_eq!(drops.get(), 3);
}

/// A value whose drop uses the channel that it is in: dropped under the channel's lock, this
/// deadlocks.
#[gosched::test]
fn drops_may_use_the_channel() {
    struct Nosy(Sender<Nosy>, Count);
    impl Drop for Nosy {
        fn drop(&mut self) {
            assert!(self.0.len() <= 5);
            self.1.add(1);
        }
    }
    for (tx, rx) in [chan::bounded(5), chan::unbounded()] {
        let drops = Count::new();
        for _ in 0..5 {
            assert!(tx.send(Nosy(tx.clone(), drops.clone())).is_ok());
        }
        drop(rx);
        assert_eq!(drops.get(), 5);
    }
}

/// A parked sender's value, when the last receiver goes: it comes back to the sender.
#[gosched::test]
fn a_parked_senders_value_comes_back_once() {
    for cap in [0, 1] {
        let drops = Count::new();
        let (tx, rx) = chan::bounded(cap);
        for _ in 0..cap {
            assert!(tx.send(Counted::new(&drops)).is_ok());
        }
        let group = WaitGroup::new();
        for _ in 0..5 {
            let (tx, drops) = (tx.clone(), drops.clone());
            group.go(move || {
                let error = tx.send(Counted::new(&drops)).unwrap_err();
                drop(error.into_inner());
            });
        }
        until_parked(5, "chan send");
        drop(rx);
        group.wait();
        assert_eq!(drops.get(), 5 + cap);
    }
}

/// One goroutine's part of the next test: random operations, and what it made.
fn send_at_random(tx: Sender<Counted>, seed: u64, made: &Count, drops: &Count) {
    let mut random = Random::new(seed);
    for _ in 0..300 {
        made.add(1);
        let value = Counted::new(drops);
        match random.below(5) {
            0 => drop(tx.send(value)),
            1 => drop(tx.try_send(value)),
            2 => drop(tx.send_timeout(value, us(random.below(60)))),
            3 => select! {
                send(tx, value) -> sent => drop(sent),
                default(us(random.below(60))) => {} // `value` was not moved, and drops here
            },
            _ => select! {
                send(tx, value) -> sent => drop(sent),
                recv(chan::never::<u8>()) -> _ => unreachable!(),
                default => {}
            },
        }
    }
}

fn receive_at_random(rx: &Receiver<Counted>, seed: u64, got: &Count) {
    let mut random = Random::new(seed);
    for _ in 0..random.below(900) {
        let received = match random.below(4) {
            0 => rx.recv_timeout(us(random.below(80))).is_ok(),
            1 => rx.try_recv().is_ok(),
            2 => select! { recv(rx) -> value => value.is_ok(), default => false },
            _ => select! {
                recv(rx) -> value => value.is_ok(),
                recv(chan::never::<u8>()) -> _ => unreachable!(),
                default(us(random.below(80))) => false,
            },
        };
        got.add(usize::from(received));
        if random.below(8) == 0 {
            runtime::gosched();
        }
    }
}

/// Values made, and values dropped after all is over, must be the same number: with time-outs,
/// select, and receivers that go away at a random moment with values inside.
#[gosched::test]
fn random_ends_drop_every_value_once() {
    for (round, cap) in [0, 1, 2, 8, usize::MAX]
        .into_iter()
        .cycle()
        .take(15)
        .enumerate()
    {
        let (tx, rx) = if cap == usize::MAX {
            chan::unbounded()
        } else {
            chan::bounded(cap)
        };
        let (made, got, drops) = (Count::new(), Count::new(), Count::new());
        let group = WaitGroup::new();
        for i in 0..3 {
            let seed = (round * 10 + i) as u64;
            let (tx, made, drops) = (tx.clone(), made.clone(), drops.clone());
            group.go(move || send_at_random(tx, seed, &made, &drops));
            let (rx, got) = (rx.clone(), got.clone());
            group.go(move || receive_at_random(&rx, seed + 5, &got));
        }
        drop((tx, rx));
        group.wait();
        assert_eq!(made.get(), 900);
        assert!(got.get() <= 900);
        assert_eq!(drops.get(), 900, "round {round}, capacity {cap}");
    }
}

/// A value that is shared by counting: after all, this is the only reference. A leak of the
/// channel itself shows as well.
#[gosched::test]
fn nothing_keeps_a_reference() {
    let shared = Arc::new(());
    for (tx, rx) in [chan::bounded(0), chan::bounded(4), chan::unbounded()] {
        let sender = tx.clone();
        let group = WaitGroup::new();
        let clone = shared.clone();
        group.go(move || {
            let _ = sender.send_timeout(clone.clone(), ms(1));
            let _ = sender.try_send(clone);
        });
        let _ = rx.recv_timeout(us(200));
        group.wait();
        drop((tx, rx));
    }
    assert_eq!(Arc::strong_count(&shared), 1);
}

gosched::test_main!();
