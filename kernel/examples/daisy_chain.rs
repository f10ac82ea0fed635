//! A daisy chain: ten thousand goroutines in a row, each waits for its right neighbour, adds one
//! and hands the number to its left. All of them are parked before the first number comes.
#![no_std]
#![no_main]

use gosched::chan::{self, Receiver, Sender};
use gosched::time::Instant;
use gosched::{go, println, runtime};

const LENGTH: u64 = 10_000;

fn whisper(left: Sender<u64>, right: Receiver<u64>) {
    let heard = right.recv().expect("the right neighbour speaks once");
    left.send(heard + 1).expect("the left neighbour listens");
}

#[gosched::main]
fn main() {
    let start = Instant::now();
    let (leftmost, result) = chan::bounded(0);
    let mut left = leftmost;
    for _ in 0..LENGTH {
        let (to, right) = chan::bounded(0);
        go(move || whisper(left, right));
        left = to;
    }
    let alive = runtime::num_goroutine();
    left.send(0).expect("the rightmost listens");
    let heard = result.recv().expect("the leftmost speaks once");
    assert_eq!(heard, LENGTH);
    assert!(alive as u64 > LENGTH, "all wait for the first word");
    println!("{alive} goroutines, {} ms", start.elapsed().as_millis());
    println!("whispered through the chain: {heard}");
}
