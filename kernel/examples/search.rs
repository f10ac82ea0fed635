//! A search that ends everywhere when it succeeds anywhere: goroutines look through their parts of
//! all numbers for one whose hash ends in enough zeros. The first to find it tells main, which
//! cancels the context; the others look at `done()` now and then, and stop.
//!
//! A second search has no solution and is ended by its time limit.
#![no_std]
#![no_main]

use gosched::chan;
use gosched::context::{Context, ContextError};
use gosched::sync::WaitGroup;
use gosched::time::Duration;
use gosched::{println, runtime, select};

/// Numbers between two looks at the context.
const STRETCH: u64 = 1000;

/// A hash whose inverse nobody knows by heart (splitmix64).
fn hash(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Looks at `first`, `first + step` and so on, until found or cancelled.
fn look(ctx: &Context, first: u64, step: u64, zeros: u32) -> Option<u64> {
    let mut numbers = (first..).step_by(step as usize);
    loop {
        select! {
            recv(ctx.done()) -> _ => return None,
            default => {}
        }
        let found = numbers
            .by_ref()
            .take(STRETCH as usize)
            .find(|&n| hash(n).trailing_zeros() >= zeros);
        if found.is_some() {
            return found;
        }
    }
}

/// Searches with so many goroutines until one finds it or the context is over; how many stopped
/// without having found anything is the second number.
fn search(ctx: &Context, goroutines: u64, zeros: u32) -> (Option<u64>, usize) {
    let (ctx, cancel) = ctx.with_cancel();
    let (found, finds) = chan::bounded(goroutines as usize);
    let searchers = WaitGroup::new();
    for first in 0..goroutines {
        let (ctx, found) = (ctx.clone(), found.clone());
        searchers.go(move || {
            let result = look(&ctx, first, goroutines, zeros);
            found.send(result).expect("main waits for all");
        });
    }
    let first = finds.recv().expect("each of them says something");
    cancel();
    searchers.wait();
    drop(found);
    let stopped = finds.iter().filter(Option::is_none).count() + usize::from(first.is_none());
    (first, stopped)
}

#[gosched::main]
fn main() {
    let goroutines = 2 * runtime::gomaxprocs(0) as u64;
    let background = Context::background();
    let (found, stopped) = search(&background, goroutines, 16);
    let n = found.expect("one in 65536 numbers is a solution");
    assert!(hash(n).trailing_zeros() >= 16);
    assert!(stopped < goroutines as usize);
    println!("hash({n}) = {:#018x}", hash(n));

    let (limited, _cancel) = background.with_timeout(Duration::from_millis(20));
    let (found, stopped) = search(&limited, goroutines, 65);
    assert_eq!((found, stopped), (None, goroutines as usize));
    assert_eq!(limited.err(), Some(ContextError::DeadlineExceeded));
    println!("no hash ends in 65 zeros: all {stopped} stopped at the time limit");
}
