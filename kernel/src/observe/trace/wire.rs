//! The bytes of Go's execution trace, format 2 as Go 1.23 reads it (`internal/trace`): batches of
//! events of one M each, and tables of strings and stacks, all in one generation.
//!
//! Numbers are LEB128. No crate: none writes this format, and what is needed of it is this file.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

const HEADER: &[u8; 16] = b"go 1.23 trace\0\0\0";
/// All is one generation.
const GENERATION: u64 = 1;
/// "No M", for tables.
const NO_M: u64 = u64::MAX;
/// The reader takes batches of up to 64 KiB; an event is much shorter than what is left.
const FULL: usize = 48 << 10;
/// The reader takes strings of this length.
const MAX_STRING: usize = 1024;

const BATCH: u8 = 1;
const STACKS: u8 = 2;
const STACK: u8 = 3;
const STRINGS: u8 = 4;
const STRING: u8 = 5;
const FREQUENCY: u8 = 8;

/// The events of a trace that this kernel has, by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "Go's names: internal/trace/tracev2/events.go")]
pub enum Ev {
    ProcStart = 10,
    ProcStop = 11,
    ProcStatus = 13,
    GoCreate = 14,
    GoStart = 16,
    GoDestroy = 17,
    GoStop = 19,
    GoBlock = 20,
    GoUnblock = 21,
    GoStatus = 25,
    UserTaskBegin = 40,
    UserTaskEnd = 41,
    UserRegionBegin = 42,
    UserRegionEnd = 43,
    UserLog = 44,
    GoStatusStack = 48,
}

/// One frame of a stack: all numbers as they go into the trace, texts by their ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Program counter.
    pub pc: u64,
    /// Its function.
    pub function: u64,
    /// Its file.
    pub file: u64,
    /// Its line.
    pub line: u64,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    first_ticks: u64,
    last_ticks: u64,
}

/// Writes a trace.
pub struct Writer {
    out: Vec<u8>,
    hz: u64,
    /// The time of the first event: that of all tables as well, since Go's reader takes the least
    /// time of a batch for the trace's begin. None before anything is written.
    first_ticks: Option<u64>,
    batches: BTreeMap<u64, Batch>,
    strings: BTreeMap<String, u64>,
    new_strings: Vec<u8>,
    stacks: BTreeMap<Vec<u64>, u64>,
    new_stacks: Vec<u8>,
}

impl Writer {
    /// Begins a trace; ticks are `hz` a second.
    pub fn new(hz: u64) -> Self {
        Self {
            out: Vec::new(),
            hz,
            first_ticks: None,
            batches: BTreeMap::new(),
            strings: BTreeMap::new(),
            new_strings: Vec::new(),
            stacks: BTreeMap::new(),
            new_stacks: Vec::new(),
        }
    }

    /// Header and frequency, before all else.
    fn begin(&mut self, ticks: u64) -> u64 {
        if let Some(first_ticks) = self.first_ticks {
            return first_ticks;
        }
        self.first_ticks = Some(ticks);
        self.out.extend_from_slice(HEADER);
        let mut frequency = alloc::vec![FREQUENCY];
        number(&mut frequency, self.hz);
        batch(&mut self.out, NO_M, ticks, &frequency);
        ticks
    }

    /// An event on an M. What comes earlier than the one before is put at its time: the order on an
    /// M is that of the calls.
    pub fn event(&mut self, m: u64, ticks: u64, ev: Ev, arguments: &[u64]) {
        self.begin(ticks);
        let of_m = self.batches.entry(m).or_default();
        if of_m.bytes.len() >= FULL {
            batch(&mut self.out, m, of_m.first_ticks, &of_m.bytes);
            of_m.bytes.clear();
        }
        if of_m.bytes.is_empty() {
            of_m.first_ticks = ticks.max(of_m.last_ticks);
            of_m.last_ticks = of_m.first_ticks;
        }
        let ticks = ticks.max(of_m.last_ticks);
        of_m.bytes.push(ev as u8);
        number(&mut of_m.bytes, ticks - of_m.last_ticks);
        for argument in arguments {
            number(&mut of_m.bytes, *argument);
        }
        of_m.last_ticks = ticks;
    }

    /// The id of a text.
    pub fn string(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = self.strings.len() as u64 + 1;
        let kept = &text.as_bytes()[..text.floor_char_boundary(MAX_STRING)];
        if self.new_strings.len() + kept.len() > FULL {
            self.flush_strings();
        }
        self.new_strings.push(STRING);
        number(&mut self.new_strings, id);
        number(&mut self.new_strings, kept.len() as u64);
        self.new_strings.extend_from_slice(kept);
        self.strings.insert(text.into(), id);
        id
    }

    /// The id of the stack that `key` names; `frames` finds its frames if it is new.
    pub fn stack(&mut self, key: &[u64], frames: impl FnOnce(&mut Self) -> Vec<Frame>) -> u64 {
        if let Some(id) = self.stacks.get(key) {
            return *id;
        }
        let frames = frames(self);
        let id = match frames.is_empty() {
            true => 0,
            false => self.new_stack(&frames),
        };
        self.stacks.insert(key.to_vec(), id);
        id
    }

    fn new_stack(&mut self, frames: &[Frame]) -> u64 {
        let frames = &frames[..frames.len().min(128)];
        let id = self.stacks.len() as u64 + 1;
        if self.new_stacks.len() + 40 * frames.len() > FULL {
            self.flush_stacks();
        }
        self.new_stacks.push(STACK);
        number(&mut self.new_stacks, id);
        number(&mut self.new_stacks, frames.len() as u64);
        for frame in frames {
            for part in [frame.pc, frame.function, frame.file, frame.line] {
                number(&mut self.new_stacks, part);
            }
        }
        id
    }

    fn flush_strings(&mut self) {
        let ticks = self.begin(1);
        table(&mut self.out, STRINGS, ticks, &mut self.new_strings);
    }

    fn flush_stacks(&mut self) {
        let ticks = self.begin(1);
        table(&mut self.out, STACKS, ticks, &mut self.new_stacks);
    }

    /// The bytes since the last call; the trace may end after them.
    pub fn take(&mut self) -> Vec<u8> {
        self.flush_strings();
        self.flush_stacks();
        for (m, of_m) in &mut self.batches {
            if !of_m.bytes.is_empty() {
                batch(&mut self.out, *m, of_m.first_ticks, &of_m.bytes);
                of_m.bytes.clear();
            }
        }
        core::mem::take(&mut self.out)
    }
}

/// A batch of a table's new entries, if there are any.
fn table(out: &mut Vec<u8>, kind: u8, ticks: u64, entries: &mut Vec<u8>) {
    if !entries.is_empty() {
        entries.insert(0, kind);
        batch(out, NO_M, ticks, entries);
        entries.clear();
    }
}

fn batch(out: &mut Vec<u8>, m: u64, ticks: u64, bytes: &[u8]) {
    out.push(BATCH);
    for field in [GENERATION, m, ticks, bytes.len() as u64] {
        number(out, field);
    }
    out.extend_from_slice(bytes);
}

/// LEB128.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_leb128() {
        let mut out = Vec::new();
        [0, 127, 128, 624_485, u64::MAX]
            .into_iter()
            .for_each(|n| number(&mut out, n));
        let max = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(
            out,
            [&[0, 0x7f, 0x80, 1, 0xe5, 0x8e, 0x26][..], &max].concat()
        );
    }

    #[test]
    fn a_trace_has_header_frequency_tables_and_batches() {
        let mut writer = Writer::new(1000);
        let id = writer.string("f");
        assert_eq!((id, writer.string("f"), writer.string("")), (1, 1, 0));
        let frame = |_: &mut Writer| {
            alloc::vec![Frame {
                pc: 9,
                function: id,
                file: 0,
                line: 3
            }]
        };
        assert_eq!(writer.stack(&[9], frame), 1);
        assert_eq!(writer.stack(&[9], |_| panic!("it is known")), 1);
        assert_eq!(writer.stack(&[], |_| Vec::new()), 0);
        writer.event(2, 50, Ev::ProcStatus, &[0, 1]);
        writer.event(2, 40, Ev::GoStart, &[7, 1]); // late: at the time of the one before
        let no_m = [&[0xff; 9][..], &[1]].concat();
        let frequency = [&[1, 1][..], &no_m, &[50, 3, 8, 0xe8, 7]].concat();
        let strings = [&[1, 1][..], &no_m, &[50, 5, 4, 5, 1, 1, b'f']].concat();
        let stacks = [&[1, 1][..], &no_m, &[50, 8, 2, 3, 1, 1, 9, 1, 0, 3]].concat();
        let events = [1, 1, 2, 50, 8, 13, 0, 0, 1, 16, 0, 7, 1];
        let want = [&HEADER[..], &frequency, &strings, &stacks, &events].concat();
        assert_eq!(writer.take(), want);
        assert!(writer.take().is_empty());
    }
}
