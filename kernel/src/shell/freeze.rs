//! `freeze` and `thaw`: the program stands still while the shell goes on.

use crate::println;
use crate::sched::disable;
use crate::shell::Command;
use crate::shell::commands::no_arguments;

pub(super) const FREEZE: Command = Command {
    name: "freeze",
    usage: "",
    about: "holds all goroutines but the shell's back, until thaw",
    run: |args| {
        no_arguments(args)?;
        match disable::freeze() {
            true => println!("frozen; thaw lets them go on"),
            false => println!("frozen, but a goroutine does not yield: it runs on until it does"),
        }
        Ok(())
    },
};

pub(super) const THAW: Command = Command {
    name: "thaw",
    usage: "",
    about: "lets them go on",
    run: |args| {
        no_arguments(args)?;
        if disable::is_frozen() {
            println!("{} goroutines were ready to run", disable::thaw());
        } else {
            println!("nothing is frozen");
        }
        Ok(())
    },
};
