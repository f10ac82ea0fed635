//! Profiles: what is counted is what happened, and taking them changes nothing.
#![no_std]
#![no_main]

extern crate alloc;

mod common;
mod profiles;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Procs, applies, eventually, has_steady_clock};
use gosched::runtime::pprof::{self, Labels, Profile, StartError};
use gosched::sched::SCHED;
use gosched::sched::labels;
use gosched::sched::preempt::{self, Mode};
use gosched::sync::WaitGroup;
use gosched::time::Instant;
use gosched::{chan, go, runtime};
use profiles::{Hogs, burn, sleep_ms, sum, with_function};

fn needs_preemption() -> bool {
    applies(preempt::mode() != Mode::Off, "preemption")
}

fn profiled(hz: u32, f: impl FnOnce()) -> Profile {
    pprof::start_cpu_profile(hz).expect("no profile is being taken");
    f();
    pprof::stop_cpu_profile().expect("it was started")
}

/// CPU time must be charged to who uses it, all of it and no more: catches samples that are lost
/// by a timer that nobody sets again, and samples that are taken twice.
#[gosched::test]
fn hogs_get_the_time_of_their_cpus() {
    if !needs_preemption() || !has_steady_clock() {
        return;
    }
    let n = runtime::gomaxprocs(0);
    let hogs = Hogs::new(n);
    sleep_ms(50);
    let profile = profiled(200, || sleep_ms(1000));
    drop(hogs);
    let wall = profile.stacks().duration_ns * n as u64;
    let all = sum(&profile, 1, |_| true);
    let hogs = sum(&profile, 1, |s| s.labels.get("test") == Some("hog"));
    assert_eq!(profile.stacks().dropped, 0);
    assert!(hogs * 10 > all * 8, "{hogs} of {all} ns are the hogs'");
    assert!(all * 10 > wall * 7, "{all} of {wall} ns are counted");
    assert!(all * 10 < wall * 11, "{all} of {wall} ns are counted");
    // What is inlined into it has a share of its own: which leads depends on the machine's rate.
    let top = profile.top(10);
    let burn = |line: &&str| line.contains("profiles::burn kernel/tests/profiles/mod.rs:");
    let line = top.lines().find(burn).expect(&top);
    let mut words = line.split_whitespace().rev();
    let with_callees = words.find_map(|word| word.strip_suffix('%')).expect(&top);
    assert!(with_callees.parse::<f64>().expect(&top) > 80.0, "{top}");
}

/// CPUs that halt are no time of anybody.
#[gosched::test]
fn idle_cpus_are_not_sampled() {
    let profile = profiled(1000, || sleep_ms(500));
    let wall = profile.stacks().duration_ns * runtime::num_cpu() as u64;
    let all = sum(&profile, 1, |_| true);
    assert!(all * 2 < wall, "{all} of {wall} ns are counted");
}

/// The stack of a sample must go down to the goroutine's first function: catches callers that are
/// left out before a prologue and after an epilogue.
#[gosched::test]
fn callers_are_there_at_every_instruction() {
    if !needs_preemption() || !has_steady_clock() {
        return;
    }
    #[inline(never)]
    fn outer(stop: &AtomicBool) -> u64 {
        let mut n = 0u64;
        while !stop.load(Ordering::Relaxed) {
            n += middle(n);
        }
        n
    }
    #[inline(never)]
    fn middle(n: u64) -> u64 {
        black_box(leaf(n)) + 1
    }
    #[inline(never)]
    fn leaf(n: u64) -> u64 {
        black_box(n & 1)
    }
    let stop = Arc::new(AtomicBool::new(false));
    let group = WaitGroup::new();
    let theirs = Arc::clone(&stop);
    pprof::with_labels(&[("test", "nest")], || {
        group.go(move || {
            black_box(outer(&theirs));
        });
    });
    let profile = profiled(2000, || sleep_ms(1000));
    stop.store(true, Ordering::Relaxed);
    group.wait();
    let (mut leaves, mut broken) = (0, 0);
    for block in with_function(&profile, "::leaf\t") {
        let count: u64 = block
            .split(' ')
            .next()
            .and_then(|n| n.rsplit('\n').next())
            .and_then(|n| n.parse().ok())
            .unwrap_or(1);
        leaves += count;
        if !(block.contains("::middle\t") && block.contains("::outer\t")) {
            broken += count;
        }
    }
    assert!(leaves > 20, "{leaves} samples in the leaf");
    assert!(broken * 50 <= leaves, "{broken} of {leaves} lack a caller");
}

/// Samples must neither end a slice nor keep it from ending.
#[gosched::test]
fn slices_are_as_long_with_samples_as_without() {
    let no_chaos = SCHED.chaos.load(Ordering::Relaxed) == 0;
    if !needs_preemption() || !applies(no_chaos, "no chaos, which ends slices by itself") {
        return;
    }
    let _procs = Procs::new(1);
    let asked = || -> u64 { runtime::stats().ps.iter().map(|p| p.preempt_asked).sum() };
    let hogs = Hogs::new(2);
    let during = |f: &dyn Fn()| {
        let (before, start) = (asked(), Instant::now());
        f();
        (asked() - before) as f64 / start.elapsed().as_secs_f64()
    };
    let without = during(&|| sleep_ms(700));
    let with = during(&|| drop(profiled(5000, || sleep_ms(700))));
    drop(hogs);
    assert!(without > 20.0, "{without} slices a second");
    // The collector runs 50 times a second, and each time cuts a slice short.
    assert!(
        with < without * 2.0 + 60.0,
        "{with} slices a second, {without} without"
    );
    assert!(
        with > without / 2.0,
        "{with} slices a second, {without} without"
    );
}

/// A goroutine must not notice: registers, flags and memory stay as they are.
#[gosched::test]
fn samples_change_no_registers() {
    if !needs_preemption() || !has_steady_clock() {
        return;
    }
    #[inline(never)]
    fn series(seed: u64) -> u64 {
        // Eight running sums, in as many registers.
        let mut sums = [1.0f64; 8];
        for i in 0..40_000u64 {
            let x = ((i ^ seed) & 1023) as f64 + 0.5;
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = *sum * 0.999 + x / (k as f64 + 1.25);
            }
        }
        sums.iter()
            .fold(0, |hash, sum| hash.wrapping_mul(31) ^ sum.to_bits())
    }
    let expected: Vec<u64> = (0..4).map(series).collect();
    let wrong = Arc::new(AtomicUsize::new(0));
    let mut samples = 0;
    for _ in 0..40 {
        let profile = profiled(pprof::MAX_HZ, || {
            let group = WaitGroup::new();
            for seed in 0..4u64 {
                let (wrong, expected) = (Arc::clone(&wrong), expected[seed as usize]);
                group.go(move || {
                    for _ in 0..80 {
                        let differs = series(black_box(seed)) != expected;
                        wrong.fetch_add(usize::from(differs), Ordering::Relaxed);
                    }
                });
            }
            group.wait();
        });
        samples += sum(&profile, 0, |_| true);
        if samples > 40_000 {
            break;
        }
    }
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
    assert!(samples > 10_000, "{samples} samples");
}

/// Starting and stopping is safe at any time, and gives back all that the interrupts took.
#[gosched::test]
fn a_thousand_profiles_under_load() {
    let mut set = Labels::new();
    set.insert("test", "counted");
    let set = Arc::new(set);
    let before = labels::set(Some(Arc::clone(&set)));
    assert!(before.is_none());
    let (ping, pings) = chan::bounded::<u32>(0);
    let (pong, pongs) = chan::bounded::<u32>(0);
    go(move || pings.iter().for_each(|n| assert!(pong.send(n).is_ok())));
    for i in 0..common::rounds(1000) {
        pprof::start_cpu_profile(10_000).expect("no profile is being taken");
        assert_eq!(
            pprof::start_cpu_profile(100),
            Err(StartError::AlreadyRunning)
        );
        for n in 0..(i % 7) as u32 {
            ping.send(n).expect("the other side listens");
            assert_eq!(pongs.recv(), Ok(n));
        }
        black_box(burn(2000));
        assert!(pprof::stop_cpu_profile().is_some());
        assert!(pprof::stop_cpu_profile().is_none());
    }
    drop(ping);
    assert!(
        pongs.recv().is_err(),
        "the other side has ended, and its labels are gone"
    );
    drop(labels::set(None));
    // Records that came late are dropped by the next profile.
    let alone = eventually(|| {
        drop(profiled(100, || ()));
        Arc::strong_count(&set) == 1
    });
    assert!(
        alone,
        "{} counts of the labels are left",
        Arc::strong_count(&set)
    );
    assert_eq!(pprof::start_cpu_profile(0), Err(StartError::BadRate));
    assert_eq!(
        pprof::start_cpu_profile(pprof::MAX_HZ + 1),
        Err(StartError::BadRate)
    );
}

gosched::test_main!();
