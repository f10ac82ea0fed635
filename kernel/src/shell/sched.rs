//! `sched`: Go's schedtrace line, or scheddetail's lines.

use crate::observe::schedtrace;
use crate::println;
use crate::shell::{Command, Misuse};

pub(super) const COMMAND: Command = Command {
    name: "sched",
    usage: "[detail]",
    about: "shows the scheduler in a line; detail: each P, M and G",
    run,
};

fn run(args: &[&str]) -> Result<(), Misuse> {
    let detail = match args {
        [] => false,
        ["detail"] => true,
        _ => return Err(Misuse),
    };
    println!("{}", schedtrace::text(detail));
    Ok(())
}
