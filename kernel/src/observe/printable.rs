//! Names that programs give, as tables and lines print them.
//!
//! A name is any text: one with a newline would break a table, one with an escape sequence the
//! terminal. So what is not printed as a character of its own (controls, what changes the direction
//! of text or joins its neighbour) is escaped as in Rust's source, and a long name is cut. Names in
//! dumps are quoted as Go quotes them instead (`report`), whole: tools read those.

use core::fmt::{self, Display, Write};

/// So many characters of a name are shown.
const MAX_CHARS: usize = 60;

/// A name as one short piece of a line. Padding and alignment do not apply: pad what this gives.
#[derive(Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = MAX_CHARS;
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(MAX_CHARS) {
            left -= 1;
            match c {
                // Escaped in a literal, but plain in a line.
                '"' | '\'' => f.write_char(c)?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        match left == 0 && chars.next().is_some() {
            true => f.write_char('…'),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_CHARS, Printable};
    use std::string::{String, ToString};

    /// A control that reaches the terminal, or a plain name that is shown otherwise than it is.
    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (name, shown) in [
            ("", ""),
            ("worker-1 \"a\" 'b'", "worker-1 \"a\" 'b'"),
            ("größe 漢字 😀", "größe 漢字 😀"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\0\u{1b}[2J\u{7f}", "\\0\\u{1b}[2J\\u{7f}"),
            // C1's CSI, right-to-left override, line separator, a mark that would join the `a`.
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b\u{2028}c", "a\\u{202e}b\\u{2028}c"),
            ("a\u{301}", "a\\u{301}"),
            ("\\n is not \n", "\\\\n is not \\n"),
        ] {
            assert_eq!(Printable(name).to_string(), shown);
        }
    }

    /// A name that fits is cut, or one that does not is shown in full.
    #[test]
    fn long_names_are_cut() {
        let fits = "x".repeat(MAX_CHARS);
        assert_eq!(Printable(&fits).to_string(), fits);
        for more in [1, 65536] {
            let long = fits.clone() + &"y".repeat(more);
            assert_eq!(Printable(&long).to_string(), fits.clone() + "…");
        }
        let controls: String = "\u{1b}".repeat(65536);
        assert!(Printable(&controls).to_string().len() < 8 * MAX_CHARS);
    }
}
