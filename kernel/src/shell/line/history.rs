//! The lines that were typed before. Pure.
//!
//! Bounded in lines and in bytes; the oldest go first. A line that is the one before it again, and
//! one without a word, are not kept. Who goes up leaves the line being typed behind as the draft,
//! and finds it again below the newest line. A change to an old line is lost when one moves on.

use alloc::collections::VecDeque;
use alloc::string::String;

/// So many lines at most.
pub(super) const MAX_LINES: usize = 200;
/// So many bytes of all lines together at most. No line is longer.
pub(super) const MAX_BYTES: usize = 16 << 10;

pub(super) struct History {
    /// Oldest first.
    lines: VecDeque<String>,
    /// The sum of their lengths.
    bytes: usize,
    /// How many lines one has gone up; 0: at the draft.
    up: usize,
    draft: String,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            up: 0,
            draft: String::new(),
        }
    }

    /// Back to the draft, which is empty.
    pub(super) fn begin(&mut self) {
        self.up = 0;
        self.draft = String::new();
    }

    /// Keeps a line.
    pub(super) fn push(&mut self, line: &str) {
        let again = self.lines.back().is_some_and(|last| last == line);
        if again || line.trim_ascii().is_empty() {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.into());
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
        }
    }

    /// The next older line; None: there is none. `current` is what stands in the line now.
    pub(super) fn older(&mut self, current: &str) -> Option<&str> {
        let index = self.lines.len().checked_sub(self.up + 1)?;
        if self.up == 0 {
            self.draft = current.into();
        }
        self.up += 1;
        Some(&self.lines[index])
    }

    /// The next newer line, the draft after the newest; None: it is the draft already.
    pub(super) fn newer(&mut self) -> Option<&str> {
        self.up = self.up.checked_sub(1)?;
        Some(match self.up {
            0 => &self.draft,
            up => &self.lines[self.lines.len() - up],
        })
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (
            self.lines.len(),
            self.lines.iter().map(String::len).sum::<usize>(),
        )
    }
}
