//! Stopping the world and changing how many Ps there are, at any time and under any load: nobody is
//! lost, and nothing is left on a P that goes.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::has_procs;
use gosched::sched::model::{self, Model};
use gosched::sched::preempt::{self, Mode};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};
use gosched::{chan, runtime};

/// Busy, and to be stopped by whatever the mode has; without preemption that is itself.
fn hog_for_a_moment() {
    (0..1000).for_each(|_| spin_loop());
    match preempt::mode() {
        Mode::Async => {}
        Mode::Coop => runtime::safepoint(),
        Mode::Off => runtime::gosched(),
    }
}

/// The number of Ps changes all the time while goroutines work, wait, sleep and start others.
#[gosched::test]
fn gomaxprocs_changes_under_load() {
    const CHANGES: usize = 60;
    let most = runtime::gomaxprocs(0);
    let stop = Arc::new(AtomicBool::new(false));
    let sum = Arc::new(AtomicUsize::new(0));
    let wg = WaitGroup::new();
    for kind in 0..4 * runtime::num_cpu() {
        let (stop, sum, group) = (stop.clone(), sum.clone(), wg.clone());
        wg.go(move || {
            while !stop.load(Ordering::Relaxed) {
                match kind % 4 {
                    0 => runtime::gosched(),
                    1 => time::sleep(Duration::from_micros(100)),
                    2 => hog_for_a_moment(),
                    _ => {
                        let (tx, rx) = chan::bounded(0);
                        group.go(move || tx.send(1).expect("the receiver waits"));
                        sum.fetch_add(rx.recv().expect("the sender sends"), Ordering::Relaxed);
                    }
                }
            }
        });
    }
    for i in 0..CHANGES {
        let n = 1 + i % most;
        runtime::gomaxprocs(n);
        assert_eq!(runtime::gomaxprocs(0), n);
        runtime::gosched();
    }
    runtime::gomaxprocs(most);
    stop.store(true, Ordering::Relaxed);
    wg.wait();
}

#[gosched::test]
fn gomaxprocs_tells_the_old_number_and_keeps_to_the_cpus() {
    let before = runtime::gomaxprocs(0);
    if model::get() == Model::Single {
        assert_eq!(
            (before, runtime::gomaxprocs(2), runtime::gomaxprocs(0)),
            (1, 1, 1)
        );
        return;
    }
    assert_eq!(runtime::gomaxprocs(1), before);
    assert_eq!(runtime::gomaxprocs(0), 1);
    assert_eq!(runtime::gomaxprocs(usize::MAX), 1);
    assert_eq!(runtime::gomaxprocs(0), runtime::num_cpu());
    assert_eq!(runtime::stats().ps.len(), runtime::num_cpu());
    runtime::gomaxprocs(before);
}

/// Go's `TestStopTheWorldDeadlock`: two goroutines stop the world against each other, while others
/// yield and sleep.
#[gosched::test]
fn the_world_is_stopped_from_two_sides() {
    const STOPS: usize = 100;
    if !has_procs(2) {
        return;
    }
    let most = runtime::gomaxprocs(0);
    let stop = Arc::new(AtomicBool::new(false));
    let (stoppers, others) = (WaitGroup::new(), WaitGroup::new());
    for side in 0..2 {
        stoppers.go(move || {
            for i in 0..STOPS {
                runtime::gomaxprocs(1 + (i + side) % most);
            }
        });
        let stop = stop.clone();
        others.go(move || {
            while !stop.load(Ordering::Relaxed) {
                runtime::gosched();
                time::sleep(Duration::from_micros(10));
            }
        });
    }
    stoppers.wait();
    stop.store(true, Ordering::Relaxed);
    others.wait();
    runtime::gomaxprocs(most);
}

/// What was queued on a P, and slept on its timers, goes on when the P is retired.
#[gosched::test]
fn a_retired_p_leaves_nobody_behind() {
    if !has_procs(2) {
        return;
    }
    let most = runtime::gomaxprocs(0);
    for _ in 0..20 {
        let wg = WaitGroup::new();
        for i in 0..200 {
            wg.go(move || {
                runtime::gosched();
                time::sleep(Duration::from_micros(i % 7 * 300));
                runtime::gosched();
            });
        }
        runtime::gomaxprocs(1);
        wg.wait();
        runtime::gomaxprocs(most);
    }
}

gosched::test_main!();
