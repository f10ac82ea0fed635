//! The serial console's shell: reads lines and runs commands.
//!
//! Commands and programs are values in a table, found by name. What every image has is in
//! `commands`; an image adds its own to two registries that the linker fills, [`COMMANDS`] and
//! [`PROGRAMS`]:
//!
//! ```ignore
//! #[linkme::distributed_slice(gosched::shell::PROGRAMS)]
//! static HELLO: Command = Command {
//!     name: "hello",
//!     usage: "",
//!     about: "greets",
//!     run: |_| {
//!         println!("hello");
//!         Ok(())
//!     },
//! };
//! ```
//!
//! The rules: a line holds commands with `;` between them, a command is words with white space
//! between them; `'…'`, `"…"` and a backslash quote. What cannot be done is said in one line and
//! changes nothing. `run PROGRAM` is a job, which Ctrl-C stops; with `&` its end is not waited for.
//! Ctrl-C drops what was typed ahead and the rest of the line, and ends the running command if that
//! asks [`interrupted`]. A panic ends the image like any other.
//!
//! | file | idea |
//! | --- | --- |
//! | `input` | from the serial interrupt to the goroutine that reads |
//! | `line` | editing a line |
//! | `words` | from a line to commands of words |
//! | `commands` | the commands that every image has |
//! | `job` | programs, and how they are stopped |
//! | `freeze` | the program stands still |
//! | `bt` | where goroutines stand |
//! | `prof` | profiles |
//! | `ps` | the table of goroutines |
//! | `sched` | Go's line on the scheduler |
//! | `small` | commands of a few lines |
//! | `tables` | the tables of Ps and Ms |
//! | `trace` | the execution trace |
//! | `top`, `cpus`, `timers` | who uses the CPUs, what they do, what is armed |
//! | `waits`, `locks` | who waits for what, and for which locks |

mod bt;
mod commands;
mod cpus;
mod freeze;
pub mod input;
mod job;
mod line;
mod locks;
mod prof;
mod ps;
mod sched;
mod small;
mod tables;
mod timers;
mod top;
mod trace;
mod waits;
mod words;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use linkme::distributed_slice;

use crate::base::console;
use crate::sched::attention;
use crate::sched::fatal;
use crate::sched::g::getg;
use crate::{arch, go, print, println, time};
use job::Outcome;
use line::{Editor, Event};

/// A command, or a program for `run`.
pub struct Command {
    /// The first word.
    pub name: &'static str,
    /// The words after it, as `help` shows them.
    pub usage: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// Does it; gets the words after the name.
    pub run: fn(&[&str]) -> Result<(), Misuse>,
}

/// The words after the name make no sense; nothing was done. The shell shows the usage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misuse;

/// The image's own commands.
#[distributed_slice]
pub static COMMANDS: [Command];

/// What `run` can start.
#[distributed_slice]
pub static PROGRAMS: [Command];

/// Ctrl-C was typed since the running command began.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the running command is to end early: Ctrl-C was typed. A command that may take long asks
/// between its steps, and returns.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Prints a long text, some whole lines at once (else those of others come in between), until the
/// command is interrupted.
fn print_lines(text: &str) {
    const AT_ONCE: usize = 16;
    let mut rest = text;
    while !rest.is_empty() && !interrupted() {
        let end = rest
            .match_indices('\n')
            .nth(AT_ONCE - 1)
            .map_or(rest.len(), |(at, _)| at + 1);
        print!("{}", &rest[..end]);
        rest = &rest[end..];
    }
}

/// Interrupt: Ctrl-C was typed while a command runs.
fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// How often a console without an interrupt is asked for input.
const POLL: Duration = Duration::from_millis(20);

/// Begins to take in what is typed; [`run`] reads it. Call it once, as early as typing shall count.
pub fn listen() {
    attention::listen();
    if !arch::enable_console_input() {
        // Nothing else calls the handler on such a machine, so it still has one caller at a time.
        go(|| {
            loop {
                time::sleep(POLL);
                input::interrupt();
            }
        });
    }
}

/// Runs the commands in `first`, then those that are typed. Ends the image, by the command `exit`
/// or by Ctrl-D on an empty line.
pub fn run(first: &str) -> ! {
    // The shell goes before the program, and goes on while that is frozen.
    getg().urgent.store(true, Ordering::Relaxed);
    let mut shell = Shell { status: 0 };
    shell.line(first);
    println!("Type help for the commands.");
    let mut editor = Editor::new("> ");
    loop {
        job::tell_ended();
        match read_line(&mut editor) {
            Some(line) => shell.line(line),
            None => shell.exit(),
        }
    }
}

/// What is typed up to the end of a line; None: Ctrl-D.
fn read_line(editor: &mut Editor) -> Option<&str> {
    console::print(format_args!("{}", editor.begin()));
    loop {
        let (text, event) = editor.feed(input::read(), &mut complete);
        console::print(format_args!("{text}"));
        match event {
            Event::More => {}
            Event::Line => return Some(editor.line()),
            Event::End => return None,
        }
    }
}

/// Offers what may be the last word of the text: a command, or a program after `run`.
fn complete(before: &str, offer: &mut dyn FnMut(&str)) {
    let command = before.rsplit(';').next().unwrap_or_default().trim_start();
    match command.split_once(' ') {
        None => commands::all().for_each(|command| offer(command.name)),
        Some(("run", rest)) if !rest.trim_start().contains(' ') => {
            PROGRAMS.iter().for_each(|program| offer(program.name));
        }
        Some(_) => {}
    }
}

/// What one command leaves behind for the next.
struct Shell {
    /// Of the last command: 0, or [`fatal::FATAL_STATUS`] if it was refused or interrupted.
    status: u8,
}

impl Shell {
    /// Runs the commands of one line; after Ctrl-C no further ones of it.
    fn line(&mut self, line: &str) {
        INTERRUPTED.store(false, Ordering::Relaxed);
        input::while_running(|| self.commands(line));
        if interrupted() {
            self.refuse(format_args!("interrupted"));
        }
    }

    fn commands(&mut self, line: &str) {
        let commands = match words::split(line) {
            Ok(commands) => commands,
            Err(why) => return self.refuse(format_args!("{why}")),
        };
        for command in commands {
            if interrupted() {
                return;
            }
            if command.len() > MAX_WORDS {
                return self.refuse(format_args!("a command has at most {MAX_WORDS} words"));
            }
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            if let [name, args @ ..] = &words[..] {
                self.command(name, args);
            }
        }
    }

    fn command(&mut self, name: &str, args: &[&str]) {
        match (name, args) {
            ("exit", []) => self.exit(),
            ("run", [program, args @ ..]) => match commands::find(PROGRAMS.iter(), program) {
                Some(program) => self.program(program, args),
                None => self.refuse(format_args!("{program:?} is no program: see help")),
            },
            _ => match commands::find(commands::all(), name) {
                Some(command) => self.start(command, args),
                None => self.refuse(format_args!("{name:?} is no command: see help")),
            },
        }
    }

    fn start(&mut self, command: &Command, args: &[&str]) {
        match (command.run)(args) {
            Ok(()) => self.status = 0,
            Err(Misuse) => {
                self.refuse(format_args!("usage: {} {}", command.name, command.usage));
            }
        }
    }

    /// Runs a program as a job.
    fn program(&mut self, program: &'static Command, args: &[&str]) {
        let (args, background) = match args {
            [args @ .., "&"] => (args, true),
            _ => (args, false),
        };
        match job::run(program, args, background) {
            Outcome::Done => self.status = 0,
            Outcome::Stopped => self.status = fatal::FATAL_STATUS,
            Outcome::Refused(why) => self.refuse(format_args!("{why}")),
            Outcome::Misused => {
                self.refuse(format_args!(
                    "usage: run {} {}",
                    program.name, program.usage
                ));
            }
        }
    }

    fn refuse(&mut self, why: core::fmt::Arguments<'_>) {
        println!("{why}");
        self.status = fatal::FATAL_STATUS;
    }

    fn exit(&self) -> ! {
        fatal::exit(self.status)
    }
}

/// More words than any command takes.
const MAX_WORDS: usize = 16;
