//! The scheduler is changed while goroutines run, sleep and wait for each other.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gosched::sched::model::{self, Model};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};
use gosched::{chan, go, runtime};

const MODELS: [Model; 3] = [Model::Single, Model::Global, Model::Gmp];

/// Plays ping-pong over channels until told to stop; counts hits.
fn play(stop: &AtomicBool, hits: &AtomicU64) {
    let (ping, pings) = chan::bounded(0);
    let (pong, pongs) = chan::bounded(0);
    go(move || {
        let _ = pings.iter().try_for_each(|ball: u64| pong.send(ball + 1));
    });
    while !stop.load(Ordering::Relaxed) {
        let ball = hits.load(Ordering::Relaxed);
        ping.send(ball).expect("the partner plays until we stop");
        let back = pongs.recv().expect("the partner returns every ball");
        assert_eq!(back, ball + 1);
        // With preempt=off a pair that readies each other would keep its P for ever.
        if hits.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) {
            runtime::gosched();
        }
    }
}

#[gosched::test]
fn the_scheduler_changes_under_load() {
    let (before, procs) = (model::get(), runtime::gomaxprocs(0));
    let stop = Arc::new(AtomicBool::new(false));
    let hits = Arc::new(AtomicU64::new(0));
    let all = WaitGroup::new();
    for _ in 0..20 {
        let (stop, hits) = (stop.clone(), hits.clone());
        all.go(move || play(&stop, &hits));
        let spawned = all.clone();
        all.go(move || {
            for _ in 0..20 {
                time::sleep(Duration::from_micros(500));
                spawned.go(runtime::gosched);
            }
        });
    }
    for round in 0..60 {
        let model = MODELS[round % MODELS.len()];
        let procs = 1 + round % runtime::num_cpu();
        model::switch(model, procs);
        assert_eq!(model::get(), model);
        let expected = if model == Model::Single { 1 } else { procs };
        assert_eq!(runtime::gomaxprocs(0), expected);
        let seen = hits.load(Ordering::Relaxed);
        while hits.load(Ordering::Relaxed) == seen {
            runtime::gosched();
        }
    }
    model::switch(before, procs);
    stop.store(true, Ordering::Relaxed);
    all.wait();
    assert_eq!((model::get(), runtime::gomaxprocs(0)), (before, procs));
}

/// With more goroutines ready than any ring holds, none is lost on the way to another scheduler.
#[gosched::test]
fn full_queues_change_hands() {
    const GOROUTINES: u64 = 2_000;
    let (before, procs) = (model::get(), runtime::gomaxprocs(0));
    let ran = Arc::new(AtomicU64::new(0));
    for model in MODELS {
        let all = WaitGroup::new();
        for _ in 0..GOROUTINES {
            let ran = ran.clone();
            all.go(move || {
                ran.fetch_add(1, Ordering::Relaxed);
            });
        }
        model::switch(model, procs);
        all.wait();
    }
    model::switch(before, procs);
    assert_eq!(ran.load(Ordering::Relaxed), 3 * GOROUTINES);
}

gosched::test_main!();
