//! Go's package runtime/pprof: profiles of the running kernel, as bytes that `go tool pprof` reads,
//! and the labels of goroutines.
//!
//! ```
//! use gosched::runtime::pprof;
//!
//! pprof::start_cpu_profile(pprof::DEFAULT_HZ).expect("no other is being taken");
//! // the program at work
//! let profile = pprof::stop_cpu_profile().expect("it was started");
//! assert!(!profile.encode().is_empty()); // for observe::hostfile::write
//! ```

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::mem;
use crate::observe::pprof::encode::{Mapping, encode};
use crate::observe::pprof::profile::{self, Kind};
use crate::observe::pprof::{contention, cpu, goroutines, text, top};
use crate::observe::symbols::Symbolizer;
use crate::sched::labels;

pub use crate::observe::pprof::cpu::{DEFAULT_HZ, MAX_HZ, StartError};
pub use crate::sched::labels::Labels;

/// Bytes of memory that names with files and lines want.
const LINES_NEED: usize = 4 << 20;

/// A profile that was taken.
#[derive(Clone, Debug)]
pub struct Profile(profile::Profile);

impl Profile {
    /// As the protocol buffer that `go tool pprof` reads, not compressed. Functions, files and
    /// lines are in it. Takes some milliseconds for each compilation unit that the stacks touch.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.0, Mapping::kernel(), &mut symbolizer())
    }

    /// As text, Go's `debug=1`, which `go tool pprof KERNEL FILE` reads together with the kernel's
    /// ELF.
    pub fn text(&self) -> String {
        text::text(&self.0, &mut symbolizer())
    }

    /// A table of the `n` functions that lead.
    pub fn top(&self, n: usize) -> String {
        top::top(&self.0, n, &mut symbolizer())
    }

    /// The stacks themselves.
    pub fn stacks(&self) -> &profile::Profile {
        &self.0
    }
}

/// With lines, unless memory is nearly gone.
fn symbolizer() -> Symbolizer {
    match mem::usage().available < LINES_NEED {
        true => Symbolizer::without_lines(),
        false => Symbolizer::new(),
    }
}

/// Starts a profile of all CPUs with `hz` samples a second of each (Go:
/// `pprof.StartCPUProfile`, [`DEFAULT_HZ`] there). A CPU that halts is not sampled.
///
/// While it is taken a goroutine of the runtime sleeps for 20 ms at a time, so a deadlock of all
/// others is found only after its end.
///
/// # Errors
/// One is being taken already, `hz` is not in `1..=MAX_HZ`, or there is no memory.
pub fn start_cpu_profile(hz: u32) -> Result<(), StartError> {
    cpu::start(hz)
}

/// Ends the profile (Go: `pprof.StopCPUProfile`). None: none was being taken.
pub fn stop_cpu_profile() -> Option<Profile> {
    cpu::stop().map(Profile)
}

/// One of the profiles that are always there: `goroutine`, `block`, `mutex` (Go: `pprof.Lookup`).
/// The last two hold what was counted since boot, if it was asked for:
/// [`set_block_profile_rate`](super::set_block_profile_rate),
/// [`set_mutex_profile_fraction`](super::set_mutex_profile_fraction).
///
/// ```
/// use gosched::runtime::pprof;
///
/// let goroutines = pprof::lookup("goroutine").expect("there is such a profile");
/// assert!(goroutines.text().starts_with("goroutine profile: total "));
/// assert!(pprof::lookup("heap").is_none());
/// ```
pub fn lookup(name: &str) -> Option<Profile> {
    let profiles = [
        (
            Kind::Goroutine,
            goroutines::goroutines as fn() -> profile::Profile,
        ),
        (Kind::Block, contention::block),
        (Kind::Mutex, contention::mutex),
    ];
    let (_, take) = profiles.iter().find(|(kind, _)| kind.name() == name)?;
    Some(Profile(take()))
}

/// Calls `f` with more labels on the calling goroutine (Go: `pprof.Do`). Goroutines that it starts
/// inherit them; profiles and dumps show them.
///
/// ```
/// use gosched::runtime::pprof;
///
/// pprof::with_labels(&[("request", "17")], || {
///     assert_eq!(pprof::label("request").as_deref(), Some("17"));
/// });
/// assert_eq!(pprof::label("request"), None);
/// ```
pub fn with_labels<R>(add: &[(&str, &str)], f: impl FnOnce() -> R) -> R {
    let mut labels = current_labels();
    add.iter()
        .for_each(|(key, value)| labels.insert(key, value));
    let before = labels::set(Some(Arc::new(labels)));
    let result = f();
    drop(labels::set(before));
    result
}

/// Gives the calling goroutine these labels instead of those that it has (Go:
/// `pprof.SetGoroutineLabels`).
///
/// ```
/// use gosched::runtime::pprof;
///
/// let mut labels = pprof::Labels::new();
/// labels.insert("stage", "parse");
/// pprof::set_labels(labels);
/// assert_eq!(pprof::label("stage").as_deref(), Some("parse"));
/// pprof::set_labels(pprof::Labels::new());
/// ```
pub fn set_labels(labels: Labels) {
    drop(labels::set(Some(Arc::new(labels))));
}

/// The value of a label of the calling goroutine (Go: `pprof.Label`).
pub fn label(key: &str) -> Option<String> {
    labels::current()?.get(key).map(ToString::to_string)
}

/// All labels of the calling goroutine.
pub fn current_labels() -> Labels {
    labels::current().map_or_else(Labels::new, |labels| Labels::clone(&labels))
}
