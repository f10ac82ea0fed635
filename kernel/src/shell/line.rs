//! Editing the line that is typed: bytes in, what the terminal is sent and events out. Pure.
//!
//! | key | does |
//! | --- | --- |
//! | Enter | ends the line |
//! | Left, Ctrl-B; Right, Ctrl-F | moves the cursor by a character |
//! | Home, Ctrl-A; End, Ctrl-E | moves the cursor to the line's begin, end |
//! | Up, Ctrl-P; Down, Ctrl-N | shows the next older, newer line |
//! | Backspace | takes the character before the cursor away |
//! | Delete, Ctrl-D | takes the character under the cursor away |
//! | Ctrl-U, Ctrl-K | takes all before the cursor away, all from it on |
//! | Ctrl-W | takes the word before the cursor away |
//! | Tab | completes the word before the cursor; again: lists what it can be |
//! | Ctrl-L | clears the screen |
//! | Ctrl-C | gives the line up, and begins an empty one |
//! | Ctrl-D | on an empty line: the end of input |
//!
//! Commands are ASCII: any other byte, a control character without a meaning here and a key that
//! can do nothing ring the bell and change nothing; other escape sequences are swallowed whole.
//!
//! The terminal is taken to have 80 columns and to know five control sequences of ECMA-48: cursor
//! left and right, erase to the end of the row, and for Ctrl-L cursor home and erase the screen.
//! Prompt and line are always on one row, and leave its last column free, where terminals differ
//! about when to go to the next row. Of a longer line a part is shown, with `<` or `>` in place of
//! the first or last character shown where it is cut. A character at the end is echoed and nothing
//! more, so that what a script typed stands in the log once and plain.
//!
//! Tried and dropped: `noline`, which sends a cursor position query after each prompt and waits for
//! the terminal's answer, so that a script that types into the console hangs; `embedded-cli`, 2,900
//! lines with a formatting crate of its own.

mod completion;
mod history;
mod keys;
#[cfg(test)]
mod tests;

use alloc::string::String;
use core::fmt::Write;

pub(super) use completion::Complete;

use completion::Candidates;
use history::History;
use keys::{Key, Keys};

/// The longest line.
pub(super) const MAX_LEN: usize = 4096;

/// Of the terminal.
const COLUMNS: usize = 80;

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

/// The line so far, and the ones before it.
pub(super) struct Editor {
    prompt: &'static str,
    /// Printable ASCII.
    text: String,
    /// The character under the cursor; the line's length: after the last one.
    cursor: usize,
    /// The first character shown.
    start: usize,
    keys: Keys,
    history: History,
    /// The last key was a Tab that left a choice.
    choice: bool,
    /// What the terminal is sent next.
    out: String,
}

impl Editor {
    /// An editor with this prompt: printable ASCII, at most half a row.
    pub(super) fn new(prompt: &'static str) -> Self {
        assert!(prompt.len() <= COLUMNS / 2, "the prompt leaves no room");
        Self {
            prompt,
            text: String::new(),
            cursor: 0,
            start: 0,
            keys: Keys::new(),
            history: History::new(),
            choice: false,
            out: String::new(),
        }
    }

    /// Begins an empty line; gives the prompt to print.
    pub(super) fn begin(&mut self) -> &'static str {
        // A long line's memory is not kept.
        self.text = String::new();
        (self.cursor, self.start) = (0, 0);
        self.choice = false;
        self.history.begin();
        self.prompt
    }

    /// What was typed; empty after Ctrl-C.
    pub(super) fn line(&self) -> &str {
        &self.text
    }

    /// Takes one byte of input: what to send the terminal, and what it led to. After a line's end,
    /// call [`Editor::begin`] next. `complete` is called for a Tab.
    pub(super) fn feed(&mut self, byte: u8, complete: Complete<'_>) -> (&str, Event) {
        self.out.clear();
        let event = match self.keys.feed(byte) {
            Some(key) => self.key(key, complete),
            None => Event::More,
        };
        (&self.out, event)
    }

    fn key(&mut self, key: Key, complete: Complete<'_>) -> Event {
        let choice = core::mem::take(&mut self.choice);
        let (cursor, len) = (self.cursor, self.text.len());
        match key {
            Key::Char(byte) => self.insert(char::from(byte).encode_utf8(&mut [0; 4])),
            Key::Enter => {
                self.out.push('\n');
                self.history.push(&self.text);
                return Event::Line;
            }
            Key::Interrupt => {
                self.out.push_str("^C\n");
                self.text.clear();
                (self.cursor, self.start) = (0, 0);
                return Event::Line;
            }
            Key::DeleteOrEnd if len == 0 => {
                self.out.push('\n');
                return Event::End;
            }
            Key::Left if cursor > 0 => self.go(cursor - 1),
            Key::Right if cursor < len => self.go(cursor + 1),
            Key::Home => self.go(0),
            Key::End => self.go(len),
            Key::Backspace if cursor > 0 => self.take_out(cursor - 1, cursor),
            Key::Delete | Key::DeleteOrEnd if cursor < len => self.take_out(cursor, cursor + 1),
            Key::KillRight => self.take_out(cursor, len),
            Key::KillLeft => self.take_out(0, cursor),
            Key::KillWord if cursor > 0 => {
                let before = self.text[..cursor].trim_end_matches(' ');
                self.take_out(before.rfind(' ').map_or(0, |at| at + 1), cursor);
            }
            Key::Up => self.up(),
            Key::Down => self.down(),
            Key::Tab => self.tab(choice, complete),
            Key::ClearScreen => {
                self.out.push_str("\x1b[H\x1b[2J");
                self.draw();
            }
            _ => self.bell(),
        }
        Event::More
    }

    fn bell(&mut self) {
        self.out.push('\x07');
    }

    /// Puts text before the cursor: all or, if it does not fit, nothing.
    fn insert(&mut self, text: &str) {
        if self.text.len() + text.len() > MAX_LEN {
            self.bell();
            return;
        }
        let at_end = self.cursor == self.text.len();
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        if !self.scroll() && at_end {
            self.out.push_str(text);
        } else {
            self.draw();
        }
    }

    fn take_out(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let last = to == self.text.len() && to - from == 1 && self.cursor == to;
        self.text.drain(from..to);
        self.cursor = from;
        if !self.scroll() && last {
            self.out.push_str("\x08 \x08");
        } else {
            self.draw();
        }
    }

    fn replace(&mut self, text: String) {
        self.text = text;
        self.cursor = self.text.len();
        self.scroll();
        self.draw();
    }

    fn go(&mut self, cursor: usize) {
        let from = core::mem::replace(&mut self.cursor, cursor);
        if self.scroll() {
            self.draw();
        } else {
            self.shift(from, cursor);
        }
    }

    fn up(&mut self) {
        match self.history.older(&self.text).map(String::from) {
            Some(line) => self.replace(line),
            None => self.bell(),
        }
    }

    fn down(&mut self) {
        match self.history.newer().map(String::from) {
            Some(line) => self.replace(line),
            None => self.bell(),
        }
    }

    /// `choice`: the key before was a Tab that left a choice.
    fn tab(&mut self, choice: bool, complete: Complete<'_>) {
        // Moved out, since the candidates refer to it while the line changes.
        let before = String::from(&self.text[..self.cursor]);
        let candidates = Candidates::of(&before, complete);
        let common = candidates.common();
        match candidates.len() {
            0 => self.bell(),
            1 if self.text[self.cursor..].starts_with(' ') => {
                self.insert(common);
                self.go(self.cursor + 1);
            }
            1 => {
                let mut rest = String::from(common);
                rest.push(' ');
                self.insert(&rest);
            }
            _ if choice => {
                self.out.push('\n');
                candidates.list(&mut self.out);
                self.draw();
                self.choice = true;
            }
            _ => {
                self.choice = true;
                match common {
                    "" => self.bell(),
                    _ => self.insert(common),
                }
            }
        }
    }

    /// How many characters of the line a row has room for, the cursor's place after them not
    /// counted.
    fn room(&self) -> usize {
        COLUMNS - 1 - self.prompt.len()
    }

    /// Makes the cursor's place one of those shown, and not a mark; whether that changed which
    /// part of the line is shown.
    ///
    /// By half a row at once, so that a long line that is pasted is not drawn anew for each
    /// character.
    fn scroll(&mut self) -> bool {
        let (was, room) = (self.start, self.room());
        let len = self.text.len();
        let first = self.start + usize::from(self.start > 0);
        let last = if self.start + room < len {
            self.start + room - 2
        } else {
            self.start + room
        };
        if len <= room {
            self.start = 0;
        } else if !(first..=last).contains(&self.cursor) {
            self.start = self.cursor.saturating_sub(room / 2);
        }
        self.start != was
    }

    /// Writes prompt and line over what the row shows.
    fn draw(&mut self) {
        let end = self.text.len().min(self.start + self.room());
        let left = usize::from(self.start > 0);
        let right = usize::from(end < self.text.len());
        let out = &mut self.out;
        out.push('\r');
        out.push_str(self.prompt);
        out.push_str(&"<"[..left]);
        out.push_str(&self.text[self.start + left..end - right]);
        out.push_str(&">"[..right]);
        out.push_str("\x1b[K");
        self.shift(end, self.cursor);
    }

    /// Moves the terminal's cursor from one character shown to another.
    fn shift(&mut self, from: usize, to: usize) {
        // A String takes all.
        let _ = match to.cmp(&from) {
            core::cmp::Ordering::Less => write!(self.out, "\x1b[{}D", from - to),
            core::cmp::Ordering::Equal => Ok(()),
            core::cmp::Ordering::Greater => write!(self.out, "\x1b[{}C", to - from),
        };
    }
}
