//! The caller of an interrupted function that has no frame yet, or none any more.
//!
//! Before its prologue and after its epilogue rbp is still, or again, the caller's, and the walk by
//! frame pointers leaves the caller out. The interrupt keeps the two words at the stack pointer;
//! here, at leisure, the machine code tells whether one of them is the way to the caller.

use alloc::collections::BTreeMap;

use crate::observe::symbols::Symbols;

/// `push rbp`, the first instruction of every function with a frame.
const PUSH_RBP: u8 = 0x55;
/// `ret`, near.
const RET: u8 = 0xc3;

/// Remembered pcs, at most.
const MAX_KNOWN: usize = 4096;

/// Where the return address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Behind the frame pointer, as always.
    Frame,
    /// At the stack pointer.
    Top,
    /// Above the pushed frame pointer.
    Second,
    /// At the stack pointer, if that word looks like one: assembly.
    PerhapsTop,
}

/// Answers for many pcs.
pub(super) struct Leaves {
    symbols: Option<&'static Symbols>,
    known: BTreeMap<usize, Place>,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Self {
            symbols: Symbols::kernel(),
            known: BTreeMap::new(),
        }
    }

    /// The return address of the function that was interrupted at `pc` with these two words at its
    /// stack pointer, if the frame pointers leave it out.
    pub(super) fn hidden_caller(&mut self, pc: usize, top: [usize; 2]) -> Option<usize> {
        let symbols = self.symbols?;
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let place = *self.known.entry(pc).or_insert_with(|| place(symbols, pc));
        let (start, end) = kernel_text();
        let is_code = |pc: &usize| (start..end).contains(&(*pc as u64));
        match place {
            Place::Frame => None,
            Place::Top => Some(top[0]).filter(is_code),
            Place::Second => Some(top[1]).filter(is_code),
            Place::PerhapsTop => Some(top[0]).filter(|&word| follows_code(symbols, word)),
        }
    }
}

fn place(symbols: &Symbols, pc: usize) -> Place {
    let Some(function) = symbols.function_at(pc as u64) else {
        return Place::Frame;
    };
    let byte = |pc| symbols.code_at(pc, 1).map_or(0, |code| code[0]);
    let has_frame = byte(function.entry) == PUSH_RBP;
    match pc as u64 - function.entry {
        0 => Place::Top,
        1 if has_frame => Place::Second,
        _ if byte(pc as u64) == RET => Place::Top,
        _ if !has_frame => Place::PerhapsTop,
        _ => Place::Frame,
    }
}

/// Whether the word points behind an instruction of some function.
fn follows_code(symbols: &Symbols, word: usize) -> bool {
    let before = (word as u64).checked_sub(1);
    before
        .and_then(|pc| symbols.function_at(pc))
        .is_some_and(|function| function.entry < word as u64)
}

/// First address of the kernel's code, and the one behind the last.
pub(super) fn kernel_text() -> (u64, u64) {
    unsafe extern "C" {
        static __text_start: u8;
        static __text_end: u8;
    }
    let start = &raw const __text_start as u64;
    (start, &raw const __text_end as u64)
}
