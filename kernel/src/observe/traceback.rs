//! Tracebacks in Go's format: what a goroutine's stack says in a report.
//!
//! ```text
//! goroutine 19 [chan receive, 3 minutes]:
//! sieve::filter(...)
//!         kernel/examples/sieve.rs:21 +0x2a
//! created by sieve::main in goroutine 1
//!         kernel/examples/sieve.rs:33 +0x91
//! ```
//!
//! Arguments are always `...`: line tables do not say where they are. A function that was inlined
//! has no offset, since it has no code of its own. At `traceback=system` every frame is shown, with
//! ` fp=0x.. sp=0x.. pc=0x..`; below, `visible` decides. Of more than 100 lines the first and the
//! last 50 are shown.
//!
//! Nothing here knows the scheduler: the caller hands over plain values, and stops what it wants
//! to see. Each stack is walked twice, to count and then to print, so that nothing is stored.

use super::symbols::{Frame, Symbolizer};
use super::unwind::{Bounds, Call, Calls, Start};
use super::visible::{self, Filter, Kind, Line};
use core::fmt::{self, Write};

/// How many lines are shown from the inner end of a long stack, and from the outer one.
const ENDS: usize = 50;

/// What the kernel command line's `traceback` asks for, as Go's GOTRACEBACK.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// No goroutine at all.
    None,
    /// The goroutine that failed; all of them in a deadlock.
    #[default]
    Single,
    /// All goroutines of the program.
    All,
    /// All goroutines, with all frames and their registers.
    System,
}

impl Level {
    /// The level that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "single" => Self::Single,
            "all" => Self::All,
            "system" => Self::System,
            _ => return None,
        })
    }
}

/// A stack that stands still, or the caller's own.
#[derive(Clone, Copy)]
pub struct Stack<'a> {
    /// Where the walk begins.
    pub start: Start,
    /// What of it may be read.
    pub bounds: Bounds,
    /// Return addresses below the outermost frame (goexit).
    pub stop_at: &'a [usize],
}

/// The go statement that began a goroutine.
#[derive(Clone, Copy)]
pub struct CreatedBy {
    /// The return address of that call (Go: `gopc`).
    pub pc: usize,
    /// The goroutine that made it; 0 if it is not known.
    pub parent_goid: u64,
}

/// Prints stacks to one place; keeps what it learns of the symbols from one to the next.
pub struct Traceback<'a> {
    out: &'a mut dyn Write,
    level: Level,
    symbols: Symbolizer,
}

impl<'a> Traceback<'a> {
    /// Prints to `out`. `symbols` is [`Symbolizer::new`], or [`Symbolizer::without_lines`] where
    /// no heap can be had.
    pub fn new(out: &'a mut dyn Write, level: Level, symbols: Symbolizer) -> Self {
        Self {
            out,
            level,
            symbols,
        }
    }

    /// Where it prints, for what stands between stacks.
    pub fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    /// The frames of a goroutine's `stack`, those of the runtime hidden below
    /// [`Level::System`].
    ///
    /// # Safety
    /// As for [`Calls::new`].
    ///
    /// # Errors
    /// What `out` returns.
    pub unsafe fn goroutine(&mut self, stack: &Stack<'_>) -> fmt::Result {
        // SAFETY: the caller's promise is handed on.
        let calls = unsafe { Calls::new(stack.start, stack.bounds, stack.stop_at) };
        self.frames(calls, 0, self.level >= Level::System)
    }

    /// As [`goroutine`](Self::goroutine), for calls that were copied from a stack; `left_out` of
    /// them, in the middle, were not.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn copied(&mut self, calls: &[Call], left_out: usize) -> fmt::Result {
        let show_all = self.level >= Level::System;
        self.frames(calls.iter().copied(), left_out, show_all)
    }

    /// The symbols, with all that was learnt of them.
    pub fn into_symbols(self) -> Symbolizer {
        self.symbols
    }

    /// `runtime stack:` and the frames of a g0, all of them.
    ///
    /// # Safety
    /// As for [`Calls::new`].
    ///
    /// # Errors
    /// What `out` returns.
    pub unsafe fn runtime_stack(&mut self, stack: &Stack<'_>) -> fmt::Result {
        self.out.write_str("runtime stack:\n")?;
        // SAFETY: the caller's promise is handed on.
        let calls = unsafe { Calls::new(stack.start, stack.bounds, stack.stop_at) };
        self.frames(calls, 0, true)
    }

    /// For a goroutine that runs on a CPU which could not be stopped.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn unavailable(&mut self) -> fmt::Result {
        self.out
            .write_str("\tgoroutine running on other thread; stack unavailable\n")
    }

    /// `created by F in goroutine N`: F is the program's function around the go statement.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn created_by(&mut self, created: CreatedBy) -> fmt::Result {
        let CreatedBy { pc, parent_goid } = created;
        let Some(lookup) = (pc as u64).checked_sub(1) else {
            return Ok(());
        };
        let frames = self.symbols.frames(lookup);
        let program = |frame: &&Frame| visible::kind(frame) == Kind::Program;
        let Some(frame) = frames.iter().find(program).or(frames.last()) else {
            return Ok(());
        };
        write!(self.out, "created by {}", frame.function)?;
        if parent_goid != 0 {
            write!(self.out, " in goroutine {parent_goid}")?;
        }
        self.out.write_str("\n")?;
        position(self.out, frame)?;
        writeln!(self.out, " +{:#x}", pc as u64 - frame.entry)
    }

    fn frames(
        &mut self,
        calls: impl Iterator<Item = Call> + Clone,
        left_out: usize,
        show_all: bool,
    ) -> fmt::Result {
        let mut total = 0usize;
        each_line(&mut self.symbols, calls.clone(), show_all, &mut |_| {
            total += 1
        });
        let elided = total.saturating_sub(2 * ENDS);
        let system = self.level >= Level::System;
        let mut at = 0usize;
        let mut result = Ok(());
        let out = &mut *self.out;
        each_line(&mut self.symbols, calls, show_all, &mut |line| {
            if result.is_ok() && at == ENDS && elided > 0 {
                result = writeln!(out, "...{} frames elided...", elided + left_out);
            }
            if result.is_ok() && (at < ENDS || at >= ENDS + elided) {
                result = print(out, line, system);
            }
            at += 1;
        });
        result
    }
}

/// Calls `each` for every line of the stack that is to be shown. Not inlined: the filter is most
/// of a report's stack, and there are two walks.
#[inline(never)]
fn each_line(
    symbols: &mut Symbolizer,
    calls: impl Iterator<Item = Call>,
    show_all: bool,
    each: &mut dyn FnMut(&Line),
) {
    let mut filter = Filter::new(show_all);
    for call in calls {
        let frames = symbols.frames(call.lookup_pc());
        if frames.is_empty() {
            filter.take(
                Line {
                    call,
                    frame: None,
                    panic: false,
                },
                each,
            );
        }
        for &frame in frames {
            filter.take(
                Line {
                    call,
                    frame: Some(frame),
                    panic: false,
                },
                each,
            );
        }
    }
    filter.finish(each);
}

/// The two rows of one line.
fn print(out: &mut dyn Write, line: &Line, system: bool) -> fmt::Result {
    let Line { call, frame, panic } = line;
    let Some(frame) = frame else {
        return writeln!(out, "{:#x}(...)", call.pc);
    };
    if *panic {
        writeln!(out, "panic(...)")?;
    } else {
        writeln!(out, "{}(...)", frame.function)?;
    }
    position(out, frame)?;
    if !frame.inlined {
        // As in Go: a fault at the very first instruction has no offset.
        let offset = (call.pc as u64).saturating_sub(frame.entry);
        if offset > 0 {
            write!(out, " +{offset:#x}")?;
        }
        if system {
            let Call { pc, sp, fp, .. } = call;
            write!(out, " fp={fp:#x} sp={sp:#x} pc={pc:#x}")?;
        }
    }
    out.write_str("\n")
}

/// TAB, file and line.
fn position(out: &mut dyn Write, frame: &Frame) -> fmt::Result {
    match frame.file {
        Some(file) => write!(out, "\t{file}:{}", frame.line),
        // As in Go for code without a file.
        None => out.write_str("\t?:0"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::symbols::tests::{find, landmark};
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// The traceback of a stack whose calls return to `pcs`, the outermost last.
    fn traceback(pcs: &[usize], level: Level, symbols: Symbolizer) -> String {
        let mut words = std::vec![0usize; 2 * pcs.len()];
        let base = words.as_mut_ptr().expose_provenance();
        for (i, &pc) in pcs[1..].iter().enumerate() {
            words[2 * i] = base + 16 * (i + 1);
            words[2 * i + 1] = pc;
        }
        let start = Start {
            pc: pcs[0],
            sp: base,
            bp: base,
            interrupted: false,
        };
        let bounds = Bounds {
            lo: base,
            hi: base + 8 * words.len(),
        };
        let mut text = String::new();
        let mut traceback = Traceback::new(&mut text, level, symbols);
        let stack = Stack {
            start,
            bounds,
            stop_at: &[],
        };
        // SAFETY: `words` holds all of `bounds` and outlives the call.
        unsafe { traceback.goroutine(&stack) }.unwrap();
        text
    }

    fn landmark_pc() -> usize {
        assert!(landmark(1) < 2);
        let (entry, size) = find("symbols::tests::landmark");
        (entry + size) as usize // behind its `ret`, as if that were a call
    }

    #[test]
    fn frames_have_two_rows() {
        let pc = landmark_pc();
        let (_, size) = find("symbols::tests::landmark");
        let text = traceback(&[pc, pc], Level::System, Symbolizer::new());
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert!(
            rows[0].ends_with("observe::symbols::tests::landmark(...)"),
            "{text}"
        );
        assert!(
            rows[1].starts_with("\t") && rows[1].contains("src/observe/symbols.rs:"),
            "{text}"
        );
        assert!(
            rows[1].contains(&std::format!(" +{size:#x} fp=0x")),
            "{text}"
        );
        assert!(rows[1].ends_with(&std::format!(" pc={pc:#x}")), "{text}");
        // The function is one of this crate's: hidden below level system.
        assert_eq!(traceback(&[pc, pc], Level::All, Symbolizer::new()), "");
    }

    #[test]
    fn a_pc_without_a_symbol_is_a_bare_address() {
        assert_eq!(
            traceback(&[0x10], Level::Single, Symbolizer::new()),
            "0x10(...)\n"
        );
        let text = traceback(&[landmark_pc()], Level::System, Symbolizer::without_lines());
        assert!(text.contains("::landmark(...)\n\t?:0 +0x"), "{text}");
    }

    #[test]
    fn long_stacks_lose_their_middle() {
        let all = |count: usize| {
            let pcs: Vec<usize> = (1..=count).collect();
            traceback(&pcs, Level::Single, Symbolizer::without_lines())
        };
        assert_eq!(all(100).lines().count(), 100);
        let text = all(103);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 101);
        assert_eq!(
            rows[49..52],
            ["0x32(...)", "...3 frames elided...", "0x36(...)"]
        );
    }

    #[test]
    fn the_go_statement_is_named() {
        let pc = landmark_pc();
        let _ = find("symbols::tests::landmark");
        let created = |parent_goid| {
            let mut text = String::new();
            let mut traceback = Traceback::new(&mut text, Level::Single, Symbolizer::new());
            traceback.created_by(CreatedBy { pc, parent_goid }).unwrap();
            text
        };
        let text = created(7);
        assert!(text.starts_with("created by ") && text.contains("landmark in goroutine 7\n\t"));
        assert!(created(0).contains("landmark\n\t"));
    }
}
