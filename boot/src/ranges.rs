//! A set of numbers (addresses) as a sorted list of ranges, in a fixed array.
//!
//! Invariants: ranges are not empty, sorted, and neither touch nor overlap. An operation that
//! would need more than `N` ranges changes nothing and returns [`Full`].

/// `start..end`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Range {
    pub(crate) const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }

    /// The part inside `bounds`, if there is one.
    pub(crate) fn clip(self, bounds: Range) -> Option<Range> {
        let start = self.start.max(bounds.start);
        let end = self.end.min(bounds.end);
        (start < end).then_some(Range::new(start, end))
    }
}

/// The array of ranges has no room for one more.
#[derive(Debug)]
pub(crate) struct Full;

#[derive(Clone)]
pub(crate) struct RangeSet<const N: usize> {
    ranges: [Range; N],
    len: usize,
}

impl<const N: usize> RangeSet<N> {
    pub(crate) const fn new() -> Self {
        Self {
            ranges: [Range::new(0, 0); N],
            len: 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.ranges[..self.len].iter().copied()
    }

    pub(crate) fn overlaps(&self, range: Range) -> bool {
        self.iter().any(|have| have.clip(range).is_some())
    }

    /// Adds all of `range`.
    pub(crate) fn insert(&mut self, range: Range) -> Result<(), Full> {
        if range.start >= range.end {
            return Ok(());
        }
        // All ranges that touch the new one become part of it.
        let first = self
            .iter()
            .take_while(|have| have.end < range.start)
            .count();
        let after = self
            .iter()
            .take_while(|have| have.start <= range.end)
            .count();
        let mut joined = range;
        if first < after {
            joined.start = joined.start.min(self.ranges[first].start);
            joined.end = joined.end.max(self.ranges[after - 1].end);
        }
        self.replace(first, after, &[joined])
    }

    /// Takes all of `range` out.
    pub(crate) fn remove(&mut self, range: Range) -> Result<(), Full> {
        if range.start >= range.end {
            return Ok(());
        }
        let first = self
            .iter()
            .take_while(|have| have.end <= range.start)
            .count();
        let after = self
            .iter()
            .take_while(|have| have.start < range.end)
            .count();
        if first == after {
            return Ok(());
        }
        let below = Range::new(self.ranges[first].start, range.start);
        let above = Range::new(range.end, self.ranges[after - 1].end);
        match (below.start < below.end, above.start < above.end) {
            (true, true) => self.replace(first, after, &[below, above]),
            (true, false) => self.replace(first, after, &[below]),
            (false, true) => self.replace(first, after, &[above]),
            (false, false) => self.replace(first, after, &[]),
        }
    }

    /// Puts `new` in the place of the ranges `first..after`.
    fn replace(&mut self, first: usize, after: usize, new: &[Range]) -> Result<(), Full> {
        let len = self.len - (after - first) + new.len();
        if len > N {
            return Err(Full);
        }
        self.ranges.copy_within(after..self.len, first + new.len());
        self.ranges[first..first + new.len()].copy_from_slice(new);
        self.len = len;
        Ok(())
    }
}

/// Against the obvious model: one bit a number. The file stands alone, so `boot/tests.sh` runs
/// this on the host with `rustc --test`.
#[cfg(test)]
mod tests {
    use super::{Range, RangeSet};

    const CAPACITY: usize = 4;

    fn members(set: &RangeSet<CAPACITY>) -> u32 {
        let mut bits = 0;
        for range in set.iter() {
            for number in range.start..range.end {
                bits |= 1 << number;
            }
        }
        bits
    }

    fn is_well_formed(set: &RangeSet<CAPACITY>) -> bool {
        let (ranges, next) = (set.iter(), set.iter().skip(1));
        set.iter().all(|range| range.start < range.end)
            && ranges.zip(next).all(|(one, other)| one.end < other.start)
    }

    #[test]
    fn agrees_with_a_bit_set() {
        let mut set = RangeSet::<CAPACITY>::new();
        let mut bits = 0u32;
        let mut full = 0;
        let mut random = 1u32;
        for _ in 0..100_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (start, len) = (u64::from(random >> 27 & 15), u64::from(random >> 20 & 7));
            let range = Range::new(start, start + len);
            let mask = ((1 << len) - 1) << start;
            assert_eq!(set.overlaps(range), bits & mask != 0);
            let inserts = random >> 16 & 1 == 0;
            let done = if inserts {
                set.insert(range)
            } else {
                set.remove(range)
            };
            match done {
                Ok(()) => bits = if inserts { bits | mask } else { bits & !mask },
                Err(_) => full += 1,
            }
            assert_eq!(members(&set), bits);
            assert!(is_well_formed(&set));
        }
        assert!(full > 0, "the capacity was never reached");
    }
}
