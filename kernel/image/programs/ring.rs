//! A ring of goroutines around which a token runs.

use gosched::shell::{Command, PROGRAMS};
use gosched::time::Instant;
use gosched::{chan, go, println};
use linkme::distributed_slice;

use super::numbers;

/// Sends a token `laps` times around `size` goroutines; each adds 1 to it. Returns the token.
fn go_round(size: u64, laps: u64) -> u64 {
    let (first, mut link) = chan::bounded(0);
    for _ in 0..size {
        let (to, next) = chan::bounded(0);
        go(move || {
            let _ = link.iter().try_for_each(|token: u64| to.send(token + 1));
        });
        link = next;
    }
    (0..laps).fold(0, |token, _| {
        first.send(token).expect("the ring is closed by us");
        link.recv().expect("the ring is closed by us")
    })
}

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "ring",
    usage: "[SIZE [LAPS]]",
    about: "a token runs around a ring of goroutines (1000, 10)",
    run: |args| {
        let [size, laps] = numbers(args, [1000, 10])?;
        let start = Instant::now();
        let token = go_round(size, laps);
        println!(
            "the token is {token} after {laps} laps in {:.1?}",
            start.elapsed()
        );
        Ok(())
    },
};
