//! The CPU profile: what each CPU was at, once in so much of its own time.
//!
//! The timer interrupt (`sched::sampling`) calls [`sample`], which puts a record into the ring of
//! its CPU. A goroutine of the runtime's own, the *collector*, takes the records out every
//! [`COLLECT_EVERY`] and sums up equal ones. The session is behind one mutex: who holds it is the
//! consumer of all rings.
//!
//! A record holds a count of the goroutine's name and of its labels, taken in the interrupt (one
//! locked addition each) and given back by the consumer. What comes late, from a profile that has
//! ended, is thrown away by the next.
//!
//! Time with interrupts off is charged to the instruction that turns them on again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;
use core::time::Duration;

use super::leaf::Leaves;
use super::profile::{Kind, Profile, Sample};
use super::ring::Ring;
use crate::arch::{self, MAX_CPUS, TrapFrame};
use crate::sched::SCHED;
use crate::sched::callers::{self, MAX_CALLS};
use crate::sched::labels::{self, Labels};
use crate::sched::m::M;
use crate::sched::newproc::{self, Attributes};
use crate::sched::sampling;
use crate::sync::Mutex;
use crate::time;

/// Samples a second, if nothing else is asked for (Go: 100).
pub const DEFAULT_HZ: u32 = 100;
/// The most samples a second: one then takes some percent of the CPU.
pub const MAX_HZ: u32 = 10_000;

/// How often the rings are emptied.
const COLLECT_EVERY: Duration = Duration::from_millis(20);
/// Distinct stacks of one profile; what comes beyond is counted as dropped.
const MAX_STACKS: usize = 1 << 16;

/// Words of a record before the pcs.
const HEAD: usize = 8;
const PROFILE_SHIFT: u32 = 32;
const ON_G0: usize = 1 << 32;

static RINGS: [Ring; MAX_CPUS] = [const { Ring::new() }; MAX_CPUS];
static STATE: Mutex<State> = Mutex::new(State {
    last: 0,
    session: None,
    collecting: false,
});

struct State {
    /// Number of the last profile.
    last: u32,
    session: Option<Session>,
    /// The collector lives.
    collecting: bool,
}

struct Session {
    profile: u32,
    period_ns: u32,
    started_ns: u64,
    stacks: BTreeMap<Key, u64>,
    leaves: Leaves,
    dropped: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    pcs: Vec<usize>,
    goid: u64,
    name: Option<Arc<str>>,
    labels: Option<Arc<Labels>>,
    on_g0: bool,
}

/// Why a CPU profile cannot be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// One is being taken already.
    AlreadyRunning,
    /// Not between 1 and [`MAX_HZ`] samples a second.
    BadRate,
    /// No memory for the buffers.
    OutOfMemory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyRunning => f.write_str("a CPU profile is being taken already"),
            Self::BadRate => write!(f, "a CPU profile takes 1 to {MAX_HZ} samples a second"),
            Self::OutOfMemory => f.write_str("out of memory for the buffers of the CPU profile"),
        }
    }
}

impl core::error::Error for StartError {}

/// Starts a CPU profile of all CPUs, with so many samples of each a second.
///
/// # Errors
/// See [`StartError`]; nothing has changed.
pub fn start(hz: u32) -> Result<(), StartError> {
    if !(1..=MAX_HZ).contains(&hz) {
        return Err(StartError::BadRate);
    }
    let mut state = STATE.lock();
    if state.session.is_some() {
        return Err(StartError::AlreadyRunning);
    }
    if !SCHED.allm().all(|m| RINGS[m.id()].prepare()) {
        return Err(StartError::OutOfMemory);
    }
    if !state.collecting {
        let attributes = Attributes {
            name: Some("pprof".into()),
            system: true,
            ..Attributes::default()
        };
        newproc::newproc(collect, attributes).map_err(|_| StartError::OutOfMemory)?;
        state.collecting = true;
    }
    // Not 0, which is what a CPU that never took part has.
    state.last = state.last.wrapping_add(1).max(1);
    let mut session = Session {
        profile: state.last,
        period_ns: 1_000_000_000 / hz,
        started_ns: arch::nanotime(),
        stacks: BTreeMap::new(),
        leaves: Leaves::new(),
        dropped: 0,
    };
    session.drain(); // what came late for the one before
    session.dropped = 0;
    sampling::start(session.profile, session.period_ns, sample);
    state.session = Some(session);
    Ok(())
}

/// Ends the CPU profile. None: there was none.
pub fn stop() -> Option<Profile> {
    let mut state = STATE.lock();
    let mut session = state.session.take()?;
    sampling::stop();
    session.drain();
    drop(state);
    Some(session.finish())
}

/// The collector.
fn collect() {
    loop {
        time::sleep(COLLECT_EVERY);
        let mut state = STATE.lock();
        match &mut state.session {
            Some(session) => session.drain(),
            None => {
                state.collecting = false;
                return;
            }
        }
    }
}

/// Interrupt: puts what was interrupted into this CPU's ring.
fn sample(m: &'static M, frame: &TrapFrame, sample: sampling::Sample) {
    let mut record = [0; HEAD + MAX_CALLS];
    let found = callers::interrupted(m, frame, &mut record[HEAD..]);
    let len = HEAD + found.len;
    let ring = &RINGS[m.id()];
    if !ring.has_room(len) {
        return;
    }
    record[0] = (sample.profile as usize) << PROFILE_SHIFT | len;
    record[1] = sample.periods as usize | if found.on_g0 { ON_G0 } else { 0 };
    if let Some(gp) = m.curg() {
        record[2] = gp.goid.load(Ordering::Relaxed) as usize;
        // SAFETY: this CPU runs it and stands still, so it neither ends nor changes its labels.
        let (name, labels) = unsafe { (gp.shared_name(), labels::of_interrupted(gp)) };
        record[3] = labels.map_or(0, |labels| Arc::into_raw(labels) as usize);
        if let Some(name) = name {
            record[5] = name.len();
            record[4] = Arc::into_raw(name).cast::<u8>() as usize;
        }
    }
    record[6..HEAD].copy_from_slice(&found.top);
    ring.push(&record[..len]);
}

/// What a record says.
struct Record {
    profile: u32,
    periods: u64,
    top: [usize; 2],
    key: Key,
}

impl Record {
    /// # Safety
    /// The words are those of a record that was just taken out of a ring: its counts of a name and
    /// of labels go to the result.
    unsafe fn of(words: &[usize]) -> Self {
        let labels = words[3] as *const Labels;
        let name = core::ptr::slice_from_raw_parts(words[4] as *const u8, words[5]) as *const str;
        // SAFETY: `sample` made both of Arcs; the caller's promise.
        let (labels, name) = unsafe {
            (
                (!labels.is_null()).then(|| Arc::from_raw(labels)),
                (words[4] != 0).then(|| Arc::from_raw(name)),
            )
        };
        Self {
            profile: (words[0] >> PROFILE_SHIFT) as u32,
            periods: (words[1] & (ON_G0 - 1)) as u64,
            top: [words[6], words[7]],
            key: Key {
                pcs: words[HEAD..].to_vec(),
                goid: words[2] as u64,
                name,
                labels,
                on_g0: words[1] & ON_G0 != 0,
            },
        }
    }
}

impl Session {
    /// Takes what is in the rings now; no more, since the mutex is held meanwhile, for which
    /// whoever wants to end the profile waits.
    fn drain(&mut self) {
        let mut words = Vec::with_capacity(HEAD + MAX_CALLS);
        for m in SCHED.allm() {
            let ring = &RINGS[m.id()];
            let end = ring.end();
            while ring.pop(end, &mut words, |first| first as u32 as usize) {
                // SAFETY: it came out of the ring.
                self.add(unsafe { Record::of(&words) });
            }
            self.dropped += ring.take_dropped();
        }
    }

    fn add(&mut self, record: Record) {
        let Record {
            profile,
            periods,
            top,
            mut key,
        } = record;
        if profile != self.profile {
            return;
        }
        let pc = key.pcs.first().copied().unwrap_or(0);
        if let Some(caller) = self.leaves.hidden_caller(pc, top)
            && key.pcs.get(1) != Some(&caller)
        {
            key.pcs.insert(1, caller);
        }
        if self.stacks.len() >= MAX_STACKS && !self.stacks.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        *self.stacks.entry(key).or_default() += periods;
    }

    fn finish(self) -> Profile {
        let period_ns = u64::from(self.period_ns);
        let sample = |(key, count): (Key, u64)| {
            let mut labels = key.labels.as_deref().cloned().unwrap_or_default();
            if let Some(name) = &key.name
                && labels.get("name").is_none()
            {
                labels.insert("name", name);
            }
            if key.on_g0 {
                labels.insert("on", "scheduler");
            }
            Sample {
                pcs: key.pcs,
                exact: true,
                values: [count, count * period_ns],
                labels,
                numbers: match key.goid {
                    0 => Vec::new(),
                    goid => alloc::vec![("goroutine", goid)],
                },
            }
        };
        let mut profile = Profile {
            kind: Kind::Cpu,
            samples: self.stacks.into_iter().map(sample).collect(),
            duration_ns: arch::nanotime() - self.started_ns,
            period: period_ns,
            dropped: self.dropped,
        };
        profile.sort();
        profile
    }
}
