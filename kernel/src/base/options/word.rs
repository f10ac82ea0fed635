//! The words of the command line, cut out of it but not yet understood.

use alloc::string::String;

use super::{Key, OptionError};
use crate::base::file_name::is_file_name;

/// A word of the line.
pub(super) struct Word<'a> {
    pub(super) key: &'a str,
    /// Without the quotes, escapes as they stand.
    raw: &'a str,
    quoted: bool,
}

impl<'a> Word<'a> {
    pub(super) fn refused(&self, key: &'static Key) -> OptionError<'a> {
        OptionError::Value {
            key: key.name,
            value: self.raw,
            allowed: key.allowed,
        }
    }

    /// Decimal digits and nothing else, within the limits.
    pub(super) fn number(&self, min: u64, max: u64) -> Option<u64> {
        let digits = !self.raw.is_empty() && self.raw.bytes().all(|b| b.is_ascii_digit());
        let number = self.raw.parse().ok().filter(|_| digits)?;
        (min..=max).contains(&number).then_some(number)
    }

    pub(super) fn one_of<T: Copy>(
        &self,
        key: &'static Key,
        names: &[(&str, T)],
    ) -> Result<T, OptionError<'a>> {
        let found = names.iter().find(|(name, _)| *name == self.raw);
        found
            .map(|&(_, value)| value)
            .ok_or_else(|| self.refused(key))
    }

    /// What `read` makes of the value.
    pub(super) fn read<T>(
        &self,
        key: &'static Key,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, OptionError<'a>> {
        read(self.raw).ok_or_else(|| self.refused(key))
    }

    pub(super) fn file_name(&self, key: &'static Key) -> Result<String, OptionError<'a>> {
        match is_file_name(self.raw) {
            true => Ok(self.raw.into()),
            false => Err(self.refused(key)),
        }
    }

    /// The value with its escapes resolved.
    pub(super) fn text(&self) -> Result<String, OptionError<'a>> {
        let mut text = String::with_capacity(self.raw.len());
        let mut chars = self.raw.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' if self.quoted => match chars.next() {
                    Some(escaped @ ('"' | '\\')) => text.push(escaped),
                    other => return Err(OptionError::Escape(self.key, other.unwrap_or('\\'))),
                },
                c => text.push(c),
            }
        }
        Ok(text)
    }
}

/// Splits the first word off a line that does not begin with white space.
pub(super) fn next_word(line: &str) -> Result<(Word<'_>, &str), OptionError<'_>> {
    let end = line
        .find(|c: char| c.is_ascii_whitespace())
        .unwrap_or(line.len());
    let key_value = line[..end].split_once('=');
    let (key, value) = key_value.ok_or(OptionError::NotKeyValue(&line[..end]))?;
    if !value.starts_with('"') {
        if value.contains('"') {
            return Err(OptionError::MisplacedQuote(key));
        }
        return Ok((
            Word {
                key,
                raw: value,
                quoted: false,
            },
            &line[end..],
        ));
    }
    let inner = &line[key.len() + 2..];
    let mut escaped = false;
    let closing = inner.find(|c: char| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    let closing = closing.ok_or(OptionError::Unclosed(key))?;
    let after = &inner[closing + 1..];
    if !after.is_empty() && !after.starts_with(|c: char| c.is_ascii_whitespace()) {
        return Err(OptionError::MisplacedQuote(key));
    }
    Ok((
        Word {
            key,
            raw: &inner[..closing],
            quoted: true,
        },
        after,
    ))
}
