//! `print!` and its kin: text to the serial console, one call at a time.
//!
//! A call's text is put together before the console's lock is taken, since a user's `Display` may
//! allocate, park or print itself; then it goes out in one piece. A line that one goroutine left
//! open (`print!` without a newline) is ended before another goroutine's text, so lines are never
//! mixed.
//!
//! A dying M waits for nobody: after [`seize`] text goes out without the lock, since its holder may
//! be frozen.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch;
use crate::arch::switch::{GHead, getg};
use crate::base::lock::{Lock, Rank};

struct OpenLine {
    /// Who left a line without its newline, or null. An identity, never followed.
    by: *mut GHead,
}

// SAFETY: the pointer is compared, never followed; who holds the console's lock changes it.
unsafe impl Send for OpenLine {}

static CONSOLE: Lock<OpenLine> = Lock::new(
    Rank::Console,
    OpenLine {
        by: ptr::null_mut(),
    },
);
static SEIZED: AtomicBool = AtomicBool::new(false);

/// From now on text goes out without the lock: a fatal report has begun and all other CPUs are
/// frozen, perhaps amid a line of theirs, which is ended first.
pub(crate) fn seize() {
    if !SEIZED.swap(true, Ordering::Relaxed) && CONSOLE.try_lock().is_none_or(|c| !c.by.is_null()) {
        arch::console_write(b"\n");
    }
}

/// Text of one call: short ones stay on the stack.
struct Text {
    short: [u8; 200],
    len: usize,
    long: Vec<u8>,
}

impl Text {
    const fn new() -> Self {
        Self {
            short: [0; 200],
            len: 0,
            long: Vec::new(),
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.long.is_empty() {
            &self.short[..self.len]
        } else {
            &self.long
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let s = s.as_bytes();
        if self.long.is_empty() && self.len + s.len() <= self.short.len() {
            self.short[self.len..self.len + s.len()].copy_from_slice(s);
            self.len += s.len();
            return Ok(());
        }
        if self.long.is_empty() {
            self.long.extend_from_slice(&self.short[..self.len]);
        }
        self.long.extend_from_slice(s);
        Ok(())
    }
}

/// The console itself, for reports once it is seized: no buffer, no lock.
pub(crate) struct Raw;

impl Write for Raw {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        arch::console_write(s.as_bytes());
        Ok(())
    }
}

/// Prints formatted text. The macros are the way to call it.
#[doc(hidden)]
pub fn print(args: fmt::Arguments<'_>) {
    if SEIZED.load(Ordering::Relaxed) {
        // The console cannot fail, and an error of a user's Display is the user's.
        let _ = Raw.write_fmt(args);
        return;
    }
    if let Some(text) = args.as_str() {
        write(text.as_bytes());
        return;
    }
    let mut text = Text::new();
    let _ = text.write_fmt(args);
    write(text.bytes());
}

/// A text longer than this goes out in pieces of whole lines, the lock free in between: a real
/// serial port takes a second for 12 KB.
const PIECE: usize = 4096;

fn write(mut text: &[u8]) {
    while text.len() > PIECE {
        let end = text[..PIECE]
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(PIECE, |last| last + 1);
        write_piece(&text[..end]);
        text = &text[end..];
    }
    write_piece(text);
}

fn write_piece(text: &[u8]) {
    let Some(last) = text.last() else { return };
    let me = getg();
    let mut console = CONSOLE.lock();
    if !console.by.is_null() && console.by != me {
        arch::console_write(b"\n");
    }
    arch::console_write(text);
    console.by = if *last == b'\n' { ptr::null_mut() } else { me };
}

/// Prints to the serial console. As `std::print!`.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::__print(::core::format_args!($($arg)*)) };
}

/// Prints a line to the serial console. As `std::println!`; lines of different CPUs never mix.
#[macro_export]
macro_rules! println {
    () => { $crate::__print(::core::format_args!("\n")) };
    ($($arg:tt)*) => {
        $crate::__print(::core::format_args!("{}\n", ::core::format_args!($($arg)*)))
    };
}

/// Prints a line to the serial console, which is also where errors go.
#[macro_export]
macro_rules! eprintln {
    ($($arg:tt)*) => { $crate::println!($($arg)*) };
}

/// Prints an expression with its place and value and gives the value back. As `std::dbg!`.
#[macro_export]
macro_rules! dbg {
    ($value:expr $(,)?) => {
        match $value {
            value => {
                $crate::println!(
                    "[{}:{}:{}] {} = {:#?}",
                    ::core::file!(),
                    ::core::line!(),
                    ::core::column!(),
                    ::core::stringify!($value),
                    &value
                );
                value
            }
        }
    };
}
