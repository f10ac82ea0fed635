//! A rate limiter: requests take tokens out of a bucket of three, and a ticker puts one in every
//! 10 ms. So a burst of three passes at once, and whoever asks for more gets it at the ticker's
//! pace, never sooner.
#![no_std]
#![no_main]

use gosched::chan::{self, Receiver, TrySendError};
use gosched::time::{self, Duration, Instant};
use gosched::{go, println};

const BURST: u32 = 3;
const EVERY: Duration = Duration::from_millis(10);
const REQUESTS: u32 = 12;

/// The bucket, full. Its ticker ends after the bucket is dropped.
fn bucket() -> Receiver<()> {
    let (fill, tokens) = chan::bounded(BURST as usize);
    for _ in 0..BURST {
        fill.send(()).expect("the bucket is there");
    }
    let ticks = chan::tick(EVERY);
    go(move || {
        for _ in ticks {
            // A token for which there is no room is lost: that bounds the burst.
            if let Err(TrySendError::Disconnected(())) = fill.try_send(()) {
                return;
            }
        }
    });
    tokens
}

#[gosched::main]
fn main() {
    let start = Instant::now();
    let tokens = bucket();
    for request in 0..REQUESTS {
        tokens.recv().expect("the ticker goes on");
        let at = start.elapsed();
        let soonest = EVERY * request.saturating_sub(BURST - 1);
        assert!(at >= soonest, "request {request} passed after {at:?}");
        println!(
            "request {request:2} passed, not before {:3} ms",
            soonest.as_millis()
        );
    }

    // After a rest the bucket is full, and no fuller.
    time::sleep(2 * BURST * EVERY);
    while !tokens.is_full() {
        time::sleep(EVERY);
    }
    assert_eq!(tokens.len(), BURST as usize);
    println!("after a rest: {} tokens", tokens.len());
}
