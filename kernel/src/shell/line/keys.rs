//! From bytes to keys. Pure.
//!
//! A key that is no character comes as an escape sequence (ECMA-48, 5.4): ESC, then either one
//! character, or `[` or `O`, parameters and a final character, or a string up to BEL or ESC `\`.
//! One without a meaning here is swallowed whole. A control character amid a sequence breaks it off
//! and counts for itself, so that Enter always is Enter.

/// What one or more bytes mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// A printable ASCII character.
    Char(u8),
    Enter,
    Tab,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    Backspace,
    /// Takes the character under the cursor away.
    Delete,
    /// Ctrl-D: [`Key::Delete`], or the end of input.
    DeleteOrEnd,
    /// Ctrl-K.
    KillRight,
    /// Ctrl-U.
    KillLeft,
    /// Ctrl-W.
    KillWord,
    /// Ctrl-L.
    ClearScreen,
    /// Ctrl-C.
    Interrupt,
    /// A byte without a meaning.
    Unknown,
}

const ESCAPE: u8 = 0x1b;

/// How far into an escape sequence the input is.
#[derive(Clone, Copy)]
enum State {
    No,
    /// ESC came, and perhaps intermediate characters after it.
    Begun {
        alone: bool,
    },
    /// ESC [ or ESC O came. The number that follows, or None if what follows is more than a number.
    Inside {
        number: Option<u8>,
        first: bool,
    },
    /// ESC [ [ came, a function key of Linux' console: one character follows.
    Last,
    /// A string came (a terminal's answer to a question that another program asked).
    Text,
}

/// Puts bytes together.
pub(super) struct Keys {
    state: State,
    /// The last byte was a carriage return: a line feed right after it is the same Enter.
    after_return: bool,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            state: State::No,
            after_return: false,
        }
    }

    /// The key that this byte ends, if it ends one.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        let printable = matches!(byte, b' '..=b'~');
        let in_text = matches!(self.state, State::Text) && byte >= 0x80;
        let breaks_off = !printable && !in_text;
        if byte == ESCAPE {
            self.state = State::Begun { alone: true };
            return None;
        }
        if breaks_off {
            let was = core::mem::replace(&mut self.state, State::No);
            let ends_text = matches!(was, State::Text) && byte == 0x07;
            let same_enter = after_return && byte == b'\n';
            return (!ends_text && !same_enter).then(|| control(byte));
        }
        match self.state {
            State::No => return Some(Key::Char(byte)),
            State::Begun { alone } => {
                self.state = match byte {
                    b' '..=b'/' => State::Begun { alone: false },
                    b'[' | b'O' if alone => State::Inside {
                        number: Some(0),
                        first: true,
                    },
                    b']' | b'P' | b'X' | b'^' | b'_' if alone => State::Text,
                    _ => State::No,
                }
            }
            State::Inside { first: true, .. } if byte == b'[' => self.state = State::Last,
            State::Inside { number, .. } => return self.inside(number, byte),
            State::Last => self.state = State::No,
            State::Text => {}
        }
        None
    }

    /// A character after ESC [ or ESC O.
    fn inside(&mut self, number: Option<u8>, byte: u8) -> Option<Key> {
        if matches!(byte, b' '..=b'?') {
            let digit = byte.is_ascii_digit().then(|| byte - b'0');
            self.state = State::Inside {
                number: number
                    .zip(digit)
                    .and_then(|(n, d)| n.checked_mul(10)?.checked_add(d)),
                first: false,
            };
            return None;
        }
        self.state = State::No;
        Some(match (number?, byte) {
            (0 | 1, b'A') => Key::Up,
            (0 | 1, b'B') => Key::Down,
            (0 | 1, b'C') => Key::Right,
            (0 | 1, b'D') => Key::Left,
            (0 | 1, b'H') | (1 | 7, b'~') => Key::Home,
            (0 | 1, b'F') | (4 | 8, b'~') => Key::End,
            (3, b'~') => Key::Delete,
            _ => return None,
        })
    }
}

/// The meaning of a byte that is no printable character and not ESC.
fn control(byte: u8) -> Key {
    const fn ctrl(letter: u8) -> u8 {
        letter & 0x1f
    }
    const A: u8 = ctrl(b'A');
    const B: u8 = ctrl(b'B');
    const C: u8 = ctrl(b'C');
    const D: u8 = ctrl(b'D');
    const E: u8 = ctrl(b'E');
    const F: u8 = ctrl(b'F');
    const H: u8 = ctrl(b'H');
    const K: u8 = ctrl(b'K');
    const L: u8 = ctrl(b'L');
    const N: u8 = ctrl(b'N');
    const P: u8 = ctrl(b'P');
    const U: u8 = ctrl(b'U');
    const W: u8 = ctrl(b'W');
    match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        A => Key::Home,
        B => Key::Left,
        C => Key::Interrupt,
        D => Key::DeleteOrEnd,
        E => Key::End,
        F => Key::Right,
        H | 0x7f => Key::Backspace,
        K => Key::KillRight,
        L => Key::ClearScreen,
        N => Key::Down,
        P => Key::Up,
        U => Key::KillLeft,
        W => Key::KillWord,
        _ => Key::Unknown,
    }
}
