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
//! between them, and there is no quoting. What cannot be done is said in one line and changes
//! nothing. `run PROGRAM &` does not wait for the program's end. A panic of a command ends the
//! image like any other.
//!
//! | file | idea |
//! | --- | --- |
//! | `input` | from the serial interrupt to the goroutine that reads |
//! | `line` | editing a line |
//! | `commands` | the commands that every image has |
//! | `ps` | the table of goroutines |
//! | `tables` | the tables of Ps and Ms |

mod commands;
pub mod input;
mod line;
mod ps;
mod tables;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use linkme::distributed_slice;

use crate::base::console;
use crate::sched::fatal;
use crate::sched::newproc::{self, Attributes, OutOfMemory};
use crate::{arch, go, println, time};
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

/// How often a console without an interrupt is asked for input.
const POLL: Duration = Duration::from_millis(20);

/// Begins to take in what is typed; [`run`] reads it. Call it once, as early as typing shall count.
pub fn listen() {
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
    let mut shell = Shell { status: 0 };
    shell.line(first);
    println!("Type help for the commands.");
    let mut editor = Editor::new();
    loop {
        console::print(format_args!("> "));
        match read_line(&mut editor) {
            Some(line) => shell.line(line),
            None => shell.exit(),
        }
    }
}

/// What is typed up to the end of a line; None: Ctrl-D.
fn read_line(editor: &mut Editor) -> Option<&str> {
    editor.clear();
    loop {
        let (echo, event) = editor.feed(input::read());
        console::print(format_args!("{echo}"));
        match event {
            Event::More => {}
            Event::Line => return Some(editor.line()),
            Event::End => return None,
        }
    }
}

/// What one command leaves behind for the next.
struct Shell {
    /// Of the last command: 0, or [`fatal::FATAL_STATUS`] if it was refused.
    status: u8,
}

impl Shell {
    /// Runs the commands of one line.
    fn line(&mut self, line: &str) {
        for command in line.split(';') {
            let mut words = [""; MAX_WORDS];
            let mut n = 0;
            for word in command.split_ascii_whitespace() {
                if n == MAX_WORDS {
                    self.refuse(format_args!("a command has at most {MAX_WORDS} words"));
                    return;
                }
                words[n] = word;
                n += 1;
            }
            if let [name, args @ ..] = &words[..n] {
                self.command(name, args);
            }
        }
    }

    fn command(&mut self, name: &str, args: &[&str]) {
        match (name, args) {
            ("exit", []) => self.exit(),
            ("run", [program, args @ ..]) => match commands::find(PROGRAMS.iter(), program) {
                Some(program) => match args {
                    [args @ .., "&"] => self.start_in_background(program, args),
                    _ => self.start(program, "run ", args),
                },
                None => self.refuse(format_args!("{program:?} is no program: see help")),
            },
            _ => match commands::find(commands::all(), name) {
                Some(command) => self.start(command, "", args),
                None => self.refuse(format_args!("{name:?} is no command: see help")),
            },
        }
    }

    fn start(&mut self, command: &Command, before: &str, args: &[&str]) {
        match (command.run)(args) {
            Ok(()) => self.status = 0,
            Err(Misuse) => {
                self.refuse(format_args!(
                    "usage: {before}{} {}",
                    command.name, command.usage
                ));
            }
        }
    }

    /// Runs a program in a goroutine of its own, which bears its name.
    fn start_in_background(&mut self, program: &'static Command, args: &[&str]) {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let body = move || {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            if (program.run)(&words).is_err() {
                println!("usage: run {} {}", program.name, program.usage);
            }
        };
        let attributes = Attributes {
            name: Some(program.name.into()),
            ..Attributes::default()
        };
        match newproc::newproc(body, attributes) {
            Ok(_) => self.status = 0,
            Err(OutOfMemory) => self.refuse(format_args!("no memory for a goroutine")),
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
