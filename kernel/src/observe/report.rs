//! The fixed words of reports: headers of goroutines, registers, panics and fatal errors.
//!
//! All of it is Go's, to the letter, so that people and tools that read Go's dumps read these.
//! Values in, text out; nothing is looked up.

use super::traceback::Level;
use crate::sched::labels::Labels;
use core::fmt::{self, Display, Write};

/// What stands above a goroutine's frames.
#[derive(Clone, Copy)]
pub struct GoroutineHeader<'a> {
    /// Its number.
    pub goid: u64,
    /// The wait reason if it waits, else `running`, `runnable`, ….
    pub status: &'a str,
    /// Somebody holds its scan bit.
    pub scan: bool,
    /// For how long it has waited, in minutes; shown from 1 on.
    pub wait_minutes: u64,
    /// It is locked to its M.
    pub locked: bool,
    /// The name its builder gave it; shown as the label `name`.
    pub name: Option<&'a str>,
    /// What it is labelled with.
    pub labels: Option<&'a Labels>,
    /// Shown at [`Level::System`] only.
    pub machine: Machine,
}

/// The addresses of a goroutine's G and M.
#[derive(Clone, Copy)]
pub struct Machine {
    /// The G.
    pub gp: usize,
    /// The number and address of the M that runs it.
    pub m: Option<(u64, usize)>,
}

impl GoroutineHeader<'_> {
    /// Prints `goroutine 19 [chan receive, 3 minutes, locked to thread]:` and a newline.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn print(&self, out: &mut dyn Write, level: Level) -> fmt::Result {
        write!(out, "goroutine {}", self.goid)?;
        if level >= Level::System {
            write!(out, " gp={:#x}", self.machine.gp)?;
            match self.machine.m {
                Some((id, mp)) => write!(out, " m={id} mp={mp:#x}")?,
                None => out.write_str(" m=nil")?,
            }
        }
        write!(out, " [{}", self.status)?;
        if self.scan {
            out.write_str(" (scan)")?;
        }
        if self.wait_minutes >= 1 {
            write!(out, ", {} minutes", self.wait_minutes)?;
        }
        if self.locked {
            out.write_str(", locked to thread")?;
        }
        out.write_str("]")?;
        self.print_labels(out)?;
        out.write_str(":\n")
    }

    /// ` {name: worker-1, key: "a value"}`, if there is any.
    fn print_labels(&self, out: &mut dyn Write) -> fmt::Result {
        let name = self.name.map(|name| ("name", name));
        let labels = self.labels.into_iter().flat_map(Labels::iter);
        let mut before = " {";
        for (key, value) in name.into_iter().chain(labels) {
            out.write_str(before)?;
            before = ", ";
            label(out, key)?;
            out.write_str(": ")?;
            label(out, value)?;
        }
        match before {
            ", " => out.write_str("}"),
            _ => Ok(()),
        }
    }
}

/// A label's text, in quotes if one of its characters wants them (Go: `quoted`).
fn label(out: &mut dyn Write, text: &str) -> fmt::Result {
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "./_".contains(c))
    {
        return out.write_str(text);
    }
    out.write_str("\"")?;
    for c in text.chars() {
        match c {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\\' | '"' => write!(out, "\\{c}"),
            ' '..='~' => out.write_char(c),
            '\0'..='\x1f' => write!(out, "\\x{:02x}", c as u32),
            '\x7f'..='\u{ffff}' => write!(out, "\\u{:04x}", c as u32),
            _ => write!(out, "\\U{:08x}", c as u32),
        }?;
    }
    out.write_str("\"")
}

/// The registers of an interrupted CPU, in the order Go prints them.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the names are the processor's")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub cs: u64,
    pub fs: u64,
    pub gs: u64,
}

impl Registers {
    /// One register a line.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn print(&self, out: &mut dyn Write) -> fmt::Result {
        let all = [
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rdi", self.rdi),
            ("rsi", self.rsi),
            ("rbp", self.rbp),
            ("rsp", self.rsp),
            ("r8", self.r8),
            ("r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
            ("rip", self.rip),
            ("rflags", self.rflags),
            ("cs", self.cs),
            ("fs", self.fs),
            ("gs", self.gs),
        ];
        all.iter()
            .try_for_each(|(name, value)| writeln!(out, "{name:<7}{value:#x}"))
    }
}

/// What became of a panic before the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing: it is what ends the program.
    No,
    /// It was caught, and another one followed while that was done.
    Yes,
    /// It was caught and raised again.
    Repanicked,
}

/// Prints `panic: ` and the message. `nested` is for every panic but the first of a row: these
/// stand indented below it.
///
/// # Errors
/// What `out` returns.
pub fn panic(
    out: &mut dyn Write,
    message: &dyn Display,
    recovered: Recovered,
    nested: bool,
) -> fmt::Result {
    if nested {
        out.write_str("\t")?;
    }
    out.write_str("panic: ")?;
    write!(Indented(out), "{message}")?;
    out.write_str(match recovered {
        Recovered::No => "\n",
        Recovered::Yes => " [recovered]\n",
        Recovered::Repanicked => " [recovered, repanicked]\n",
    })
}

/// Prints `[signal …]`, the line that follows the panic of a fault, with Go's words for it.
///
/// # Errors
/// What `out` returns.
pub fn fault(out: &mut dyn Write, what: &str, code: u64, addr: usize, pc: usize) -> fmt::Result {
    writeln!(
        out,
        "[signal {what} code={code:#x} addr={addr:#x} pc={pc:#x}]"
    )
}

/// Prints `fatal error: ` and the reason.
///
/// # Errors
/// What `out` returns.
pub fn fatal_error(out: &mut dyn Write, reason: &dyn Display) -> fmt::Result {
    out.write_str("fatal error: ")?;
    write!(Indented(out), "{reason}")?;
    out.write_str("\n")
}

/// Puts a TAB after every newline, so that no text can pass for another part of a report.
pub struct Indented<'a>(pub &'a mut dyn Write);

impl Write for Indented<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (i, row) in text.split('\n').enumerate() {
            if i > 0 {
                self.0.write_str("\n\t")?;
            }
            self.0.write_str(row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn header(change: impl FnOnce(&mut GoroutineHeader<'static>), level: Level) -> String {
        let mut header = GoroutineHeader {
            goid: 19,
            status: "chan receive",
            scan: false,
            wait_minutes: 0,
            locked: false,
            name: None,
            labels: None,
            machine: Machine {
                gp: 0xc0de,
                m: None,
            },
        };
        change(&mut header);
        let mut text = String::new();
        header.print(&mut text, level).unwrap();
        text
    }

    #[test]
    fn headers() {
        assert_eq!(header(|_| {}, Level::All), "goroutine 19 [chan receive]:\n");
        let long = header(
            |header| {
                header.wait_minutes = 3;
                header.locked = true;
                header.scan = true;
                header.name = Some("worker-1");
            },
            Level::All,
        );
        assert_eq!(
            long,
            "goroutine 19 [chan receive (scan), 3 minutes, locked to thread] {name: \"worker-1\"}:\n"
        );
        assert_eq!(
            header(|header| header.name = Some("a \"b\""), Level::All),
            "goroutine 19 [chan receive] {name: \"a \\\"b\\\"\"}:\n"
        );
        for (name, shown) in [
            ("a/b.c_9", "a/b.c_9"),
            ("", ""),
            (
                "a\t\u{1}\u{7f}\u{e9}\u{1f600}",
                "\"a\\t\\x01\\u007f\\u00e9\\U0001f600\"",
            ),
        ] {
            assert_eq!(
                header(|header| header.name = Some(name), Level::All),
                format!("goroutine 19 [chan receive] {{name: {shown}}}:\n")
            );
        }
        let mut labels = Labels::new();
        labels.insert("user", "ann");
        labels.insert("a key", "x=1");
        let labels: &'static Labels = std::boxed::Box::leak(std::boxed::Box::new(labels));
        assert_eq!(
            header(|header| header.labels = Some(labels), Level::All),
            "goroutine 19 [chan receive] {\"a key\": \"x=1\", user: ann}:\n"
        );
        let both = header(
            |header| {
                header.labels = Some(labels);
                header.name = Some("n");
            },
            Level::All,
        );
        assert_eq!(
            both,
            "goroutine 19 [chan receive] {name: n, \"a key\": \"x=1\", user: ann}:\n"
        );
        assert_eq!(
            header(|_| {}, Level::System),
            "goroutine 19 gp=0xc0de m=nil [chan receive]:\n"
        );
        assert_eq!(
            header(|header| header.machine.m = Some((3, 0xab)), Level::System),
            "goroutine 19 gp=0xc0de m=3 mp=0xab [chan receive]:\n"
        );
    }

    #[test]
    fn panics() {
        let mut text = String::new();
        panic(&mut text, &"a\nb", Recovered::Yes, false).unwrap();
        panic(&mut text, &"c", Recovered::Repanicked, true).unwrap();
        panic(&mut text, &"d", Recovered::No, true).unwrap();
        fault(&mut text, "SIGSEGV: segmentation violation", 1, 0, 0x47db02).unwrap();
        fatal_error(&mut text, &"all goroutines are asleep - deadlock!").unwrap();
        assert_eq!(
            text,
            "panic: a\n\tb [recovered]\n\tpanic: c [recovered, repanicked]\n\tpanic: d\n\
             [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47db02]\n\
             fatal error: all goroutines are asleep - deadlock!\n"
        );
    }

    #[test]
    fn registers() {
        let mut text = String::new();
        let registers = Registers {
            rax: 1,
            r8: 8,
            rflags: 0x246,
            gs: 5,
            ..Default::default()
        };
        registers.print(&mut text).unwrap();
        let rows: std::vec::Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 21);
        assert_eq!(
            [rows[0], rows[8], rows[17], rows[20]],
            ["rax    0x1", "r8     0x8", "rflags 0x246", "gs     0x5"]
        );
    }
}
