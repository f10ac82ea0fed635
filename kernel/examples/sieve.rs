//! The concurrent prime sieve.
#![no_std]
#![no_main]

#[gosched::main]
fn main() {}
