//! To the limits of the machine: `args="cpus 64"`, `args="memory 8192"`, `args="addresses"`,
//! `args="goroutines 1000000"`; `.ci/limits.sh` runs them on machines of all sizes. Each checks
//! what it comes to, and says it in its last line.
//!
//! Limits that no machine changes are for the suites `limits`, `limits_waits` and `limits_names`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::base::cmdline::options;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};
use gosched::{Builder, JoinHandle, chan, go, mem, park, println, runtime};

#[gosched::main]
fn main() {
    let mut words = options().args.as_deref().unwrap_or("").split(' ');
    let scenario = words.next().unwrap_or("");
    let n = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    match scenario {
        "cpus" => cpus(n),
        "memory" => memory(n),
        "addresses" => addresses(),
        "goroutines" => goroutines(n),
        _ => {
            println!("limits: no scenario {scenario:?}");
            runtime::exit(1)
        }
    }
}

// ---- CPUs ---------------------------------------------------------------------------------------

/// There are `n` CPUs, and all of them take part in all that there is.
fn cpus(n: usize) {
    assert_eq!((runtime::num_cpu(), runtime::gomaxprocs(0)), (n, n));
    pass_round(n, 10);
    grow_stacks(n);
    for procs in [1, n / 2 + 1, 2, n] {
        runtime::gomaxprocs(procs.min(n));
        assert_eq!(count_to(1000), 1000);
    }
    assert_eq!(runtime::gomaxprocs(0), n);
    spread(n);
    println!("limits: all of {n} CPUs took part");
}

/// A token goes round: each CPU gets it from the one before, mostly asleep, and hands it on.
fn pass_round(n: usize, rounds: usize) {
    let all = WaitGroup::new();
    let (first, mut before) = chan::bounded::<usize>(0);
    for cpu in 0..n {
        let (tx, rx) = chan::bounded(1);
        let from = core::mem::replace(&mut before, rx);
        all.go(move || {
            for token in from {
                let _here = runtime::pin(cpu);
                assert_eq!(runtime::cpu(), cpu);
                tx.send(token + 1).expect("the next one waits for it");
            }
        });
    }
    for round in 0..rounds {
        first.send(round * n).expect("the first one waits for it");
        assert_eq!(before.recv(), Ok((round + 1) * n));
    }
    drop(first);
    all.wait();
}

/// On all CPUs goroutines run into new pages of their stacks, which all others are to see.
fn grow_stacks(n: usize) {
    let all = WaitGroup::new();
    for me in 0..4 * n {
        all.go(move || {
            let pin = runtime::pin(me % n);
            let mut room = [me as u8; 100 << 10];
            drop(pin);
            black_box(&mut room);
            runtime::gosched();
            let _there = runtime::pin((me + n / 2) % n);
            assert!(room.iter().all(|&byte| byte == me as u8));
        });
    }
    all.wait();
}

/// So many goroutines count to their number.
fn count_to(n: usize) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let all = WaitGroup::new();
    for _ in 0..n {
        let count = count.clone();
        all.go(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    all.wait();
    count.load(Ordering::Relaxed)
}

/// One goroutine starts as many as there are CPUs, none of which gives way before all have begun:
/// so idle CPUs are woken until there is none.
fn spread(n: usize) {
    let there = Arc::new(AtomicUsize::new(0));
    let end = runtime::nanotime() + 200_000_000_000;
    let all = WaitGroup::new();
    for _ in 0..n {
        let there = there.clone();
        all.go(move || {
            let bit = || 1 << runtime::cpu();
            let all = || there.fetch_or(bit(), Ordering::Relaxed).count_ones() as usize == n;
            while !all() {
                let late = runtime::nanotime() >= end;
                assert!(
                    !late,
                    "{:#x} have taken work",
                    there.load(Ordering::Relaxed)
                );
                core::hint::spin_loop();
            }
        });
    }
    all.wait();
}

// ---- Memory -------------------------------------------------------------------------------------

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
/// What the boot stage, the image with its debug information, and the frames' own table may take.
const NOT_MANAGED: usize = 24 * MIB;
/// Goroutines that are enough.
const ENOUGH: usize = 200_000;

/// All of a machine's memory is there to be had, by blocks of two kinds, twice, and then by
/// goroutines; and whoever asks for more is told.
fn memory(mib: usize) {
    let usage = mem::usage();
    let machine = mib * MIB;
    let managed = usage.total + usage.frame_table;
    assert!(
        managed <= machine && machine <= managed + NOT_MANAGED,
        "{usage}"
    );
    let available = usage.available;
    let first = fill_with_blocks(available);
    let second = fill_with_blocks(available);
    assert!(
        first >= available / 100 * 95,
        "{first} of {available} bytes"
    );
    assert!(second >= first / 100 * 98, "{first} bytes, then {second}");
    let n = fill_with_goroutines(available);
    println!(
        "limits: {} of {mib} MiB in blocks, then {} goroutines",
        second / MIB,
        n
    );
}

/// Takes all memory in blocks of a MiB, and what is left in blocks of a page; writes to each page,
/// looks whether all is still there, and frees it. How many bytes it was.
fn fill_with_blocks(available: usize) -> usize {
    let mut large: Vec<Vec<usize>> = Vec::new();
    let mut small: Vec<Vec<usize>> = Vec::new();
    let rooms = large.try_reserve_exact(available / MIB + 1);
    rooms
        .and(small.try_reserve_exact(1024))
        .expect("it is a small part");
    while let Some(block) = new_block(MIB, large.len()) {
        large.push(block);
    }
    while small.len() < small.capacity()
        && let Some(block) = new_block(PAGE - 64, small.len())
    {
        small.push(block);
    }
    assert!(
        small.len() < small.capacity(),
        "a MiB was free, and refused"
    );
    for blocks in [&large, &small] {
        for (number, block) in blocks.iter().enumerate() {
            let intact = |(page, words): (usize, &[usize])| words[0] == mark(number, page);
            assert!(block.chunks(PAGE / 8).enumerate().all(intact));
        }
    }
    large.len() * MIB + small.len() * (PAGE - 64)
}

fn mark(block: usize, page: usize) -> usize {
    block << 20 | page
}

/// A block with a mark in each page; none if there is no memory.
fn new_block(bytes: usize, number: usize) -> Option<Vec<usize>> {
    let mut block = Vec::new();
    block.try_reserve_exact(bytes / 8).ok()?;
    block.resize(bytes / 8, 0);
    for (page, words) in block.chunks_mut(PAGE / 8).enumerate() {
        words[0] = mark(number, page);
    }
    Some(block)
}

/// Starts goroutines until there is no memory for one more, or enough; then lets all of them end.
/// How many there were.
fn fill_with_goroutines(available: usize) -> usize {
    let most = ENOUGH.min(available / PAGE);
    let mut all: Vec<JoinHandle<usize>> = Vec::new();
    all.try_reserve_exact(most).expect("it is a small part");
    while all.len() < most {
        let me = all.len();
        let spawned = Builder::new().spawn(move || {
            park();
            me
        });
        match spawned {
            Ok(handle) => all.push(handle),
            Err(error) => {
                println!("limits: {error}");
                break;
            }
        }
    }
    let n = all.len();
    // 5 KiB each, and what the handles took.
    assert!(
        n == ENOUGH || n >= available / 5500,
        "{n} in {available} bytes"
    );
    for (me, handle) in all.into_iter().enumerate() {
        handle.goroutine().unpark();
        assert_eq!(handle.join().expect("it returns"), me);
    }
    n
}

/// More goroutines than there is memory for end the image; see `.ci/limits.sh`.
fn goroutines(n: usize) {
    for _ in 0..n {
        go(park);
    }
    // Whoever parks may need memory too.
    time::sleep(Duration::from_secs(1));
    println!("limits: {n} goroutines are parked");
}

// ---- Addresses ----------------------------------------------------------------------------------

/// The largest stack there can be.
const LARGEST_STACK: usize = (16 << 30) - PAGE;
/// Addresses for stacks.
const ADDRESSES: usize = 15 << 40;

/// Stacks of 16 GiB until no addresses are left for another. Each is used, beyond what a default
/// stack has; who wants one more is told; and their successors can have them.
fn addresses() {
    let too_large = Builder::new().stack_size(LARGEST_STACK + 1).spawn(park);
    assert!(too_large.is_err(), "a stack is larger than any can be");
    let counts = [0, 1].map(|_| {
        let mut all: Vec<JoinHandle<usize>> = Vec::with_capacity(1024);
        let error = loop {
            let me = all.len();
            let builder = Builder::new().stack_size(LARGEST_STACK);
            match builder.spawn(move || go_deep(me)) {
                Ok(handle) => all.push(handle),
                Err(error) => break error,
            }
        };
        println!("limits: {error}");
        let n = all.len();
        for (me, handle) in all.into_iter().enumerate() {
            handle.goroutine().unpark();
            assert_eq!(handle.join().expect("it returns"), me);
        }
        n
    });
    let fit = ADDRESSES / (LARGEST_STACK + PAGE);
    assert!(counts[0] <= fit && counts[0] + 2 >= fit, "{counts:?}");
    assert_eq!(counts[0], counts[1], "those of the dead are not used again");
    println!("limits: {} stacks of 16 GiB", counts[0]);
}

/// Parks, then uses more of its stack than others have.
#[inline(never)]
fn go_deep(me: usize) -> usize {
    park();
    let mut room = [me as u8; 300 << 10];
    black_box(&mut room);
    assert!(room.iter().all(|&byte| byte == me as u8));
    me
}
