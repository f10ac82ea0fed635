//! Editing the line that is typed: bytes in, echo and events out. Pure.
//!
//! | key | does |
//! | --- | --- |
//! | Enter | ends the line |
//! | Backspace, Delete | takes the last character back |
//! | Ctrl-U | takes all characters back |
//! | Ctrl-C | gives the line up, and begins an empty one |
//! | Ctrl-D | on an empty line: the end of input |
//!
//! Commands are ASCII: any other byte, a control character without a meaning here and a character
//! that does not fit ring the bell and change nothing; an escape sequence (an arrow key) is
//! swallowed whole. So every character of the line has taken one column, and to take it back is
//! always the same three bytes.
//!
//! Tried and dropped: `noline`, which sends a cursor position query after each prompt and waits for
//! the terminal's answer, so that a script that types into the console hangs; `embedded-cli`, 2,900
//! lines with a formatting crate of its own for what is a hundred lines here.

use core::fmt;

/// The longest line.
pub(super) const MAX_LEN: usize = 256;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const ESCAPE: u8 = 0x1b;

/// What a byte led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The line goes on.
    More,
    /// The line is complete.
    Line,
    /// The end of input.
    End,
}

/// What the terminal is sent for a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Echo {
    Nothing,
    /// The character itself.
    Char(u8),
    /// A character is taken back, that many times.
    Rubout(usize),
    Bell,
    Newline,
    /// The line was given up; a new prompt follows.
    Interrupt,
}

impl fmt::Display for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Char(byte) => write!(f, "{}", char::from(*byte)),
            Self::Rubout(n) => (0..*n).try_for_each(|_| f.write_str("\x08 \x08")),
            Self::Bell => f.write_str("\x07"),
            Self::Newline => f.write_str("\n"),
            Self::Interrupt => f.write_str("^C\n"),
        }
    }
}

/// How far into an escape sequence the input is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    No,
    /// ESC came.
    Begun,
    /// ESC [ or ESC O came: everything up to the final byte belongs to it (ECMA-48, 5.4).
    Inside,
}

/// The line so far.
pub(super) struct Editor {
    bytes: [u8; MAX_LEN],
    len: usize,
    escape: Escape,
    /// The last byte was a carriage return: a line feed right after it is the same Enter.
    after_return: bool,
}

impl Editor {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; MAX_LEN],
            len: 0,
            escape: Escape::No,
            after_return: false,
        }
    }

    /// Begins an empty line.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// What was typed.
    pub(super) fn line(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is taken")
    }

    /// Takes one byte of input.
    pub(super) fn feed(&mut self, byte: u8) -> (Echo, Event) {
        if self.swallow(byte) {
            return (Echo::Nothing, Event::More);
        }
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        let echo = match byte {
            b'\n' if after_return => Echo::Nothing,
            b'\r' | b'\n' => return (Echo::Newline, Event::Line),
            CTRL_D if self.len == 0 => return (Echo::Newline, Event::End),
            CTRL_C => {
                self.len = 0;
                return (Echo::Interrupt, Event::Line);
            }
            CTRL_U => self.take_back(self.len),
            BACKSPACE | DELETE if self.len > 0 => self.take_back(1),
            b' '..=b'~' if self.len < MAX_LEN => {
                self.bytes[self.len] = byte;
                self.len += 1;
                Echo::Char(byte)
            }
            _ => Echo::Bell,
        };
        (echo, Event::More)
    }

    fn take_back(&mut self, n: usize) -> Echo {
        self.len -= n;
        Echo::Rubout(n)
    }

    /// Whether the byte belongs to an escape sequence.
    fn swallow(&mut self, byte: u8) -> bool {
        let was = self.escape;
        self.escape = match (was, byte) {
            (_, ESCAPE) => Escape::Begun,
            (Escape::Begun, b'[' | b'O') => Escape::Inside,
            (Escape::Inside, b' '..=b'?') => Escape::Inside,
            _ => Escape::No,
        };
        self.escape != Escape::No || was == Escape::Inside && (b'@'..=b'~').contains(&byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// The lines that come of some input, `None` for the end, and all that was echoed.
    fn typed(input: &[u8]) -> (Vec<Option<String>>, String) {
        let (mut editor, mut lines, mut echoed) = (Editor::new(), Vec::new(), String::new());
        for &byte in input {
            let (echo, event) = editor.feed(byte);
            echoed += &echo.to_string();
            match event {
                Event::More => continue,
                Event::Line => lines.push(Some(editor.line().to_string())),
                Event::End => lines.push(None),
            }
            editor.clear();
        }
        (lines, echoed)
    }

    fn lines(input: &[u8]) -> Vec<Option<String>> {
        typed(input).0
    }

    fn line(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    #[test]
    fn each_kind_of_enter_ends_one_line() {
        assert_eq!(
            lines(b"a\rb\nc\r\nd\n\ne\r\r"),
            ["a", "b", "c", "d", "", "e", ""].map(line)
        );
    }

    #[test]
    fn editing() {
        assert_eq!(
            typed(b"pt\x7fs\r"),
            ([line("ps")].into(), "pt\x08 \x08s\n".to_string())
        );
        assert_eq!(lines(b"\x7f\x08x\r"), [line("x")]);
        assert_eq!(lines(b"nonsense\x15ps\r"), [line("ps")]);
        assert_eq!(typed(b"abc\x03d\r").0, [line(""), line("d")]);
    }

    #[test]
    fn end_of_input_on_an_empty_line_only() {
        assert_eq!(lines(b"a\x04\r\x04"), [line("a"), None]);
    }

    #[test]
    fn what_is_no_command_rings_the_bell() {
        assert_eq!(typed(b"\xff\xc3\xa4\x01\t").1, "\x07".repeat(5));
        assert_eq!(lines(b"a\xffb\x80\r"), [line("ab")]);
        let long = [&[b'x'; MAX_LEN + 10][..], b"\r"].concat();
        assert_eq!(lines(&long), [Some("x".repeat(MAX_LEN))]);
    }

    #[test]
    fn escape_sequences_are_swallowed() {
        assert_eq!(
            typed(b"a\x1b[A\x1b[1;5D\x1bOPb\r"),
            ([line("ab")].into(), "ab\n".to_string())
        );
        assert_eq!(lines(b"\x1b\x1b[Aps\r"), [line("ps")]);
    }
}
