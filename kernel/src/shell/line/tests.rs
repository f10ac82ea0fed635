//! The editor, with a terminal of 80 columns beside it that is compared after each byte.

use super::*;
use std::string::ToString;
use std::vec::Vec;
use std::{format, vec};

const PROMPT: &str = "> ";

fn complete(_: &str, offer: &mut dyn FnMut(&str)) {
    ["stats", "help", "ps", "start", "ps", "not\u{e4}"]
        .into_iter()
        .for_each(offer);
}

/// A terminal of 80 columns: the row that the cursor is on.
#[derive(Default)]
struct Terminal {
    row: Vec<u8>,
    column: usize,
}

impl Terminal {
    fn print(&mut self, text: &str) {
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\r' => self.column = 0,
                b'\n' => *self = Self::default(),
                0x07 => {}
                0x08 => self.column -= 1,
                0x1b => self.sequence(&mut bytes),
                _ => {
                    if self.row.len() <= self.column {
                        self.row.resize(self.column + 1, b' ');
                    }
                    self.row[self.column] = byte;
                    self.column += 1;
                }
            }
        }
    }

    fn sequence(&mut self, bytes: &mut impl Iterator<Item = u8>) {
        assert_eq!(bytes.next(), Some(b'['));
        let mut n = 0;
        loop {
            match bytes.next().unwrap() {
                digit @ b'0'..=b'9' => n = n * 10 + usize::from(digit - b'0'),
                b'K' => return self.row.truncate(self.column),
                b'C' => return self.column += n,
                b'D' => return self.column -= n,
                b'H' => return self.column = 0,
                b'J' => return self.row.clear(),
                other => panic!("{other}"),
            }
        }
    }

    /// The terminal shows what the editor has, on one row, and the cursor where it is.
    fn check(&self, editor: &Editor) {
        assert!(editor.text.is_ascii() && editor.text.len() <= MAX_LEN);
        assert!(editor.cursor <= editor.text.len());
        assert!(self.row.len() < COLUMNS && self.column < COLUMNS);
        let row = str::from_utf8(&self.row).unwrap();
        let shown = row.strip_prefix(PROMPT).unwrap().trim_end_matches(' ');
        let line = editor.line().as_bytes();
        if line.len() < COLUMNS - PROMPT.len() {
            assert_eq!(shown, editor.line().trim_end_matches(' '));
            assert_eq!(self.column, PROMPT.len() + editor.cursor);
        }
        let cursor = self.column - PROMPT.len();
        let start = editor.cursor - cursor;
        for column in 0..COLUMNS - 1 - PROMPT.len() {
            let real = line.get(start + column).copied().unwrap_or(b' ');
            let wanted = match column {
                0 if start > 0 => b'<',
                76 if start + 77 < line.len() => b'>',
                _ => real,
            };
            let is = self.row.get(PROMPT.len() + column).copied();
            assert_eq!(is.unwrap_or(b' '), wanted, "column {column} of {row:?}");
            let mark = wanted != real;
            assert!(!mark || column != cursor, "the cursor is on a mark");
        }
    }
}

/// The lines that come of some input, `None` for the end, and all that was printed.
fn typed(input: &[u8]) -> (Vec<Option<String>>, String) {
    let (mut editor, mut terminal) = (Editor::new(PROMPT), Terminal::default());
    let (mut lines, mut printed) = (Vec::new(), String::new());
    terminal.print(editor.begin());
    for &byte in input {
        let (text, event) = editor.feed(byte, &mut complete);
        printed += text;
        terminal.print(text);
        match event {
            Event::More => {
                terminal.check(&editor);
                continue;
            }
            Event::Line => lines.push(Some(editor.line().to_string())),
            Event::End => lines.push(None),
        }
        terminal.print(editor.begin());
    }
    (lines, printed)
}

/// The lines that come of some input.
#[track_caller]
fn check(input: &[u8], wanted: &[&str]) {
    let wanted: Vec<_> = wanted.iter().map(|line| Some(line.to_string())).collect();
    assert_eq!(typed(input).0, wanted);
}

/// Catches CR LF as two Enters, and CR CR or LF LF as one.
#[test]
fn each_kind_of_enter_ends_one_line() {
    let wanted = ["a", "b", "c", "d", "", "e", ""];
    check(b"a\rb\nc\r\nd\n\ne\r\r", &wanted);
}

/// Catches a redraw where an echo does: a log would hold a line once for each character.
#[test]
fn typing_at_the_end_is_echoed_plainly() {
    assert_eq!(typed(b"pt\x7fs\r").1, "pt\x08 \x08s\n");
    assert_eq!(typed(b"abc\x03").1, "abc^C\n");
}

/// Catches an edit at the wrong side of the cursor.
#[test]
fn editing() {
    check(b"bc\x01a\x05d\x02\x02X\x06Y\r", &["abXcYd"]);
    check(b"abc\x1b[D\x1b[D\x7fX\x1b[C\x08\r", &["Xc"]);
    check(b"abc\x1b[H\x1b[3~\x1b[F\x1b[3~d\x1bOH\x04\r", &["cd"]);
    check(b"bc\x1b[1~a\x1b[4~d\r", &["abcd"]);
    check(b"abcd\x02\x02\x0b\r", &["ab"]);
    check(b"abcd\x02\x02\x15\r", &["cd"]);
    check(b"run a  \x17b\x01\x17\r", &["run b"]);
    check(b"abc\x0c\x03d\r", &["", "d"]);
}

/// Catches Ctrl-D that ends the image while a line is typed.
#[test]
fn end_of_input_on_an_empty_line_only() {
    assert_eq!(typed(b"a\x04\r\x04").0, [Some("a".to_string()), None]);
}

/// Catches a byte that is no ASCII in the line, and one beyond its bound.
#[test]
fn what_is_no_character_rings_the_bell() {
    assert_eq!(typed(b"\xff\xc3\xa4\x00\x7f\x1b[D").1, "\x07".repeat(6));
    check(b"a\xffb\x80\r", &["ab"]);
    let long = [&[b'x'; MAX_LEN + 10][..], b"\x01y\r"].concat();
    check(&long, &[&"x".repeat(MAX_LEN)]);
}

/// Catches the rest of a sequence taken for characters, and one that swallows Enter.
#[test]
fn unknown_sequences_are_swallowed_whole() {
    check(b"a\x1b[24~\x1b[1;5D\x1bOP\x1bb\x1b[[A\x1b(Bb\r", &["ab"]);
    check(b"\x1b]11;rgb:0/0/0\x07a\x1bPxyz\x1b\\b\r", &["ab"]);
    check(
        b"\x1b\x1b[Zps\x1b[\rx\x1b]y\rz\x1b[999999Aa\r",
        &["ps", "x", "za"],
    );
}

/// Catches a lost draft, duplicates, and a step past either end.
#[test]
fn history() {
    check(
        b"a\rb\rb\r \rdra\x1b[A\x1b[A\x1b[A\r",
        &["a", "b", "b", " ", "a"],
    );
    check(b"a\rb\rdra\x10\x10\x0e\x0e\x0eft\r", &["a", "b", "draft"]);
    assert!(typed(b"\x1b[A\x1b[B").1 == "\x07\x07");
}

/// Catches a history without bound, and one that forgets the newest hundred.
#[test]
fn history_is_bounded() {
    let mut history = History::new();
    for i in 0..1000 {
        history.push(&format!("line {i}"));
    }
    assert_eq!(history.size().0, history::MAX_LINES);
    for i in (900..1000).rev() {
        assert_eq!(history.older(""), Some(&*format!("line {i}")));
    }
    history.begin();
    for i in 0..9 {
        history.push(&format!("{i}").repeat(MAX_LEN));
    }
    assert_eq!(history.size(), (4, history::MAX_BYTES));
}

/// Catches a completion of several to the first of them, and a blank put twice.
#[test]
fn completion() {
    check(b"h\t1\r", &["help 1"]);
    check(b"h 1\x01\x06\t2\r", &["help 21"]);
    check(b"p\t\r", &["ps "]);
    check(b"x;s\tx\r", &["x;stax"]);
    assert_eq!(typed(b"xx\t").1, "xx\x07");
    let listed = "sta\nstart  stats\n\r> sta\x1b[K";
    assert_eq!(typed(b"s\t\t").1, listed);
    assert_eq!(typed(b"sta\t\t").1, listed.replacen("sta", "sta\x07", 1));
    // Another key in between: the choice is no longer asked for.
    assert_eq!(typed(b"sta\tx\x7f\t").1, "sta\x07x\x08 \x08\x07");
}

/// Catches a long line that goes to a second row, and one that is drawn for each character.
#[test]
fn long_lines_scroll() {
    let long = "0123456789".repeat(100);
    let (_, printed) = typed(long.as_bytes());
    assert!(printed.len() < 4 * long.len(), "{}", printed.len());
    let keys = [
        &b"\x02".repeat(500),
        &b"\x04".repeat(450)[..],
        b"\x01\x05\r",
    ];
    let input = [long.as_bytes(), &keys.concat()].concat();
    check(&input, &[&[&long[..500], &long[950..]].concat()]);
}

/// Catches whatever the tests above do not think of: each step is checked against the terminal.
#[test]
fn random_input() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).unwrap()
    };
    let words: [&[u8]; 18] = [
        b"\x1b[A",
        b"\x1b[B",
        b"\x1b[C",
        b"\x1b[D",
        b"\x1b[H",
        b"\x1b[F",
        b"\x1b[3~",
        b"\t",
        b"\x10",
        b"\x0e",
        b"\x17",
        b"\x0b",
        b"\x7f",
        b"\x0c",
        b" st",
        b";h",
        b"\x02\x02\x02\x02\x02",
        b"012345678901234567890123456789",
    ];
    for bytes in [0, 1, 8] {
        let mut input = vec![];
        for _ in 0..20_000 {
            match random(9) < bytes {
                true => input.push(u8::try_from(random(256)).unwrap()),
                false => input.extend_from_slice(words[random(words.len())]),
            }
        }
        typed(&input);
    }
}
