//! Goroutines whose names are any text, for whoever shows names: they stay behind, parked, for
//! `ps`, `waits` and `bt`. A name is a program's, and the terminal is not.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use core::hint::black_box;

use gosched::observe::living;
use gosched::time::{self, Duration};
use gosched::{Builder, park, println};

/// What a terminal obeys, what ends a line, a quote or a word, and what turns text around.
const NAMES: [&str; 12] = [
    "",
    " ",
    "one\ntwo",
    "\r\n\t\0",
    "\u{1b}[2J\u{1b}[31mred\u{1b}]0;title\u{7}",
    "\u{9b}31mred",
    "\u{202e}reversed\u{2066}",
    "a\u{301}\u{2028}\u{feff}",
    "\"quoted\\\"} goroutine 1 [running]:",
    "goroutine 99 [running]:\nmain.main()\n\n",
    "größe 漢字 😀",
    "\u{10ffff}\u{fffd}\u{e000}",
];

#[inline(never)]
fn stays() {
    park();
    black_box(0);
}

#[gosched::main]
fn main() {
    let long = ["n".repeat(64 << 10), "\u{1b}[31m\n".repeat(10_000)];
    let names = NAMES.iter().copied().chain(long.iter().map(String::as_str));
    let mut started = 0;
    for name in names {
        let named = Builder::new().name(name).spawn(stays);
        let named = named.expect("there is memory");
        assert_eq!(named.name(), Some(name));
        started += 1;
        let is_parked = |dump: String| dump.contains(" [park] {name: ");
        while !living::one(named.id()).is_some_and(is_parked) {
            time::sleep(Duration::from_millis(1));
        }
    }
    println!("{started} goroutines have names of all kinds");
}
