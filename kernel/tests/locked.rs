//! Goroutines that belong to one CPU: `lock_os_thread`, which keeps others away, and `pin`, which
//! does not.
//!
//! Here Go's rule meets a fixed number of Ms, so the interesting cases are those with more locked
//! goroutines than Ms, where a thread of Go's would be started.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{applies, eventually};
use gosched::sched::SCHED;
use gosched::sched::disable::{self, MAX_JOBS};
use gosched::sched::g::getg;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};
use gosched::{chan, runtime};

/// More goroutines are locked to Ms than there are Ms to spare, and all of them wait and yield.
#[gosched::test]
fn many_locked_goroutines_make_progress() {
    const TURNS: usize = 100;
    let wg = WaitGroup::new();
    for _ in 0..3 * runtime::num_cpu() {
        wg.go(|| {
            for i in 0..TURNS {
                runtime::lock_os_thread();
                let cpu = runtime::cpu();
                if i % 10 == 0 {
                    time::sleep(Duration::from_micros(50));
                } else {
                    runtime::gosched();
                }
                assert_eq!(runtime::cpu(), cpu);
                runtime::unlock_os_thread();
                runtime::gosched();
            }
        });
    }
    wg.wait();
}

/// A job is stopped that has locked CPUs: catches one that waits for its goroutine for ever.
#[gosched::test]
fn a_stopped_goroutine_gives_its_cpu_back() {
    const JOB: u32 = MAX_JOBS - 1;
    let is_locked = || {
        let mut ms = SCHED.allm();
        ms.any(|m| m.lockedg.load(Ordering::Relaxed).is_some())
    };
    let n = runtime::num_cpu();
    let started = Arc::new(AtomicUsize::new(0));
    for _ in 0..n {
        let started = started.clone();
        gosched::go(move || {
            getg().job.store(JOB, Ordering::Relaxed);
            runtime::lock_os_thread();
            started.fetch_add(1, Ordering::Relaxed);
            loop {
                runtime::gosched();
            }
        });
    }
    assert!(eventually(|| started.load(Ordering::Relaxed) == n));
    assert_eq!(disable::stop_job(JOB), (n, true));
    assert!(eventually(|| !is_locked()));
}

/// Two goroutines, each locked, hand over to each other.
#[gosched::test]
fn two_locked_goroutines_play_ping_pong() {
    const TURNS: usize = 1000;
    let (ping, pings) = chan::bounded(0);
    let (pong, pongs) = chan::bounded(0);
    let wg = WaitGroup::new();
    wg.go(move || {
        runtime::lock_os_thread();
        for i in pings {
            pong.send(i + 1).expect("the other side stays");
        }
    });
    wg.go(move || {
        runtime::lock_os_thread();
        for i in 0..TURNS {
            ping.send(i).expect("the other side stays");
            assert_eq!(pongs.recv(), Ok(i + 1));
        }
    });
    wg.wait();
}

/// While a goroutine is locked to an M nothing else runs there, also when it sleeps.
#[gosched::test]
fn nothing_else_runs_where_one_is_locked() {
    if !applies(runtime::num_cpu() >= 2, "2 CPUs") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let home = Arc::new(AtomicUsize::new(usize::MAX));
    let wg = WaitGroup::new();
    for _ in 0..2 * runtime::num_cpu() {
        let (stop, home) = (stop.clone(), home.clone());
        wg.go(move || {
            while !stop.load(Ordering::Relaxed) {
                let guard = runtime::preempt_off();
                assert_ne!(runtime::cpu(), home.load(Ordering::SeqCst));
                drop(guard);
                runtime::gosched();
            }
        });
    }
    for _ in 0..20 {
        runtime::lock_os_thread();
        home.store(runtime::cpu(), Ordering::SeqCst);
        for _ in 0..5 {
            time::sleep(Duration::from_micros(200));
            runtime::gosched();
        }
        home.store(usize::MAX, Ordering::SeqCst);
        runtime::unlock_os_thread();
        runtime::gosched();
    }
    stop.store(true, Ordering::Relaxed);
    wg.wait();
}

/// Go's `TestLockOSThreadNesting`.
#[gosched::test]
fn locking_nests() {
    let locked = || runtime::stack(false).contains("locked to thread");
    runtime::unlock_os_thread();
    assert!(!locked());
    runtime::lock_os_thread();
    runtime::lock_os_thread();
    assert!(locked());
    runtime::unlock_os_thread();
    assert!(locked());
    let cpu = runtime::cpu();
    for _ in 0..100 {
        runtime::gosched();
        assert_eq!(runtime::cpu(), cpu);
    }
    runtime::unlock_os_thread();
    assert!(!locked());
    runtime::unlock_os_thread();
    runtime::lock_os_thread();
    assert!(locked(), "an unlock too many counted");
    runtime::unlock_os_thread();
    assert!(!locked());
}

/// A goroutine that ends while locked leaves its M to the others, on every CPU.
#[gosched::test]
fn an_m_outlives_its_locked_goroutine() {
    for _ in 0..20 {
        let wg = WaitGroup::new();
        for _ in 0..2 * runtime::num_cpu() {
            wg.go(|| {
                runtime::lock_os_thread();
                runtime::lock_os_thread();
                runtime::gosched();
            });
        }
        wg.wait();
    }
    for cpu in 0..runtime::num_cpu() {
        drop(runtime::pin(cpu));
    }
}

#[gosched::test]
fn pin_moves_to_every_cpu_and_keeps_it() {
    let wg = WaitGroup::new();
    for start in 0..2 * runtime::num_cpu() {
        wg.go(move || {
            for i in 0..3 * runtime::num_cpu() {
                let cpu = (start + i) % runtime::num_cpu();
                let _guard = runtime::pin(cpu);
                assert_eq!(runtime::cpu(), cpu);
                runtime::gosched();
                assert_eq!(runtime::cpu(), cpu);
                time::sleep(Duration::from_micros(20));
                assert_eq!(runtime::cpu(), cpu);
            }
        });
    }
    wg.wait();
}

/// An inner pin ends where the outer one still holds.
#[gosched::test]
fn pins_nest() {
    let last = runtime::num_cpu() - 1;
    let outer = runtime::pin(0);
    let inner = runtime::pin(last);
    assert_eq!(runtime::cpu(), last);
    drop(inner);
    assert_eq!(
        runtime::cpu(),
        0,
        "the outer guard keeps the goroutine on its CPU"
    );
    drop(outer);
}

/// Others run on the CPU of a pinned goroutine, which is what sets it apart from a locked one.
#[gosched::test]
fn a_pinned_goroutine_shares_its_cpu() {
    for cpu in 0..runtime::num_cpu() {
        let _guard = runtime::pin(cpu);
        let wg = WaitGroup::new();
        wg.go(move || {
            let _guard = runtime::pin(cpu);
            assert_eq!(runtime::cpu(), cpu);
        });
        wg.wait();
        assert_eq!(runtime::cpu(), cpu);
    }
}

#[gosched::test]
#[should_panic(expected = "which does not run")]
fn pin_to_a_cpu_that_is_not_there() {
    let _guard = runtime::pin(runtime::num_cpu());
}

gosched::test_main!();
