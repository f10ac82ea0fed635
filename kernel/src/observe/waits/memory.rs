//! The machine's memory as [`reach`](super::reach) sees it: words that are addresses.
//!
//! Every aligned word counts whose value lies in a stack, a goroutine's record, a block of the heap
//! or the image's variables, whatever it means. So a program's pointers are all seen unless it
//! hides them: packed where they are not aligned, compressed, or combined with other bits above the
//! low ones.
//!
//! Two kinds of pointer do not count. The tables of the scheduler and of the allocator lead to
//! everything (`own_statics`), and are no roots; timers are, one by one. And the queue of an object
//! leads to the sudogs of those who wait there, who cannot be asked for anything: a word that is
//! the address of a waiting goroutine's sudog leads nowhere.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use super::reach::{Memory, Node};
use crate::mem::blocks::{self, Block, Blocks};
use crate::mem::{FRAME_SIZE, HEAP, STACKS, SYSTEM_STACKS, space};
use crate::sched;
use crate::sched::g::G;
use crate::sched::p::ALLP;

/// Where a goroutine's memory is.
pub(super) struct Place {
    pub(super) gp: &'static G,
    /// What of its stack is in use: from its stack pointer to the top.
    pub(super) used: Range<usize>,
}

/// All memory, while the world is stopped.
pub(super) struct World {
    blocks: Blocks,
    /// In the order of addresses.
    places: Vec<Place>,
    /// Addresses of the sudogs of waiting goroutines, in order, as distances from [`STACKS`].
    sudogs: Vec<usize>,
    statics: Vec<Range<usize>>,
    static_marked: bool,
    stacks_marked: Vec<bool>,
    records_marked: Vec<bool>,
}

/// The image's variables, without the tables that do not count.
fn statics() -> Vec<Range<usize>> {
    unsafe extern "C" {
        static __data_start: u8;
        static __image_end: u8;
    }
    let mut own: Vec<Range<usize>> = sched::own_statics().into();
    own.push(blocks::own_static());
    own.sort_unstable_by_key(|range| range.start);
    let mut start = (&raw const __data_start) as usize;
    let mut statics = Vec::with_capacity(own.len() + 1);
    for range in own {
        statics.push(start..range.start);
        start = range.end;
    }
    statics.push(start..(&raw const __image_end) as usize);
    statics
}

/// A range by pages.
fn pages(range: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let Range { mut start, end } = *range;
    core::iter::from_fn(move || {
        let page = start..end.min((start / FRAME_SIZE + 1) * FRAME_SIZE);
        start = page.end;
        (!page.is_empty()).then_some(page)
    })
}

impl World {
    /// `places` in the order of addresses. `own`: blocks of the look itself, which lead to every
    /// goroutine. The stack of the one that looks may still hold their addresses, from an earlier
    /// look that had the same blocks: they count as marked, so nobody looks into them.
    ///
    /// # Safety
    /// The world is stopped for as long as this exists, and what `places` says is used is.
    pub(super) unsafe fn new(places: Vec<Place>, sudogs: &[usize], own: &[usize]) -> Self {
        let n = places.len();
        let mut sudogs: Vec<usize> = sudogs.iter().map(|at| at.wrapping_sub(STACKS)).collect();
        sudogs.sort_unstable();
        let statics = statics();
        // SAFETY: the caller's promise.
        let mut blocks = unsafe { Blocks::new() };
        for address in own.iter().copied().chain([places.as_ptr() as usize]) {
            if let Some(block) = blocks.block_of(address) {
                blocks.mark(block);
            }
        }
        Self {
            blocks,
            places,
            sudogs,
            statics,
            static_marked: false,
            stacks_marked: vec![false; n],
            records_marked: vec![false; n],
        }
    }

    /// What a word points to, if it is an address of something.
    pub(super) fn node_of(&self, word: usize) -> Option<Node> {
        if word < STACKS {
            return None;
        }
        if word < SYSTEM_STACKS {
            return self.node_of_stack(word);
        }
        if word < HEAP {
            return None;
        }
        if let Some(block) = self.blocks.block_of(word) {
            return Some(Node::Block(block.number()));
        }
        self.statics
            .iter()
            .any(|range| range.contains(&word))
            .then_some(Node::Static)
    }

    fn node_of_stack(&self, word: usize) -> Option<Node> {
        let after = self
            .places
            .partition_point(|place| place.used.start <= word);
        let index = after.checked_sub(1)?;
        let place = &self.places[index];
        let record = core::ptr::from_ref(place.gp) as usize;
        if place.used.contains(&word) {
            let is_sudog = self.sudogs.binary_search(&(word - STACKS)).is_ok();
            (!is_sudog).then_some(Node::Stack(index as u32))
        } else if (record..record + size_of::<G>()).contains(&word) {
            Some(Node::Record(index as u32))
        } else {
            None
        }
    }

    /// What is reached from the beginning, besides the variables: armed timers, and what their
    /// functions are given.
    pub(super) fn timers(&self) -> Vec<Node> {
        let mut roots = Vec::new();
        for p in &ALLP {
            p.timers.each(&mut |timer, arg| {
                roots.extend(self.node_of(timer));
                roots.extend(self.node_of(arg));
            });
        }
        roots
    }

    /// Calls `each` with the words of a node.
    fn words(&self, node: Node, each: &mut dyn FnMut(usize)) {
        match node {
            Node::Static => {
                for range in &self.statics {
                    // SAFETY: the image's variables are mapped.
                    unsafe { blocks::words(range.clone(), each) };
                }
            }
            Node::Stack(index) => {
                let Place { gp, used } = &self.places[index as usize];
                each(gp.defers.load(Ordering::Relaxed) as usize);
                each(gp.locals.load(Ordering::Relaxed) as usize);
                for page in pages(used) {
                    // A frame may be larger than a page and not have touched one of its own.
                    if space::translate(page.start).is_some() {
                        // SAFETY: mapped, and nobody runs on it.
                        unsafe { blocks::words(page, each) };
                    }
                }
            }
            Node::Record(_) => {}
            Node::Block(_) => {
                if let Some(block) = self.block(node) {
                    self.blocks.words(block, each);
                }
            }
        }
    }

    fn block(&self, node: Node) -> Option<Block> {
        match node {
            Node::Block(number) => self.blocks.block_of(Block::address_of(number)),
            _ => None,
        }
    }

    /// The goroutine at this index.
    pub(super) fn gp(&self, index: u32) -> &'static G {
        self.places[index as usize].gp
    }

    /// Calls `each` with what is found a few steps from a goroutine's stack: enough to say who is
    /// near to an object, at a bounded cost for each.
    pub(super) fn near(&self, index: u32, each: &mut dyn FnMut(Node)) {
        let mut seen: Vec<Node> = Vec::new();
        let mut left = NEAR_WORDS;
        let mut look_into = |node, seen: &mut Vec<Node>| {
            self.words(node, &mut |word| {
                let Some(node) = self.node_of(word) else {
                    return;
                };
                each(node);
                let is_block = matches!(node, Node::Block(_));
                if is_block && seen.len() < NEAR_BLOCKS && !seen.contains(&node) {
                    seen.push(node);
                }
            });
        };
        look_into(Node::Stack(index), &mut seen);
        let mut at = 0;
        while let Some(&node) = seen.get(at) {
            at += 1;
            let size = self.block(node).map_or(0, |block| block.range().len() / 8);
            if size <= left {
                left -= size;
                look_into(node, &mut seen);
            }
        }
    }
}

/// How many words of the heap [`World::near`] looks at.
const NEAR_WORDS: usize = 512;
/// And how many blocks.
const NEAR_BLOCKS: usize = 48;

impl Memory for World {
    fn mark(&mut self, node: Node) -> bool {
        let marked = match node {
            Node::Static => &mut self.static_marked,
            Node::Stack(index) => &mut self.stacks_marked[index as usize],
            Node::Record(index) => &mut self.records_marked[index as usize],
            Node::Block(_) => return self.block(node).is_some_and(|b| self.blocks.mark(b)),
        };
        !core::mem::replace(marked, true)
    }

    fn targets(&mut self, node: Node, each: &mut dyn FnMut(Node)) {
        self.words(node, &mut |word| {
            if let Some(node) = self.node_of(word) {
                each(node);
            }
        });
    }
}
