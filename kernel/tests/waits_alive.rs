//! Nobody who could still be woken is ever called deadlocked, wherever that is hidden which can
//! wake him, and whatever runs meanwhile.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;
mod load;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};

use common::{Slice, rounds};
use gosched::chan::{self, Receiver, Sender};
use gosched::coro::Coroutine;
use gosched::runtime;
use gosched::sync::{Condvar, Mutex, OnceLock, Semaphore, WaitGroup};
use gosched::time::{self, Duration};
use gosched::{go, goroutine_local, park, park_timeout, spawn};
use load::{Load, deadlock_of};

const MS: Duration = Duration::from_millis(1);

/// A receiver, and what ends its wait: `keep` puts the sender wherever it likes and gives a
/// function that sends from there.
fn stays_alive<T: Send + 'static>(keep: impl FnOnce(Sender<u32>) -> T, end: impl FnOnce(T)) {
    let (tx, rx) = chan::bounded(0);
    let kept = keep(tx);
    let receiver = spawn(move || rx.recv());
    check_alive(receiver.id());
    end(kept);
    assert_eq!(receiver.join().unwrap(), Ok(7));
}

/// It is in no deadlock, whenever one looks.
#[inline(never)]
fn check_alive(goid: u64) {
    for _ in 0..rounds(8) {
        if let Some(deadlock) = deadlock_of(goid) {
            panic!("goroutine {goid} is called deadlocked:\n{deadlock}");
        }
        time::sleep(MS / 5);
    }
}

/// A sender in a static, in a box in a vector in an `Arc` of one who sleeps, on the stack of one
/// who runs, and in one that was not run yet.
#[gosched::test]
fn senders_in_statics_and_with_others() {
    static KEPT: Mutex<Option<Sender<u32>>> = Mutex::new(None);
    let _load = Load::churning();
    stays_alive(
        |tx| *KEPT.lock() = Some(tx),
        |()| KEPT.lock().take().unwrap().send(7).unwrap(),
    );
    stays_alive(
        |tx| {
            let nested = Arc::new(vec![Box::new(vec![tx])]);
            go(move || {
                time::sleep(20 * MS);
                nested[0][0].send(7).unwrap();
            });
        },
        |()| (),
    );
    stays_alive(
        |tx| {
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = stop.clone();
            go(move || {
                while !stopped.load(Ordering::Relaxed) {
                    core::hint::spin_loop();
                }
                tx.send(7).unwrap();
            });
            stop
        },
        |stop| stop.store(true, Ordering::Relaxed),
    );
}

goroutine_local!(static LOCAL: RefCell<Option<Sender<u32>>> = const { RefCell::new(None) });

/// A sender in a timer's function, in a goroutine's local, in a coroutine that is suspended.
#[gosched::test]
fn senders_in_timers_locals_and_coroutines() {
    let _load = Load::churning();
    stays_alive(
        |tx| {
            time::Timer::after_func(20 * MS, move || tx.send(7).unwrap());
        },
        |()| (),
    );
    stays_alive(
        |tx| {
            go(move || {
                LOCAL.set(Some(tx));
                time::sleep(20 * MS);
                LOCAL.take().unwrap().send(7).unwrap();
            });
        },
        |()| (),
    );
    stays_alive(
        |tx| {
            let mut coroutine = Coroutine::new(move |yielder| {
                yielder.yield_(());
                tx.send(7).unwrap();
            });
            coroutine.resume();
            coroutine
        },
        |mut coroutine| assert!(coroutine.resume().is_none()),
    );
}

/// A sender in a message that waits in the buffer of a channel, or with a sender that waits.
#[gosched::test]
fn senders_in_messages() {
    let _load = Load::churning();
    for cap in [4, 0] {
        let (carrier, letters): (Sender<Sender<u32>>, Receiver<Sender<u32>>) = chan::bounded(cap);
        stays_alive(
            |tx| {
                go(move || carrier.send(tx).unwrap());
                time::sleep(MS);
                letters
            },
            |letters| letters.recv().unwrap().send(7).unwrap(),
        );
    }
    let (carrier, letters) = chan::unbounded::<Sender<u32>>();
    stays_alive(
        |tx| {
            carrier.send(tx).unwrap();
            letters
        },
        |letters| letters.recv().unwrap().send(7).unwrap(),
    );
}

/// Waits that time ends, for things that nobody else reaches.
#[gosched::test]
fn waits_with_limits() {
    let limited = [
        spawn(|| {
            let (tx, rx) = chan::bounded::<u32>(0);
            assert!(rx.recv_timeout(15 * MS).is_err());
            drop(tx);
        }),
        spawn(|| park_timeout(15 * MS)),
        spawn(|| assert!(chan::after(15 * MS).recv().is_ok())),
        spawn(|| {
            let (tx, rx) = chan::bounded::<u32>(0);
            gosched::select! {
                recv(rx) -> _ => unreachable!(),
                recv(chan::after(15 * MS)) -> _ => {}
            }
            drop(tx);
        }),
        spawn(|| {
            let mutex = Mutex::new(());
            let _held = mutex.lock();
            assert!(mutex.lock_timeout(15 * MS).is_none());
        }),
        spawn(|| assert!(!Semaphore::new(1).acquire_timeout(2, 15 * MS))),
    ];
    while limited.iter().any(|one| !one.is_finished()) {
        for one in &limited {
            if let Some(deadlock) = deadlock_of(one.id()) {
                panic!("a wait with a limit is called deadlocked:\n{deadlock}");
            }
        }
    }
    for one in limited {
        one.join().unwrap();
    }
}

/// Goroutines that wait for those who borrow from them, and for a mutex that many take in turn.
#[gosched::test]
fn scopes_and_contended_mutexes() {
    let _load = Load::churning();
    let done = Arc::new(AtomicBool::new(false));
    let (busy, stopped) = (Mutex::new(0u64), done.clone());
    let all = spawn(move || {
        gosched::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stopped.load(Ordering::Relaxed) {
                        *busy.lock() += 1;
                        runtime::gosched();
                    }
                });
            }
        });
    });
    let end = time::Instant::now() + 2000 * MS;
    while time::Instant::now() < end {
        // Nobody in this image is in a deadlock.
        if let Some(deadlock) = runtime::deadlocks().first() {
            panic!("called deadlocked:\n{deadlock}");
        }
    }
    done.store(true, Ordering::Relaxed);
    all.join().unwrap();
}

/// Traffic of every kind, looked at again and again in short slices: whoever is between two steps
/// of a wake-up is not lost to the look.
#[gosched::test]
fn nobody_among_many_that_go_on() {
    let _slice = Slice::of_us(200);
    let stop = Arc::new(AtomicBool::new(false));
    let group = WaitGroup::new();
    for n in 0..8usize {
        let stop = stop.clone();
        group.go(move || traffic(n, &stop));
    }
    let end = time::Instant::now() + 6000 * MS;
    while time::Instant::now() < end {
        // Nobody in this image is in a deadlock.
        if let Some(deadlock) = runtime::deadlocks().first() {
            panic!("called deadlocked:\n{deadlock}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    group.wait();
}

/// One of several ways to wait and be woken, until `stop`.
fn traffic(n: usize, stop: &AtomicBool) {
    static TURN: OnceLock<Mutex<u64>> = OnceLock::new();
    let turn = TURN.get_or_init(|| Mutex::new(0));
    while !stop.load(Ordering::Relaxed) {
        match n % 4 {
            0 => {
                let (tx, rx) = chan::bounded(0);
                let sender = spawn(move || tx.send(n).unwrap());
                assert_eq!(rx.recv(), Ok(n));
                sender.join().unwrap();
            }
            1 => {
                let mut turn = turn.lock();
                *turn += 1;
                runtime::gosched();
            }
            2 => {
                let parked = gosched::current();
                let waker = spawn(move || parked.unpark());
                park();
                waker.join().unwrap();
            }
            _ => {
                let pair = Arc::new((Mutex::new(false), Condvar::new()));
                let other = pair.clone();
                go(move || {
                    *other.0.lock() = true;
                    other.1.notify_one();
                });
                drop(pair.1.wait_while(pair.0.lock(), |ready| !*ready));
            }
        }
    }
}

gosched::test_main!();
