//! A trace that leaves while it happens: a goroutine of the runtime's own reads the rings some
//! times a second, and writes what is new to a file on the host.
//!
//! The port takes about a microsecond a byte, an event five bytes. If more happens than leaves, and
//! more than the rings hold, events are lost: the file stays a trace, with what is missing put
//! right (`order`), and the console is told how many there were.
//!
//! Whoever has [`BUSY`] has the stream: the goroutine for a round, whoever ends the trace, or a
//! dying kernel, which takes it if nobody has it: a CPU may be frozen amid a round.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::string::String;
use alloc::vec::Vec;

use super::names::Names;
use super::order::Order;
use super::{events, hz, living, now, snapshot_of_last};
use crate::arch::{self, MAX_CPUS};
use crate::eprintln;
use crate::observe::hostfile::{self, Error};
use crate::sched::newproc::{self, Attributes, OutOfMemory};
use crate::sched::wait;
use crate::sched::{SCHED, disable, sysmon, trace};

/// How often the rings are read.
const PERIOD_NS: u64 = 20_000_000;
/// What happens on one CPU may be in its ring a little later than what happens on another.
const SETTLE_NS: u64 = 1_000_000;
/// Records of each CPU in the trace of a dying kernel, which has little memory.
const LAST_RECORDS: u64 = 4096;
/// Where that trace goes.
const LAST_FILE: &str = "panic.trace";

struct Stream {
    name: String,
    order: Order,
    names: Names,
    /// The next record of each M.
    next: [u64; MAX_CPUS],
    lost: u64,
}

struct Place(UnsafeCell<Option<Stream>>);

// SAFETY: used by whoever has `BUSY` alone.
unsafe impl Sync for Place {}

/// Whose exchange has set `BUSY` has it alone.
static STREAM: Place = Place(UnsafeCell::new(None));
static BUSY: AtomicBool = AtomicBool::new(false);

/// Why no trace was begun, or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamError {
    /// The file.
    File(Error),
    /// One is being written already.
    Running,
    /// None is being written.
    NotRunning,
    /// No memory for its goroutine.
    OutOfMemory,
}

impl core::fmt::Display for StreamError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Running => f.write_str("a trace is being written already"),
            Self::NotRunning => f.write_str("no trace is being written"),
            Self::OutOfMemory => f.write_str("no memory for a goroutine"),
        }
    }
}

impl core::error::Error for StreamError {}

/// Runs `f` with the stream. Waits for a round that is under way, in steps of a millisecond: it
/// ends, since the port gives up on what takes no more, and whoever has it is not held back.
fn with<R>(f: impl FnOnce(&mut Option<Stream>) -> R) -> R {
    disable::begin_unstoppable();
    // Acquire pairs with the release below.
    while BUSY.swap(true, Ordering::Acquire) {
        wait::sleep_until(arch::nanotime() + 1_000_000);
    }
    // SAFETY: `BUSY` is ours.
    let result = f(unsafe { &mut *STREAM.0.get() });
    BUSY.store(false, Ordering::Release);
    disable::end_unstoppable();
    result
}

/// Begins to write a trace, with stacks, to the host's file `name`.
///
/// # Errors
/// No such file can be, or a trace is being written.
pub fn start(name: &str) -> Result<(), StreamError> {
    hostfile::check(name).map_err(StreamError::File)?;
    trace::set_on(true);
    trace::set_stacks(true);
    with(|stream| {
        if stream.is_some() {
            return Err(StreamError::Running);
        }
        let mut next = [0; MAX_CPUS];
        let mut order = Order::new(hz());
        for m in SCHED.allm() {
            next[m.id()] = m.trace.ring.written();
            // What runs now: its start is not in the trace.
            order.add(m.id(), Vec::new(), now(m));
        }
        *stream = Some(Stream {
            name: name.into(),
            order,
            names: Names::new(living()),
            next,
            lost: 0,
        });
        Ok(())
    })?;
    let attributes = Attributes {
        name: Some("trace reader".into()),
        system: true,
        ..Attributes::default()
    };
    match newproc::newproc(read, attributes) {
        Ok(_) => Ok(()),
        Err(OutOfMemory) => {
            with(|stream| *stream = None);
            Err(StreamError::OutOfMemory)
        }
    }
}

/// The goroutine that writes the trace, until it is ended.
fn read() {
    loop {
        sysmon::await_trace(PERIOD_NS);
        let goes_on = with(|stream| match stream {
            Some(stream) => {
                if let Err(error) = stream.round(SETTLE_NS) {
                    eprintln!("runtime: the trace ends: {error}");
                }
                true
            }
            None => false,
        });
        if !goes_on {
            return;
        }
    }
}

/// Ends the trace, with all that has happened up to now.
///
/// # Errors
/// None is being written, or the port takes no more.
pub fn stop() -> Result<(), StreamError> {
    let ended = with(|stream| match stream.take() {
        Some(mut stream) => stream.finish().map_err(StreamError::File),
        None => Err(StreamError::NotRunning),
    });
    trace::set_stacks(false);
    sysmon::wake_trace_reader();
    ended
}

/// Whether a trace is being written, and where to.
pub fn file() -> Option<String> {
    with(|stream| stream.as_ref().map(|stream| stream.name.clone()))
}

/// After the report of a dying kernel, if the port is there: the end of the trace that is being
/// written; and the last moments by themselves.
pub(in crate::observe) fn last_words() {
    if !hostfile::is_attached() {
        return;
    }
    trace::set_on(false);
    if !BUSY.swap(true, Ordering::Acquire) {
        // SAFETY: `BUSY` is ours, for ever.
        if let Some(mut stream) = unsafe { &mut *STREAM.0.get() }.take() {
            let _ = stream.finish();
        }
    }
    if trace::was_on() && hostfile::write(LAST_FILE, &snapshot_of_last(LAST_RECORDS)).is_ok() {
        eprintln!("gosched: the last moments are in {LAST_FILE}, for go tool trace");
    }
}

impl Stream {
    /// Writes what has happened up to `settle_ns` ago.
    fn round(&mut self, settle_ns: u64) -> Result<(), Error> {
        let until = arch::cputicks().saturating_sub(arch::ns_to_cputicks(settle_ns));
        for m in SCHED.allm() {
            let mut records = Vec::new();
            let next = &mut self.next[m.id()];
            let (first, end) = m.trace.ring.read(*next, &mut records);
            self.lost += first - *next;
            *next = end;
            self.order.add(m.id(), events::decode(&records), now(m));
        }
        self.order.run(until, &mut self.names);
        hostfile::append(&self.name, &self.order.take())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.round(0)?;
        self.order.run(u64::MAX, &mut self.names);
        hostfile::append(&self.name, &self.order.take())?;
        if self.lost > 0 {
            eprintln!(
                "runtime: {} events came faster than the port takes them, and are not in the trace",
                self.lost
            );
        }
        hostfile::finish(&self.name)
    }
}
