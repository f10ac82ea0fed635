//! Names of functions, as a report prints them.
//!
//! Demangled, without the hash. Type arguments longer than [`MAX_ARGUMENTS`] bytes are printed as
//! `<...>`, as Go prints its own as `[...]`: an iterator chain's name is easily a thousand
//! characters long, and what tells two functions apart is the path.

use core::fmt::{self, Write};

/// The longest list of type arguments that is printed in full.
pub const MAX_ARGUMENTS: usize = 40;

/// A function's name as the ELF has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FunctionName(pub &'static str);

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut abridged = Abridged {
            out: f,
            any: false,
            depth: 0,
            last: ' ',
            held: Held::new(),
        };
        // The alternate form is the one without the hash.
        write!(abridged, "{:#}", rustc_demangle::demangle(self.0))?;
        abridged.finish()
    }
}

/// Passes on what is written, but for long text in angle brackets.
struct Abridged<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    /// Something was written. A bracket at the very start holds the type whose function it is.
    any: bool,
    /// How many brackets are open, from the one whose text is held back.
    depth: usize,
    last: char,
    held: Held,
}

/// The text of one pair of brackets.
struct Held {
    bytes: [u8; MAX_ARGUMENTS],
    len: usize,
    too_long: bool,
}

impl Held {
    const fn new() -> Self {
        Self {
            bytes: [0; MAX_ARGUMENTS],
            len: 0,
            too_long: false,
        }
    }

    fn push(&mut self, c: char) {
        let end = self.len + c.len_utf8();
        match self.bytes.get_mut(self.len..end) {
            Some(place) => {
                c.encode_utf8(place);
                self.len = end;
            }
            None => self.too_long = true,
        }
    }

    fn text(&self) -> &str {
        match self.too_long {
            true => "...",
            false => core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("..."),
        }
    }
}

impl fmt::Write for Abridged<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        match c {
            '<' if self.any => self.depth += 1,
            '>' if self.last != '-' && self.depth > 0 => self.depth -= 1,
            _ => {}
        }
        let opens = c == '<' && self.any && self.depth == 1;
        let closes = c == '>' && self.last != '-' && self.depth == 0 && self.held.len > 0;
        self.any = true;
        self.last = c;
        if opens {
            self.held = Held::new();
            self.out.write_char('<')
        } else if self.depth > 0 {
            self.held.push(c);
            Ok(())
        } else {
            if closes {
                self.out.write_str(self.held.text())?;
                self.held = Held::new();
            }
            self.out.write_char(c)
        }
    }
}

impl Abridged<'_, '_> {
    /// Writes what a bracket that was never closed holds back.
    fn finish(self) -> fmt::Result {
        self.out.write_str(self.held.text())
    }
}

#[cfg(test)]
mod tests {
    use super::FunctionName;
    use std::string::ToString;

    #[test]
    fn names_are_demangled_and_abridged() {
        let iterator = "core::slice::iter::Iter<alloc::vec::Vec<(u8, u16, u32, u64, u128)>>";
        for (name, printed) in [
            ("_ZN5sieve6filter17h345b41fd0920ff72E", "sieve::filter"),
            (
                "_ZN5sieve6filter17h345b41fd0920ff72E.llvm.964125",
                "sieve::filter",
            ),
            (
                "_ZN5sieve4main28_$u7b$$u7b$closure$u7d$$u7d$17h345b41fd0920ff72E",
                "sieve::main::{{closure}}",
            ),
            ("memcpy", "memcpy"),
            (
                "push<u8, alloc::alloc::Global>",
                "push<u8, alloc::alloc::Global>",
            ),
            (
                "<&T as core::fmt::Debug>::fmt",
                "<&T as core::fmt::Debug>::fmt",
            ),
            ("a::b<fn(&u8) -> u8>::c", "a::b<fn(&u8) -> u8>::c"),
            (
                "<fn(u8) -> u8 as a::B<u8>>::c",
                "<fn(u8) -> u8 as a::B<u8>>::c",
            ),
            ("a<>::b<u8>", "a<>::b<u8>"),
            ("a::b<u8", "a::b<u8"),
        ] {
            assert_eq!(FunctionName(name).to_string(), printed);
        }
        let long: &'static str =
            std::format!("<core::Map<{iterator}, a::f> as core::Fold>::fold<{iterator}, u8>")
                .leak();
        let printed = FunctionName(long).to_string();
        assert_eq!(printed, "<core::Map<...> as core::Fold>::fold<...>");
    }
}
