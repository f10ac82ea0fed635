//! Programs of goroutines: the same loops as in `peer/main.go`, which `compare.sh` runs beside
//! them. `_p1` runs on one P.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gosched::chan::{self, Receiver, Sender};
use gosched::sync::{Mutex, RwLock, WaitGroup};
use gosched::{Bencher, go, runtime};

use common::on_one_p;

/// Messages, yields, locks of one call.
const BATCH: u64 = 10_000;

/// Two goroutines yield in turn; one yield.
#[gosched::bench]
fn gosched_2(b: &mut Bencher) {
    on_one_p(|| {
        b.iter_batched(BATCH, || {
            let both = WaitGroup::new();
            for _ in 0..2 {
                both.go(|| (0..BATCH / 2).for_each(|_| runtime::gosched()));
            }
            both.wait();
        });
    });
}

fn stream() {
    let (tx, rx) = chan::bounded::<u64>(128);
    go(move || {
        for i in 0..BATCH {
            let _ = tx.send(i);
        }
    });
    let sum: u64 = rx.iter().sum();
    assert_eq!(sum, BATCH * (BATCH - 1) / 2);
}

/// One goroutine sends into a buffer of 128, another one receives; one message.
#[gosched::bench]
fn chan_buf_stream(b: &mut Bencher) {
    b.iter_batched(BATCH, stream);
}

#[gosched::bench]
fn chan_buf_stream_p1(b: &mut Bencher) {
    on_one_p(|| b.iter_batched(BATCH, stream));
}

fn mpmc() {
    let (tx, rx) = chan::bounded::<u64>(64);
    let got = Arc::new(AtomicU64::new(0));
    let all = WaitGroup::new();
    for _ in 0..4 {
        let tx = tx.clone();
        all.go(move || {
            for i in 0..BATCH / 4 {
                let _ = tx.send(i);
            }
        });
        let (rx, got) = (rx.clone(), got.clone());
        all.go(move || {
            got.fetch_add(rx.iter().count() as u64, Ordering::Relaxed);
        });
    }
    drop((tx, rx));
    all.wait();
    assert_eq!(got.load(Ordering::Relaxed), BATCH, "messages are lost");
}

/// Four senders and four receivers share a buffer of 64; one message.
#[gosched::bench]
fn chan_mpmc(b: &mut Bencher) {
    b.iter_batched(BATCH, mpmc);
}

#[gosched::bench]
fn chan_mpmc_p1(b: &mut Bencher) {
    on_one_p(|| b.iter_batched(BATCH, mpmc));
}

/// Four goroutines for each P take one mutex; one lock and unlock.
#[gosched::bench]
fn mutex_contended(b: &mut Bencher) {
    let n = 4 * runtime::gomaxprocs(0) as u64;
    let each = BATCH / n;
    b.iter_batched(each * n, || {
        let count = Arc::new(Mutex::new(0));
        let all = WaitGroup::new();
        for _ in 0..n {
            let count = count.clone();
            all.go(move || (0..each).for_each(|_| *count.lock() += 1));
        }
        all.wait();
        assert_eq!(*count.lock(), each * n, "increments are lost");
    });
}

/// Four readers for each P; one read lock and unlock.
#[gosched::bench]
fn rwmutex_read_par(b: &mut Bencher) {
    let n = 4 * runtime::gomaxprocs(0) as u64;
    let each = BATCH / n;
    b.iter_batched(each * n, || {
        let lock = Arc::new(RwLock::new(0u64));
        let all = WaitGroup::new();
        for _ in 0..n {
            let lock = lock.clone();
            all.go(move || {
                (0..each).for_each(|_| {
                    black_box(*lock.read());
                })
            });
        }
        all.wait();
    });
}

/// Passes a token on, less one, and says so when it is used up.
fn pass_on(from: &Receiver<u64>, to: &Sender<u64>, done: &Sender<()>) {
    for token in from {
        let passed = match token.checked_sub(1) {
            Some(less) => to.send(less).is_ok(),
            None => done.send(()).is_ok(),
        };
        if !passed {
            return;
        }
    }
}

fn ring(b: &mut Bencher) {
    const SIZE: usize = 1000;
    let (done, dones) = chan::bounded(0);
    let (first, mut link) = chan::bounded(0);
    for i in 0..SIZE {
        let (to, next) = if i + 1 < SIZE {
            chan::bounded(0)
        } else {
            (first.clone(), chan::never())
        };
        let from = core::mem::replace(&mut link, next);
        let done = done.clone();
        go(move || pass_on(&from, &to, &done));
    }
    b.iter_batched(BATCH, || {
        first.send(BATCH).expect("the ring is there");
        dones.recv().expect("the ring is there");
    });
    // The first one ends at this, and drops what the second receives from, and so on.
    let _ = first.close();
}

/// A token runs around a ring of a thousand goroutines; one hop.
#[gosched::bench]
fn ring_1000(b: &mut Bencher) {
    ring(b);
}

#[gosched::bench]
fn ring_1000_p1(b: &mut Bencher) {
    on_one_p(|| ring(b));
}

fn filter(from: Receiver<u64>, to: Sender<u64>, prime: u64) {
    let _ = from
        .iter()
        .filter(|n| n % prime != 0)
        .try_for_each(|n| to.send(n));
}

fn primes_up_to_the_500th() -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let (tx, mut numbers) = chan::bounded(0);
    let stopped = stop.clone();
    go(move || {
        let _ = (2..)
            .take_while(|_| !stopped.load(Ordering::Relaxed))
            .try_for_each(|n| tx.send(n));
    });
    let mut prime = 0;
    for i in 0..500 {
        prime = numbers.recv().expect("numbers do not end");
        if i < 499 {
            let (to, next) = chan::bounded(0);
            let from = core::mem::replace(&mut numbers, next);
            go(move || filter(from, to, prime));
        }
    }
    stop.store(true, Ordering::Relaxed);
    prime
}

/// The prime sieve up to the 500th prime.
#[gosched::bench]
fn sieve(b: &mut Bencher) {
    b.iter(|| assert_eq!(primes_up_to_the_500th(), 3571));
}

#[gosched::bench]
fn sieve_p1(b: &mut Bencher) {
    on_one_p(|| b.iter(|| assert_eq!(primes_up_to_the_500th(), 3571)));
}

fn fib(n: u64, out: &Sender<u64>) {
    if n < 2 {
        let _ = out.send(n);
        return;
    }
    let (tx, rx) = chan::bounded(0);
    let other = tx.clone();
    go(move || fib(n - 1, &tx));
    go(move || fib(n - 2, &other));
    let sum = rx.recv().unwrap_or(0) + rx.recv().unwrap_or(0);
    let _ = out.send(sum);
}

fn tree() {
    let (tx, rx) = chan::bounded(0);
    go(move || fib(20, &tx));
    assert_eq!(rx.recv(), Ok(6765));
}

/// fib(20) by a goroutine for each call: 21,891 of them.
#[gosched::bench]
fn spawn_tree(b: &mut Bencher) {
    b.iter(tree);
}

#[gosched::bench]
fn spawn_tree_p1(b: &mut Bencher) {
    on_one_p(|| b.iter(tree));
}

gosched::bench_main!();
