//! Inlined functions and lines of a pc, from the DWARF of the kernel's ELF.
//!
//! Owns [`Units`]: the compilation units that were looked at, parsed. A pc's unit is found
//! through `.debug_aranges`, its function and the calls inlined there by one pass over the
//! unit's entries, the line by running the one sequence of the line program that holds the pc.
//!
//! Invariants: everything returned points into the ELF; a unit is parsed at most once; recursion
//! depth is constant; at most [`MAX_INLINE_DEPTH`] calls inlined in each other are shown.
//!
//! Refuses: an ELF whose units are missing in `.debug_aranges` (rustc always writes it). The
//! symbol table still names the functions then.

use super::name::FunctionName;
use super::path::SourceFile;
use super::symbols::Frame;
use alloc::vec::Vec;
use gimli::{
    AttributeValue, CompleteLineProgram, DebugInfoOffset, EndianSlice, EntriesRaw, Error,
    LineSequence, LittleEndian, Result, SectionId, Unit, UnitOffset,
};

/// A piece of a DWARF section.
pub(super) type Slice = EndianSlice<'static, LittleEndian>;

/// Deeper nests of inlined calls lose their outer middle; the innermost lines stay right.
const MAX_INLINE_DEPTH: usize = 32;

/// How often a name is looked for in the entry that another one refers to. Real chains have one
/// or two links; damaged ones may be circles.
const MAX_ORIGINS: usize = 8;

/// Collects the sections; one that is missing is empty.
pub(super) fn load(mut section: impl FnMut(&str) -> Option<&'static [u8]>) -> gimli::Dwarf<Slice> {
    let load = |id: SectionId| -> core::result::Result<Slice, core::convert::Infallible> {
        Ok(EndianSlice::new(
            section(id.name()).unwrap_or(&[]),
            LittleEndian,
        ))
    };
    let Ok(dwarf) = gimli::Dwarf::load(load);
    dwarf
}

/// The units that were needed so far.
#[derive(Default)]
pub(super) struct Units {
    parsed: Vec<Parsed>,
}

struct Parsed {
    /// Where the unit is in `.debug_info`.
    start: usize,
    end: usize,
    unit: Unit<Slice>,
    lines: Option<Lines>,
}

struct Lines {
    program: CompleteLineProgram<Slice>,
    sequences: Vec<LineSequence<Slice>>,
}

/// The entry of a function, or of a call that was inlined, around the pc.
#[derive(Clone, Copy, Default)]
struct Scope {
    name: Name,
    call_file: u32,
    call_line: u32,
}

/// Where an entry's name is. Small, as there is one for each inlined call on a small stack.
#[derive(Clone, Copy, Default)]
enum Name {
    #[default]
    Missing,
    Here(&'static str),
    /// In the entry at this offset of `.debug_info`.
    At(usize),
}

/// The scopes around a pc, outermost first.
struct Scopes {
    list: [Scope; MAX_INLINE_DEPTH],
    len: usize,
}

impl Scopes {
    fn push(&mut self, scope: Scope) {
        // The last place is overwritten when full: the innermost call decides the first line.
        self.len = (self.len + 1).min(MAX_INLINE_DEPTH);
        self.list[self.len - 1] = scope;
    }
}

impl Units {
    /// Appends the functions at `pc`, which is code of the unit at `offset` of `.debug_info`,
    /// innermost first.
    pub(super) fn frames_at(
        &mut self,
        dwarf: &gimli::Dwarf<Slice>,
        offset: usize,
        pc: u64,
        frames: &mut Vec<Frame>,
    ) -> Result<()> {
        let unit = self.parse(dwarf, offset)?;
        let scopes = scopes_at(dwarf, &self.parsed[unit].unit, pc)?;
        let (mut file, mut line) = self.line_at(dwarf, unit, pc)?;
        for at in (0..scopes.len).rev() {
            let scope = scopes.list[at];
            let name = self.resolve(dwarf, scope.name)?;
            let function = FunctionName(name.unwrap_or("?"));
            frames.push(Frame {
                function,
                file,
                line,
                inlined: at > 0,
                entry: 0,
            });
            file = self.file(dwarf, unit, u64::from(scope.call_file))?;
            line = scope.call_line;
        }
        if scopes.len == 0 && file.is_some() {
            let function = FunctionName("?");
            frames.push(Frame {
                function,
                file,
                line,
                inlined: false,
                entry: 0,
            });
        }
        Ok(())
    }

    /// The index of the unit at `offset`, parsed now if it was not.
    fn parse(&mut self, dwarf: &gimli::Dwarf<Slice>, offset: usize) -> Result<usize> {
        if let Some(known) = self.parsed.iter().position(|unit| unit.start == offset) {
            return Ok(known);
        }
        let header = dwarf
            .debug_info
            .header_from_offset(DebugInfoOffset(offset))?;
        let end = offset + header.length_including_self();
        self.parsed.push(Parsed {
            start: offset,
            end,
            unit: dwarf.unit(header)?,
            lines: None,
        });
        Ok(self.parsed.len() - 1)
    }

    /// The index of the unit that holds the entry at `offset` of `.debug_info`.
    fn parse_around(&mut self, dwarf: &gimli::Dwarf<Slice>, offset: usize) -> Result<usize> {
        let holds = |unit: &Parsed| unit.start <= offset && offset < unit.end;
        if let Some(known) = self.parsed.iter().position(holds) {
            return Ok(known);
        }
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            let start = header
                .debug_info_offset()
                .map_or(usize::MAX, |offset| offset.0);
            if start <= offset && offset < start + header.length_including_self() {
                return self.parse(dwarf, start);
            }
        }
        Err(Error::NoEntryAtGivenOffset(offset as u64))
    }

    /// What `name` says, the linker's name if there is one.
    fn resolve(
        &mut self,
        dwarf: &gimli::Dwarf<Slice>,
        mut name: Name,
    ) -> Result<Option<&'static str>> {
        for _ in 0..MAX_ORIGINS {
            let offset = match name {
                Name::Missing => return Ok(None),
                Name::Here(name) => return Ok(Some(name)),
                Name::At(offset) => offset,
            };
            let unit = self.parse_around(dwarf, offset)?;
            let Parsed { start, unit, .. } = &self.parsed[unit];
            let mut entries = unit.entries_raw(Some(UnitOffset(offset - start)))?;
            let Some(abbrev) = entries.read_abbreviation()? else {
                return Ok(None);
            };
            name = read_entry(dwarf, unit, &mut entries, abbrev)?
                .scope(dwarf, unit)
                .name;
        }
        Ok(None)
    }

    /// File and line of `pc`; no file if the line program says nothing.
    fn line_at(
        &mut self,
        dwarf: &gimli::Dwarf<Slice>,
        unit: usize,
        pc: u64,
    ) -> Result<(Option<SourceFile>, u32)> {
        let parsed = &mut self.parsed[unit];
        if let Some(program) = parsed.unit.line_program.take() {
            let (program, sequences) = program.sequences()?;
            parsed.lines = Some(Lines { program, sequences });
        }
        let Some(lines) = &parsed.lines else {
            return Ok((None, 0));
        };
        let holds = |sequence: &&LineSequence<Slice>| sequence.start <= pc && pc < sequence.end;
        let Some(sequence) = lines.sequences.iter().find(holds) else {
            return Ok((None, 0));
        };
        let mut rows = lines.program.resume_from(sequence);
        let (mut file, mut line) = (0, 0);
        while let Some((_, row)) = rows.next_row()? {
            if row.end_sequence() || row.address() > pc {
                break;
            }
            // Line 0 is code without a source (spills, merged tails): the line before it is
            // nearer to the truth than none.
            if let Some(number) = row.line() {
                file = row.file_index();
                line = u32::try_from(number.get()).unwrap_or(0);
            }
        }
        Ok((self.file(dwarf, unit, file)?, line))
    }

    /// File number `index` of the unit's line program.
    fn file(
        &self,
        dwarf: &gimli::Dwarf<Slice>,
        unit: usize,
        index: u64,
    ) -> Result<Option<SourceFile>> {
        let Parsed {
            unit,
            lines: Some(lines),
            ..
        } = &self.parsed[unit]
        else {
            return Ok(None);
        };
        let header = lines.program.header();
        let Some(entry) = header.file(index) else {
            return Ok(None);
        };
        let comp_dir = unit.comp_dir.and_then(text).unwrap_or("");
        // Directory 0 is the unit's own in every version, by name or by definition.
        let dir = match entry.directory(header) {
            Some(dir) if entry.directory_index() != 0 => {
                text(dwarf.attr_string(unit, dir)?).unwrap_or("")
            }
            _ => "",
        };
        let name = text(dwarf.attr_string(unit, entry.path_name())?).unwrap_or("?");
        Ok(Some(SourceFile {
            comp_dir,
            dir,
            name,
        }))
    }
}

fn text(bytes: Slice) -> Option<&'static str> {
    core::str::from_utf8(bytes.slice()).ok()
}

/// Where in `.debug_info` the unit with code at `pc` begins.
pub(super) fn unit_offset_of(dwarf: &gimli::Dwarf<Slice>, pc: u64) -> Result<Option<usize>> {
    let mut found = None;
    each_range(dwarf, &mut |start, len, unit| {
        if found.is_none() && start <= pc && pc - start < len {
            found = Some(unit);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Calls `each` with the stretches of code of all units, as start, length and the unit's place in
/// `.debug_info`, until it returns false.
pub(super) fn each_range(
    dwarf: &gimli::Dwarf<Slice>,
    each: &mut dyn FnMut(u64, u64, usize) -> bool,
) -> Result<()> {
    let mut headers = dwarf.debug_aranges.headers();
    while let Some(header) = headers.next()? {
        let unit = header.debug_info_offset().0;
        let mut entries = header.entries();
        // An entry in error (an end beyond 2^64: linkers mark dropped code so) is not the last.
        while let Some(entry) = entries.next().transpose() {
            let Ok(entry) = entry else { continue };
            if !each(entry.address(), entry.length(), unit) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The function of `unit` around `pc` and the calls inlined in it there.
fn scopes_at(dwarf: &gimli::Dwarf<Slice>, unit: &Unit<Slice>, pc: u64) -> Result<Scopes> {
    let mut scopes = Scopes {
        list: [Scope::default(); MAX_INLINE_DEPTH],
        len: 0,
    };
    let mut function_depth = isize::MAX;
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() {
        let depth = entries.next_depth();
        if scopes.len > 0 && depth <= function_depth {
            break;
        }
        let Some(abbrev) = entries.read_abbreviation()? else {
            continue;
        };
        let wanted = match abbrev.tag() {
            gimli::DW_TAG_subprogram => scopes.len == 0,
            gimli::DW_TAG_inlined_subroutine => scopes.len > 0,
            _ => false,
        };
        if !wanted {
            entries.skip_attributes(abbrev.attributes())?;
            continue;
        }
        let entry = read_entry(dwarf, unit, &mut entries, abbrev)?;
        if entry.holds(dwarf, unit, pc)? {
            function_depth = function_depth.min(depth);
            scopes.push(entry.scope(dwarf, unit));
        }
    }
    Ok(scopes)
}

/// The attributes of an entry that matter here.
#[derive(Default)]
struct Entry {
    low_pc: Option<u64>,
    high_pc: Option<AttributeValue<Slice>>,
    ranges: Option<AttributeValue<Slice>>,
    name: Option<AttributeValue<Slice>>,
    linkage_name: Option<AttributeValue<Slice>>,
    origin: Option<AttributeValue<Slice>>,
    call_file: u32,
    call_line: u32,
}

fn read_entry(
    dwarf: &gimli::Dwarf<Slice>,
    unit: &Unit<Slice>,
    entries: &mut EntriesRaw<'_, Slice>,
    abbrev: &gimli::Abbreviation,
) -> Result<Entry> {
    let mut entry = Entry::default();
    for &spec in abbrev.attributes() {
        let attribute = entries.read_attribute(spec)?;
        let value = attribute.value();
        match attribute.name() {
            gimli::DW_AT_low_pc => entry.low_pc = dwarf.attr_address(unit, value)?,
            gimli::DW_AT_high_pc => entry.high_pc = Some(value),
            gimli::DW_AT_ranges => entry.ranges = Some(value),
            gimli::DW_AT_name => entry.name = Some(value),
            gimli::DW_AT_linkage_name => entry.linkage_name = Some(value),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                entry.origin = Some(value);
            }
            gimli::DW_AT_call_file => {
                if let AttributeValue::FileIndex(index) = value {
                    entry.call_file = index.try_into().unwrap_or(0);
                }
            }
            gimli::DW_AT_call_line => {
                entry.call_line = attribute.udata_value().unwrap_or(0).try_into().unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(entry)
}

impl Entry {
    fn scope(&self, dwarf: &gimli::Dwarf<Slice>, unit: &Unit<Slice>) -> Scope {
        let written = self.linkage_name.or(self.name);
        let written = written
            .and_then(|value| dwarf.attr_string(unit, value).ok())
            .and_then(text);
        let name = match (written, self.origin) {
            (Some(name), _) => Name::Here(name),
            (None, Some(AttributeValue::DebugInfoRef(offset))) => Name::At(offset.0),
            (None, Some(AttributeValue::UnitRef(offset))) => offset
                .to_debug_info_offset(&unit.header)
                .map_or(Name::Missing, |at| Name::At(at.0)),
            _ => Name::Missing,
        };
        Scope {
            name,
            call_file: self.call_file,
            call_line: self.call_line,
        }
    }

    /// Whether its code holds `pc`.
    fn holds(&self, dwarf: &gimli::Dwarf<Slice>, unit: &Unit<Slice>, pc: u64) -> Result<bool> {
        let ranges = self
            .ranges
            .map_or(Ok(None), |ranges| dwarf.attr_ranges(unit, ranges))?;
        if let Some(mut ranges) = ranges {
            while let Some(range) = ranges.next()? {
                if range.begin <= pc && pc < range.end {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let (Some(low), Some(high)) = (self.low_pc, self.high_pc) else {
            return Ok(false);
        };
        // The end is a length or an address, by its form.
        let end = match high.udata_value() {
            Some(length) => low.wrapping_add(length),
            None => dwarf.attr_address(unit, high)?.unwrap_or(low),
        };
        Ok(low <= pc && pc < end)
    }
}
