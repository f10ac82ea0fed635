//! Figures of one piece of work: what the scheduler's counters say before and after it.

use core::fmt;
use core::time::Duration;

use gosched::runtime::{self, PStats, Stats};
use gosched::time::Instant;

/// A measurement that has begun.
pub(crate) struct Meter {
    before: Stats,
    start: Instant,
}

/// What happened between two looks. The number of Ps must not change in between.
pub(crate) struct Figures {
    /// How long it took.
    pub(crate) time: Duration,
    before: Stats,
    after: Stats,
}

impl Meter {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self {
            before: runtime::stats(),
            start: Instant::now(),
        }
    }

    /// Ends now.
    pub(crate) fn stop(self) -> Figures {
        let time = self.start.elapsed();
        Figures {
            time,
            before: self.before,
            after: runtime::stats(),
        }
    }
}

impl Figures {
    /// By how much a counter grew, for each P.
    pub(crate) fn by_p(&self, counter: fn(&PStats) -> u64) -> impl Iterator<Item = u64> {
        self.after
            .ps
            .iter()
            .zip(&self.before.ps)
            .map(move |(a, b)| counter(a) - counter(b))
    }

    /// By how much a counter grew, over all Ps.
    pub(crate) fn sum(&self, counter: fn(&PStats) -> u64) -> u64 {
        self.by_p(counter).sum()
    }

    /// Goroutine switches.
    pub(crate) fn switches(&self) -> u64 {
        self.sum(|p| p.switches)
    }

    /// `n` in a second, if there were `n` in this time.
    pub(crate) fn per_second(&self, n: u64) -> u64 {
        let ns = self.time.as_nanos().max(1);
        (u128::from(n) * 1_000_000_000 / ns) as u64
    }
}

/// Numbers in columns, 16 to a line, with a heading of the same width on every line.
pub(crate) struct Row<'a>(pub(crate) &'a str, pub(crate) &'a [u64]);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, chunk) in self.1.chunks(16).enumerate() {
            let heading = if i == 0 { self.0 } else { "" };
            write!(f, "{}   {heading:<28}", if i == 0 { "" } else { "\n" })?;
            for number in chunk {
                write!(f, " {number:>5}")?;
            }
        }
        Ok(())
    }
}
