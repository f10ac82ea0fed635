//! The goroutine, block and mutex profiles, and labels: what is counted is what happened.
#![no_std]
#![no_main]

extern crate alloc;

mod common;
mod profiles;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;

use common::await_waiting;
use gosched::runtime::pprof;
use gosched::sched::preempt::{self, Mode};
use gosched::sync::{Mutex, RwLock, WaitGroup};
use gosched::time::Instant;
use gosched::{chan, go, runtime};
use profiles::{Hogs, sleep_ms, sum, with_function};

/// Labels go to children, not to siblings, and are seen in dumps.
#[gosched::test]
fn labels_are_inherited_and_shown() {
    let (tx, rx) = chan::bounded::<()>(0);
    let (ready, readies) = chan::bounded(2);
    pprof::with_labels(&[("b", "two words"), ("a", "1")], || {
        let (rx, ready) = (rx.clone(), ready.clone());
        go(move || {
            pprof::with_labels(&[("a", "2")], || {
                let (rx, ready) = (rx.clone(), ready.clone());
                go(move || {
                    let _ = ready.send((pprof::label("a"), pprof::label("b")));
                    let _ = rx.recv();
                });
            });
            let _ = ready.send((pprof::label("a"), pprof::label("b")));
            let _ = rx.recv();
        });
    });
    assert!(pprof::current_labels().is_empty());
    go(move || assert!(pprof::current_labels().is_empty()));
    let mut found: Vec<_> = (0..2).filter_map(|_| readies.recv().ok()).collect();
    found.sort();
    let b = Some(String::from("two words"));
    let pair = |a: &str| (Some(String::from(a)), b.clone());
    assert_eq!(found, [pair("1"), pair("2")]);
    await_waiting(2, "chan receive");
    let dump = runtime::stack(true);
    for a in ["1", "2"] {
        let header = alloc::format!("[chan receive] {{a: {a}, b: \"two words\"}}:");
        assert!(dump.contains(&header), "{dump}");
    }
    let profile = pprof::lookup("goroutine").expect("there is such a profile");
    assert_eq!(
        sum(&profile, 0, |s| s.labels.get("b") == Some("two words")),
        2
    );
    drop(tx);
}

#[inline(never)]
fn wait_for(rx: &chan::Receiver<u32>) -> u32 {
    black_box(rx.recv().unwrap_or(0)) + 1
}

/// Equal stacks are one, and those that run are asked for theirs.
#[gosched::test]
fn the_goroutine_profile_counts_all() {
    let (tx, rx) = chan::bounded::<u32>(0);
    for _ in 0..7 {
        let rx = rx.clone();
        go(move || assert!(wait_for(&rx) > 0));
    }
    await_waiting(7, "chan receive");
    let hogs = Hogs::new(if preempt::mode() == Mode::Off { 0 } else { 2 });
    let profile = pprof::lookup("goroutine").expect("there is such a profile");
    let stacks = with_function(&profile, "pprof_counts::wait_for\t");
    assert!(
        stacks.len() == 1 && stacks[0].contains("7 @ 0x"),
        "{stacks:?}"
    );
    if preempt::mode() == Mode::Async {
        assert_eq!(sum(&profile, 0, |s| s.labels.get("test") == Some("hog")), 2);
    }
    let alive = runtime::num_goroutine() as u64;
    assert_eq!(profile.stacks().total(0), alive);
    drop(hogs);
    drop(tx);
}

/// Waits of a known pattern, `n` times `ms`, in a function of its own.
fn wait_in_pattern(n: u32, ms: u64) {
    let (tx, rx) = chan::bounded(0);
    let group = WaitGroup::new();
    group.go(move || {
        for _ in 0..n {
            black_box(wait_for(&rx));
        }
    });
    for i in 0..n {
        sleep_ms(ms);
        tx.send(i).expect("the other side waits");
    }
    group.wait();
}

/// The count and the delay of the stacks of the block profile that have the function.
fn counted(name: &str, function: &str) -> (u64, u64) {
    let profile = pprof::lookup(name).expect("there is such a profile");
    let number = |text: Option<&str>| text.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    with_function(&profile, function)
        .iter()
        .filter_map(|block| block.lines().find(|line| line.contains(" @ ")))
        .map(|line| {
            let mut words = line.split(' ');
            let delay = number(words.next());
            (number(words.next()), delay)
        })
        .fold((0, 0), |(n, d), (count, delay)| (n + count, d + delay))
}

/// As many waits as there were, of the time that they took; none while it is off.
#[gosched::test]
fn the_block_profile_counts_waits_while_it_is_on() {
    let before = counted("block", "pprof_counts::wait_for\t");
    wait_in_pattern(3, 1);
    assert_eq!(
        counted("block", "pprof_counts::wait_for\t"),
        before,
        "it is off"
    );
    runtime::set_block_profile_rate(1).expect("there is memory");
    wait_in_pattern(5, 20);
    runtime::set_block_profile_rate(0).expect("that takes none");
    let (count, delay_ns) = counted("block", "pprof_counts::wait_for\t");
    assert_eq!(count - before.0, 5);
    let delay_ms = (delay_ns - before.1) / 1_000_000;
    assert!((95..5_000).contains(&delay_ms), "{delay_ms} ms");
    let now = pprof::lookup("block")
        .expect("it is there")
        .stacks()
        .total(0);
    wait_in_pattern(3, 1);
    let later = pprof::lookup("block")
        .expect("it is there")
        .stacks()
        .total(0);
    assert_eq!(now, later, "it is off again");
}

/// Short waits count by chance, so that their sum is right on average.
#[gosched::test]
fn a_rate_samples_short_waits() {
    #[inline(never)]
    fn short_wait(rx: &chan::Receiver<u32>) -> u32 {
        black_box(rx.recv().unwrap_or(0)) + 1
    }
    const N: u64 = 2000;
    let wait = || {
        let (tx, rx) = chan::bounded(0);
        let group = WaitGroup::new();
        group.go(move || (0..N).for_each(|_| assert!(short_wait(&rx) > 0)));
        let start = Instant::now();
        for i in 0..N as u32 {
            runtime::gosched();
            tx.send(i).expect("the other side waits");
        }
        group.wait();
        start.elapsed().as_nanos() as u64
    };
    runtime::set_block_profile_rate(10_000_000).expect("there is memory");
    let total_ns = wait();
    runtime::set_block_profile_rate(0).expect("that takes none");
    let profile = pprof::lookup("block").expect("it is there");
    let stacks = with_function(&profile, "::short_wait\t");
    // Each one that counts stands for 10 ms.
    let (_, delay_ns) = counted("block", "::short_wait\t");
    assert!(
        delay_ns <= total_ns * 20 + 100_000_000,
        "{delay_ns} of {total_ns} ns: {stacks:?}"
    );
}

/// Contention is charged to the function that unlocks.
#[gosched::test]
fn the_mutex_profile_charges_who_unlocks() {
    #[inline(never)]
    fn holder(lock: &Mutex<u32>, waiting: impl FnOnce()) -> u32 {
        let guard = lock.lock();
        waiting();
        sleep_ms(20);
        drop(guard);
        black_box(1)
    }
    #[inline(never)]
    fn waiter(lock: &Mutex<u32>) -> u32 {
        black_box(*lock.lock()) + 1
    }
    let lock = Arc::new(Mutex::new(0));
    let pattern = || {
        for _ in 0..3 {
            let theirs = Arc::clone(&lock);
            let group = WaitGroup::new();
            holder(&lock, || {
                group.go(move || assert!(waiter(&theirs) > 0));
                await_waiting(1, "sync.Mutex.Lock");
            });
            group.wait();
        }
    };
    pattern();
    assert_eq!(counted("mutex", "::holder\t"), (0, 0), "it is off");
    let before = runtime::set_mutex_profile_fraction(1).expect("there is memory");
    pattern();
    let rw = Arc::new(RwLock::new(0));
    let guard = rw.write();
    let theirs = Arc::clone(&rw);
    let group = WaitGroup::new();
    group.go(move || assert!(*theirs.read() == 0));
    await_waiting(1, "sync.RWMutex.RLock");
    drop(guard);
    group.wait();
    assert_eq!(runtime::set_mutex_profile_fraction(before), Ok(1));
    let (count, delay_ns) = counted("mutex", "::holder\t");
    assert_eq!(count, 3);
    assert!(
        (55..5_000).contains(&(delay_ns / 1_000_000)),
        "{delay_ns} ns"
    );
    assert_eq!(counted("mutex", "::waiter\t"), (0, 0));
    assert!(
        counted("mutex", "RawRwLock::leave\t").0 >= 1,
        "a reader waited for the writer"
    );
}

gosched::test_main!();
