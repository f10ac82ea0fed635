//! The commands that every image has. `run` and a bare `exit` are the shell's own, since they
//! touch its state; they stand in the table for `help`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::shell::{
    COMMANDS, Command, Misuse, PROGRAMS, bt, cpus, freeze, job, locks, prof, ps, sched, small,
    tables, timers, top, trace, waits,
};
use crate::{mem, print, println, runtime};

/// A command of a file of its own is one line here.
const BUILT_IN: &[Command] = &[
    Command {
        name: "help",
        usage: "[COMMAND]",
        about: "lists commands and programs, or shows one",
        run: help,
    },
    ps::COMMAND,
    waits::COMMAND,
    locks::COMMAND,
    bt::COMMAND,
    Command {
        name: "stats",
        usage: "",
        about: "shows what each P and M has done",
        run: stats,
    },
    Command {
        name: "mem",
        usage: "",
        about: "shows who has how much memory",
        run: mem,
    },
    top::COMMAND,
    cpus::CPUS,
    cpus::IRQ,
    timers::COMMAND,
    trace::COMMAND,
    job::LIST,
    job::KILL,
    freeze::FREEZE,
    freeze::THAW,
    sched::COMMAND,
    small::GOMAXPROCS,
    small::UPTIME,
    small::ECHO,
    small::CLEAR,
    Command {
        name: "run",
        usage: "PROGRAM [ARGS] [&]",
        about: "runs a program; with & does not wait for it",
        run: |_| Err(Misuse),
    },
    prof::COMMAND,
    small::PANIC,
    Command {
        name: "exit",
        usage: "[STATUS]",
        about: "ends the image; with the last command's status if none is given",
        run: exit,
    },
];

/// All commands, as `help` lists them.
pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    BUILT_IN.iter().chain(COMMANDS)
}

/// The one with this name.
pub(super) fn find(
    mut among: impl Iterator<Item = &'static Command>,
    name: &str,
) -> Option<&'static Command> {
    among.find(|command| command.name == name)
}

/// For commands that take no arguments.
pub(super) fn no_arguments(args: &[&str]) -> Result<(), Misuse> {
    if args.is_empty() { Ok(()) } else { Err(Misuse) }
}

fn help(args: &[&str]) -> Result<(), Misuse> {
    match args {
        [] => list(),
        [name] => return show(name),
        _ => return Err(Misuse),
    }
    Ok(())
}

fn list() {
    let mut text = String::from("Commands, ; between them:\n");
    all().for_each(|command| help_line(&mut text, command));
    text += "Programs for run:\n";
    // The linker's order is nobody's.
    let mut programs: Vec<_> = PROGRAMS.iter().collect();
    programs.sort_unstable_by_key(|program| program.name);
    programs
        .into_iter()
        .for_each(|program| help_line(&mut text, program));
    // In one piece, or the lines of others would come in between.
    print!("{text}");
}

fn help_line(text: &mut String, command: &Command) {
    // A String takes what it is given.
    let _ = writeln!(
        text,
        "  {:<12} {:<18} {}",
        command.name, command.usage, command.about
    );
}

/// A command and a program may have the same name; both are shown then.
fn show(name: &str) -> Result<(), Misuse> {
    let mut text = String::new();
    if let Some(command) = find(all(), name) {
        help_line(&mut text, command);
    }
    if let Some(program) = find(PROGRAMS.iter(), name) {
        text += "run";
        help_line(&mut text, program);
    }
    print!("{text}");
    if text.is_empty() { Err(Misuse) } else { Ok(()) }
}

fn stats(args: &[&str]) -> Result<(), Misuse> {
    no_arguments(args)?;
    tables::print();
    Ok(())
}

fn mem(args: &[&str]) -> Result<(), Misuse> {
    no_arguments(args)?;
    println!("{}", mem::usage());
    Ok(())
}

fn exit(args: &[&str]) -> Result<(), Misuse> {
    let [status] = args else { return Err(Misuse) };
    runtime::exit(status.parse().map_err(|_| Misuse)?)
}
