//! The walk up a stack by frame pointers.
//!
//! ```text
//!   hi  ┌──────────────────────┐
//!       │ …                    │
//!       │ return address       │  bp1 + 8: where the caller's caller continues
//!   bp1 │ caller's caller's bp │
//!       │ …                    │
//!       │ return address       │  bp + 8: where the caller continues
//!   bp  │ bp1                  │
//!       │ locals               │
//!   sp  └──────────────────────┘
//! ```
//!
//! Invariants: every word is read at an aligned address in `[max(lo, sp), hi)`; each frame is
//! above the one before, so the walk ends; at most `MAX_FRAMES` are given.
//!
//! An interrupt may come before the frame of its function is built or after it was torn down.
//! [`Start::interrupted`] makes the first step look at the machine code for that, otherwise the
//! caller would be missing in the report: with stack overflows and faults that is the rule, as
//! the push of a prologue is what faults.
//!
//! Refuses: unwinding by `.eh_frame`. Every function of the image but assembly keeps frame
//! pointers (`.cargo/config.toml`; the prebuilt `core` has them too), and reading tables that
//! need a heap is nothing for a kernel that is dying.

use super::symbols::Symbols;

/// More frames than a stack of 16 MiB can hold in frames of no size at all are a loop.
const MAX_FRAMES: usize = 1 << 20;

const WORD: usize = size_of::<usize>();

/// `push rbp`, the first instruction of every function with a frame.
const PUSH_RBP: u8 = 0x55;

/// `ret`, near.
const RET: u8 = 0xc3;

/// Where a walk begins: the registers of a goroutine that does not run.
#[derive(Clone, Copy)]
pub struct Start {
    /// The next instruction.
    pub pc: usize,
    /// The stack pointer.
    pub sp: usize,
    /// The frame pointer.
    pub bp: usize,
    /// An interrupt or a fault stopped it at `pc`. If not, `pc` is a return address: the
    /// goroutine called what parked it.
    pub interrupted: bool,
}

/// The memory that may be read.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The lowest address of the stack that is mapped for certain. For a goroutine that is
    /// stopped anything from its sp on is; after a fault on the stack it is the page above the
    /// one that faulted.
    pub lo: usize,
    /// The end of the stack.
    pub hi: usize,
}

/// One function call on the stack; what was inlined in it shares it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Where it stands, or where it continues.
    pub pc: usize,
    /// Its stack pointer.
    pub sp: usize,
    /// Its caller's stack pointer when it returns (Go's `fp`); `sp` where that is not known.
    pub fp: usize,
    /// `pc` is a return address: the call is the instruction before it.
    pub returned_to: bool,
}

impl Call {
    /// The address whose function and line are those of the call.
    pub fn lookup_pc(&self) -> u64 {
        (self.pc - usize::from(self.returned_to && self.pc > 0)) as u64
    }
}

/// The calls of one stack, innermost first.
#[derive(Clone)]
pub struct Calls<'a> {
    next: Option<Call>,
    /// The frame pointer that leads to the caller of `next`.
    bp: usize,
    bounds: Bounds,
    stop_at: &'a [usize],
    left: usize,
    /// The words between `next` and its caller's frame if there is no frame in between.
    frameless: Option<Frameless>,
}

/// The state of a function outside of its frame.
#[derive(Clone, Copy)]
enum Frameless {
    /// The return address is at sp.
    Return,
    /// The caller's bp was pushed upon it.
    Pushed,
}

impl<'a> Calls<'a> {
    /// Begins at `start`. The walk ends before a return address of `stop_at` (goexit's, planted
    /// under every goroutine), at the end of the stack, or where the chain breaks.
    ///
    /// # Safety
    /// All memory in `[max(bounds.lo, start.sp), bounds.hi)` must be mapped and stay so while the
    /// iterator lives; nothing may run on that stack but the caller itself, above its own frame.
    pub unsafe fn new(start: Start, bounds: Bounds, stop_at: &'a [usize]) -> Self {
        let Start {
            pc,
            sp,
            bp,
            interrupted,
        } = start;
        let mut calls = Self {
            next: None,
            bp,
            bounds: Bounds {
                lo: bounds.lo.max(sp),
                hi: bounds.hi,
            },
            stop_at,
            left: MAX_FRAMES,
            frameless: None,
        };
        if interrupted {
            calls.frameless = calls.outside_frame(pc, sp);
        }
        let fp = calls.frame_end(sp);
        calls.next = Some(Call {
            pc,
            sp,
            fp,
            returned_to: !interrupted,
        });
        calls
    }

    /// Whether the function interrupted at `pc` has no frame of its own there.
    fn outside_frame(&self, pc: usize, sp: usize) -> Option<Frameless> {
        let symbols = Symbols::kernel()?;
        // A jump to nowhere: what called it is all there is.
        let Some(function) = symbols.function_at(pc as u64) else {
            return self
                .plausible_return(symbols, sp)
                .then_some(Frameless::Return);
        };
        let first = symbols.code_at(function.entry, 1).unwrap_or(&[0])[0];
        let here = symbols.code_at(pc as u64, 1).unwrap_or(&[0])[0];
        match pc as u64 - function.entry {
            0 => Some(Frameless::Return),
            1 if first == PUSH_RBP => Some(Frameless::Pushed),
            _ if here == RET => Some(Frameless::Return),
            // Assembly, or a function that builds its frame late: look whether sp is at a call.
            _ if first != PUSH_RBP && self.plausible_return(symbols, sp) => Some(Frameless::Return),
            _ => None,
        }
    }

    /// Whether the word at `sp` points behind an instruction of some function.
    fn plausible_return(&self, symbols: &Symbols, sp: usize) -> bool {
        let Some(word) = self.read(sp) else {
            return false;
        };
        let function = (word as u64)
            .checked_sub(1)
            .and_then(|pc| symbols.function_at(pc));
        function.is_some_and(|function| function.entry < word as u64)
    }

    /// The word at `address`, if it is one of the stack's.
    fn read(&self, address: usize) -> Option<usize> {
        let Bounds { lo, hi } = self.bounds;
        let inside = address >= lo && hi.checked_sub(WORD).is_some_and(|last| address <= last);
        if !inside || !address.is_multiple_of(WORD) {
            return None;
        }
        // SAFETY: the word is aligned and inside `[lo, hi)`, which `new`'s caller vouches for.
        Some(unsafe { core::ptr::with_exposed_provenance::<usize>(address).read() })
    }

    /// The end of the frame of the call whose stack pointer is `sp`.
    fn frame_end(&self, sp: usize) -> usize {
        match self.frameless {
            Some(Frameless::Return) => sp.wrapping_add(WORD),
            Some(Frameless::Pushed) => sp.wrapping_add(2 * WORD),
            None if self.chained(sp) => self.bp + 2 * WORD,
            None => sp,
        }
    }

    /// Whether `bp` is a frame above `sp`.
    fn chained(&self, sp: usize) -> bool {
        self.bp >= sp
            && self
                .bp
                .checked_add(WORD)
                .and_then(|at| self.read(at))
                .is_some()
    }

    /// The caller of `call`, or `None` at the end of the chain.
    fn caller(&mut self, call: &Call) -> Option<Call> {
        let return_address = match self.frameless.take() {
            Some(Frameless::Return) => self.read(call.sp)?,
            Some(Frameless::Pushed) => {
                self.bp = self.read(call.sp)?;
                self.read(call.sp + WORD)?
            }
            None => {
                if !self.chained(call.sp) {
                    return None;
                }
                let return_address = self.read(self.bp + WORD)?;
                self.bp = self.read(self.bp)?;
                return_address
            }
        };
        if return_address == 0 || self.stop_at.contains(&return_address) {
            return None;
        }
        let sp = call.fp;
        let fp = self.frame_end(sp);
        Some(Call {
            pc: return_address,
            sp,
            fp,
            returned_to: true,
        })
    }
}

impl Iterator for Calls<'_> {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        let call = self.next.take()?;
        self.left = self.left.checked_sub(1)?;
        self.next = self.caller(&call);
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Call, Calls, Start};
    use std::vec::Vec;

    const GOEXIT: usize = 0x9999;

    /// A stack of `words`, where `Bp(i)` is the address of word `i`.
    enum Word {
        Bp(usize),
        Value(usize),
    }
    use Word::{Bp, Value};

    fn walk(words: &[Word], sp: usize, bp: usize) -> (usize, Vec<Call>) {
        let mut stack = std::vec![0usize; words.len()];
        let base = stack.as_mut_ptr().expose_provenance();
        for (i, word) in words.iter().enumerate() {
            stack[i] = match word {
                Bp(at) => base + 8 * at,
                Value(value) => *value,
            };
        }
        let at = |word: usize| base.wrapping_add(word.wrapping_mul(8));
        let start = Start {
            pc: 0x1000,
            sp: at(sp),
            bp: at(bp),
            interrupted: false,
        };
        let bounds = Bounds {
            lo: base,
            hi: base + 8 * stack.len(),
        };
        // SAFETY: `stack` holds all of `bounds` and outlives the walk.
        let calls = unsafe { Calls::new(start, bounds, &[GOEXIT]) };
        (base, calls.collect())
    }

    fn pcs(words: &[Word], sp: usize, bp: usize) -> Vec<usize> {
        walk(words, sp, bp).1.iter().map(|call| call.pc).collect()
    }

    #[test]
    fn follows_the_chain_to_goexit() {
        let words = [
            Value(7),
            Bp(4),
            Value(0x2000),
            Value(7),
            Bp(0),
            Value(GOEXIT),
        ];
        let (base, calls) = walk(&words, 0, 1);
        let at = |word: usize| base + 8 * word;
        let returned_to = true;
        assert_eq!(
            calls,
            [
                Call {
                    pc: 0x1000,
                    sp: at(0),
                    fp: at(3),
                    returned_to
                },
                Call {
                    pc: 0x2000,
                    sp: at(3),
                    fp: at(6),
                    returned_to
                },
            ]
        );
        assert_eq!(calls[1].lookup_pc(), 0x1fff);
    }

    #[test]
    fn ends_where_the_chain_breaks() {
        // bp outside, below sp, unaligned, at the last word, zero.
        let frame = [
            Value(0),
            Value(0),
            Bp(4),
            Value(0x2000),
            Value(0),
            Value(0x3000),
        ];
        assert_eq!(pcs(&frame, 0, 2), [0x1000, 0x2000, 0x3000]);
        assert_eq!(pcs(&frame, 3, 2), [0x1000]);
        assert_eq!(pcs(&frame, 0, 5), [0x1000]);
        assert_eq!(pcs(&frame, 0, 6), [0x1000]);
        assert_eq!(pcs(&frame, 0, 1 << 40), [0x1000]);
        assert_eq!(pcs(&frame, 0, usize::MAX / 8), [0x1000]);
        assert_eq!(pcs(&[Value(1), Value(0x2000)], 0, 0), [0x1000, 0x2000]);
        assert_eq!(pcs(&[Value(0), Value(0)], 0, 0), [0x1000]);
    }

    #[test]
    fn a_loop_of_frames_ends() {
        assert_eq!(pcs(&[Bp(0), Value(0x2000)], 0, 0), [0x1000, 0x2000]);
        assert_eq!(
            pcs(&[Bp(2), Value(0x2000), Bp(0), Value(0x3000)], 0, 0).len(),
            3
        );
    }

    #[test]
    fn an_interrupt_outside_of_a_frame_keeps_the_caller() {
        use super::super::symbols::tests::{find, landmark, own};
        assert!(landmark(1) < 2);
        let (entry, size) = find("symbols::tests::landmark");
        let code = own().code_at(entry, size as usize).unwrap();
        let offset_of = |byte: u8| code.iter().position(|&at| at == byte).unwrap_or(0);
        // [0] the callee's word, [1] its caller's bp, [2] return address, [3] the caller's frame
        let mut stack = [0usize, 0, 0x2000, 0, 0x3000];
        let base = stack.as_mut_ptr().expose_provenance();
        stack[1] = base + 24;
        let bounds = Bounds {
            lo: base,
            hi: base + 40,
        };
        let walk = |offset: usize, sp: usize, bp: usize| -> Vec<usize> {
            let (sp, bp) = (base + 8 * sp, base + 8 * bp);
            let start = Start {
                pc: entry as usize + offset,
                sp,
                bp,
                interrupted: true,
            };
            // SAFETY: `stack` holds all of `bounds` and outlives the walk.
            let calls = unsafe { Calls::new(start, bounds, &[]) };
            calls.skip(1).map(|call| call.pc).collect()
        };
        let both = [0x2000, 0x3000];
        assert_eq!(walk(0, 2, 3), both, "before the frame is built");
        if code[0] == super::PUSH_RBP {
            assert_eq!(walk(1, 1, 3), both, "half built");
            assert_eq!(walk(4, 0, 1), both, "built");
        }
        if let last @ 1.. = offset_of(super::RET) {
            assert_eq!(walk(last, 2, 3), both, "torn down");
        }
        // A call of null: the return address is on top, and is believed if it is in code.
        stack[2] = entry as usize + 5;
        core::hint::black_box(&stack);
        let start = Start {
            pc: 0,
            sp: base + 16,
            bp: base + 24,
            interrupted: true,
        };
        // SAFETY: as above.
        let calls = unsafe { Calls::new(start, bounds, &[]) };
        let pcs: Vec<usize> = calls.map(|call| call.pc).collect();
        assert_eq!(pcs, [0, entry as usize + 5, 0x3000]);
    }

    #[test]
    fn an_empty_or_upside_down_stack_is_not_read() {
        for bounds in [
            Bounds { lo: 0, hi: 0 },
            Bounds { lo: 64, hi: 32 },
            Bounds { lo: 0, hi: 4 },
        ] {
            let start = Start {
                pc: 1,
                sp: 0,
                bp: 0,
                interrupted: true,
            };
            // SAFETY: the bounds hold no whole word, so nothing is read.
            assert_eq!(unsafe { Calls::new(start, bounds, &[]) }.count(), 1);
        }
    }
}
