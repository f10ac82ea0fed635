//! Counting primes by trial division, in many goroutines: work for all CPUs that shares nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use gosched::shell::{Command, Misuse, PROGRAMS};
use gosched::sync::WaitGroup;
use gosched::time::Instant;
use gosched::{println, runtime};
use linkme::distributed_slice;

use super::numbers;

/// What came out.
pub(crate) struct Count {
    /// How many primes there are below the limit.
    pub(crate) primes: u64,
    /// How many parts began on each CPU.
    pub(crate) parts_by_cpu: Vec<u64>,
}

/// Counts the primes below `limit`, each of `parts` equal parts in a goroutine of its own.
pub(crate) fn count(limit: u64, parts: u64) -> Count {
    let primes = Arc::new(AtomicU64::new(0));
    let by_cpu: Arc<[AtomicU64]> = (0..runtime::num_cpu()).map(|_| AtomicU64::new(0)).collect();
    let part = limit.div_ceil(parts);
    let all = WaitGroup::new();
    for first in (0..limit).step_by(part as usize) {
        let (primes, by_cpu) = (primes.clone(), by_cpu.clone());
        all.go(move || {
            by_cpu[runtime::cpu()].fetch_add(1, Ordering::Relaxed);
            let found = (first..limit.min(first + part))
                .filter(|&n| is_prime(n))
                .count();
            primes.fetch_add(found as u64, Ordering::Relaxed);
        });
    }
    all.wait();
    Count {
        primes: primes.load(Ordering::Relaxed),
        parts_by_cpu: by_cpu.iter().map(|n| n.load(Ordering::Relaxed)).collect(),
    }
}

/// Whether `n` is prime, by dividing by all odd numbers up to its root.
pub(crate) fn is_prime(n: u64) -> bool {
    n == 2
        || n > 2
            && !n.is_multiple_of(2)
            && (3..)
                .step_by(2)
                .take_while(|d| d * d <= n)
                .all(|d| !n.is_multiple_of(d))
}

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "primes",
    usage: "[LIMIT [PARTS]]",
    about: "counts primes in many goroutines (400000, 400)",
    run: |args| {
        let [limit, parts] = numbers(args, [400_000, 400])?;
        if limit == 0 || parts == 0 {
            return Err(Misuse);
        }
        let start = Instant::now();
        let count = count(limit, parts);
        println!(
            "{} primes below {limit} in {:.1?}",
            count.primes,
            start.elapsed()
        );
        println!("parts begun on each M: {:?}", count.parts_by_cpu);
        Ok(())
    },
};
