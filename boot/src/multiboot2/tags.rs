//! Walks the tags of a Multiboot2 information structure (Multiboot2 specification 2.0, section
//! 3.6): bytes in, places in them out.
//!
//! Nothing that a length says is believed before it is compared with what is there, and a tag that
//! may come only once is refused the second time. Tags of other types are skipped, as the
//! specification wants. Pure, so that `boot/tests.sh` runs this file on the host.

use core::ops::Range;

/// Of the whole structure: total size, reserved.
const HEADER_LEN: usize = 8;
/// Of each tag: type, size (this header included, the padding behind it not).
const TAG_HEADER_LEN: usize = 8;
/// Each tag starts on such a border.
const TAG_ALIGN: usize = 8;

const END: u32 = 0;
const COMMAND_LINE: u32 = 1;
const LOADER_NAME: u32 = 2;
const MODULE: u32 = 3;
const MEMORY_MAP: u32 = 6;
const ACPI_OLD: u32 = 14;
const ACPI_NEW: u32 = 15;

/// Entry size and version, before the entries.
const MAP_HEADER_LEN: usize = 8;
/// Base, length, type, reserved; later versions may append.
const MAP_ENTRY_LEN: usize = 24;
/// Start and end, before the module's own command line.
const MODULE_LEN: usize = 8;
/// Of the ACPI 1.0 root pointer, which the first checksum covers, and of the later one (ACPI 6.5,
/// table 5.3).
const RSDP_OLD_LEN: usize = 20;
const RSDP_NEW_LEN: usize = 36;

/// Why an information structure is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagFault {
    /// A tag's size, or that of the whole, does not fit what it is in.
    Size {
        tag: u32,
        offset: usize,
    },
    /// The last tag is not the one that says so.
    NoEnd,
    /// A second one of what there is one of.
    Twice {
        tag: u32,
    },
    /// A text without its NUL.
    Unterminated {
        tag: u32,
    },
    NoMemoryMap,
    /// The copy of ACPI's root pointer has a wrong signature or checksum.
    BadRsdp,
}

/// Start and end of a module, physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One entry of the memory map; `kind` as in E820.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapEntry {
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) kind: u32,
}

/// What was found, ranges in the bytes of the structure.
#[derive(Debug)]
pub(crate) struct Information {
    /// Without its NUL.
    pub(crate) command_line: Option<Range<usize>>,
    /// Without its NUL.
    pub(crate) loader_name: Option<Range<usize>>,
    /// The first one.
    pub(crate) module: Option<Module>,
    pub(crate) module_count: u32,
    /// A sound root pointer: the newer, if there are two.
    pub(crate) rsdp: Option<Range<usize>>,
    map: Range<usize>,
    map_entry_len: usize,
}

impl Information {
    /// Reads all of `bytes`, a structure as long as its first word says.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, TagFault> {
        let (mut command_line, mut loader_name, mut map) = (None, None, None);
        let (mut rsdp_old, mut rsdp_new) = (None, None);
        let (mut module, mut module_count) = (None, 0);
        let mut offset = HEADER_LEN;
        loop {
            let (Some(tag), Some(size)) = (word(bytes, offset), word(bytes, offset + 4)) else {
                return Err(TagFault::NoEnd);
            };
            let size_fault = TagFault::Size { tag, offset };
            let end = offset.checked_add(size as usize).ok_or(size_fault)?;
            if (size as usize) < TAG_HEADER_LEN || end > bytes.len() {
                return Err(size_fault);
            }
            let body = offset + TAG_HEADER_LEN..end;
            match tag {
                END => break,
                COMMAND_LINE => once(&mut command_line, tag, text(bytes, tag, body)?)?,
                LOADER_NAME => once(&mut loader_name, tag, text(bytes, tag, body)?)?,
                MEMORY_MAP => {
                    once(&mut map, tag, map_entries(bytes, body).ok_or(size_fault)?)?;
                }
                MODULE => {
                    let found = parse_module(bytes, body).ok_or(size_fault)?;
                    module = module.or(Some(found));
                    module_count += 1;
                }
                ACPI_OLD => once(&mut rsdp_old, tag, old_rsdp(bytes, body)?)?,
                ACPI_NEW => once(&mut rsdp_new, tag, new_rsdp(bytes, body)?)?,
                _ => {}
            }
            // Below the length of a slice, so no overflow.
            offset = end.next_multiple_of(TAG_ALIGN);
        }
        let (map, map_entry_len) = map.ok_or(TagFault::NoMemoryMap)?;
        Ok(Self {
            command_line,
            loader_name,
            module,
            module_count,
            rsdp: rsdp_new.or(rsdp_old),
            map,
            map_entry_len,
        })
    }

    /// The memory map, in the order of `bytes`: those that were parsed.
    pub(crate) fn memory_map<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = MapEntry> + 'a {
        let entries = bytes.get(self.map.clone()).unwrap_or(&[]);
        entries
            .chunks_exact(self.map_entry_len)
            .filter_map(|entry| {
                Some(MapEntry {
                    start: long(entry, 0)?,
                    size: long(entry, 8)?,
                    kind: word(entry, 16)?,
                })
            })
    }
}

fn once<T>(slot: &mut Option<T>, tag: u32, value: T) -> Result<(), TagFault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(TagFault::Twice { tag }),
    }
}

/// The bytes before the NUL.
fn text(bytes: &[u8], tag: u32, body: Range<usize>) -> Result<Range<usize>, TagFault> {
    let len = bytes[body.clone()].iter().position(|&byte| byte == 0);
    let len = len.ok_or(TagFault::Unterminated { tag })?;
    Ok(body.start..body.start + len)
}

/// Where the entries are, and how long each is; some bytes may be left over behind the last.
fn map_entries(bytes: &[u8], body: Range<usize>) -> Option<(Range<usize>, usize)> {
    let entry_len = word(&bytes[body.clone()], 0)? as usize;
    let start = body.start + MAP_HEADER_LEN;
    (entry_len >= MAP_ENTRY_LEN && start <= body.end).then_some((start..body.end, entry_len))
}

fn parse_module(bytes: &[u8], body: Range<usize>) -> Option<Module> {
    let body = &bytes[body];
    (body.len() >= MODULE_LEN).then_some(Module {
        start: word(body, 0)?,
        end: word(body, 4)?,
    })
}

fn old_rsdp(bytes: &[u8], body: Range<usize>) -> Result<Range<usize>, TagFault> {
    let is_sound = bytes[body.clone()].starts_with(b"RSD PTR ")
        && sums_to_zero(bytes[body.clone()].get(..RSDP_OLD_LEN));
    is_sound.then_some(body).ok_or(TagFault::BadRsdp)
}

/// With the second checksum too, which covers as much as the structure says it is long.
fn new_rsdp(bytes: &[u8], body: Range<usize>) -> Result<Range<usize>, TagFault> {
    let body = old_rsdp(bytes, body)?;
    let rsdp = &bytes[body.clone()];
    let len = word(rsdp, RSDP_OLD_LEN).unwrap_or(0) as usize;
    let is_sound = len >= RSDP_NEW_LEN && sums_to_zero(rsdp.get(..len));
    is_sound.then_some(body).ok_or(TagFault::BadRsdp)
}

fn sums_to_zero(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) == 0)
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four))
}

fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    let eight = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

/// What a loader may leave, and what none should: each fault by its name, and no damage that is
/// more than a refusal.
#[cfg(test)]
mod tests {
    use super::*;

    struct Builder(Vec<u8>);

    impl Builder {
        fn new() -> Self {
            Self(vec![0; HEADER_LEN])
        }

        fn tag(mut self, tag: u32, body: &[u8]) -> Self {
            let size = (TAG_HEADER_LEN + body.len()) as u32;
            self.0.extend(tag.to_le_bytes());
            self.0.extend(size.to_le_bytes());
            self.0.extend(body);
            self.0.resize(self.0.len().next_multiple_of(TAG_ALIGN), 0);
            self
        }

        fn map(self, entry_len: u32, entries: &[(u64, u64, u32)]) -> Self {
            let mut body = [entry_len.to_le_bytes(), 0u32.to_le_bytes()].concat();
            for &(start, size, kind) in entries {
                let at = body.len();
                body.extend(start.to_le_bytes());
                body.extend(size.to_le_bytes());
                body.extend(kind.to_le_bytes());
                body.resize(at + entry_len as usize, 0xee);
            }
            self.tag(MEMORY_MAP, &body)
        }

        fn module(self, start: u32, end: u32) -> Self {
            let body = [&start.to_le_bytes()[..], &end.to_le_bytes(), b"kernel\0"].concat();
            self.tag(MODULE, &body)
        }

        fn end(self) -> Vec<u8> {
            self.tag(END, &[]).0
        }
    }

    /// With both checksums right.
    fn rsdp(len: usize) -> Vec<u8> {
        let mut bytes = vec![7; len];
        bytes[..8].copy_from_slice(b"RSD PTR ");
        let balance = |bytes: &mut [u8], at: usize| {
            bytes[at] = 0;
            bytes[at] = bytes.iter().fold(0u8, |sum, &b| sum.wrapping_sub(b));
        };
        balance(&mut bytes[..RSDP_OLD_LEN], 8);
        if len >= RSDP_NEW_LEN {
            bytes[20..24].copy_from_slice(&(len as u32).to_le_bytes());
            balance(&mut bytes, 32);
        }
        bytes
    }

    fn whole() -> Vec<u8> {
        Builder::new()
            .tag(COMMAND_LINE, b"run=exit\0")
            .tag(LOADER_NAME, b"GRUB 2.06\0")
            .tag(4, &[1; 8])
            .module(0x20_0000, 0x30_0000)
            .map(24, &[(0, 0x9_fc00, 1), (0x10_0000, 0x700_0000, 1)])
            .tag(ACPI_OLD, &rsdp(RSDP_OLD_LEN))
            .tag(ACPI_NEW, &rsdp(RSDP_NEW_LEN))
            .end()
    }

    fn fault(bytes: &[u8]) -> TagFault {
        Information::parse(bytes).expect_err("it should be refused")
    }

    #[test]
    fn finds_all_that_there_is() {
        let bytes = whole();
        let found = Information::parse(&bytes).expect("it is whole");
        assert_eq!(
            &bytes[found.command_line.clone().expect("given")],
            b"run=exit"
        );
        assert_eq!(
            &bytes[found.loader_name.clone().expect("given")],
            b"GRUB 2.06"
        );
        let module = Module {
            start: 0x20_0000,
            end: 0x30_0000,
        };
        assert_eq!((found.module, found.module_count), (Some(module), 1));
        // The newer of the two: the older one has no table of 64-bit addresses.
        assert_eq!(
            &bytes[found.rsdp.clone().expect("given")],
            rsdp(RSDP_NEW_LEN)
        );
        let map: Vec<_> = found
            .memory_map(&bytes)
            .map(|e| (e.start, e.size, e.kind))
            .collect();
        assert_eq!(map, [(0, 0x9_fc00, 1), (0x10_0000, 0x700_0000, 1)]);
    }

    #[test]
    fn takes_longer_map_entries_and_what_is_left_out() {
        let bytes = Builder::new().map(40, &[(1, 2, 3), (4, 5, 6)]).end();
        let found = Information::parse(&bytes).expect("only the map is a must");
        let map: Vec<_> = found
            .memory_map(&bytes)
            .map(|e| (e.start, e.size, e.kind))
            .collect();
        assert_eq!(map, [(1, 2, 3), (4, 5, 6)]);
        assert!(found.command_line.is_none() && found.rsdp.is_none() && found.module.is_none());
    }

    #[test]
    fn counts_modules_and_keeps_the_first() {
        let bytes = Builder::new().module(1, 2).module(3, 4).map(24, &[]).end();
        let found = Information::parse(&bytes).expect("how many is the caller's matter");
        assert_eq!(
            (found.module, found.module_count),
            (Some(Module { start: 1, end: 2 }), 2)
        );
    }

    #[test]
    fn refuses_what_is_wrong_by_its_name() {
        let map = || Builder::new().map(24, &[]);
        let cut = map().0;
        assert_eq!(fault(&cut), TagFault::NoEnd);
        assert_eq!(fault(&[]), TagFault::NoEnd);
        assert_eq!(fault(&Builder::new().end()), TagFault::NoMemoryMap);
        assert_eq!(
            fault(&map().map(24, &[]).end()),
            TagFault::Twice { tag: MEMORY_MAP }
        );
        let unterminated = Builder::new().tag(COMMAND_LINE, b"run=exit").end();
        assert_eq!(
            fault(&unterminated),
            TagFault::Unterminated { tag: COMMAND_LINE }
        );
        let size = |tag| TagFault::Size {
            tag,
            offset: HEADER_LEN,
        };
        assert_eq!(
            fault(&Builder::new().map(16, &[(0, 0, 0)]).end()),
            size(MEMORY_MAP)
        );
        assert_eq!(fault(&Builder::new().map(0, &[]).end()), size(MEMORY_MAP));
        assert_eq!(
            fault(&Builder::new().tag(MEMORY_MAP, &[24, 0, 0, 0]).end()),
            size(MEMORY_MAP)
        );
        assert_eq!(
            fault(&Builder::new().tag(MODULE, &[0; 7]).end()),
            size(MODULE)
        );
        for bad_size in [0, 7, 0xffff_fff8, u32::MAX] {
            let mut bytes = map().end();
            bytes[12..16].copy_from_slice(&u32::to_le_bytes(bad_size));
            assert_eq!(fault(&bytes), size(MEMORY_MAP));
        }
    }

    #[test]
    fn refuses_any_flip_in_a_root_pointer() {
        for (tag, len) in [
            (ACPI_OLD, RSDP_OLD_LEN),
            (ACPI_NEW, RSDP_NEW_LEN),
            (ACPI_NEW, 40),
        ] {
            for bit in 0..8 * len {
                let mut bad = rsdp(len);
                bad[bit / 8] ^= 1 << (bit % 8);
                let bytes = Builder::new().map(24, &[]).tag(tag, &bad).end();
                assert_eq!(fault(&bytes), TagFault::BadRsdp, "tag {tag}, bit {bit}");
            }
            let short = Builder::new().tag(tag, &rsdp(len)[..len - 1]).end();
            assert_eq!(fault(&short), TagFault::BadRsdp);
        }
    }

    /// Neither a panic nor a range outside of the bytes, whatever they are. `Information` indexes
    /// by what it has read: an unchecked length would panic here.
    #[test]
    fn survives_any_damage() {
        let good = whole();
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % below
        };
        let (mut sound, mut refused) = (0, 0);
        for _ in 0..200_000 {
            let mut bytes = good.clone();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                bytes[at] = [0, 1, 8, 0x7f, 0xff, next(256) as u8][next(6)];
            }
            bytes.truncate(bytes.len() - next(3) * next(good.len()) / 2);
            match Information::parse(&bytes) {
                Ok(found) => {
                    sound += 1;
                    for range in [&found.command_line, &found.loader_name, &found.rsdp] {
                        assert!(range.clone().is_none_or(|range| bytes.get(range).is_some()));
                    }
                    assert!(found.memory_map(&bytes).count() <= bytes.len() / MAP_ENTRY_LEN);
                }
                Err(_) => refused += 1,
            }
        }
        assert!(
            sound > 1000 && refused > 1000,
            "{sound} sound, {refused} refused"
        );
    }
}
