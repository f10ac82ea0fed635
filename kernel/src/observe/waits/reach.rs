//! Who can still go on: the greatest set of goroutines that nobody can wake any more.
//!
//! # The rule
//!
//! At first every blocked goroutine is suspected. The roots (the program's statics, armed timers)
//! and the goroutines that are not blocked are *live*. What live memory points to is *reached*, and
//! so is what that points to. A suspected goroutine becomes live, with its stack, when something
//! that it waits for is reached, or a goroutine that alone can end its wait is live. What is left
//! when nothing changes any more is deadlocked: nobody who will ever run can reach what it waits
//! for.
//!
//! It is what Go's leak profile does in its garbage collector, and what is said of a goroutine is
//! certain in the same way: a word that only looks like a pointer reaches too much, so a deadlock
//! can be missed, but none is invented.
//!
//! Each goroutine becomes live once and each node is reached once; what waits for a node or a
//! goroutine is found by search in sorted lists. So the cost is that of looking at all live memory.
//!
//! Nothing here knows the machine: [`Memory`] says what a node points to.

use alloc::vec;
use alloc::vec::Vec;

/// A piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Node {
    /// A variable of the program: anybody can reach it.
    Static,
    /// The stack of a goroutine, by index, with what belongs to it.
    Stack(u32),
    /// The goroutine's own record, to which handles lead: who reaches it can unpark it.
    Record(u32),
    /// A block of the heap, by number.
    Block(u64),
}

/// What a goroutine waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Nothing, or for something that comes from outside: the clock, the console.
    Live,
    /// For what is done by one who reaches one of these nodes, or by one of these goroutines (by
    /// index). Neither: for ever.
    Blocked {
        /// Objects in whose queue it is.
        objects: Vec<Node>,
        /// Goroutines that alone can end it.
        holders: Vec<u32>,
    },
}

/// What the search looks at.
pub trait Memory {
    /// Marks a node as reached; whether it is new.
    fn mark(&mut self, node: Node) -> bool;
    /// Calls `each` with all that a node points to, any number of times.
    fn targets(&mut self, node: Node, each: &mut dyn FnMut(Node));
}

/// Which goroutines are live, by index. `roots` are reached from the beginning.
pub fn live(waits: &[Wait], roots: &[Node], memory: &mut impl Memory) -> Vec<bool> {
    let mut search = Search::new(waits);
    for (i, wait) in (0u32..).zip(waits) {
        if *wait == Wait::Live {
            search.revive(i);
        }
    }
    search.reach(Node::Static, memory);
    for &root in roots {
        search.reach(root, memory);
    }
    loop {
        while let Some(node) = search.unread.pop() {
            let mut found = core::mem::take(&mut search.found);
            memory.targets(node, &mut |target| found.push(target));
            for target in found.drain(..) {
                search.reach(target, memory);
            }
            search.found = found;
        }
        let Some(revived) = search.revived.pop() else {
            return search.live;
        };
        // What it has may have been reached before; its being live is what wakes others.
        search.reach(Node::Stack(revived), memory);
        search.wake(&Key::Live(revived));
    }
}

/// What may happen that somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Reached(Node),
    Live(u32),
}

struct Search {
    live: Vec<bool>,
    /// Reached, and not looked into yet.
    unread: Vec<Node>,
    /// Live, and not followed yet.
    revived: Vec<u32>,
    /// Who becomes live by what, in order.
    waiting: Vec<(Key, u32)>,
    /// Room that is used again.
    found: Vec<Node>,
}

impl Search {
    fn new(waits: &[Wait]) -> Self {
        let mut waiting = Vec::new();
        for (i, wait) in (0u32..).zip(waits) {
            if let Wait::Blocked { objects, holders } = wait {
                waiting.extend(objects.iter().map(|&node| (Key::Reached(node), i)));
                waiting.extend(holders.iter().map(|&holder| (Key::Live(holder), i)));
            }
        }
        waiting.sort_unstable();
        Self {
            live: vec![false; waits.len()],
            unread: Vec::new(),
            revived: Vec::new(),
            waiting,
            found: Vec::new(),
        }
    }

    fn reach(&mut self, node: Node, memory: &mut impl Memory) {
        if memory.mark(node) {
            self.unread.push(node);
            self.wake(&Key::Reached(node));
        }
    }

    /// Revives all who wait for this.
    fn wake(&mut self, key: &Key) {
        let first = self.waiting.partition_point(|(waited, _)| waited < key);
        for at in first..self.waiting.len() {
            let (waited, goroutine) = self.waiting[at];
            if waited != *key {
                break;
            }
            self.revive(goroutine);
        }
    }

    fn revive(&mut self, goroutine: u32) {
        if !core::mem::replace(&mut self.live[goroutine as usize], true) {
            self.revived.push(goroutine);
        }
    }
}

#[cfg(test)]
mod tests;
