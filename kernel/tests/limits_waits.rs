//! As many waits as there can be: a hundred thousand timers, channels of a million values, and ten
//! thousand goroutines that want one mutex or one channel.
//!
//! All of them count: each timer fires as often as it should, each value arrives once and in its
//! order, and nobody is served twice before all were served once.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use common::{Procs, Random, await_waiting, eventually, has_steady_clock, rounds};
use gosched::chan::{self, Receiver, Sender, TryRecvError, TrySendError};
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration, Instant, Timer};
use gosched::{mem, runtime};

// ---- Timers -------------------------------------------------------------------------------------

fn timers() -> usize {
    rounds(100_000)
}

/// What the function of a timer notes.
struct Fired {
    times: AtomicU32,
    /// When last.
    at_ns: AtomicU64,
    /// By which goroutine. On one P each goroutine has a greater number than those made before, and
    /// a timer makes its when it fires: so the numbers are in the order of firing.
    goid: AtomicU64,
}

/// A timer, and what is known of when it is due: it was armed between two looks at the clock.
struct Armed {
    timer: Timer,
    due: (u64, u64),
    /// How often it is to fire.
    expected: u32,
}

/// Calls `arm`, and says between which instants a timer is due that it arms for `d`.
fn due_between<T>(d: Duration, arm: impl FnOnce() -> T) -> (T, (u64, u64)) {
    let d_ns = d.as_nanos() as u64;
    let before = runtime::nanotime() + d_ns;
    let armed = arm();
    (armed, (before, runtime::nanotime() + d_ns))
}

/// Arms all timers, then stops every third and resets every other third. The longest are due after
/// `d`, while some of the others come due meanwhile.
fn arm_all(fired: &Arc<Vec<Fired>>, d: Duration) -> Vec<Armed> {
    let mut random = Random::new(7);
    let mut all: Vec<Armed> = Vec::with_capacity(fired.len());
    for i in 0..fired.len() {
        let fired = fired.clone();
        let note = move || {
            let fired = &fired[i];
            fired.at_ns.store(runtime::nanotime(), Ordering::Relaxed);
            fired.goid.store(runtime::goid(), Ordering::Relaxed);
            fired.times.fetch_add(1, Ordering::Relaxed);
        };
        let in_a_while = random.micros(d.as_micros() as u64);
        let (timer, due) = due_between(in_a_while, || Timer::after_func(in_a_while, note));
        all.push(Armed {
            timer,
            due,
            expected: 1,
        });
    }
    for armed in all.iter_mut().step_by(3) {
        // True: it will not fire. False: it has fired.
        armed.expected = u32::from(!armed.timer.stop());
    }
    for armed in all.iter_mut().skip(1).step_by(3) {
        let later = d + random.micros(d.as_micros() as u64);
        let (was_armed, due) = due_between(later, || armed.timer.reset(later));
        armed.due = due;
        armed.expected = if was_armed { 1 } else { 2 };
    }
    all
}

/// Arms a hundred thousand and waits until all have fired that are to. Returns what they noted.
fn fire_all(d: Duration) -> (Vec<Armed>, Arc<Vec<Fired>>) {
    let new = |_| Fired {
        times: AtomicU32::new(0),
        at_ns: AtomicU64::new(0),
        goid: AtomicU64::new(0),
    };
    let fired = Arc::new((0..timers()).map(new).collect::<Vec<_>>());
    let all = arm_all(&fired, d);
    let times = || -> u64 {
        let times = fired.iter().map(|one| one.times.load(Ordering::Relaxed));
        times.map(u64::from).sum()
    };
    let expected = all.iter().map(|one| u64::from(one.expected)).sum();
    assert!(
        eventually(|| times() >= expected),
        "{} of {expected} have fired",
        times()
    );
    // What fires now fires too much.
    time::sleep(Duration::from_millis(50));
    for (i, (armed, fired)) in all.iter().zip(fired.iter()).enumerate() {
        let times = fired.times.load(Ordering::Relaxed);
        assert_eq!(times, armed.expected, "timer {i} fired {times} times");
        let at = fired.at_ns.load(Ordering::Relaxed);
        let early = times > 0 && at < armed.due.0;
        assert!(
            !early,
            "timer {i} was due after {}, not at {at}",
            armed.due.0
        );
    }
    (all, fired)
}

/// A timer that is lost in the heap when others are taken out of its middle, fires after it was
/// stopped, twice, or at the time it had before a reset.
#[gosched::test(timeout_s = 180)]
fn a_hundred_thousand_timers_fire_once_each() {
    // Where it takes long to arm so many, most have fired before they can be stopped.
    for d in [800, 4_000, 20_000] {
        let (all, _) = fire_all(Duration::from_millis(d));
        let stopped = all.iter().step_by(3).filter(|one| one.expected == 0);
        if stopped.count() > timers() / 30 {
            return;
        }
    }
    panic!("hardly any could be stopped");
}

/// A heap whose order breaks at some depth. On one P: between the heaps of several there is no
/// order, as in Go.
#[gosched::test(timeout_s = 180)]
fn a_hundred_thousand_timers_fire_in_order() {
    let _one = Procs::new(1);
    let (all, fired) = fire_all(Duration::from_millis(800));
    let mut order: Vec<usize> = (0..timers()).filter(|&i| all[i].expected == 1).collect();
    assert!(order.len() > timers() / 3);
    order.sort_unstable_by_key(|&i| fired[i].goid.load(Ordering::Relaxed));
    let mut latest = 0;
    for i in order {
        let (not_before, not_after) = all[i].due;
        assert!(
            latest <= not_after,
            "timer {i}, due before {not_after}, fired behind one that was due after {latest}"
        );
        latest = latest.max(not_before);
    }
}

// ---- Channels -----------------------------------------------------------------------------------

fn values() -> usize {
    rounds(1_000_000)
}

/// A value with a check of its own, so that one that was overwritten shows.
fn value(n: usize) -> (u64, u64) {
    (n as u64, !(n as u64).rotate_left(17))
}

/// Fills the channel with a million values and empties it again, in order.
fn fill_and_drain(tx: &Sender<(u64, u64)>, rx: &Receiver<(u64, u64)>) {
    let values = values();
    for n in 0..values {
        tx.try_send(value(n)).unwrap();
    }
    assert_eq!((tx.len(), rx.len()), (values, values));
    match tx.capacity() {
        Some(_) => {
            assert!(tx.is_full());
            assert_eq!(tx.try_send((0, 0)), Err(TrySendError::Full((0, 0))));
        }
        None => assert!(!tx.is_full()),
    }
    for n in 0..values {
        assert_eq!(rx.try_recv(), Ok(value(n)));
    }
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
}

/// Memory of the heap that was in use before and is not given back.
fn not_given_back(before: usize) -> usize {
    mem::usage().heap_used.saturating_sub(before)
}

/// A ring or a list of blocks that miscounts at its end, drops a value, or keeps its memory.
#[gosched::test(timeout_s = 120)]
fn a_channel_holds_a_million_values() {
    let values = values();
    for bounded in [true, false] {
        let before = mem::usage().heap_used;
        let (tx, rx) = match bounded {
            true => chan::bounded(values),
            false => chan::unbounded(),
        };
        fill_and_drain(&tx, &rx);
        // The second round begins amid the ring.
        tx.send(value(0)).unwrap();
        assert_eq!(rx.recv(), Ok(value(0)));
        fill_and_drain(&tx, &rx);
        // Dropped while it is full: its values go with it.
        for n in 0..values {
            tx.try_send(value(n)).unwrap();
        }
        drop((tx, rx));
        let kept = not_given_back(before);
        assert!(
            kept < 1 << 20,
            "{kept} bytes of a channel did not come back"
        );
    }
}

/// The same from all sides: senders on all CPUs fill it, receivers empty it, at the same time. Each
/// value arrives once, and those of one sender in their order.
#[gosched::test(timeout_s = 180)]
fn a_million_values_from_many_to_many() {
    const SENDERS: usize = 8;
    let values = values();
    for (tx, rx) in [chan::bounded(values), chan::unbounded()] {
        let arrived: Arc<Vec<AtomicBool>> =
            Arc::new((0..values).map(|_| AtomicBool::new(false)).collect());
        let all = WaitGroup::new();
        for sender in 0..SENDERS {
            let tx = tx.clone();
            all.go(move || {
                for n in (sender..values).step_by(SENDERS) {
                    tx.send(value(n)).unwrap();
                }
            });
        }
        drop(tx);
        for _ in 0..SENDERS {
            let (rx, arrived) = (rx.clone(), arrived.clone());
            all.go(move || {
                // The next that each sender could have sent.
                let mut next = [0; SENDERS];
                for got in rx {
                    let n = got.0 as usize;
                    assert_eq!(got, value(n));
                    assert!(n >= next[n % SENDERS], "{n} came behind a later one");
                    next[n % SENDERS] = n + 1;
                    let again = arrived[n].swap(true, Ordering::Relaxed);
                    assert!(!again, "{n} arrived twice");
                }
            });
        }
        all.wait();
        assert!(arrived.iter().all(|one| one.load(Ordering::Relaxed)));
    }
}

// ---- Contention ---------------------------------------------------------------------------------

fn many() -> usize {
    rounds(10_000)
}

/// Ten thousand want one mutex, again and again; the sum is right.
#[gosched::test(timeout_s = 180)]
fn ten_thousand_want_one_mutex() {
    let many = many();
    let times = rounds(20);
    let sum = Arc::new(Mutex::new(0_u64));
    let all = WaitGroup::new();
    for _ in 0..many {
        let sum = sum.clone();
        all.go(move || {
            for _ in 0..times {
                // In two steps: whoever else is in here takes one away.
                let mut sum = sum.lock();
                let before = *sum;
                core::hint::black_box(&sum);
                *sum = before + 1;
            }
        });
    }
    all.wait();
    assert_eq!(*sum.lock(), (many * times) as u64);
}

/// Go's bound: a waiter that runs for the mutex after more than 1 ms and finds that another was
/// quicker is handed it, and then all who wait get it in their order. So while ten thousand wait,
/// who comes again stands behind all of them.
///
/// Each holder lets others run, so a waiter that was woken does run for it. On one P and without
/// chaos, where it does so at once: a waiter is passed over, by Go's rule, for as long as it has
/// not begun to run, which on a CPU that was asleep may be for ever.
#[gosched::test(timeout_s = 180)]
fn ten_thousand_get_a_mutex_in_turn() {
    const TIMES: usize = 3;
    if !has_steady_clock() {
        return;
    }
    let _one = Procs::new(1);
    let many = many();
    let passed_over = many / 100;
    let grants = Arc::new(Mutex::new(Vec::with_capacity(TIMES * many)));
    let held = grants.lock();
    let all = WaitGroup::new();
    for me in 0..many {
        let grants = grants.clone();
        all.go(move || {
            for _ in 0..TIMES {
                let mut grants = grants.lock();
                grants.push(me);
                runtime::gosched();
            }
        });
    }
    await_waiting(many, "sync.Mutex.Lock");
    time::sleep(Duration::from_millis(2));
    drop(held);
    all.wait();
    let grants = grants.lock();
    let mut got = vec![0; many];
    let mut served = 0;
    for (at, &who) in grants.iter().enumerate() {
        got[who] += 1;
        served += usize::from(got[who] == 1);
        let all_served_by = many + passed_over;
        assert!(
            at < all_served_by || served == many,
            "{served} of {many} after {at} grants"
        );
    }
    assert!(got.iter().all(|&n| n == TIMES));
}

/// Ten thousand receivers that wait, then ten thousand senders: everyone is served once before
/// anyone is served twice, since who comes again goes to the end of the queue.
#[gosched::test(timeout_s = 180)]
fn ten_thousand_at_one_channel_are_served_in_turn() {
    let many = many();
    let (tx, rx) = chan::bounded::<usize>(0);
    let first = Arc::new((0..many).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    let all = WaitGroup::new();
    for me in 0..many {
        let (rx, first) = (rx.clone(), first.clone());
        all.go(move || {
            first[me].store(rx.recv().unwrap(), Ordering::Relaxed);
            rx.recv().unwrap();
        });
    }
    await_waiting(many, "chan receive");
    for n in 0..2 * many {
        tx.send(n).unwrap();
    }
    all.wait();
    let firsts = first.iter().map(|n| n.load(Ordering::Relaxed));
    assert!(firsts.clone().all(|n| n < many), "somebody was passed over");
    assert_eq!(firsts.sum::<usize>(), many * (many - 1) / 2);

    for me in 0..many {
        let tx = tx.clone();
        all.go(move || (0..2).for_each(|_| tx.send(me).unwrap()));
    }
    await_waiting(many, "chan send");
    let mut got = vec![0; many];
    for n in 0..2 * many {
        let who = rx.recv().unwrap();
        got[who] += 1;
        assert_eq!(got[who], 1 + n / many, "sender {who} is not in turn at {n}");
    }
    all.wait();
}

/// Ten thousand and a buffer of few: senders and receivers take turns at both ends, and the sum of
/// what goes through is right.
#[gosched::test(timeout_s = 180)]
fn ten_thousand_at_one_small_buffer() {
    let many = many();
    let times = rounds(10);
    let start = Instant::now();
    let (tx, rx) = chan::bounded::<u64>(3);
    let sum = Arc::new(AtomicU64::new(0));
    let all = WaitGroup::new();
    for me in 0..many / 2 {
        let (tx, rx, sum) = (tx.clone(), rx.clone(), sum.clone());
        all.go(move || {
            for n in 0..times {
                tx.send((me * times + n) as u64).unwrap();
            }
        });
        all.go(move || {
            for _ in 0..times {
                sum.fetch_add(rx.recv().unwrap(), Ordering::Relaxed);
            }
        });
    }
    all.wait();
    let n = (many / 2 * times) as u64;
    assert_eq!(sum.load(Ordering::Relaxed), n * (n - 1) / 2);
    assert!(rx.is_empty(), "after {:?}", start.elapsed());
}

gosched::test_main!();
