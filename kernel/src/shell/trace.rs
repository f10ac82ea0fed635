//! `trace`: the execution trace.

use crate::observe::hostfile;
use crate::observe::trace::{show, stream};
use crate::println;
use crate::runtime::trace;
use crate::shell::{Command, Misuse, print_lines};

pub(super) const COMMAND: Command = Command {
    name: "trace",
    usage: "start|dump [FILE] | stop|status|hash|show",
    about: "execution trace: to a file for go tool trace, or as a picture",
    run,
};

/// Where a trace goes if no file is named.
const FILE: &str = "trace.out";
/// What `show` draws.
const WINDOW_NS: u64 = 50_000_000;

fn run(args: &[&str]) -> Result<(), Misuse> {
    match args {
        ["start"] => start(FILE),
        ["start", file] => start(file),
        ["stop"] => match trace::stop() {
            Ok(()) => println!("the trace is written"),
            Err(error) => println!("trace: {error}"),
        },
        ["dump"] => dump(FILE),
        ["dump", file] => dump(file),
        ["status"] => status(),
        ["hash"] => println!("{:016x}", trace::hash()),
        ["show"] => print_lines(&show::picture(WINDOW_NS)),
        _ => return Err(Misuse),
    }
    Ok(())
}

fn start(file: &str) {
    match trace::start(file) {
        Ok(()) => println!("writing {file}, until trace stop"),
        Err(error) => println!("trace: {error}"),
    }
}

fn dump(file: &str) {
    if let Err(error) = hostfile::check(file) {
        println!("trace: {error}");
        return;
    }
    let bytes = trace::snapshot();
    match hostfile::write(file, &bytes) {
        Ok(()) => println!(
            "{file}: {} bytes; go tool trace {file} shows it",
            bytes.len()
        ),
        Err(error) => println!("trace: {error}"),
    }
}

fn status() {
    match (stream::file(), crate::sched::trace::is_on()) {
        (Some(file), _) => println!("writing {file}"),
        (None, true) => println!("the last events of each CPU are kept: trace dump, trace show"),
        (None, false) => println!("off"),
    }
    for m in crate::sched::SCHED.allm() {
        let ring = &m.trace.ring;
        println!(
            "  CPU {:>2}: {} events since boot, the last {} are kept",
            m.id(),
            ring.written(),
            ring.len()
        );
    }
}
