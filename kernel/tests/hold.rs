//! Holding CPUs where they are: they stand for as long as they are held, go on as if nothing had
//! been, and whoever asks, in whatever state whoever is asked, nobody waits for ever.
//!
//! What each test would catch: a register or flag lost on the way through the NMI (`registers`), a
//! CPU that runs on while it is said to stand (`stand`), a hold that waits for a lock of a CPU that
//! stands, two holders that hold each other, an NMI that finds its request gone and is taken for
//! the hardware's (`everybody_asks`), a halt that is not resumed (`halted`).
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use common::{Slice, applies, rounds};
use gosched::arch::{self, Held, Place};
use gosched::chan;
use gosched::go;
use gosched::runtime;
use gosched::sched::SCHED;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};

const ALL: u64 = u64::MAX;
/// The host may not run a CPU for as long.
const PATIENCE_NS: u64 = 1_000_000_000;

/// No part of a test goes on for longer: with more CPUs than the host has, a hold takes as long as
/// the host's time slices.
const BUDGET: Duration = Duration::from_secs(4);

/// The numbers below `n`, as far as there is time.
fn in_time(n: usize) -> impl Iterator<Item = usize> {
    let end = arch::nanotime() + BUDGET.as_nanos() as u64;
    (0..n).take_while(move |_| arch::nanotime() < end)
}

fn count(held: &Held) -> usize {
    (0..arch::MAX_CPUS)
        .filter(|&cpu| held.frame(cpu).is_some())
        .count()
}

fn spin_ns(ns: u64) {
    let end = arch::nanotime() + ns;
    while arch::nanotime() < end {
        arch::pause();
    }
}

/// Eight registers, four of xmm and the carry flag go through a loop that leaves them alone.
fn keeps_registers(seed: u64) -> bool {
    let words: [u64; 8] = core::array::from_fn(|i| seed.rotate_left(7 * i as u32) ^ i as u64);
    let mut after = words;
    let mut wide = [0u64; 4];
    let mut turns = 2000u64;
    // SAFETY: changes the registers that it names.
    unsafe {
        asm!(
            "movq xmm4, r8", "movq xmm5, r9", "movq xmm6, r10", "movq xmm15, r11",
            "stc",
            "2:", "lea rcx, [rcx - 1]", "jrcxz 3f", "jmp 2b",
            "3:", "setc cl", "movzx ecx, cl",
            "movq rax, xmm4", "movq rdx, xmm5", "movq rsi, xmm6", "movq rdi, xmm15",
            inout("rcx") turns,
            inout("r8") after[0], inout("r9") after[1], inout("r10") after[2],
            inout("r11") after[3], inout("r12") after[4], inout("r13") after[5],
            inout("r14") after[6], inout("r15") after[7],
            out("rax") wide[0], out("rdx") wide[1], out("rsi") wide[2], out("rdi") wide[3],
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm15") _,
            options(nostack, nomem)
        );
    }
    turns == 1 && after == words && wide == words[..4]
}

/// Work that must come out right, on all Ps, until `stop`: registers, messages, memory, halts, and
/// interrupts off. Returns what to wait for.
fn load(stop: &Arc<AtomicBool>) -> WaitGroup {
    let done = WaitGroup::new();
    let spawn = |body: fn(u64)| {
        let (stop, done) = (Arc::clone(stop), done.clone());
        done.add(1);
        go(move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                body(n);
            }
            done.done();
        });
    };
    for _ in 0..runtime::num_cpu() {
        spawn(|n| assert!(keeps_registers(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        spawn(messages);
        spawn(|n| {
            let words: Vec<u64> = (0..64).map(|i| i ^ n).collect();
            assert_eq!(words.iter().map(|word| word ^ n).sum::<u64>(), 64 * 63 / 2);
        });
        spawn(|_| {
            // Or a safe point would switch to a goroutine whose interrupts are off then.
            let here = runtime::preempt_off();
            let flags = arch::irq::save();
            spin_ns(2_000);
            arch::irq::restore(flags);
            drop(here);
            time::sleep(Duration::from_micros(50));
        });
    }
    done
}

/// Ten numbers go through a goroutine and come back.
fn messages(n: u64) {
    let (to, from_here) = chan::bounded(n as usize % 3);
    let (back, here) = chan::bounded(0);
    go(move || {
        for value in &from_here {
            back.send(value + 1u64).expect("the reader is there");
        }
    });
    for value in 0..10u64 {
        to.send(value).expect("the goroutine reads");
        assert_eq!(here.recv(), Ok(value + 1));
    }
}

#[gosched::test]
fn alone_nobody_stands() {
    let held = arch::hold(0, Place::Anywhere, PATIENCE_NS, count);
    assert_eq!(held, 0);
    let _here = runtime::preempt_off();
    let held = arch::hold(1 << runtime::cpu(), Place::Anywhere, PATIENCE_NS, count);
    assert_eq!(held, 0, "the holder itself");
}

/// Each CPU counts; while they are held, no counter moves, and then all do.
#[gosched::test]
fn those_that_stand_stand() {
    let cpus = runtime::num_cpu();
    if !applies(
        cpus > 1 && runtime::gomaxprocs(0) == cpus,
        "a P on each of several CPUs",
    ) {
        return;
    }
    let counters: Arc<Vec<AtomicU64>> = Arc::new((0..cpus).map(|_| AtomicU64::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let done = WaitGroup::new();
    for _ in 0..cpus {
        let (counters, stop, done) = (counters.clone(), stop.clone(), done.clone());
        done.add(1);
        go(move || {
            while !stop.load(Ordering::Relaxed) {
                let _here = runtime::preempt_off();
                counters[runtime::cpu()].fetch_add(1, Ordering::Relaxed);
            }
            done.done();
        });
    }
    let read = || -> [u64; 64] {
        core::array::from_fn(|i| counters.get(i).map_or(0, |c| c.load(Ordering::Relaxed)))
    };
    let (mut stood, mut moved, mut all) = (0, 0, 0);
    for _ in in_time(rounds(500)) {
        all += cpus - 1;
        let before = read();
        let (cpus_held, first, second) = arch::hold(ALL, Place::Anywhere, PATIENCE_NS, |held| {
            let first = read();
            spin_ns(20_000);
            let second = read();
            let set = (0..64).filter(|&cpu| held.frame(cpu).is_some());
            (set.fold(0u64, |set, cpu| set | 1 << cpu), first, second)
        });
        for cpu in (0..cpus).filter(|cpu| cpus_held & 1 << cpu != 0) {
            assert_eq!(first[cpu], second[cpu], "CPU {cpu} ran while it was held");
            stood += 1;
            moved += usize::from(first[cpu] != before[cpu]);
        }
        time::sleep(Duration::from_micros(100));
    }
    stop.store(true, Ordering::Relaxed);
    done.wait();
    assert!(stood > all / 2, "only {stood} of {all} answered");
    assert!(moved > 0, "nobody ran between the holds");
}

/// One holds, the others work with short slices.
#[gosched::test]
fn work_comes_out_right() {
    let _slice = Slice::of_us(200);
    let stop = Arc::new(AtomicBool::new(false));
    let done = load(&stop);
    let (mut off, mut holds) = (0, 0);
    for round in in_time(rounds(3000)) {
        holds += 1;
        off += arch::hold(ALL, Place::Anywhere, PATIENCE_NS, |held| {
            let frames = (0..arch::MAX_CPUS).filter_map(|cpu| held.frame(cpu));
            frames.filter(|frame| frame.rflags & 1 << 9 == 0).count()
        });
        if round % 16 == 0 {
            runtime::gosched();
        }
    }
    stop.store(true, Ordering::Relaxed);
    done.wait();
    gosched::println!("{holds} holds; {off} times a CPU stood that had interrupts off");
}

/// All hold all at once, among work; some without patience, so that NMIs come late.
#[gosched::test]
fn everybody_asks() {
    let stop = Arc::new(AtomicBool::new(false));
    let work = load(&stop);
    let asked = Arc::new(AtomicUsize::new(0));
    let done = WaitGroup::new();
    let n = rounds(1000);
    for i in 0..2 * runtime::num_cpu() {
        let (asked, done) = (asked.clone(), done.clone());
        done.add(1);
        go(move || {
            for round in in_time(n) {
                let patience_ns = if (i + round) % 3 == 0 { 0 } else { PATIENCE_NS };
                asked.fetch_add(
                    arch::hold(ALL, Place::Anywhere, patience_ns, |_| 1),
                    Ordering::Relaxed,
                );
                if round % 8 == 0 {
                    runtime::gosched();
                }
            }
            done.done();
        });
    }
    done.wait();
    stop.store(true, Ordering::Relaxed);
    work.wait();
    let asked = asked.load(Ordering::Relaxed);
    gosched::println!("{asked} holds");
    assert!(asked >= 2 * runtime::num_cpu());
}

/// Among interrupts and switches in quick succession, CPUs stand outside of them if so asked.
#[gosched::test]
fn settled_ones_are_in_no_interrupt() {
    let _slice = Slice::of_us(100);
    let stop = Arc::new(AtomicBool::new(false));
    let done = load(&stop);
    let (mut stood, mut holds) = (0, 0);
    for round in in_time(rounds(1000)) {
        holds += 1;
        stood += arch::hold(ALL, Place::Settled, PATIENCE_NS, |held| {
            let frames = SCHED
                .allm()
                .filter_map(|m| held.frame(m.id()).map(|frame| (m, frame)));
            frames
                .inspect(|(m, frame)| assert!(frame.saved_g != m.gsignal.as_head()))
                .count()
        });
        if round % 16 == 0 {
            runtime::gosched();
        }
    }
    stop.store(true, Ordering::Relaxed);
    done.wait();
    let others = runtime::num_cpu() - 1;
    assert!(
        stood * 2 >= holds * others,
        "only {stood} stood in {holds} holds"
    );
}

/// CPUs that halt stand like the others, and halt again: the timer still ends a sleep.
#[gosched::test]
fn halted_cpus_stand_too() {
    for _ in in_time(rounds(50)) {
        let before = arch::nanotime();
        let stand = arch::hold(ALL, Place::Anywhere, PATIENCE_NS, count);
        assert!(stand < runtime::num_cpu().max(1));
        time::sleep(Duration::from_millis(1));
        assert!(arch::nanotime() - before >= 1_000_000);
    }
}

gosched::test_main!();
