//! From a program counter to functions, files and lines, read from the kernel's own ELF.
//!
//! Owns the one reference to the ELF ([`init`]) and the answer for a pc ([`Symbolizer`]): the
//! inlined functions innermost first, then the function that the symbol table names.
//!
//! Invariants:
//! - [`Symbols`] is read only and the same for all CPUs, so there is no lock: a dump made while
//!   other CPUs are frozen anywhere, or a second one begun by a fault inside the first, works.
//! - What a [`Frame`] holds points into the ELF. Only the index of what was parsed is on the
//!   heap, it belongs to one [`Symbolizer`], and it is bounded.
//! - [`Symbolizer::without_lines`] never allocates; it is what is left when memory is gone.
//!
//! Refuses: guessing. No symbol for a pc means no frame, and the caller prints the bare address.
//!
//! Rejected: `addr2line`. Its `Context` parses every unit of the image before the first answer:
//! 3 MiB of heap for an ELF of 2.5 MiB, which an emergency arena never gets back and which is not
//! there at all when the report is about being out of memory; it is not `Sync` either, so it
//! would need the lock that a frozen CPU may hold. `dwarf` reads the same sections with `gimli`
//! one unit at a time: 15 to 50 KiB for each unit looked at, 90 KiB for that of `core`, at the
//! same speed (some milliseconds a unit under TCG), and frame for frame the same answers.

use super::dwarf::{self, Units};
use super::index::Index;
use super::name::FunctionName;
use super::path::SourceFile;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use conquer_once::spin::OnceCell;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable, Sym as _, SymbolTable};
use object::{LittleEndian, ReadRef as _};

/// When a dump has seen this many frames at different pcs its memory of them is dropped, so that
/// it never holds more than about half a MiB.
const MAX_REMEMBERED_FRAMES: usize = 2048;

/// The same for pcs, of which some may have no frame.
const MAX_REMEMBERED_PCS: usize = 2048;

static SYMBOLS: OnceCell<Symbols> = OnceCell::uninit();

/// Makes the kernel's own ELF the source of all names. Only the headers are read now: nothing is
/// allocated, here or later, but by a [`Symbolizer`] at work.
///
/// # Errors
/// What is wrong with the file, in a few words; or that it was called before. Tracebacks then
/// show bare addresses.
pub fn init(elf: &'static [u8]) -> Result<(), &'static str> {
    let symbols = Symbols::parse(elf)?;
    SYMBOLS
        .try_init_once(|| symbols)
        .map_err(|_| "symbols: initialized twice")
}

/// Calls `each` for every function that `pc` lies in, innermost (inlined) first, and returns how
/// many there were. For a return address pass `pc - 1`: the call is before it. For many pcs use
/// one [`Symbolizer`], which remembers what it has parsed.
pub fn symbolize(pc: u64, each: &mut dyn FnMut(&Frame)) -> usize {
    let mut symbolizer = Symbolizer::new();
    let frames = symbolizer.frames(pc);
    frames.iter().for_each(each);
    frames.len()
}

/// One function at a pc.
#[derive(Clone, Copy)]
pub struct Frame {
    /// The name; displays demangled and without hash.
    pub function: FunctionName,
    /// The source file, if there is line information.
    pub file: Option<SourceFile>,
    /// The line, 0 if not known.
    pub line: u32,
    /// The code was inlined into the next frame's function.
    pub inlined: bool,
    /// Where the machine code of the function that holds the pc begins (of the outermost
    /// function, for all frames of one pc); 0 if the symbol table does not know.
    pub entry: u64,
}

/// A function of the symbol table.
#[derive(Clone, Copy)]
pub struct Symbol {
    /// The name as linked (mangled).
    pub name: FunctionName,
    /// Where it begins.
    pub entry: u64,
}

type Elf = FileHeader64<LittleEndian>;

/// The kernel's ELF, its sections found.
pub struct Symbols {
    elf: &'static [u8],
    sections: SectionTable<'static, Elf>,
    table: SymbolTable<'static, Elf>,
    dwarf: gimli::Dwarf<dwarf::Slice>,
    /// Where to look, once [`Symbols::prepare`] has made it.
    index: OnceCell<Index>,
}

impl Symbols {
    /// Finds the sections in `elf`.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(elf: &'static [u8]) -> Result<Self, &'static str> {
        let header = Elf::parse(elf).map_err(|_| "symbols: not an aligned 64-bit ELF")?;
        let sections = header
            .sections(LittleEndian, elf)
            .map_err(|_| "symbols: bad section table")?;
        let table = sections
            .symbols(LittleEndian, elf, elf::SHT_SYMTAB)
            .map_err(|_| "symbols: bad symbol table")?;
        let dwarf = dwarf::load(|name| {
            let (_, section) = sections.section_by_name(LittleEndian, name.as_bytes())?;
            section.data(LittleEndian, elf).ok()
        });
        Ok(Self {
            elf,
            sections,
            table,
            dwarf,
            index: OnceCell::uninit(),
        })
    }

    /// Makes the index that turns scans of the tables into binary searches, once: some hundred KiB
    /// of heap that are kept, and the time of a dozen scans. For dumps of a living system; a dying
    /// one scans, if nobody has made it before. Whoever comes while another one makes it scans too.
    pub fn prepare(&self) {
        if self.index().is_none() {
            let code = |symbol: &&elf::Sym64<LittleEndian>| self.is_code(symbol);
            let functions = self.table.iter().filter(code).map(|symbol| {
                let start = symbol.st_value(LittleEndian);
                (start, symbol.st_size(LittleEndian), symbol)
            });
            let index = Index::new(functions, |each| dwarf::each_range(&self.dwarf, each));
            // Another one may have been quicker.
            let _ = self.index.try_init_once(|| index);
        }
    }

    /// The index, if it is there: nobody is waited for.
    fn index(&self) -> Option<&Index> {
        self.index.try_get().ok()
    }

    /// Where in `.debug_info` the unit with code at `pc` begins.
    fn unit_at(&self, pc: u64) -> gimli::Result<Option<usize>> {
        match self.index() {
            Some(index) => Ok(index.unit_at(pc)),
            None => dwarf::unit_offset_of(&self.dwarf, pc),
        }
    }

    /// The kernel's own symbols, once [`init`] was called.
    pub fn kernel() -> Option<&'static Symbols> {
        SYMBOLS.try_get().ok()
    }

    /// The function whose code holds `pc`. Assembly without a size counts up to the next symbol.
    ///
    /// Without the index of [`Symbols::prepare`] a scan of the whole table: some ten microseconds
    /// for a thousand functions. No memory either way.
    pub fn function_at(&self, pc: u64) -> Option<Symbol> {
        let symbol = match self.index() {
            Some(index) => index.function_at(pc)?,
            None => self.scan_for(pc)?,
        };
        let name = self.table.symbol_name(LittleEndian, symbol).ok()?;
        Some(Symbol {
            name: FunctionName(core::str::from_utf8(name).ok()?),
            entry: symbol.st_value(LittleEndian),
        })
    }

    /// The symbol of the function at `pc`, by all of the table.
    fn scan_for(&self, pc: u64) -> Option<&'static elf::Sym64<LittleEndian>> {
        let mut nearest: Option<&'static elf::Sym64<LittleEndian>> = None;
        for symbol in self.table.iter() {
            let start = symbol.st_value(LittleEndian);
            if start > pc || !self.is_code(symbol) {
                continue;
            }
            let size = symbol.st_size(LittleEndian);
            if size > pc - start {
                nearest = Some(symbol);
                break;
            }
            let closer = nearest.is_none_or(|best| best.st_value(LittleEndian) <= start);
            if size == 0 && closer {
                nearest = Some(symbol);
            }
        }
        nearest
    }

    /// A named place in executable memory. Linker scripts name such places too, but by symbols
    /// that begin with two underscores; they are no functions.
    fn is_code(&self, symbol: &elf::Sym64<LittleEndian>) -> bool {
        match symbol.st_type() {
            elf::STT_FUNC => symbol.st_value(LittleEndian) != 0,
            elf::STT_NOTYPE => {
                let name = self
                    .table
                    .symbol_name(LittleEndian, symbol)
                    .unwrap_or(b"__");
                self.code_at(symbol.st_value(LittleEndian), 1).is_some()
                    && !name.is_empty()
                    && !name.starts_with(b"__")
            }
            _ => false,
        }
    }

    /// `len` bytes of machine code at `pc` as they are in the file; `None` outside of the text.
    pub fn code_at(&self, pc: u64, len: usize) -> Option<&'static [u8]> {
        let (address, section) = self.sections.iter().find_map(|section| {
            let executable = section.sh_flags(LittleEndian).contains(elf::SHF_EXECINSTR);
            let address = section.sh_addr(LittleEndian);
            let holds = pc >= address && pc - address < section.sh_size(LittleEndian);
            (executable && holds).then_some((address, section))
        })?;
        let offset = section.sh_offset(LittleEndian).checked_add(pc - address)?;
        self.elf.read_bytes_at(offset, len as u64).ok()
    }
}

/// Answers for many pcs, with what it has parsed so far. A dump makes one and drops it.
pub struct Symbolizer {
    symbols: Option<&'static Symbols>,
    /// `None`: names from the symbol table only.
    units: Option<Units>,
    /// pc → its stretch of `frames`.
    known: BTreeMap<u64, (usize, usize)>,
    frames: Vec<Frame>,
    /// The answer of [`Symbolizer::without_lines`].
    single: Option<Frame>,
}

impl Default for Symbolizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbolizer {
    /// Names, files and lines from the kernel's ELF; no answers before [`init`].
    pub fn new() -> Self {
        Self {
            units: Some(Units::default()),
            ..Self::without_lines()
        }
    }

    /// Function names only, and never a byte of heap: for a report about memory, and for a fault
    /// inside a report.
    pub fn without_lines() -> Self {
        Self {
            symbols: Symbols::kernel(),
            units: None,
            known: BTreeMap::new(),
            frames: Vec::new(),
            single: None,
        }
    }

    /// As [`new`](Self::new), but from another ELF than the kernel's own.
    pub fn over(symbols: &'static Symbols) -> Self {
        Self {
            symbols: Some(symbols),
            ..Self::new()
        }
    }

    /// The symbols behind the answers.
    pub fn symbols(&self) -> Option<&'static Symbols> {
        self.symbols
    }

    /// The functions at `pc`, innermost first; empty if `pc` is in no known function.
    pub fn frames(&mut self, pc: u64) -> &[Frame] {
        let Some(symbols) = self.symbols else {
            return &[];
        };
        let Some(units) = &mut self.units else {
            self.single = symbols.function_at(pc).map(|symbol| frame_of(&symbol));
            return self.single.as_slice();
        };
        if let Some(&(start, end)) = self.known.get(&pc) {
            return &self.frames[start..end];
        }
        let full = self.frames.len() >= MAX_REMEMBERED_FRAMES;
        if full || self.known.len() >= MAX_REMEMBERED_PCS {
            self.known.clear();
            self.frames.clear();
        }
        let start = self.frames.len();
        let symbol = symbols.function_at(pc);
        // Functions that the linker dropped are still in the DWARF, at addresses near 0: a call of
        // null must not be taken for one of them. A unit that cannot be read costs its lines,
        // never the report.
        let is_code = symbols.code_at(pc, 1).is_some();
        if is_code
            && symbols
                .unit_at(pc)
                .and_then(|unit| match unit {
                    Some(unit) => units.frames_at(&symbols.dwarf, unit, pc, &mut self.frames),
                    None => Ok(()),
                })
                .is_err()
        {
            self.frames.truncate(start);
        }
        settle(&mut self.frames, start, symbol);
        self.known.insert(pc, (start, self.frames.len()));
        &self.frames[start..]
    }
}

fn frame_of(symbol: &Symbol) -> Frame {
    let Symbol { name, entry } = *symbol;
    Frame {
        function: name,
        file: None,
        line: 0,
        inlined: false,
        entry,
    }
}

/// Joins the symbol table's answer with the frames from `start` on. The outermost frame takes the
/// symbol's name: line tables alone give functions no paths.
fn settle(frames: &mut Vec<Frame>, start: usize, symbol: Option<Symbol>) {
    let Some(symbol) = symbol else { return };
    match frames[start..].last_mut() {
        Some(outermost) => outermost.function = symbol.name,
        None => frames.push(frame_of(&symbol)),
    }
    frames[start..]
        .iter_mut()
        .for_each(|frame| frame.entry = symbol.entry);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::string::{String, ToString};

    /// The symbols of this test program, which stands for the kernel.
    pub(in crate::observe) fn own() -> &'static Symbols {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
            init(file.leak()).unwrap();
        });
        Symbols::kernel().unwrap()
    }

    /// The first pc and the size of the function of this program whose path ends with `path`.
    pub(in crate::observe) fn find(path: &str) -> (u64, u64) {
        let symbols = own();
        let is_it = |symbol: &&elf::Sym64<LittleEndian>| {
            let name = symbols
                .table
                .symbol_name(LittleEndian, symbol)
                .unwrap_or(b"");
            let name = FunctionName(core::str::from_utf8(name).unwrap()).to_string();
            symbol.st_type() == elf::STT_FUNC && name.ends_with(path)
        };
        let symbol = symbols.table.iter().find(is_it).unwrap();
        (symbol.st_value(LittleEndian), symbol.st_size(LittleEndian))
    }

    const LANDMARK_LINE: u32 = line!() + 3;
    #[inline(never)]
    pub(in crate::observe) fn landmark(x: u64) -> u64 {
        let here = core::hint::black_box(x);
        buried(here) + core::hint::black_box(here)
    }

    #[inline(always)]
    fn buried(x: u64) -> u64 {
        deepest(core::hint::black_box(x)) / 3
    }

    #[inline(always)]
    fn deepest(x: u64) -> u64 {
        core::hint::black_box(x) * core::hint::black_box(x)
    }

    #[test]
    fn names_files_and_lines() {
        assert!(landmark(1) < 2);
        let (entry, size) = find("symbols::tests::landmark");
        let mut symbolizer = Symbolizer::new();
        let mut lines = std::collections::BTreeSet::new();
        let mut deepest_nest = 0;
        for pc in entry..entry + size {
            let frames = symbolizer.frames(pc);
            let outermost = frames.last().unwrap();
            assert!(!outermost.inlined);
            assert!(frames[..frames.len() - 1].iter().all(|frame| frame.inlined));
            let name = outermost.function.to_string();
            assert!(
                name.ends_with("observe::symbols::tests::landmark"),
                "{name}"
            );
            assert!(frames.iter().all(|frame| frame.entry == entry));
            lines.insert(outermost.line);
            let file = outermost.file.unwrap().to_string();
            assert!(
                file.ends_with("src/observe/symbols.rs") && !file.starts_with('/'),
                "{file}"
            );
            let names: std::vec::Vec<String> = frames
                .iter()
                .map(|frame| frame.function.to_string())
                .collect();
            if let Some(at) = names.iter().position(|name| name.contains("deepest")) {
                assert!(names[at + 1].contains("buried"), "{names:?}");
                deepest_nest = deepest_nest.max(names.len());
            }
        }
        assert!(lines.contains(&LANDMARK_LINE), "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| (LANDMARK_LINE - 2..LANDMARK_LINE + 3).contains(line))
        );
        assert!(deepest_nest >= 3);
    }

    #[test]
    fn without_lines_there_are_names() {
        let (entry, _) = find("symbols::tests::landmark");
        let mut symbolizer = Symbolizer::without_lines();
        let [frame] = symbolizer.frames(entry + 1) else {
            panic!("one frame")
        };
        assert!(frame.function.to_string().ends_with("landmark") && frame.file.is_none());
        assert_eq!(frame.entry, entry);
        assert!(symbolizer.frames(1).is_empty());
    }

    #[test]
    fn the_memory_of_a_symbolizer_is_bounded() {
        let (entry, size) = find("symbols::tests::landmark");
        let mut symbolizer = Symbolizer::new();
        let pcs = (entry..entry + size).chain(0..MAX_REMEMBERED_PCS as u64);
        for pc in pcs.chain(entry..entry + size) {
            symbolizer.frames(pc);
            assert!(symbolizer.frames.len() < MAX_REMEMBERED_FRAMES + 64);
            assert!(symbolizer.known.len() <= MAX_REMEMBERED_PCS);
        }
    }

    #[test]
    fn a_cut_file_is_refused() {
        let symbols = own();
        for keep in [0, 3, 64, 4096, symbols.elf.len() / 2] {
            assert!(Symbols::parse(&symbols.elf[..keep]).is_err());
        }
    }
}
