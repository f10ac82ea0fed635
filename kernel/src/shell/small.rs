//! Commands of a few lines.

use core::time::Duration;

use crate::shell::commands::no_arguments;
use crate::shell::{Command, Misuse};
use crate::{print, println, runtime};

pub(super) const ECHO: Command = Command {
    name: "echo",
    usage: "[TEXT]",
    about: "prints the words after it",
    run: |args| {
        println!("{}", args.join(" "));
        Ok(())
    },
};

/// ECMA-48: cursor to the first place (8.3.21), then erase the page (8.3.39).
pub(super) const CLEAR: Command = Command {
    name: "clear",
    usage: "",
    about: "clears the terminal's screen",
    run: |args| {
        no_arguments(args)?;
        print!("\x1b[H\x1b[2J");
        Ok(())
    },
};

pub(super) const UPTIME: Command = Command {
    name: "uptime",
    usage: "",
    about: "shows the time since boot",
    run: |args| {
        no_arguments(args)?;
        println!(
            "up {:.3} s, {} goroutines, {} of {} CPUs used",
            Duration::from_nanos(runtime::nanotime()).as_secs_f64(),
            runtime::num_goroutine(),
            runtime::gomaxprocs(0),
            runtime::num_cpu(),
        );
        Ok(())
    },
};

pub(super) const GOMAXPROCS: Command = Command {
    name: "gomaxprocs",
    usage: "[N]",
    about: "shows or sets how many CPUs run goroutines",
    run: |args| {
        match args {
            [] => {}
            [n] => {
                // 0 would only ask; as a number of CPUs it makes no sense.
                let n = n.parse().ok().filter(|&n| n > 0).ok_or(Misuse)?;
                runtime::gomaxprocs(n);
            }
            _ => return Err(Misuse),
        }
        // Asked again: there are at most as many as CPUs, and with sched=single one.
        println!("gomaxprocs={}", runtime::gomaxprocs(0));
        Ok(())
    },
};

pub(super) const PANIC: Command = Command {
    name: "panic",
    usage: "[TEXT]",
    about: "panics with this text, which ends the image",
    run: |args| match args {
        [] => panic!("by the command panic"),
        words => panic!("{}", words.join(" ")),
    },
};
