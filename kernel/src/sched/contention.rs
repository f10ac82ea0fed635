//! What the block and mutex profiles count: who waited where, and who made others wait (Go:
//! `blockevent`, `mutexevent`).
//!
//! - **Block**: a goroutine that comes back from a wait counts it, with its own stack.
//! - **Mutex**: whoever unlocks a mutex and wakes a waiter counts what that one waited, with the
//!   *unlocker's* stack, as in Go: that is the code that held the lock.
//!
//! While no rate is set all of it is one load and one branch where a goroutine has parked, or where
//! an unlocker has found a waiter. Nothing is done before a wait: when it began is in
//! `G::waitsince` anyhow.
//!
//! The stacks are in a table of fixed size that is made when a rate is first set and kept. It has a
//! lock of its own, taken with no other lock held and never in an interrupt; nothing is allocated
//! under it. What does not fit is counted.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on};
use crate::base::lock::{Lock, Rank};
use crate::sched::callers::{self, MAX_CALLS};
use crate::sched::g::{G, getg};
use crate::sched::m::getm;
use crate::sched::park::WaitReason;

/// Distinct stacks of one profile.
const MAX_STACKS: usize = 2048;
/// Return addresses of all of them: 16 each.
const MAX_PCS: usize = 16 * MAX_STACKS;
/// Twice the stacks, so that a search is short.
const SLOTS: usize = 2 * MAX_STACKS;
const NONE: u16 = u16::MAX;

/// Of waits shorter than so many ns only a share is counted; 0: none at all.
static BLOCK_RATE: AtomicU64 = AtomicU64::new(0);
/// One in so many events is counted; 0: none.
static MUTEX_FRACTION: AtomicU64 = AtomicU64::new(0);

static BLOCK: Profile = Profile::new();
static MUTEX: Profile = Profile::new();

/// Which profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Who waited.
    Block,
    /// Who made others wait.
    Mutex,
}

/// What one stack counts.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    first: u32,
    len: u32,
    count: f64,
    delay_ns: f64,
}

struct Table {
    slots: Vec<u16>,
    entries: Vec<Entry>,
    pcs: Vec<usize>,
    dropped: u64,
}

struct Profile(Lock<Option<Table>>);

/// There is no memory for the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A stack, how often, and for how long in all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Return addresses, innermost first.
    pub pcs: Vec<usize>,
    /// Events.
    pub count: u64,
    /// Their delay.
    pub delay_ns: u64,
}

/// All that a profile holds.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// One for each stack.
    pub records: Vec<Record>,
    /// Events whose stack found no room.
    pub dropped: u64,
}

/// Sets how the block profile counts (Go: `runtime.SetBlockProfileRate`): waits of `rate_ns` and
/// more always, shorter ones with the chance that makes the sums right; 1: all; 0: none.
///
/// # Errors
/// No memory for the table; nothing has changed.
pub fn set_block_rate(rate_ns: u64) -> Result<(), OutOfMemory> {
    if rate_ns != 0 {
        BLOCK.prepare()?;
    }
    BLOCK_RATE.store(rate_ns, Ordering::Relaxed);
    Ok(())
}

/// Sets that the mutex profile counts one in `n` events (Go: `runtime.SetMutexProfileFraction`),
/// for all of them; 0: none. Returns what it was.
///
/// # Errors
/// No memory for the table; nothing has changed.
pub fn set_mutex_fraction(n: u64) -> Result<u64, OutOfMemory> {
    if n != 0 {
        MUTEX.prepare()?;
    }
    Ok(MUTEX_FRACTION.swap(n, Ordering::Relaxed))
}

/// The rate of [`set_block_rate`].
pub fn block_rate() -> u64 {
    BLOCK_RATE.load(Ordering::Relaxed)
}

/// The number of [`set_mutex_fraction`].
pub fn mutex_fraction() -> u64 {
    MUTEX_FRACTION.load(Ordering::Relaxed)
}

/// What a profile has counted since boot.
pub fn snapshot(kind: Kind) -> Snapshot {
    kind.profile().snapshot()
}

/// The running goroutine has just come back from a wait. What it waited for is in the G, so that
/// nothing need be kept for this across the wait. The G may still be in a queue, as one whose wait
/// has ended.
#[inline(always)]
pub(super) fn waited() {
    if BLOCK_RATE.load(Ordering::Relaxed) != 0 {
        count_wait();
    }
}

#[cold]
#[inline(never)]
fn count_wait() {
    let gp = getg();
    // Nobody else could have ended these earlier, and the runtime's own waits are its own.
    let alone = matches!(
        gp.waitreason(),
        WaitReason::IoWait | WaitReason::Sleep | WaitReason::Coroutine
    );
    if alone || gp.system.load(Ordering::Relaxed) {
        return;
    }
    let rate = BLOCK_RATE.load(Ordering::Relaxed);
    let delay_ns = since_parked_ns(gp).max(1);
    if rate > delay_ns && random_below(rate) > delay_ns {
        return;
    }
    // A wait that had but a chance counts for those that had no luck.
    let (count, delay) = match delay_ns < rate {
        true => (rate as f64 / delay_ns as f64, rate as f64),
        false => (1.0, delay_ns as f64),
    };
    let mut pcs = [0; MAX_CALLS];
    let n = callers::own(&mut pcs);
    BLOCK.add(&pcs[..n], count, delay);
}

/// Whether [`delayed`] wants to hear of waiters.
#[inline(always)]
pub fn counts_mutexes() -> bool {
    MUTEX_FRACTION.load(Ordering::Relaxed) != 0
}

/// For how long a parked goroutine has waited, which the caller keeps from being readied.
pub fn since_parked_ns(gp: &G) -> u64 {
    let ticks = arch::cputicks().saturating_sub(gp.waitsince.load(Ordering::Relaxed));
    let per_second = arch::ns_to_cputicks(1_000_000_000).max(1);
    (u128::from(ticks) * 1_000_000_000 / u128::from(per_second)) as u64
}

/// The running goroutine has unlocked what another one has waited for that long. No lock is held.
#[cold]
#[inline(never)]
pub fn delayed(delay_ns: u64) {
    let n = MUTEX_FRACTION.load(Ordering::Relaxed);
    if n == 0 || random_below(n) != 0 {
        return;
    }
    let mut pcs = [0; MAX_CALLS];
    let len = callers::own(&mut pcs);
    MUTEX.add(&pcs[..len], n as f64, delay_ns as f64 * n as f64);
}

/// A random number below `n`; n is not 0.
fn random_below(n: u64) -> u64 {
    preempt_off();
    let (hi, lo) = (getm().cheaprand(), getm().cheaprand());
    preempt_on();
    (u64::from(hi) << 32 | u64::from(lo)) % n
}

impl Kind {
    fn profile(self) -> &'static Profile {
        match self {
            Kind::Block => &BLOCK,
            Kind::Mutex => &MUTEX,
        }
    }
}

impl Profile {
    const fn new() -> Self {
        Self(Lock::new(Rank::Chan, None))
    }

    fn prepare(&self) -> Result<(), OutOfMemory> {
        if self.0.lock().is_some() {
            return Ok(());
        }
        let table = Table::new().ok_or(OutOfMemory)?;
        let mut place = self.0.lock();
        let unused = match *place {
            Some(_) => Some(table),
            None => place.replace(table),
        };
        drop(place);
        drop(unused);
        Ok(())
    }

    fn add(&self, pcs: &[usize], count: f64, delay_ns: f64) {
        if let Some(table) = &mut *self.0.lock() {
            table.add(pcs, count, delay_ns);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut entries = Vec::with_capacity(MAX_STACKS);
        let mut pcs = Vec::with_capacity(MAX_PCS);
        let mut dropped = 0;
        if let Some(table) = &*self.0.lock() {
            entries.extend_from_slice(&table.entries);
            pcs.extend_from_slice(&table.pcs);
            dropped = table.dropped;
        }
        let record = |entry: &Entry| Record {
            pcs: pcs[entry.first as usize..][..entry.len as usize].to_vec(),
            count: entry.count as u64,
            delay_ns: entry.delay_ns as u64,
        };
        Snapshot {
            records: entries.iter().map(record).collect(),
            dropped,
        }
    }
}

impl Table {
    fn new() -> Option<Self> {
        let mut table = Self {
            slots: Vec::new(),
            entries: Vec::new(),
            pcs: Vec::new(),
            dropped: 0,
        };
        table.slots.try_reserve_exact(SLOTS).ok()?;
        table.slots.resize(SLOTS, NONE);
        table.entries.try_reserve_exact(MAX_STACKS).ok()?;
        table.pcs.try_reserve_exact(MAX_PCS).ok()?;
        Some(table)
    }

    fn add(&mut self, pcs: &[usize], count: f64, delay_ns: f64) {
        let hash = hash(pcs);
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot] != NONE {
            let entry = &mut self.entries[usize::from(self.slots[slot])];
            let known = &self.pcs[entry.first as usize..][..entry.len as usize];
            if entry.hash == hash && known == pcs {
                entry.count += count;
                entry.delay_ns += delay_ns;
                return;
            }
            slot = (slot + 1) % SLOTS;
        }
        if self.entries.len() == MAX_STACKS || self.pcs.len() + pcs.len() > MAX_PCS {
            self.dropped += 1;
            return;
        }
        self.slots[slot] = self.entries.len() as u16;
        self.entries.push(Entry {
            hash,
            first: self.pcs.len() as u32,
            len: pcs.len() as u32,
            count,
            delay_ns,
        });
        self.pcs.extend_from_slice(pcs);
    }
}

/// FNV-1a over words, its upper half folded in: the lower bits of an odd multiple are those of the
/// lower bits alone.
fn hash(pcs: &[usize]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325u64;
    let hash = pcs.iter().fold(start, |hash, &pc| {
        (hash ^ pc as u64).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::{MAX_PCS, MAX_STACKS, Table};
    use std::vec::Vec;

    #[test]
    fn equal_stacks_are_one() {
        let mut table = Table::new().expect("there is memory");
        for _ in 0..3 {
            table.add(&[1, 2], 1.0, 10.0);
        }
        table.add(&[1, 2, 3], 1.0, 5.0);
        table.add(&[], 1.0, 5.0);
        assert_eq!(table.entries.len(), 3);
        assert_eq!(
            (table.entries[0].count, table.entries[0].delay_ns),
            (3.0, 30.0)
        );
        assert_eq!(table.dropped, 0);
    }

    #[test]
    fn a_full_table_counts_what_it_drops_and_still_finds_what_it_has() {
        let mut table = Table::new().expect("there is memory");
        for i in 0..MAX_STACKS + 10 {
            table.add(&[i], 1.0, 1.0);
        }
        assert_eq!((table.entries.len(), table.dropped), (MAX_STACKS, 10));
        table.add(&[5], 1.0, 1.0);
        assert_eq!((table.entries[5].count, table.dropped), (2.0, 10));
    }

    #[test]
    fn a_table_full_of_addresses_never_grows() {
        let mut table = Table::new().expect("there is memory");
        let (slots, pcs) = (table.slots.as_ptr(), table.pcs.as_ptr());
        let deep: Vec<usize> = (0..64).collect();
        for i in 0..MAX_STACKS {
            let mut stack = deep.clone();
            stack[0] = i + 1000;
            table.add(&stack, 1.0, 1.0);
        }
        assert!(table.dropped > 0 && table.pcs.len() <= MAX_PCS);
        assert_eq!((slots, pcs), (table.slots.as_ptr(), table.pcs.as_ptr()));
    }
}
