//! The scheduler's promises: all CPUs work, everybody gets a turn, and the world can be stopped and
//! changed at any time. Runs under all three schedulers (`sched=`).
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use common::{Procs, applies, has_procs};
use gosched::chan;
use gosched::runtime;
use gosched::sched::preempt::{self, Mode};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};
use gosched::{go, sched::SCHED};

/// As many goroutines as there are Ps, which pass a counter round by spinning: each must really run
/// at the same time as all others (Go's TestGoroutineParallelism).
fn pass_round(procs: usize, rounds: u32) {
    let turn = Arc::new(AtomicU32::new(0));
    let group = WaitGroup::new();
    for me in 0..procs as u32 {
        let turn = turn.clone();
        group.go(move || {
            for round in 0..rounds {
                let expected = round * procs as u32 + me;
                while turn.load(Ordering::Acquire) != expected {
                    hint::spin_loop();
                }
                turn.store(expected + 1, Ordering::Release);
            }
        });
    }
    group.wait();
}

#[gosched::test]
fn as_many_goroutines_as_ps_run_at_once() {
    let procs = runtime::gomaxprocs(0).min(4);
    if has_procs(2) {
        for _ in 0..5 {
            pass_round(procs, 10);
        }
    }
}

/// The same right after all CPUs were loaded with short goroutines (Go's
/// TestGoroutineParallelism2).
#[gosched::test]
fn they_still_do_after_a_load() {
    let procs = runtime::gomaxprocs(0).min(4);
    if !has_procs(2) {
        return;
    }
    for _ in 0..3 {
        let load = WaitGroup::new();
        for _ in 0..procs * 50 {
            load.go(|| {
                for _ in 0..1000 {
                    hint::spin_loop();
                }
            });
        }
        load.wait();
        pass_round(procs, 10);
    }
}

#[gosched::test]
fn every_p_runs_goroutines_when_there_is_work() {
    let procs = runtime::gomaxprocs(0);
    let ran: Arc<[AtomicUsize; 64]> = Arc::new([const { AtomicUsize::new(0) }; 64]);
    let done = || ran.iter().filter(|n| n.load(Ordering::Relaxed) > 0).count() >= procs;
    // Each M that finds work wakes the next. On a host with fewer CPUs, of which others want a
    // part, the last one is awake only when the work has lasted for some turns of each: there is
    // more and more of it.
    let start = Instant::now();
    let mut work = procs * 10;
    while start.elapsed() < Duration::from_secs(40) {
        let group = WaitGroup::new();
        for _ in 0..work {
            let ran = ran.clone();
            group.go(move || {
                ran[runtime::cpu()].fetch_add(1, Ordering::Relaxed);
                let end = runtime::nanotime() + 200_000;
                while runtime::nanotime() < end {}
            });
        }
        group.wait();
        if done() {
            return;
        }
        work += procs;
    }
    panic!("some CPU never ran a goroutine: {ran:?}");
}

/// Go's TestYieldProgress and TestYieldLockedProgress: who only yields lets others run.
#[gosched::test]
fn a_yielding_loop_lets_others_run_locked_or_not() {
    for locked in [false, true] {
        let stop = Arc::new(AtomicBool::new(false));
        let group = WaitGroup::new();
        let seen = stop.clone();
        group.go(move || {
            if locked {
                runtime::lock_os_thread();
            }
            while !seen.load(Ordering::Relaxed) {
                runtime::gosched();
            }
            if locked {
                runtime::unlock_os_thread();
            }
        });
        time::sleep(Duration::from_millis(2));
        stop.store(true, Ordering::Relaxed);
        group.wait();
    }
}

/// Go's TestBlockLocked and TestYieldLocked: a locked goroutine blocks, sleeps and yields again and
/// again, and so does its peer, on however few CPUs.
#[gosched::test]
fn locked_goroutines_block_sleep_and_yield() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let group = WaitGroup::new();
    for _ in 0..2 {
        let rx = rx.clone();
        group.go(move || {
            runtime::lock_os_thread();
            let cpu = runtime::cpu();
            for i in rx {
                assert_eq!(runtime::cpu(), cpu, "a locked goroutine was moved");
                match i % 50 {
                    0 => time::sleep(Duration::from_micros(10)),
                    1 => runtime::gosched(),
                    _ => {}
                }
            }
            runtime::unlock_os_thread();
        });
    }
    runtime::lock_os_thread();
    for i in 0..2000 {
        tx.send(i).unwrap();
    }
    runtime::unlock_os_thread();
    drop(tx);
    group.wait();
}

/// Nothing else runs on the M of a locked goroutine, as long as another M can.
#[gosched::test]
fn a_locked_goroutine_has_its_cpu_for_itself() {
    if !has_procs(2) {
        return;
    }
    runtime::lock_os_thread();
    let cpu = runtime::cpu();
    let group = WaitGroup::new();
    for _ in 0..100 {
        group.go(move || assert_ne!(runtime::cpu(), cpu, "somebody else on a locked M"));
    }
    group.wait();
    runtime::unlock_os_thread();
}

#[gosched::test]
fn lock_os_thread_nests() {
    runtime::lock_os_thread();
    runtime::lock_os_thread();
    runtime::unlock_os_thread();
    let cpu = runtime::cpu();
    for _ in 0..100 {
        runtime::gosched();
        assert_eq!(runtime::cpu(), cpu, "one unlock undid two locks");
    }
    runtime::unlock_os_thread();
    runtime::unlock_os_thread(); // one too many does nothing
}

#[gosched::test]
fn pinned_goroutines_stay_and_share() {
    let cpus = if runtime::gomaxprocs(0) == 1 {
        1
    } else {
        runtime::num_cpu()
    };
    let group = WaitGroup::new();
    for i in 0..cpus * 8 {
        group.go(move || {
            let _pin = runtime::pin(i % cpus);
            for n in 0..50 {
                assert_eq!(runtime::cpu(), i % cpus);
                if n % 10 == 0 {
                    time::sleep(Duration::from_micros(20));
                }
                runtime::gosched();
            }
        });
    }
    group.wait();
}

/// Go's TestPingPongHog: on one P a busy pair that readies itself for ever does not starve a light
/// one: `runnext` shares the slice.
#[gosched::test]
fn a_busy_pair_does_not_starve_a_light_one() {
    let _procs = Procs::new(1);
    let done = Arc::new(AtomicBool::new(false));
    let pair = |spin: u32| {
        let (ping, pings) = chan::bounded::<()>(0);
        let (pong, pongs) = chan::bounded::<()>(0);
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, done) = (count.clone(), done.clone());
        go(move || {
            for () in pings {
                counted.fetch_add(1, Ordering::Relaxed);
                if pong.send(()).is_err() {
                    break;
                }
            }
        });
        go(move || {
            while !done.load(Ordering::Relaxed) {
                for _ in 0..spin {
                    hint::spin_loop();
                }
                if ping.send(()).is_err() || pongs.recv().is_err() {
                    break;
                }
            }
        });
        count
    };
    let (hog, light) = (pair(200), pair(0));
    for _ in 0..1000 {
        time::sleep(Duration::from_millis(10));
        let (hog, light) = (hog.load(Ordering::Relaxed), light.load(Ordering::Relaxed));
        if hog > 500 && light > 500 {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    let (hog, light) = (hog.load(Ordering::Relaxed), light.load(Ordering::Relaxed));
    assert!(
        hog > 500 && light > 500,
        "{hog} hits of the busy pair, {light} of the light one"
    );
}

/// The world is stopped and changed again and again under load, from two goroutines at once (Go's
/// TestStopTheWorldDeadlock).
#[gosched::test]
fn gomaxprocs_changes_under_load_from_two_goroutines() {
    if !applies(preempt::mode() == Mode::Async, "preempt=async") {
        return;
    }
    let all = runtime::gomaxprocs(0);
    let stop = Arc::new(AtomicBool::new(false));
    let load = WaitGroup::new();
    for i in 0..2 * all {
        let stop = stop.clone();
        load.go(move || {
            while !stop.load(Ordering::Relaxed) {
                match i % 3 {
                    0 => {}
                    1 => runtime::gosched(),
                    _ => time::sleep(Duration::from_micros(30)),
                }
            }
        });
    }
    let changers = WaitGroup::new();
    for _ in 0..2 {
        changers.go(move || {
            for i in 0..30 {
                runtime::gomaxprocs(1 + i % all);
                runtime::gosched();
            }
        });
    }
    changers.wait();
    stop.store(true, Ordering::Relaxed);
    load.wait();
    runtime::gomaxprocs(all);
    assert_eq!(runtime::gomaxprocs(0), all);
}

/// Go's TestNumGoroutine: the count equals the number of stacks in a full dump.
#[gosched::test]
fn the_count_equals_the_stacks_of_a_dump() {
    let gate = WaitGroup::new();
    gate.add(1);
    let group = WaitGroup::new();
    for _ in 0..20 {
        let gate = gate.clone();
        group.go(move || gate.wait());
    }
    let equal = common::eventually(|| {
        let stacks = runtime::stack(true)
            .lines()
            .filter(|l| l.starts_with("goroutine "))
            .count();
        stacks == runtime::num_goroutine() && stacks >= 22
    });
    gate.done();
    group.wait();
    assert!(equal, "the dump and the count never agreed");
}

/// Go's TestMainGoroutineID and TestNoHelperGoroutines: the runtime has no goroutines of its own.
#[gosched::test]
fn there_are_no_goroutines_but_the_programs() {
    let dump = runtime::stack(true);
    assert!(dump.contains("goroutine 1 ["), "{dump}");
    let alone = common::eventually(|| runtime::num_goroutine() == 2);
    assert!(alone, "main and this test: {}", runtime::stack(true));
    assert_eq!(SCHED.ngsys.load(Ordering::Relaxed), 0);
}

/// Goroutines that exit while locked free their M, and the next users of their Gs are not locked.
#[gosched::test]
fn ending_while_locked_frees_the_m() {
    let group = WaitGroup::new();
    for _ in 0..50 {
        group.go(runtime::lock_os_thread);
    }
    group.wait();
    let group = WaitGroup::new();
    for _ in 0..50 {
        group.go(runtime::gosched);
    }
    group.wait();
}

/// Two goroutines that start each other keep the local queue busy; one in the global queue gets its
/// turn all the same.
#[gosched::test]
fn the_global_queue_is_not_starved_by_a_chain() {
    const LINKS: usize = 1_000_000;
    fn link(left: usize, stop: Arc<AtomicBool>, gave_up: Arc<AtomicBool>, wg: WaitGroup) {
        if left == 0 {
            gave_up.store(true, Ordering::Relaxed);
        }
        if left == 0 || stop.load(Ordering::Relaxed) {
            wg.done();
            return;
        }
        go(move || link(left - 1, stop, gave_up, wg));
    }
    let _one = Procs::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let gave_up = Arc::new(AtomicBool::new(false));
    let wg = WaitGroup::new();
    wg.add(1);
    link(LINKS, stop.clone(), gave_up.clone(), wg.clone());
    for _ in 0..5 {
        runtime::gosched(); // to the end of the global queue
    }
    stop.store(true, Ordering::Relaxed);
    wg.wait();
    assert!(
        !gave_up.load(Ordering::Relaxed),
        "{LINKS} links came before one global turn"
    );
}

/// A ring of a thousand goroutines passes a token round.
#[gosched::test]
fn a_token_goes_round_a_thousand() {
    const MEMBERS: usize = 1000;
    const LAPS: usize = 30;
    let (first, mut left) = chan::bounded::<usize>(0);
    for _ in 0..MEMBERS {
        let (right, next) = chan::bounded(0);
        go(move || {
            for token in left {
                right.send(token + 1).expect("the ring is closed");
            }
        });
        left = next;
    }
    let mut token = 0;
    for lap in 1..=LAPS {
        first.send(token).expect("the ring is closed");
        token = left.recv().expect("the ring is closed");
        assert_eq!(token, lap * MEMBERS);
    }
}

/// The concurrent prime sieve (Go: `test/chan/sieve1.go`).
#[gosched::test]
fn the_prime_sieve() {
    fn filter(from: chan::Receiver<u32>, to: chan::Sender<u32>, prime: u32) {
        for n in from.into_iter().filter(|n| !n.is_multiple_of(prime)) {
            if to.send(n).is_err() {
                return;
            }
        }
    }
    let (tx, mut rx) = chan::bounded(0);
    go(move || {
        for n in 2.. {
            if tx.send(n).is_err() {
                return;
            }
        }
    });
    let mut primes = Vec::new();
    for _ in 0..200 {
        let prime = rx.recv().expect("there are more primes");
        primes.push(prime);
        let (to, next) = chan::bounded(0);
        go(move || filter(rx, to, prime));
        rx = next;
    }
    assert_eq!(primes[..10], [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
    assert_eq!(primes[199], 1223);
}

gosched::test_main!();
