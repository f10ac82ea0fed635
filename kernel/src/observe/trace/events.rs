//! From the records of one M to events: records that belong together become one.

use alloc::string::String;
use alloc::vec::Vec;

use crate::base::trace_ring::Record;
use crate::sched::trace::{Kind, Stop, pcs_of};

/// Something that happened on an M.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, in CPU ticks.
    pub ticks: u64,
    /// Why the goroutine that ran on this M stopped, if it did.
    pub stop: Option<Stop>,
    /// Where it stopped: return addresses, the innermost first. Empty if not noted.
    pub stop_stack: Vec<u64>,
    /// What happened then.
    pub what: What,
    /// Where, likewise.
    pub stack: Vec<u64>,
}

/// What an event says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as the kinds of `sched::trace`")]
pub enum What {
    /// Nothing but the stop.
    Nothing,
    Start {
        g: u64,
    },
    Unblock {
        g: u64,
    },
    Create {
        g: u64,
        function: &'static str,
        gopc: u64,
    },
    ProcStart {
        p: u64,
    },
    ProcStop {
        p: u64,
    },
    Steal {
        victim: u64,
        n: u64,
    },
    TaskBegin {
        task: u64,
        parent: u64,
        name: &'static str,
    },
    TaskEnd {
        task: u64,
    },
    RegionBegin {
        task: u64,
        name: &'static str,
    },
    RegionEnd {
        task: u64,
        name: &'static str,
    },
    Log {
        task: u64,
        category: &'static str,
        message: String,
    },
}

/// Reads the records of one M, in order. Records whose beginning was overwritten are left out.
pub fn decode(records: &[Record]) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut stack, mut stop_stack) = (Vec::new(), Vec::new());
    let mut rest = records;
    while let [record, after @ ..] = rest {
        rest = after;
        let Some(kind) = Kind::of(record) else {
            continue;
        };
        match kind {
            Kind::Stack => stack.extend(pcs_of(record).into_iter().filter(|pc| *pc != 0)),
            Kind::StopStack => stop_stack.extend(pcs_of(record).into_iter().filter(|pc| *pc != 0)),
            Kind::Word | Kind::Text | Kind::Bytes => {}
            _ => {
                let Some(what) = what(kind, record[1] >> 16, &mut rest) else {
                    break; // cut off: the writer is at it
                };
                let stop = Stop::of(record);
                events.push(Event {
                    ticks: record[0],
                    stop,
                    stop_stack: match stop {
                        Some(_) => core::mem::take(&mut stop_stack),
                        None => Vec::new(),
                    },
                    what,
                    stack: core::mem::take(&mut stack),
                });
            }
        }
    }
    events
}

fn what(kind: Kind, argument: u64, rest: &mut &[Record]) -> Option<What> {
    Some(match kind {
        Kind::Switch => What::Start { g: argument },
        Kind::Unblock => What::Unblock { g: argument },
        Kind::Create => What::Create {
            g: argument,
            function: text(rest)?,
            gopc: word(rest)?,
        },
        Kind::ProcStart => What::ProcStart { p: argument },
        Kind::ProcStop => What::ProcStop { p: argument },
        Kind::Steal => What::Steal {
            victim: argument & 0xffff_ffff,
            n: argument >> 32,
        },
        Kind::TaskBegin => What::TaskBegin {
            task: argument,
            parent: word(rest)?,
            name: text(rest)?,
        },
        Kind::TaskEnd => {
            text(rest)?;
            What::TaskEnd { task: argument }
        }
        Kind::RegionBegin => What::RegionBegin {
            task: argument,
            name: text(rest)?,
        },
        Kind::RegionEnd => What::RegionEnd {
            task: argument,
            name: text(rest)?,
        },
        Kind::Log => What::Log {
            task: argument,
            category: text(rest)?,
            message: bytes(rest),
        },
        _ => What::Nothing,
    })
}

/// The next record, if it is of this kind.
fn next(rest: &mut &[Record], kind: Kind) -> Option<Record> {
    let (record, after) = rest.split_first()?;
    (Kind::of(record) == Some(kind)).then(|| {
        *rest = after;
        *record
    })
}

fn word(rest: &mut &[Record]) -> Option<u64> {
    next(rest, Kind::Word).map(|record| record[0])
}

fn text(rest: &mut &[Record]) -> Option<&'static str> {
    let [address, length] = next(rest, Kind::Text)?;
    let start = core::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: `sched::trace` wrote address and length of a `&'static str`, and the ring gives out
    // whole records only.
    Some(unsafe {
        let bytes = core::slice::from_raw_parts(start, (length >> 16) as usize);
        core::str::from_utf8_unchecked(bytes)
    })
}

fn bytes(rest: &mut &[Record]) -> String {
    let mut bytes = Vec::new();
    while let Some(record) = next(rest, Kind::Bytes) {
        let n = (record[1] >> 16) as usize;
        bytes.extend_from_slice(&record[0].to_le_bytes()[..n.min(8)]);
    }
    // Cut amid a character, perhaps.
    String::from_utf8_lossy(&bytes).into_owned()
}
