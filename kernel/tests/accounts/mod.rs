//! The accounts of `accounting.rs`: values that are marked when they end, and the sums that each
//! goroutine keeps for itself.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// Goroutines that operate; the one that rescues them is another.
pub(crate) const GOROUTINES: usize = 64;
/// Values of one goroutine that the bitmap has place for: more than its operations in a round.
const VALUES: usize = 1 << 18;
const WORDS: usize = VALUES / 64;

/// A bit for each value, set when it has ended.
static ENDED: [[AtomicU64; WORDS]; GOROUTINES + 1] =
    [const { [const { AtomicU64::new(0) }; WORDS] }; GOROUTINES + 1];
/// What was dropped inside channels.
static DROPPED: Sums = Sums::new();
/// All the ends of the last round.
static SUMMARY: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// How many, their sum, and their exclusive-or.
struct Sums {
    count: AtomicU64,
    sum: AtomicU64,
    xor: AtomicU64,
}

impl Sums {
    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            xor: AtomicU64::new(0),
        }
    }
}

/// The same, of one goroutine.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Tally {
    count: u64,
    sum: u64,
    xor: u64,
}

impl Tally {
    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        self.xor ^= value;
    }

    fn join(self, other: Tally) -> Tally {
        Tally {
            count: self.count + other.count,
            sum: self.sum.wrapping_add(other.sum),
            xor: self.xor ^ other.xor,
        }
    }
}

/// A value. Dropped, it counts as dropped inside a channel; see [`Account`] for the other ends.
pub(crate) struct Value {
    /// The goroutine in the upper half, the number in the lower.
    id: u64,
}

impl Value {
    /// Marks the value as ended. It must not be yet.
    fn end(&self) {
        let (goroutine, number) = ((self.id >> 32) as usize, (self.id & 0xffff_ffff) as usize);
        assert!(
            goroutine <= GOROUTINES && number < VALUES,
            "no value: {:#x}",
            self.id
        );
        let bit = 1 << (number % 64);
        let before = ENDED[goroutine][number / 64].fetch_or(bit, Ordering::Relaxed);
        assert!(
            before & bit == 0,
            "value {number} of goroutine {goroutine} ended twice"
        );
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.end();
        DROPPED.count.fetch_add(1, Ordering::Relaxed);
        DROPPED.sum.fetch_add(self.id, Ordering::Relaxed);
        DROPPED.xor.fetch_xor(self.id, Ordering::Relaxed);
    }
}

/// What one goroutine made, and what ended in its hands.
pub(crate) struct Account {
    id: usize,
    made: Tally,
    received: Tally,
    returned: Tally,
}

impl Account {
    pub(crate) fn new(id: usize) -> Self {
        let none = Tally::default();
        Self {
            id,
            made: none,
            received: none,
            returned: none,
        }
    }

    /// The number of the goroutine.
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Whether the bitmap has place for another value.
    pub(crate) fn may_make(&self) -> bool {
        self.made.count < VALUES as u64
    }

    /// A new value.
    pub(crate) fn make(&mut self) -> Value {
        let id = (self.id as u64) << 32 | self.made.count;
        self.made.add(id);
        Value { id }
    }

    /// A value came out of a channel.
    pub(crate) fn received(&mut self, value: Value) {
        value.end();
        self.received.add(value.id);
        core::mem::forget(value);
    }

    /// A value came back with an error; it must be an own one.
    pub(crate) fn returned(&mut self, value: Value) {
        assert_eq!(
            (value.id >> 32) as usize,
            self.id,
            "somebody else's value came back"
        );
        value.end();
        self.returned.add(value.id);
        core::mem::forget(value);
    }
}

/// The whole of it.
pub(crate) struct Ledger;

impl Ledger {
    /// Begins anew.
    pub(crate) fn clear() {
        ENDED
            .iter()
            .flatten()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        for sum in [&DROPPED.count, &DROPPED.sum, &DROPPED.xor] {
            sum.store(0, Ordering::Relaxed);
        }
    }

    /// Everything that was made has ended, once.
    pub(crate) fn balance(accounts: &Vec<Account>, seed: u64) {
        assert_eq!(accounts.len(), GOROUTINES + 1, "seed={seed}");
        let total = |tally: fn(&Account) -> Tally| {
            accounts
                .iter()
                .map(tally)
                .fold(Tally::default(), Tally::join)
        };
        let (made, received, returned) = (
            total(|a| a.made),
            total(|a| a.received),
            total(|a| a.returned),
        );
        let dropped = Tally {
            count: DROPPED.count.load(Ordering::Relaxed),
            sum: DROPPED.sum.load(Ordering::Relaxed),
            xor: DROPPED.xor.load(Ordering::Relaxed),
        };
        for account in accounts {
            let (id, count) = (account.id, account.made.count as usize);
            for number in 0..count {
                let word = ENDED[id][number / 64].load(Ordering::Relaxed);
                let ended = word >> (number % 64) & 1 == 1;
                assert!(
                    ended,
                    "value {number} of goroutine {id} is lost; seed={seed}"
                );
            }
            let bits = ENDED[id]
                .iter()
                .map(|word| word.load(Ordering::Relaxed).count_ones());
            assert_eq!(
                bits.sum::<u32>() as usize,
                count,
                "values nobody made; seed={seed}"
            );
        }
        assert_eq!(received.join(returned).join(dropped), made, "seed={seed}");
        for (to, tally) in SUMMARY.iter().zip([made, received, returned, dropped]) {
            to.store(tally.count, Ordering::Relaxed);
        }
    }

    /// What became of the last round's values.
    pub(crate) fn summary() -> String {
        let [made, received, returned, dropped] =
            SUMMARY.each_ref().map(|n| n.load(Ordering::Relaxed));
        format!("{made} values, {received} received, {returned} back, {dropped} dropped inside")
    }
}
