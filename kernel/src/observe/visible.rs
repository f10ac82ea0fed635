//! Which frames a report shows.
//!
//! Go hides the frames of package runtime from a goroutine's traceback, but for the functions
//! that programs call themselves, and shows `panic(...)` where a panic began. The rule here does
//! the same without a list of functions. Each frame is of one [`Kind`], by the crate its name
//! begins with, and outside of `traceback=system`:
//!
//! - a frame of the program is shown;
//! - a frame of this crate is shown if its caller is the program's: then it is what the program
//!   called, `gosched::sync::mutex::Mutex<T>::lock`, and what lies inside it is ours to know;
//! - a frame of `core` or `alloc` is shown if the program is what called it, directly or through
//!   others of them; in between the frames of this crate it is hidden as they are;
//! - what the compiler puts between a call and its closure (`FnOnce::call_once`) is hidden, and so
//!   is what `#[gosched::main]` puts around `main`;
//! - a safe point or an interrupt's own switch was not called by the program, whatever its return
//!   address says: it is hidden with all that lies inside;
//! - where a panic began in the middle of the frames shown, one line says `panic(...)`; at the
//!   top it is hidden, as it is in Go, and so are `core`'s functions that raised it.
//!
//! Invariant: memory is constant, at most `MAX_PENDING` frames wait for their caller to be
//! known; more are hidden.

use super::name::FunctionName;
use super::symbols::Frame;
use super::unwind::Call;
use core::fmt::{self, Write};

/// Library frames that may lie between two others and still be shown.
const MAX_PENDING: usize = 16;

/// The ends of the names of [`Kind::Intrusion`]. The safe point itself leaves no frame: it jumps.
const INTRUSIONS: [&str; 3] = [
    "gosched_newstack",
    "switch::preempt::newstack_hook",
    "switch::preempt::async_preempt",
];

/// The end of this file's path within the crate's sources.
const THIS_FILE: &str = "observe/visible.rs";

/// One line of a traceback.
#[derive(Clone, Copy)]
pub struct Line {
    /// The call on the stack.
    pub call: Call,
    /// The function; `None` if no symbol is known for the pc.
    pub frame: Option<Frame>,
    /// Print `panic` for the function's name.
    pub panic: bool,
}

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The program's, or a crate's that it uses.
    Program,
    /// This crate's, or assembly.
    Runtime,
    /// `core`, `alloc` and what else comes with the compiler.
    Library,
    /// Compiler glue around a closure.
    Wrapper,
    /// Where this crate took the CPU from code that had not called it.
    Intrusion,
    /// The panic handler.
    Panic,
}

/// What [`Kind`] a frame is of.
pub fn kind(frame: &Frame) -> Kind {
    let head = Head::of(frame.function);
    let name = head.text();
    if name.contains("rust_begin_unwind") {
        return Kind::Panic;
    }
    if name.contains("core::ops::function::Fn") {
        return Kind::Wrapper;
    }
    if INTRUSIONS.iter().any(|intrusion| name.ends_with(intrusion)) {
        return Kind::Intrusion;
    }
    let own_file = own_sources(frame);
    match head.crate_name() {
        // The default image is a program too, though its crate has the same name.
        Some(name) if name == own_crate() => match own_file {
            Some(false) => Kind::Program,
            _ => Kind::Runtime,
        },
        Some("core" | "alloc" | "std" | "compiler_builtins") => Kind::Library,
        Some(_) => Kind::Program,
        // A name without a path: assembly, or an inlined function of line tables.
        None => match (own_file, frame.file) {
            (Some(true), _) | (_, None) => Kind::Runtime,
            (_, Some(file)) if file.starts_with("library/") => Kind::Library,
            _ => Kind::Program,
        },
    }
}

/// This crate's name, as the paths of its functions begin.
fn own_crate() -> &'static str {
    module_path!()
        .split_once("::")
        .map_or(module_path!(), |(name, _)| name)
}

/// Whether the frame's file is one of this library's; `None` if it is not known.
fn own_sources(frame: &Frame) -> Option<bool> {
    let file = frame.file?;
    let sources = file!().strip_suffix(THIS_FILE).unwrap_or(file!());
    Some(file.starts_with(sources) && !file.is_named("main.rs"))
}

/// The first characters of a demangled name.
struct Head {
    bytes: [u8; 96],
    len: usize,
}

impl Head {
    fn of(name: FunctionName) -> Self {
        let mut head = Self {
            bytes: [0; 96],
            len: 0,
        };
        // Full is an error, which ends the demangling early.
        let _ = write!(head, "{name}");
        head
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// The first path's first part: `core` of `<&T as core::fmt::Debug>::fmt`.
    fn crate_name(&self) -> Option<&str> {
        let (before, _) = self.text().split_once("::")?;
        if before.contains('<') && !before.starts_with('<') {
            return None; // `push<u8, alloc::alloc::Global>`: the path is an argument's
        }
        before
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    }
}

impl fmt::Write for Head {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let taken = text.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        if taken == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Passes on the lines to be shown of those given, in order.
pub struct Filter {
    show_all: bool,
    any_shown: bool,
    /// Frames of `core` that raised a panic are being skipped.
    raising: bool,
    /// At most one of the runtime, then those of the library, whose caller is not known yet.
    pending: [Option<Line>; MAX_PENDING],
    pending_len: usize,
    pending_runtime: bool,
}

impl Filter {
    /// A filter for one stack; `show_all` lets everything pass.
    pub fn new(show_all: bool) -> Self {
        Self {
            show_all,
            any_shown: false,
            raising: false,
            pending: [None; MAX_PENDING],
            pending_len: 0,
            pending_runtime: false,
        }
    }

    /// Takes the next line outward, and calls `each` for those that are now known to be shown.
    pub fn take(&mut self, line: Line, each: &mut dyn FnMut(&Line)) {
        let Some(frame) = &line.frame else {
            // Nothing is known of it: show it, it may be where a goroutine went astray.
            return self.show(line, each);
        };
        if self.show_all {
            return self.show(line, each);
        }
        let kind = kind(frame);
        let raised = self.raising && kind == Kind::Library;
        match kind {
            Kind::Wrapper => {}
            Kind::Intrusion => self.forget(),
            Kind::Program => self.show(line, each),
            Kind::Library if raised => return,
            Kind::Library => self.wait(line),
            Kind::Runtime => {
                self.forget();
                self.pending_runtime = true;
                self.wait(line);
            }
            Kind::Panic => {
                self.forget();
                if self.any_shown && !frame.inlined {
                    each(&Line {
                        panic: true,
                        ..line
                    });
                }
            }
        }
        self.raising = kind == Kind::Panic;
    }

    /// The stack ended: library frames that nobody of ours called are shown.
    pub fn finish(mut self, each: &mut dyn FnMut(&Line)) {
        if !self.pending_runtime {
            self.flush(each);
        }
    }

    fn show(&mut self, line: Line, each: &mut dyn FnMut(&Line)) {
        self.flush(each);
        each(&line);
        self.any_shown = true;
    }

    fn wait(&mut self, line: Line) {
        if let Some(place) = self.pending.get_mut(self.pending_len) {
            *place = Some(line);
            self.pending_len += 1;
        }
    }

    fn flush(&mut self, each: &mut dyn FnMut(&Line)) {
        for line in self.pending[..self.pending_len].iter().flatten() {
            each(line);
            self.any_shown = true;
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.pending_len = 0;
        self.pending_runtime = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::SourceFile;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn frame(name: &'static str, file: Option<&'static str>) -> Frame {
        let file = file.map(|name| SourceFile {
            comp_dir: "",
            dir: "",
            name,
        });
        Frame {
            function: FunctionName(name),
            file,
            line: 1,
            inlined: false,
            entry: 0,
        }
    }

    /// The names shown of a stack, innermost first.
    fn shown(names: &[&'static str]) -> Vec<String> {
        let mut shown = Vec::new();
        let mut each = |line: &Line| {
            let name = line
                .frame
                .map_or("?".to_string(), |frame| frame.function.to_string());
            shown.push(if line.panic {
                "panic".to_string()
            } else {
                name
            });
        };
        let mut filter = Filter::new(false);
        let call = Call {
            pc: 1,
            sp: 0,
            fp: 0,
            returned_to: true,
        };
        for name in names {
            let frame = (!name.is_empty()).then(|| frame(name, None));
            filter.take(
                Line {
                    call,
                    frame,
                    panic: false,
                },
                &mut each,
            );
        }
        filter.finish(&mut each);
        shown
    }

    #[test]
    fn kinds() {
        let beside = |file: &str| Some(&*file!().replace(THIS_FILE, file).leak());
        let (own, main) = (beside("sched/find.rs"), beside("main.rs"));
        for (name, file, expected) in [
            ("sieve::filter", None, Kind::Program),
            (
                "<sieve::Filter as core::iter::Iterator>::next",
                None,
                Kind::Program,
            ),
            ("gosched::sched::park", own, Kind::Runtime),
            ("<gosched::chan::Receiver<T>>::recv", None, Kind::Runtime),
            ("<T as gosched::sched::Entry>::call", None, Kind::Runtime),
            ("gosched::main", main, Kind::Program),
            ("core::str::count", None, Kind::Library),
            ("<&T as core::fmt::Debug>::fmt", None, Kind::Library),
            (
                "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
                None,
                Kind::Wrapper,
            ),
            ("gosched_newstack", own, Kind::Intrusion),
            ("__rustc::rust_begin_unwind", None, Kind::Panic),
            ("memcpy", None, Kind::Runtime),
            (
                "push<u8, alloc::alloc::Global>",
                Some("library/alloc/src/vec/mod.rs"),
                Kind::Library,
            ),
            ("find<gosched::g::G>", own, Kind::Runtime),
            (
                "helper<gosched::g::G>",
                Some("kernel/examples/sieve.rs"),
                Kind::Program,
            ),
        ] {
            assert_eq!(kind(&frame(name, file)), expected, "{name}");
        }
    }

    #[test]
    fn the_runtime_is_hidden_up_to_what_the_program_called() {
        assert_eq!(
            shown(&[
                "mcall",
                "gosched::sched::park",
                "core::option::Option<T>::map",
                "gosched::chan::receive",
                "gosched::chan::Receiver<T>::recv",
                "sieve::filter",
                "sieve::main::{{closure}}",
                "core::ops::function::FnOnce::call_once",
                "gosched::sched::newproc::entry",
            ]),
            [
                "gosched::chan::Receiver<T>::recv",
                "sieve::filter",
                "sieve::main::{{closure}}"
            ]
        );
        assert!(shown(&["gosched::sched::schedule", "gosched::sched::mstart"]).is_empty());
    }

    #[test]
    fn what_was_preempted_did_not_call() {
        assert_eq!(
            shown(&[
                "mcall",
                "gosched::sched::park::gosched",
                "core::option::Option<T>::map",
                "gosched::arch::switch::preempt::async_preempt",
                "core::hint::spin_loop",
                "sieve::spin",
                "sieve::main",
                "gosched::start::main_goroutine",
            ]),
            ["core::hint::spin_loop", "sieve::spin", "sieve::main"]
        );
        let safe_point = ["gosched_newstack", "sieve::filter", "sieve::main"];
        assert_eq!(shown(&safe_point), safe_point[1..]);
    }

    #[test]
    fn library_frames_belong_to_their_caller() {
        assert_eq!(
            shown(&[
                "a::compare",
                "core::slice::sort",
                "alloc::slice::sort",
                "a::main"
            ])
            .len(),
            4
        );
        assert_eq!(shown(&["core::slice::sort"]).len(), 1);
        assert!(shown(&["core::slice::sort", "gosched::sched::find"]).is_empty());
        let through = [
            "gosched::sync::unlock",
            "core::ptr::drop_in_place",
            "a::main",
        ];
        assert_eq!(shown(&through), through);
    }

    #[test]
    fn panics_show_where_they_began_unless_on_top() {
        let panic = [
            "gosched::sched::fatal::dump",
            "__rustc::rust_begin_unwind",
            "core::panicking::panic_fmt",
            "core::option::unwrap_failed",
            "a::divide",
        ];
        assert_eq!(shown(&panic), ["a::divide"]);
        let deferred = [&["a::cleanup"], &panic[1..]].concat();
        assert_eq!(shown(&deferred), ["a::cleanup", "panic", "a::divide"]);
    }

    #[test]
    fn what_is_not_known_is_shown() {
        assert_eq!(shown(&["", "gosched::sched::park", "a::main"]).len(), 3);
    }
}
