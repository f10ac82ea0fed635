//! A first program: ten goroutines, each on whatever CPU is free, and a channel.
#![no_std]
#![no_main]

use gosched::{chan, go, println, runtime};

#[gosched::main]
fn main() {
    let (tx, rx) = chan::bounded(0);
    for i in 0..10 {
        let tx = tx.clone();
        go(move || {
            let _ = tx.send((i, i * i, runtime::cpu()));
        });
    }
    drop(tx); // or the loop below would wait for one more value for ever
    for (i, square, cpu) in rx {
        println!("{i} squared is {square}, says CPU {cpu}");
    }
}
