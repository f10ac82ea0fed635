//! The commands that every image has. `run` and a bare `exit` are the shell's own, since they
//! touch its state; they stand in the table for `help`.

use crate::shell::{COMMANDS, Command, Misuse, PROGRAMS, ps, tables};
use crate::{mem, println, runtime};

const BUILT_IN: [Command; 6] = [
    Command {
        name: "help",
        usage: "",
        about: "lists commands and programs",
        run: help,
    },
    Command {
        name: "ps",
        usage: "",
        about: "shows all goroutines",
        run: ps,
    },
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
    Command {
        name: "run",
        usage: "PROGRAM [ARGS] [&]",
        about: "runs a program; with & does not wait for it",
        run: |_| Err(Misuse),
    },
    Command {
        name: "exit",
        usage: "[STATUS]",
        about: "ends the image; with the last command's status if none is given",
        run: exit,
    },
];

/// All commands, as `help` lists them.
pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    const { &BUILT_IN }.iter().chain(COMMANDS)
}

/// The one with this name.
pub(super) fn find(
    mut among: impl Iterator<Item = &'static Command>,
    name: &str,
) -> Option<&'static Command> {
    among.find(|command| command.name == name)
}

/// For commands that take no arguments.
fn no_arguments(args: &[&str]) -> Result<(), Misuse> {
    if args.is_empty() { Ok(()) } else { Err(Misuse) }
}

fn help(args: &[&str]) -> Result<(), Misuse> {
    no_arguments(args)?;
    println!("Commands, ; between them:");
    all().for_each(help_line);
    println!("Programs for run:");
    PROGRAMS.iter().for_each(help_line);
    Ok(())
}

fn help_line(command: &Command) {
    println!(
        "  {:<8} {:<18} {}",
        command.name, command.usage, command.about
    );
}

fn ps(args: &[&str]) -> Result<(), Misuse> {
    no_arguments(args)?;
    ps::print();
    Ok(())
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
