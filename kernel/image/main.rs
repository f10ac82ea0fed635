//! The default image: banner, tour, shell.
//!
//! | `run=` on the command line | what happens |
//! | --- | --- |
//! | absent | banner, tour, then the shell reads the console |
//! | `exit` | banner, tour, the end: what `run-qemu.sh` asks for where stdin is no terminal |
//! | other commands, or none (`run=`) | banner, the commands, then the shell reads the console |
//!
//! The tour checks what it shows and panics where it is wrong, so booting this image is a test.
//!
//! `run` starts `programs`, which the tour works with too, and the programs of `kernel/examples/`,
//! which `examples` includes.
//!
//! `tour`, `programs` and `examples` are modules of this binary, not of the library: no program
//! that uses the library carries them.

#![no_std]
#![no_main]

extern crate alloc;

mod examples;
mod programs;
mod tour;

use gosched::base::cmdline;
use gosched::shell;

#[gosched::main]
fn main() {
    // Now, not when the shell begins: what is typed during the tour waits in the ring.
    shell::listen();
    examples::check();
    tour::banner::print();
    let run = cmdline::options().run.as_deref();
    if run.is_none_or(only_exits) {
        tour::run();
    }
    shell::run(run.unwrap_or(""))
}

/// Whether these commands do nothing but end the image. `run-qemu.sh` adds an `exit` of its own to
/// one that is there.
fn only_exits(commands: &str) -> bool {
    commands.split(';').all(|command| command.trim() == "exit")
}
