//! What Tab can make of the word before the cursor. Pure.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::COLUMNS;

/// So many candidates are listed at most; the rest is counted.
const MAX_LISTED: usize = 200;

/// The words that begin like the one before the cursor.
pub(super) struct Candidates<'a> {
    word: &'a str,
    /// Sorted, each once.
    found: Vec<String>,
}

impl<'a> Candidates<'a> {
    /// Asks `complete` with the text before the cursor. Of what it offers, counts what begins with
    /// the word before the cursor (after the last blank or `;`) and can be typed.
    pub(super) fn of(before: &'a str, complete: Complete<'_>) -> Self {
        let word = &before[before.rfind([' ', ';']).map_or(0, |at| at + 1)..];
        let mut found = Vec::new();
        complete(before, &mut |candidate| {
            let typable = candidate.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if typable && candidate.starts_with(word) {
                found.push(String::from(candidate));
            }
        });
        found.sort_unstable();
        found.dedup();
        Self { word, found }
    }

    /// What all of them have after the word.
    pub(super) fn common(&self) -> &str {
        // In a sorted list the first and the last differ earliest.
        let (Some(first), Some(last)) = (self.found.first(), self.found.last()) else {
            return "";
        };
        let same = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b);
        &first[self.word.len()..same.count()]
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Writes them in columns, each row with its newline.
    pub(super) fn list(&self, out: &mut String) {
        let listed = &self.found[..self.found.len().min(MAX_LISTED)];
        let width = listed.iter().map(|name| name.len() + 2).max().unwrap_or(2);
        let per_row = ((COLUMNS - 1) / width).max(1);
        for row in listed.chunks(per_row) {
            for (i, name) in row.iter().enumerate() {
                let pad = if i + 1 < row.len() { width } else { 0 };
                // A String takes all.
                let _ = write!(out, "{name:pad$}");
            }
            out.push('\n');
        }
        if listed.len() < self.found.len() {
            let _ = writeln!(out, "and {} more", self.found.len() - listed.len());
        }
    }
}

/// Offers words that may stand in place of the last one of the text before the cursor, in any
/// order: calls the second argument with each.
pub(in crate::shell) type Complete<'a> = &'a mut dyn FnMut(&str, &mut dyn FnMut(&str));
