//! Where in the tables of an ELF to look for a pc: two sorted lists.
//!
//! The symbol table and `.debug_aranges` come in the linker's order, so without these each new pc
//! costs a walk over all of both: some thousand symbols, whose names must be read where assembly
//! has no type, and some hundred headers.

use alloc::vec::Vec;
use object::LittleEndian;
use object::elf::Sym64;

type Symbol = &'static Sym64<LittleEndian>;

/// The two lists; built once, never changed.
pub(super) struct Index {
    /// Start, size, symbol: by start; of several at one start the first of the table is last.
    functions: Vec<(u64, u64, Symbol)>,
    /// Start, length, the unit's place in `.debug_info`: by start.
    units: Vec<(u64, u64, usize)>,
}

impl Index {
    /// Sorts what it is given: functions as start, size and symbol; stretches of code as start,
    /// length and unit.
    pub(super) fn new<E>(
        functions: impl Iterator<Item = (u64, u64, Symbol)>,
        ranges: impl FnOnce(&mut dyn FnMut(u64, u64, usize) -> bool) -> Result<(), E>,
    ) -> Self {
        let mut functions: Vec<_> = functions.collect();
        functions.reverse();
        functions.sort_by_key(|&(start, ..)| start);
        let mut units = Vec::new();
        // What can be read before an error still counts.
        let _ = ranges(&mut |start, len, unit| {
            if len > 0 {
                units.push((start, len, unit));
            }
            true
        });
        units.sort_by_key(|&(start, ..)| start);
        Self { functions, units }
    }

    /// The function around `pc`: one whose size says so, else the nearest before it that has no
    /// size. Functions with a size do not overlap, so the nearest of them is the only one to ask.
    pub(super) fn function_at(&self, pc: u64) -> Option<Symbol> {
        let after = self.functions.partition_point(|&(start, ..)| start <= pc);
        let before = &self.functions[..after];
        let sized = before.iter().rev().find(|&&(_, size, _)| size > 0);
        match sized {
            Some(&(start, size, symbol)) if pc - start < size => Some(symbol),
            _ => {
                let unsized_one = before.iter().rev().find(|&&(_, size, _)| size == 0)?;
                Some(unsized_one.2)
            }
        }
    }

    /// The unit with code at `pc`.
    pub(super) fn unit_at(&self, pc: u64) -> Option<usize> {
        let after = self.units.partition_point(|&(start, ..)| start <= pc);
        let &(start, len, unit) = self.units[..after].last()?;
        (pc - start < len).then_some(unit)
    }
}
