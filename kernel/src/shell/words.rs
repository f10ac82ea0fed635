//! From a line to commands of words. Pure.
//!
//! | in a line | means |
//! | --- | --- |
//! | white space | ends a word |
//! | `;` | ends a command |
//! | `&` as a word of its own | is the command's last word and ends it |
//! | `'…'` | the characters in between, as they are |
//! | `"…"` | the same, but `\"` is a `"` and `\\` a `\` |
//! | `\` | the next character, as it is |
//!
//! Quoted and unquoted parts that touch are one word, and `''` is an empty one. A command without a
//! word is none. A quoted `&` ends no command, but whoever reads the words sees no difference.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why a line is no commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SplitError {
    /// This quote, begun at this character of the line (from 1), has no end.
    Unclosed { quote: char, column: usize },
    /// A backslash ends the line.
    Backslash,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed { quote, column } => {
                write!(f, "the quote {quote} at character {column} is not closed")
            }
            Self::Backslash => f.write_str("nothing follows the backslash at the line's end"),
        }
    }
}

/// The commands of a line, each with its words.
pub(super) fn split(line: &str) -> Result<Vec<Vec<String>>, SplitError> {
    let mut commands = Commands::default();
    let mut chars = line.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        match c {
            ';' => commands.end_command(),
            c if c.is_ascii_whitespace() => commands.end_word(),
            '\\' => {
                let (_, c) = chars.next().ok_or(SplitError::Backslash)?;
                commands.quoted().push(c);
            }
            quote @ ('\'' | '"') => {
                let column = at + 1;
                unquote(&mut chars, quote, commands.quoted())
                    .ok_or(SplitError::Unclosed { quote, column })?;
            }
            c => commands.word.get_or_insert_default().push(c),
        }
    }
    commands.end_command();
    Ok(commands.done)
}

/// Takes what follows a quote, up to its end; None: it has none.
fn unquote(
    chars: &mut impl Iterator<Item = (usize, char)>,
    quote: char,
    word: &mut String,
) -> Option<()> {
    loop {
        match chars.next()?.1 {
            c if c == quote => return Some(()),
            '\\' if quote == '"' => match chars.next()?.1 {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[derive(Default)]
struct Commands {
    done: Vec<Vec<String>>,
    words: Vec<String>,
    /// The word so far.
    word: Option<String>,
    /// A part of it was quoted.
    quoted: bool,
}

impl Commands {
    /// The word so far, for a quoted part.
    fn quoted(&mut self) -> &mut String {
        self.quoted = true;
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        let quoted = core::mem::take(&mut self.quoted);
        let Some(word) = self.word.take() else { return };
        let ends = word == "&" && !quoted;
        self.words.push(word);
        if ends {
            self.end_command();
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.done.push(core::mem::take(&mut self.words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[track_caller]
    fn check(line: &str, wanted: &[&[&str]]) {
        assert_eq!(split(line).unwrap(), wanted, "{line}");
    }

    /// Catches an empty command between separators, and a word lost at the line's end.
    #[test]
    fn commands_and_words() {
        check("", &[]);
        check(" ; ;;\t", &[]);
        check("ps", &[&["ps"]]);
        check(
            " run a\tb;ps ; mem",
            &[&["run", "a", "b"], &["ps"], &["mem"]],
        );
    }

    /// Catches an `&` within a word or in quotes that ends the command, and one that is lost.
    #[test]
    fn background() {
        check("run a & ps", &[&["run", "a", "&"], &["ps"]]);
        check("run a &; ps &", &[&["run", "a", "&"], &["ps", "&"]]);
        check(
            "a& b&&c '&' d \\& e",
            &[&["a&", "b&&c", "&", "d", "&", "e"]],
        );
    }

    /// Catches separators that count inside quotes, a lost empty word, and an escape in '…'.
    #[test]
    fn quotes() {
        check("a 'b ; c' d", &[&["a", "b ; c", "d"]]);
        check("a'b c'\"d e\"f ''", &[&["ab cd ef", ""]]);
        check(r#"'a\' "\"\\\n'" \;\'\ x"#, &[&["a\\", "\"\\\\n'", ";' x"]]);
    }

    /// Catches an unclosed quote that is taken to close at the line's end.
    #[test]
    fn errors_say_what_is_wrong() {
        let error = |line| split(line).unwrap_err().to_string();
        assert_eq!(
            error("ps; run 'a"),
            "the quote ' at character 9 is not closed"
        );
        assert_eq!(
            error(r#""a\""#),
            "the quote \" at character 1 is not closed"
        );
        assert_eq!(
            error(r"a\"),
            "nothing follows the backslash at the line's end"
        );
    }
}
