//! What the suites of profiles share.
#![allow(dead_code, reason = "no suite uses all of it")]

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};

use gosched::observe::pprof::profile::Sample;
use gosched::runtime::pprof::{self, Profile};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};

/// Hogs that run until this goes.
pub(crate) struct Hogs {
    stop: Arc<AtomicBool>,
    group: Arc<WaitGroup>,
}

impl Hogs {
    /// So many, each labelled `test: hog`.
    pub(crate) fn new(n: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let group = Arc::new(WaitGroup::new());
        for _ in 0..n {
            let stop = Arc::clone(&stop);
            pprof::with_labels(&[("test", "hog")], || group.go(move || hog(&stop)));
        }
        Self { stop, group }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.group.wait();
    }
}

#[inline(never)]
pub(crate) fn hog(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        black_box(burn(1000));
    }
}

#[inline(never)]
pub(crate) fn burn(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum = black_box(sum ^ i);
    }
    sum
}

/// A pause.
pub(crate) fn sleep_ms(ms: u64) {
    time::sleep(Duration::from_millis(ms));
}

/// The sum of a value over the samples that are so.
pub(crate) fn sum(profile: &Profile, value: usize, want: impl Fn(&Sample) -> bool) -> u64 {
    let samples = profile.stacks().samples.iter();
    samples.filter(|s| want(s)).map(|s| s.values[value]).sum()
}

/// The stacks of a profile's text that have this function, joined with their counts.
pub(crate) fn with_function(profile: &Profile, function: &str) -> Vec<String> {
    let text = profile.text();
    let blocks = text.split("\n\n").filter(|block| block.contains(function));
    blocks.map(String::from).collect()
}
