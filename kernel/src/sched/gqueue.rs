//! A FIFO of Gs, linked through `schedlink`.
//!
//! A G is on at most one list at a time, by its status, so one link is enough and nothing is ever
//! allocated. Whoever holds the queue (usually by `SCHED`'s lock) owns the links.

use core::sync::atomic::Ordering;

use crate::sched::g::G;

/// Gs in order.
pub struct GQueue {
    head: Option<&'static G>,
    tail: Option<&'static G>,
    len: usize,
}

impl GQueue {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            head: None,
            tail: None,
            len: 0,
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Adds at the end.
    #[inline(always)]
    pub fn push_back(&mut self, gp: &'static G) {
        gp.schedlink.store(None, Ordering::Relaxed);
        match self.tail {
            Some(tail) => tail.schedlink.store(Some(gp), Ordering::Relaxed),
            None => self.head = Some(gp),
        }
        self.tail = Some(gp);
        self.len += 1;
    }

    /// Adds at the front.
    pub fn push_front(&mut self, gp: &'static G) {
        gp.schedlink.store(self.head, Ordering::Relaxed);
        if self.tail.is_none() {
            self.tail = Some(gp);
        }
        self.head = Some(gp);
        self.len += 1;
    }

    /// Adds another queue at the end.
    pub fn append(&mut self, other: GQueue) {
        let Some(first) = other.head else { return };
        match self.tail {
            Some(tail) => tail.schedlink.store(Some(first), Ordering::Relaxed),
            None => self.head = Some(first),
        }
        self.tail = other.tail;
        self.len += other.len;
    }

    /// Takes the first.
    #[inline(always)]
    pub fn pop_front(&mut self) -> Option<&'static G> {
        let gp = self.head?;
        // No swap, which is a locked instruction: the queue's owner is alone.
        self.head = gp.schedlink.load(Ordering::Relaxed);
        gp.schedlink.store(None, Ordering::Relaxed);
        if self.head.is_none() {
            self.tail = None;
        }
        self.len -= 1;
        Some(gp)
    }

    /// Takes the first that `want` accepts. Looks at all before it.
    pub fn remove_first(&mut self, want: impl Fn(&G) -> bool) -> Option<&'static G> {
        let mut kept = Self::new();
        let mut found = None;
        while let Some(gp) = self.pop_front() {
            if found.is_none() && want(gp) {
                found = Some(gp);
            } else {
                kept.push_back(gp);
            }
        }
        *self = kept;
        found
    }
}
