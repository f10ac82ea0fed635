//! The `go` statement: goroutines run everywhere, in any number, each once, with what they
//! captured.
//!
//! Everything is bounded by counted work. Where several CPUs must take part, goroutines stay busy
//! until they have, since a CPU of an emulated machine may need milliseconds to wake.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::{black_box, spin_loop};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};
use gosched::{go, runtime};

/// As many goroutines as there are Ps stay busy until each CPU has been seen running one.
#[gosched::test]
fn every_cpu_runs_goroutines() {
    const TURNS: usize = 200_000_000;
    let ps = runtime::gomaxprocs(0);
    let seen = Arc::new(AtomicU64::new(0));
    let wg = WaitGroup::new();
    for _ in 0..ps {
        let seen = seen.clone();
        wg.go(move || {
            for _ in 0..TURNS {
                let cpu = 1 << runtime::cpu();
                if seen.load(Ordering::Relaxed) & cpu == 0 {
                    seen.fetch_or(cpu, Ordering::Relaxed);
                }
                if seen.load(Ordering::Relaxed).count_ones() as usize >= ps {
                    return;
                }
                spin_loop();
            }
        });
    }
    wg.wait();
    let seen = seen.load(Ordering::Relaxed);
    assert_eq!(
        seen.count_ones() as usize,
        ps,
        "CPUs that ran a goroutine: {seen:#b}"
    );
}

/// A hundred goroutines start a thousand each: each runs once, under a number of its own.
#[gosched::test]
fn a_hundred_thousand_from_a_hundred() {
    const PARENTS: usize = 100;
    const CHILDREN: usize = 1000;
    let ids: Arc<[AtomicU64]> = (0..PARENTS * CHILDREN).map(|_| AtomicU64::new(0)).collect();
    let wg = WaitGroup::new();
    for parent in 0..PARENTS {
        let (ids, group) = (ids.clone(), wg.clone());
        wg.go(move || {
            for child in 0..CHILDREN {
                let ids = ids.clone();
                group.go(move || {
                    let old =
                        ids[parent * CHILDREN + child].swap(runtime::goid(), Ordering::Relaxed);
                    assert_eq!(old, 0, "a goroutine ran twice");
                });
            }
        });
    }
    wg.wait();
    let mut ids: Vec<u64> = ids.iter().map(|id| id.load(Ordering::Relaxed)).collect();
    ids.sort_unstable();
    assert_ne!(ids[0], 0, "a goroutine did not run");
    assert!(
        ids.windows(2).all(|pair| pair[0] < pair[1]),
        "two goroutines had the same number"
    );
}

/// A million that do next to nothing, a thousand at a time.
#[gosched::test(timeout_s = 120)]
fn a_million_short_ones() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    const ROUNDS: usize = 1000;
    const EACH: usize = 1000;
    for _ in 0..ROUNDS {
        let wg = WaitGroup::new();
        for i in 0..EACH {
            wg.go(move || {
                SUM.fetch_add(i, Ordering::Relaxed);
            });
        }
        wg.wait();
    }
    assert_eq!(
        SUM.load(Ordering::Relaxed),
        ROUNDS * (EACH * (EACH - 1) / 2)
    );
}

/// Each goroutine starts the next and ends (Go: `BenchmarkCreateGoroutines`).
#[gosched::test]
fn a_chain_of_a_hundred_thousand() {
    fn link(left: usize, done: WaitGroup) {
        match left {
            0 => done.done(),
            _ => go(move || link(left - 1, done)),
        }
    }
    let done = WaitGroup::new();
    done.add(1);
    link(100_000, done.clone());
    done.wait();
}

/// The children of a goroutine that never parks run all the same: others steal them, or it is
/// preempted. Without either there is nobody else to run them.
#[gosched::test]
fn a_busy_parent_does_not_keep_its_children() {
    use gosched::sched::preempt::{self, Mode};
    if preempt::mode() == Mode::Off && runtime::gomaxprocs(0) == 1 {
        gosched::println!("skipped: needs preemption or a second P");
        return;
    }
    const CHILDREN: usize = 100;
    const TURNS: usize = 2_000_000_000;
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..CHILDREN {
        let ran = ran.clone();
        go(move || {
            ran.fetch_add(1, Ordering::Relaxed);
        });
    }
    for _ in 0..TURNS {
        if ran.load(Ordering::Relaxed) == CHILDREN {
            return;
        }
        runtime::safepoint();
    }
    panic!("{} of {CHILDREN} children ran", ran.load(Ordering::Relaxed));
}

/// The main goroutine waits for this test, or is just about to.
#[gosched::test]
fn the_main_goroutine_is_number_1() {
    let mut dump = runtime::stack(true);
    for _ in 0..1000 {
        if dump.contains("\ngoroutine 1 [sync.WaitGroup.Wait") {
            break;
        }
        time::sleep(Duration::from_millis(1));
        dump = runtime::stack(true);
    }
    assert!(
        dump.contains("\ngoroutine 1 [sync.WaitGroup.Wait"),
        "{dump}"
    );
    assert!(runtime::goid() > 1);
}

/// The bytes of a closure arrive as they were, wherever they are kept on the way.
fn arrives<const N: usize>() {
    let bytes: [u8; N] = core::array::from_fn(|i| (i * 7 + N) as u8);
    let wg = WaitGroup::new();
    wg.go(move || {
        for (i, byte) in black_box(&bytes).iter().enumerate() {
            assert_eq!(*byte, (i * 7 + N) as u8, "byte {i} of {N}");
        }
    });
    wg.wait();
}

/// Around the limit up to which closures are written to the new stack, and the sizes that round.
#[gosched::test]
fn closures_of_all_sizes() {
    macro_rules! sizes { ($($n:literal)*) => { $(arrives::<$n>();)* } }
    sizes!(0 1 2 3 7 8 9 15 16 17 31 33 63 64 65 127 128 129 255 256 511 512 1000 1001 1002 1003);
    sizes!(1004 1005 1006 1007 1008 1009 1010 1011 1012 1013 1014 1015 1016 1017 1018 1019 1020);
    sizes!(1021 1022 1023 1024 1025 1026 1032 1040 1088 2047 2048 4095 4096 4097 8192 16384 32768);
}

#[gosched::test]
fn closures_of_all_alignments() {
    macro_rules! aligned {
        ($($align:literal)*) => { $({
            #[repr(align($align))]
            struct Aligned(u64);
            let value = Aligned($align);
            let wg = WaitGroup::new();
            wg.go(move || {
                let value = black_box(&value);
                assert_eq!((&raw const *value).addr() % $align, 0, "alignment {}", $align);
                assert_eq!(value.0, $align);
            });
            wg.wait();
        })* };
    }
    aligned!(8 16 32 64 128 256 512 1024 4096 8192);
}

struct CountsDrops(Arc<AtomicUsize>);

impl Drop for CountsDrops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a closure owns is dropped once: small closures, that live on the new stack, and boxed ones.
#[gosched::test]
fn captured_values_are_dropped_once() {
    const EACH: usize = 1000;
    let drops = Arc::new(AtomicUsize::new(0));
    let wg = WaitGroup::new();
    for i in 0..EACH {
        let (small, large) = (CountsDrops(drops.clone()), CountsDrops(drops.clone()));
        let ballast = [i; 200];
        wg.go(move || {
            black_box(&small);
        });
        wg.go(move || {
            black_box((&large, &ballast));
        });
    }
    wg.wait();
    // The group is done before the values of its last closures are dropped.
    for _ in 0..1_000_000 {
        if drops.load(Ordering::Relaxed) == 2 * EACH {
            break;
        }
        runtime::gosched();
    }
    assert_eq!(drops.load(Ordering::Relaxed), 2 * EACH);
    assert_eq!(Arc::strong_count(&drops), 1);
}

/// Goexit ends its goroutine and nobody else, also deep in calls.
#[gosched::test]
fn goexit_ends_one_goroutine() {
    fn deep(n: usize) -> usize {
        if n == 0 {
            runtime::goexit()
        } else {
            black_box(deep(n - 1)) + 1
        }
    }
    let before = runtime::num_goroutine();
    let after = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let after = after.clone();
        go(move || {
            deep(n);
            after.fetch_add(1, Ordering::Relaxed);
        });
    }
    for _ in 0..1_000_000 {
        if runtime::num_goroutine() <= before {
            break;
        }
        runtime::gosched();
    }
    assert!(runtime::num_goroutine() <= before);
    assert_eq!(after.load(Ordering::Relaxed), 0, "goexit returned");
}

gosched::test_main!();
