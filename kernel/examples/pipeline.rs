//! A pipeline with bounded stages: lines are made, parsed, and added up, each stage a goroutine and
//! a channel of four places between each two. The last stage is the slow one, and it holds back the
//! others: however long the input is, no more than a dozen lines are under way.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::chan::{self, Receiver};
use gosched::time::{self, Duration};
use gosched::{go, println};

const LINES: u64 = 2000;
const PLACES: usize = 4;

/// Lines that were made and are not yet added up, and the most there ever were.
#[derive(Default)]
struct UnderWay {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl UnderWay {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first stage: lines of text. It ends by dropping its sender, which ends the next stage.
fn lines(under_way: Arc<UnderWay>) -> Receiver<String> {
    let (to, lines) = chan::bounded(PLACES);
    go(move || {
        for n in 1..=LINES {
            under_way.begin();
            if to.send(format!("item {n} = {}", n * n)).is_err() {
                return;
            }
        }
    });
    lines
}

/// The second stage: the number behind the equals sign.
fn parse(lines: Receiver<String>) -> Receiver<u64> {
    let (to, numbers) = chan::bounded(PLACES);
    go(move || {
        for line in lines {
            let (_, number) = line.split_once(" = ").expect("every line has a sign");
            let number = number.parse().expect("a number is behind it");
            if to.send(number).is_err() {
                return;
            }
        }
    });
    numbers
}

#[gosched::main]
fn main() {
    let under_way = Arc::new(UnderWay::default());
    let mut sum = 0;
    for (n, number) in parse(lines(under_way.clone())).into_iter().enumerate() {
        if n % 100 == 0 {
            time::sleep(Duration::from_micros(200)); // slow now and then
        }
        sum += number;
        under_way.end();
    }
    let most = under_way.most.load(Ordering::Relaxed);
    // Both channels full, and each of the three stages with one in its hands; the sender's next
    // one is counted before it is sent.
    assert!(
        most <= 2 * PLACES + 3,
        "{most} lines were under way at once"
    );
    assert_eq!(sum, LINES * (LINES + 1) * (2 * LINES + 1) / 6);
    println!("sum of {LINES} squares: {sum}");
    println!("at most {} lines under way", 2 * PLACES + 3);
}
