//! Channels as the scheduler's rendezvous: order, closing, time limits, and that no value is lost
//! or doubled whatever happens.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::chan::{self, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use gosched::go;
use gosched::runtime;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration};

/// Counts how many of it were dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Go's TestChan for each capacity: what waits, what does not, what is left after a close.
#[gosched::test]
fn every_capacity_blocks_where_it_must_and_drains_after_close() {
    for cap in [0, 1, 2, 10, 199] {
        let (tx, rx) = chan::bounded(cap);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        for i in 0..cap {
            assert_eq!(tx.try_send(i), Ok(()));
        }
        assert_eq!(tx.try_send(999), Err(TrySendError::Full(999)));
        assert_eq!(
            (tx.len(), tx.is_full(), tx.capacity()),
            (cap, true, Some(cap))
        );
        assert_eq!(tx.close(), Ok(()));
        assert!(tx.close().is_err(), "a second close is an error");
        assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
        assert!(tx.send(1).is_err());
        let drained: Vec<usize> = rx.iter().collect();
        assert!(
            drained.iter().copied().eq(0..cap),
            "buffered values come first, in order"
        );
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert!(rx.recv().is_err());
    }
}

/// Four senders and four receivers over each capacity: every value once, and in order for each
/// pair.
#[gosched::test]
fn many_to_many_loses_and_doubles_nothing() {
    const EACH: usize = 2000;
    for cap in [0, 1, 7, 100] {
        let (tx, rx) = chan::bounded::<(usize, usize)>(cap);
        let seen = Arc::new(Mutex::new([[0_u8; EACH]; 4].to_vec()));
        let senders = WaitGroup::new();
        for sender in 0..4 {
            let tx = tx.clone();
            senders.go(move || {
                for i in 0..EACH {
                    tx.send((sender, i)).unwrap();
                }
            });
        }
        drop(tx);
        let receivers = WaitGroup::new();
        for _ in 0..4 {
            let (rx, seen) = (rx.clone(), seen.clone());
            receivers.go(move || {
                let mut last = [None; 4];
                for (sender, i) in rx {
                    assert!(
                        last[sender] < Some(i),
                        "values of one sender overtook each other"
                    );
                    last[sender] = Some(i);
                    seen.lock()[sender][i] += 1;
                }
            });
        }
        senders.wait();
        receivers.wait();
        assert!(seen.lock().iter().flatten().all(|&n| n == 1));
    }
}

#[gosched::test]
fn close_wakes_all_receivers_and_all_senders() {
    let (tx, rx) = chan::bounded::<usize>(0);
    let receivers = WaitGroup::new();
    for _ in 0..50 {
        let rx = rx.clone();
        receivers.go(move || assert!(rx.recv().is_err()));
    }
    time::sleep(Duration::from_millis(2));
    tx.close().unwrap();
    receivers.wait();

    let (tx, _rx) = chan::bounded::<usize>(0);
    let senders = WaitGroup::new();
    for i in 0..50 {
        let tx = tx.clone();
        senders.go(move || assert_eq!(tx.send(i).unwrap_err().into_inner(), i));
    }
    time::sleep(Duration::from_millis(2));
    tx.close().unwrap();
    senders.wait();
}

#[gosched::test]
fn time_limits_end_the_wait_and_say_so() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let before = runtime::nanotime();
    let limit = Duration::from_millis(3);
    assert_eq!(rx.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
    assert_eq!(tx.send_timeout(5, limit), Err(SendTimeoutError::Timeout(5)));
    assert!(
        runtime::nanotime() - before >= 6_000_000,
        "a limit fired early"
    );
    drop(tx);
    assert_eq!(rx.recv_timeout(limit), Err(RecvTimeoutError::Disconnected));
}

/// Senders and receivers with limits so short that time and peers race for the same waiter: each
/// value is received or comes back, never both, and nobody is told of a disconnection that is not.
#[gosched::test]
fn racing_time_limits_lose_and_double_nothing() {
    const EACH: usize = 1000;
    let (tx, rx) = chan::bounded::<usize>(0);
    let (sent, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let senders = WaitGroup::new();
    for i in 0..4_u64 {
        let (tx, sent) = (tx.clone(), sent.clone());
        senders.go(move || {
            for n in 0..EACH {
                match tx.send_timeout(n, Duration::from_micros(20 + i * 15)) {
                    Ok(()) => sent.fetch_add(1, Ordering::Relaxed),
                    Err(SendTimeoutError::Timeout(back)) => {
                        assert_eq!(back, n);
                        0
                    }
                    Err(SendTimeoutError::Disconnected(_)) => panic!("nobody closed"),
                };
            }
        });
    }
    drop(tx);
    let receivers = WaitGroup::new();
    for i in 0..2_u64 {
        let (rx, received) = (rx.clone(), received.clone());
        receivers.go(move || {
            loop {
                match rx.recv_timeout(Duration::from_micros(30 + i * 20)) {
                    Ok(_) => _ = received.fetch_add(1, Ordering::Relaxed),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        });
    }
    senders.wait();
    receivers.wait();
    assert_eq!(
        sent.load(Ordering::Relaxed),
        received.load(Ordering::Relaxed)
    );
}

/// Values that are never received are dropped once: with the last receiver, or with the channel.
#[gosched::test]
fn values_are_dropped_exactly_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = chan::bounded(10);
    for _ in 0..10 {
        assert!(tx.send(Counted(drops.clone())).is_ok());
    }
    drop(rx.recv());
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    drop(rx);
    assert_eq!(
        drops.load(Ordering::Relaxed),
        10,
        "what nobody will receive goes at once"
    );
    drop(tx.send(Counted(drops.clone())));
    assert_eq!(drops.load(Ordering::Relaxed), 11);
}

/// Ten thousand goroutines in a row, each adding one to what it hands on.
#[gosched::test]
fn a_daisy_chain_of_ten_thousand() {
    const LENGTH: usize = 10_000;
    let (first, mut right) = chan::bounded::<usize>(0);
    for _ in 0..LENGTH {
        let (tx, rx) = chan::bounded(0);
        let from = core::mem::replace(&mut right, rx);
        go(move || tx.send(from.recv().unwrap() + 1).unwrap());
    }
    first.send(0).unwrap();
    assert_eq!(right.recv(), Ok(LENGTH));
}

gosched::test_main!();
