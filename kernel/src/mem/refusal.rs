//! A request for memory that is refused on purpose (`faults=block:N`, `faults=frame:N`).

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::base::faults::Nth;

/// Counts requests down to the one that is refused.
pub(super) struct Refusal {
    /// Requests until then, that one included; 0: none is refused.
    left: AtomicU32,
    and_later: AtomicBool,
}

impl Refusal {
    pub(super) const fn new() -> Self {
        Self {
            left: AtomicU32::new(0),
            and_later: AtomicBool::new(false),
        }
    }

    /// The nth request from now on is refused.
    pub(super) fn set(&self, nth: Nth) {
        self.and_later.store(nth.and_later, Ordering::Relaxed);
        self.left.store(nth.n, Ordering::Relaxed);
    }

    /// Whether this request is refused.
    #[inline]
    pub(super) fn strikes(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0 && self.count()
    }

    #[cold]
    fn count(&self) -> bool {
        let and_later = self.and_later.load(Ordering::Relaxed);
        let next = |left: u32| {
            let stays = left == 0 || (left == 1 && and_later);
            (!stays).then(|| left - 1)
        };
        let (Ok(was) | Err(was)) =
            self.left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        was == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(nth: Nth) -> [bool; 6] {
        let refusal = Refusal::new();
        refusal.set(nth);
        core::array::from_fn(|_| refusal.strikes())
    }

    /// Catches a count that is off by one, that goes on after its end, or that wraps.
    #[test]
    fn the_nth_request_is_refused() {
        let (yes, no) = (true, false);
        let alone = |n| Nth {
            n,
            and_later: false,
        };
        assert_eq!(refused(alone(1)), [yes, no, no, no, no, no]);
        assert_eq!(refused(alone(3)), [no, no, yes, no, no, no]);
        let and_later = Nth {
            n: 3,
            and_later: true,
        };
        assert_eq!(refused(and_later), [no, no, yes, yes, yes, yes]);
        assert!(!Refusal::new().strikes());
    }
}
