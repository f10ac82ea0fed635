//! Properties of the timers' heaps: against a sorted list for each.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use proptest::prelude::*;

use super::{ARITY, NEVER, Timer, Timers};
use crate::arch;
use crate::base::properties::properties;

/// Few deadlines, so that many are the same.
const END_NS: u64 = 40;
const TIMERS: usize = 24;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Arms a timer that is in no heap.
    Arm {
        timer: usize,
        heap: usize,
        when_ns: u64,
    },
    Stop(usize),
    Run {
        heap: usize,
        now_ns: u64,
    },
    /// The P of the first heap is retired.
    Retire,
}

fn op() -> impl Strategy<Value = Op> {
    let arm = (0..TIMERS, 0..2_usize, 0..END_NS);
    prop_oneof![
        6 => arm.prop_map(|(timer, heap, when_ns)| Op::Arm { timer, heap, when_ns }),
        3 => (0..TIMERS).prop_map(Op::Stop),
        1 => (0..2_usize, 0..END_NS).prop_map(|(heap, now_ns)| Op::Run { heap, now_ns }),
        1 => Just(Op::Retire),
    ]
}

std::thread_local! {
    static FIRED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

fn fire(timer: usize, ticket: u32) {
    assert_eq!(ticket, timer as u32 + 1);
    FIRED.with_borrow_mut(|fired| fired.push(timer));
}

/// The order of a heap, and that each timer knows its place.
fn assert_is_heap(heap: &Timers) {
    let entries = heap.entries.lock();
    for (i, entry) in entries.iter().enumerate() {
        let parent = &entries[i.saturating_sub(1) / ARITY];
        assert!(parent.when_ns <= entry.when_ns, "a child before its parent");
        assert_eq!(entry.timer().index.load(super::Ordering::Relaxed), i);
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

proptest! {
    #![proptest_config(properties(300))]

    /// Any order of arming, stopping and running: what is due fires, in order of time, and nothing
    /// else does.
    #[test]
    fn heaps_are_sorted_lists(ops in proptest::collection::vec(op(), 1..120)) {
        arch::become_cpu(0);
        let heaps: [&Timers; 2] = core::array::from_fn(|_| leak(Timers::new()));
        let timers: [&Timer; TIMERS] = core::array::from_fn(|_| leak(Timer::new()));
        // Deadline and number, in order.
        let mut models: [Vec<(u64, usize)>; 2] = Default::default();
        for op in ops {
            match op {
                Op::Arm { timer, heap, when_ns } => {
                    if timers[timer].armed_until_ns().is_none() {
                        let ticket = timer as u32 + 1;
                        // SAFETY: timers live for ever, `fire` takes any argument.
                        unsafe { heaps[heap].add(timers[timer], when_ns, fire, timer, ticket) };
                        models[heap].push((when_ns, timer));
                        models[heap].sort_unstable();
                    }
                }
                Op::Stop(timer) => {
                    let armed = models.iter().flatten().any(|(_, other)| *other == timer);
                    prop_assert_eq!(timers[timer].stop(), armed);
                    for model in &mut models {
                        model.retain(|(_, other)| *other != timer);
                    }
                }
                Op::Run { heap, now_ns } => {
                    let due = models[heap].partition_point(|(when_ns, _)| *when_ns <= now_ns);
                    let due: Vec<_> = models[heap].drain(..due).collect();
                    prop_assert_eq!(heaps[heap].run(now_ns), due.len());
                    let when = |fired| due.iter().find(|(_, timer)| *timer == fired).unwrap().0;
                    let fired: Vec<u64> = FIRED.take().into_iter().map(when).collect();
                    let expected: Vec<u64> = due.iter().map(|(when_ns, _)| *when_ns).collect();
                    prop_assert_eq!(fired, expected);
                }
                Op::Retire => {
                    heaps[1].take(heaps[0]);
                    let moved = core::mem::take(&mut models[0]);
                    models[1].extend(moved);
                    models[1].sort_unstable();
                }
            }
            for (heap, model) in heaps.iter().zip(&models) {
                assert_is_heap(heap);
                prop_assert_eq!(heap.len(), model.len());
                prop_assert_eq!(heap.min_when(), model.first().map_or(NEVER, |first| first.0));
            }
        }
    }
}
