//! Host tests of the timers' heap: against a sorted set, and with threads.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{NEVER, Timer, Timers};
use crate::arch;
use crate::mem::fixture::{in_threads, random};

std::thread_local! {
    static FIRED: RefCell<Vec<(usize, u32)>> = const { RefCell::new(Vec::new()) };
}

fn fire(arg: usize, ticket: u32) {
    FIRED.with_borrow_mut(|fired| fired.push((arg, ticket)));
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Runs what is due and holds it against the model: all of it, in order of time.
fn run(heap: &Timers, now_ns: u64, model: &mut BTreeSet<(u64, usize)>) {
    let rest = model.split_off(&(now_ns + 1, 0));
    let due = core::mem::replace(model, rest);
    assert_eq!(heap.run(now_ns), due.len());
    let fired = FIRED.take();
    assert!(fired.iter().all(|(id, ticket)| *ticket == *id as u32 + 1));
    let when = |id| {
        due.iter()
            .find(|(_, i)| *i == id)
            .map(|(when_ns, _)| *when_ns)
    };
    let times = fired.iter().map(|(id, _)| when(*id));
    assert!(times.eq(due.iter().map(|(when_ns, _)| Some(*when_ns))));
}

#[test]
fn the_heap_is_a_sorted_set() {
    arch::become_cpu(0);
    for seed in 1..=20 {
        let mut chance = random(seed);
        let heap = leak(Timers::new());
        let timers: Vec<&Timer> = (0..200).map(|_| leak(Timer::new())).collect();
        let mut when = [NEVER; 200];
        let mut model = BTreeSet::new();
        let mut now_ns = 0;
        for _ in 0..2000 {
            let id = chance(200);
            let armed = model.contains(&(when[id], id));
            match chance(8) {
                0 => {
                    now_ns += chance(50) as u64;
                    run(heap, now_ns, &mut model);
                }
                1 | 2 => {
                    assert_eq!(timers[id].stop(), armed);
                    model.remove(&(when[id], id));
                }
                _ if !armed => {
                    when[id] = now_ns + chance(300) as u64;
                    // SAFETY: timers live for ever, `fire` takes any argument.
                    unsafe { heap.add(timers[id], when[id], fire, id, id as u32 + 1) };
                    model.insert((when[id], id));
                }
                _ => (),
            }
            assert_eq!(heap.len(), model.len());
            assert_eq!(
                heap.min_when(),
                model.first().map_or(NEVER, |first| first.0)
            );
        }
        run(heap, NEVER - 1, &mut model);
        assert_eq!((heap.len(), heap.min_when()), (0, NEVER));
    }
}

#[test]
fn a_retired_heap_gives_all_away() {
    arch::become_cpu(0);
    let (old, new) = (leak(Timers::new()), leak(Timers::new()));
    let timers = [(); 5].map(|()| leak(Timer::new()));
    for (id, timer) in timers.into_iter().enumerate() {
        let heap = if id % 2 == 0 { old } else { new };
        // SAFETY: as above.
        unsafe { heap.add(timer, 10 - id as u64, fire, id, 0) };
    }
    new.take(old);
    assert_eq!((old.len(), old.min_when()), (0, NEVER));
    assert_eq!((new.len(), new.min_when()), (5, 6));
    assert!(timers[2].stop() && !timers[2].stop());
    assert_eq!(new.run(10), 4);
    assert!(FIRED.take().into_iter().map(|(id, _)| id).eq([4, 3, 1, 0]));
}

static SHOTS: AtomicUsize = AtomicUsize::new(0);

fn count_shot(_: usize, _: u32) {
    SHOTS.fetch_add(1, Ordering::Relaxed);
}

/// Some arm and stop, one runs: each armed timer fires once, or was stopped.
#[test]
fn a_timer_fires_once_or_is_stopped() {
    const ROUNDS: usize = 20_000;
    const OWNERS: usize = 2;
    let heap = leak(Timers::new());
    let done = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let stopped: usize = in_threads(OWNERS + 1, |i| {
        let mut stopped = 0;
        if i == 0 {
            while !over.load(Ordering::Acquire) || heap.len() > 0 {
                heap.run(500);
                std::thread::yield_now();
            }
            return stopped;
        }
        let mut chance = random(i as u64);
        for _ in 0..ROUNDS {
            let timer = leak(Timer::new());
            // SAFETY: as above.
            unsafe { heap.add(timer, chance(1000) as u64, count_shot, 0, 0) };
            if chance(4) != 0 {
                std::thread::yield_now();
            }
            stopped += usize::from(timer.stop());
        }
        if done.fetch_add(1, Ordering::AcqRel) + 1 == OWNERS {
            over.store(true, Ordering::Release);
        }
        stopped
    })
    .into_iter()
    .sum();
    assert_eq!(stopped + SHOTS.load(Ordering::Relaxed), OWNERS * ROUNDS);
}
