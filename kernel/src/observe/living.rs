//! Dumps of a system that goes on, in Go's format (Go: `runtime.Stack`, SIGQUIT).
//!
//! Ten thousand goroutines stand in few places. So the text of a stack is kept by its pcs, and that
//! of a go statement by its address and parent, and a dump is little more than copying stacks and
//! writing bytes. What is kept is bounded, and so is what waits to be written: text goes out
//! whenever [`PIECE`] bytes of whole goroutines are there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::observe::dump;
use crate::observe::snapshot::{CallBuffer, Snapshot};
use crate::observe::symbols::{Symbolizer, Symbols};
use crate::observe::traceback::{CreatedBy, Level, Traceback};
use crate::sched::SCHED;
use crate::sched::g::{G, getg};

/// Text goes out in pieces of about so many bytes.
const PIECE: usize = 4096;
/// When the texts that are remembered have so many bytes they are dropped.
const MAX_REMEMBERED_BYTES: usize = 256 << 10;

/// Takes a piece of whole lines; whether to go on.
pub type Sink<'a> = &'a mut dyn FnMut(&str) -> bool;

/// Texts by what makes them.
struct Memory<K> {
    texts: BTreeMap<K, String>,
    bytes: usize,
}

impl<K: Ord> Memory<K> {
    const fn new() -> Self {
        Self {
            texts: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn insert(&mut self, key: K, key_bytes: usize, text: String) {
        if self.bytes > MAX_REMEMBERED_BYTES {
            self.texts.clear();
            self.bytes = 0;
        }
        self.bytes += key_bytes + text.len() + size_of::<(K, String)>();
        self.texts.insert(key, text);
    }
}

/// What one dump knows.
struct Dump {
    symbols: Symbolizer,
    calls: CallBuffer,
    stacks: Memory<Vec<usize>>,
    creators: Memory<(usize, u64)>,
    pcs: Vec<usize>,
}

impl Dump {
    fn new() -> Self {
        if let Some(symbols) = Symbols::kernel() {
            symbols.prepare();
        }
        Self {
            symbols: Symbolizer::new(),
            calls: CallBuffer::new(),
            stacks: Memory::new(),
            creators: Memory::new(),
            pcs: Vec::new(),
        }
    }

    /// Adds one goroutine to the text, nothing if it is dead.
    fn goroutine(&mut self, gp: &'static G, text: &mut String) {
        let Some(snapshot) = Snapshot::take(gp, &mut self.calls) else {
            return;
        };
        // A String takes what it is given.
        let _ = snapshot.header().print(text, Level::All);
        if snapshot.has_calls {
            self.stack(text);
        } else {
            text.push_str("\tgoroutine running on other thread; stack unavailable\n");
        }
        self.created_by(&snapshot, text);
    }

    fn stack(&mut self, text: &mut String) {
        let (calls, left_out) = self.calls.get();
        self.pcs.clear();
        // Where the walk began in the middle of a function, the pc is no return address.
        let interrupted = calls.first().is_some_and(|call| !call.returned_to);
        self.pcs.push(left_out << 1 | usize::from(interrupted));
        self.pcs.extend(calls.iter().map(|call| call.pc));
        if let Some(known) = self.stacks.texts.get(&self.pcs) {
            text.push_str(known);
            return;
        }
        let mut new = String::new();
        let symbols = core::mem::take(&mut self.symbols);
        let mut traceback = Traceback::new(&mut new, Level::All, symbols);
        let _ = traceback.copied(calls, left_out);
        self.symbols = traceback.into_symbols();
        text.push_str(&new);
        self.stacks
            .insert(self.pcs.clone(), size_of_val(&*self.pcs), new);
    }

    fn created_by(&mut self, snapshot: &Snapshot, text: &mut String) {
        let (pc, parent_goid) = (snapshot.gopc, snapshot.parent_goid);
        if let Some(known) = self.creators.texts.get(&(pc, parent_goid)) {
            text.push_str(known);
            return;
        }
        let mut new = String::new();
        let symbols = core::mem::take(&mut self.symbols);
        let mut traceback = Traceback::new(&mut new, Level::All, symbols);
        let _ = traceback.created_by(CreatedBy { pc, parent_goid });
        self.symbols = traceback.into_symbols();
        text.push_str(&new);
        self.creators.insert((pc, parent_goid), 0, new);
    }
}

/// Dumps `first` and then all other goroutines of the program, by number. False if the sink ended
/// it.
fn all_from(first: Option<&'static G>, sink: Sink<'_>) -> bool {
    let mut dump = Dump::new();
    let mut text = String::new();
    let is_first = |gp: &&'static G| first.is_some_and(|first| core::ptr::eq(*gp, first));
    let others = dump::all_goroutines();
    let others = others.iter().copied().filter(|gp| !is_first(gp));
    for (i, gp) in first.into_iter().chain(others).enumerate() {
        let before = text.len();
        if i > 0 {
            text.push('\n');
        }
        let begun = text.len();
        dump.goroutine(gp, &mut text);
        if text.len() == begun {
            text.truncate(before);
        }
        if text.len() >= PIECE {
            if !sink(&text) {
                return false;
            }
            text.clear();
        }
    }
    text.is_empty() || sink(&text)
}

/// Dumps all goroutines of the program, by number, in pieces of whole lines. False if the sink
/// ended it. Goroutines that run on other CPUs are stopped there for some microseconds each. Not
/// from an interrupt, no lock held.
///
/// Go's SIGQUIT shows `stack unavailable` for those.
pub fn all(sink: Sink<'_>) -> bool {
    all_from(None, sink)
}

/// The dump of the goroutine with this number, if there is one.
pub fn one(goid: u64) -> Option<String> {
    let mut found = None;
    SCHED.for_each_g(|gp| {
        if gp.goid.load(Ordering::Relaxed) == goid {
            found = Some(gp);
        }
    });
    let mut text = String::new();
    Dump::new().goroutine(found?, &mut text);
    (!text.is_empty()).then_some(text)
}

/// The stack of the calling goroutine, or of all, in Go's format (Go: `runtime.Stack`). The world
/// goes on.
pub fn stack_text(all: bool) -> String {
    let me = getg();
    let mut text = String::new();
    if all {
        let _ = all_from(Some(me), &mut |piece| {
            text.push_str(piece);
            true
        });
    } else {
        Dump::new().goroutine(me, &mut text);
    }
    text
}
