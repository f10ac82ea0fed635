//! What the page tables in use allow, page by page, and that every CPU enforces it.
//!
//! The tables are walked from CR3, all levels and both halves, so this is what the processors see,
//! whoever has written it: the boot stage, the kernel, or a stray pointer.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::vec::Vec;
use core::arch::asm;

use gosched::mem::space::{self, Page};
use gosched::mem::{self, FRAME_SIZE, Region};
use gosched::runtime;
use raw_cpuid::CpuId;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr4, Cr4Flags, Efer, EferFlags};

unsafe extern "C" {
    // The linker script's; only their addresses are used.
    static __text_start: u8;
    static __text_end: u8;
    static __data_start: u8;
    static __image_end: u8;
}

/// Where `linker.ld` begins the image.
const IMAGE: usize = 0xffff_ffff_8020_0000;

/// All pages. The room is made first: the walk is of tables that nobody writes meanwhile, but for
/// what other CPUs do.
fn all_pages() -> Vec<Page> {
    let mut pages = Vec::with_capacity(space::pages().count() + 1000);
    pages.extend(space::pages());
    pages
}

fn frames(page: &Page) -> core::ops::Range<u64> {
    page.physical..page.physical + (page.last - page.start) as u64 + 1
}

fn is_window(page: &Page) -> bool {
    mem::region_of(page.start) == Region::PhysicalMemory
}

/// Catches: a page that the boot stage or `Rights` lets be written and run, a window of physical
/// memory without NX, a mapping for ring 3, a global page that a CR3 load would leave in the TLBs.
#[gosched::test]
fn no_page_is_writable_and_executable_or_for_users_or_global() {
    let pages = all_pages();
    assert!(pages.len() > 500, "only {} pages", pages.len());
    for page in pages {
        assert!(!(page.writable && page.executable), "{page:x?}");
        assert!(!page.user, "{page:x?}");
        assert!(!page.global, "{page:x?}");
    }
}

/// Catches: an identity mapping that the boot stage or the start of another CPU has left behind, so
/// that a null pointer, or a small number, reads something or runs the boot stage's code.
#[gosched::test]
fn nothing_is_mapped_below_the_upper_half() {
    let low = all_pages()
        .into_iter()
        .find(|page| mem::region_of(page.start) == Region::Low);
    assert_eq!(low, None);
    assert_eq!(space::translate(0), None);
}

/// Catches: a segment with more rights than its own, or code outside the image's text.
#[gosched::test]
fn each_part_of_the_image_has_its_rights_and_no_others() {
    let at = |symbol: *const u8| symbol as usize;
    let text = at(&raw const __text_start)..at(&raw const __text_end);
    let data = at(&raw const __data_start)..at(&raw const __image_end);
    let mut executable = 0;
    for page in all_pages() {
        if page.executable {
            executable += page.last - page.start + 1;
            assert!(
                page.start >= text.start & !(FRAME_SIZE - 1) && page.start < text.end,
                "code outside the text: {page:x?}"
            );
        }
        if page.start < IMAGE {
            continue;
        }
        assert!(page.start < data.end, "beyond the image: {page:x?}");
        if page.start < text.start {
            assert!(!page.writable && !page.executable, "constants: {page:x?}");
        } else if page.start >= data.start {
            assert!(page.writable && !page.executable, "data: {page:x?}");
        }
    }
    let text_bytes = text.end.next_multiple_of(FRAME_SIZE) - (text.start & !(FRAME_SIZE - 1));
    assert_eq!(executable, text_bytes);
}

/// Physical memory is mapped once in the window, and all that is mapped elsewhere once more there:
/// never for execution. That the frames of code and constants can be written through the window is
/// the one alias that `mem::space` names; a second one would show here. Catches: a frame that two
/// owners have mapped (a stack page that is also the heap's), and code that could be written
/// through an address outside the window.
#[gosched::test]
fn the_window_is_the_only_alias_of_any_frame() {
    let pages = all_pages();
    let (window, mut others): (Vec<Page>, Vec<Page>) = pages.into_iter().partition(is_window);
    for page in &window {
        assert!(!page.executable && page.writable, "{page:x?}");
        assert_eq!(
            page.physical,
            (page.start - mem::PHYSICAL_MEMORY) as u64,
            "{page:x?}"
        );
    }
    others.sort_unstable_by_key(|page| page.physical);
    for pair in others.windows(2) {
        assert!(
            frames(&pair[0]).end <= pair[1].physical,
            "one frame twice: {:x?} and {:x?}",
            pair[0],
            pair[1]
        );
    }
    for page in others {
        let alias = window
            .iter()
            .find(|alias| frames(alias).contains(&page.physical));
        assert!(alias.is_some(), "not in the window: {page:x?}");
    }
}

/// The descriptor of the tables in a register (Intel SDM volume 2, SGDT).
#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// The tops of the interrupt stacks that this CPU's task state segment names.
fn interrupt_stacks() -> [usize; 7] {
    let mut gdt = TablePointer { limit: 0, base: 0 };
    let selector: u16;
    // SAFETY: both store what the CPU has loaded, and nothing else.
    unsafe {
        asm!("sgdt [{}]", in(reg) &raw mut gdt, options(nostack, preserves_flags));
        asm!("str {:x}", out(reg) selector, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: the CPU's own table, which stays; a TSS's descriptor has two words, and its base lies
    // in bits 16 to 39 and 56 to 63 of the first and in the low half of the second.
    let (low, high) = unsafe {
        let at = (gdt.base as usize + usize::from(selector)) as *const u64;
        (at.read_unaligned(), at.add(1).read_unaligned())
    };
    let base = (low >> 16 & 0xff_ffff | low >> 56 << 24 | high << 32) as usize;
    // SAFETY: as above; the table of interrupt stacks is at byte 36 (Intel SDM volume 3, 8.7).
    unsafe { ((base + 36) as *const [usize; 7]).read_unaligned() }
}

/// What is mapped in one piece below `top`.
fn mapped_below(top: usize) -> usize {
    let pages = (1..).take_while(|n| space::translate(top - n * FRAME_SIZE).is_some());
    pages.count() * FRAME_SIZE
}

/// As the hardware sees it: the stacks that each CPU's own TSS names, and the g0 that its M has.
/// Catches: stacks that touch, so that an overflow of one overwrites another in silence; a CPU that
/// still has the small stacks of early boot; two vectors that can interrupt one another on one
/// stack.
#[gosched::test]
fn a_guard_lies_below_every_stack_that_a_cpu_uses() {
    let mut tops = Vec::new();
    for cpu in 0..runtime::num_cpu() {
        let _pinned = runtime::pin(cpu);
        let stacks = interrupt_stacks();
        assert_eq!(stacks[6], 0, "nobody set a seventh stack");
        let g0 = gosched::sched::m::getm().g0.head.stack.get();
        assert_eq!(mapped_below(g0.hi), g0.hi - g0.lo, "g0 of CPU {cpu}");
        for &top in stacks[..6].iter().chain([&g0.hi]) {
            assert_eq!(mem::region_of(top), Region::SystemStacks, "CPU {cpu}");
            assert_eq!(space::translate(top), None, "{top:#x} of CPU {cpu}");
            let size = mapped_below(top);
            assert!(
                (16 << 10..=48 << 10).contains(&size),
                "{size} bytes below {top:#x} of CPU {cpu}"
            );
            tops.push(top);
        }
    }
    let count = tops.len();
    tops.sort_unstable();
    tops.dedup();
    assert_eq!(tops.len(), count, "two stacks are one");
}

/// The stack that boot ran on has a page below it that is not there, too.
#[gosched::test]
fn what_boot_left_is_not_next_to_anything() {
    let boot = space::mappings().filter(|m| mem::region_of(m.start) == Region::Boot);
    let mut count = 0;
    for mapping in boot {
        count += 1;
        assert!(!mapping.executable, "{mapping:x?}");
        assert_eq!(space::translate(mapping.start - 1), None, "{mapping:x?}");
    }
    assert!(count > 0);
}

/// Page rights are worth what the control registers make of them. Catches: a CPU that was started
/// with other registers than the boot CPU's (Intel SDM volume 3, 2.5 and 4.6).
#[gosched::test]
fn every_cpu_enforces_the_rights() {
    let extended = CpuId::new().get_extended_feature_info();
    let offers = |f: fn(&raw_cpuid::ExtendedFeatures) -> bool| extended.as_ref().is_some_and(f);
    for cpu in 0..runtime::num_cpu() {
        let _pinned = runtime::pin(cpu);
        assert_eq!(runtime::cpu(), cpu);
        let (root, _) = Cr3::read();
        assert_eq!(root.start_address().as_u64(), space::root(), "CPU {cpu}");
        let cr0 = Cr0::read();
        assert!(cr0.contains(Cr0Flags::WRITE_PROTECT), "CPU {cpu}: {cr0:?}");
        let efer = Efer::read();
        assert!(
            efer.contains(EferFlags::NO_EXECUTE_ENABLE),
            "CPU {cpu}: {efer:?}"
        );
        let cr4 = Cr4::read();
        assert_eq!(
            cr4.contains(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
            offers(raw_cpuid::ExtendedFeatures::has_smep),
            "CPU {cpu}: {cr4:?}"
        );
        assert_eq!(
            cr4.contains(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
            offers(raw_cpuid::ExtendedFeatures::has_smap),
            "CPU {cpu}: {cr4:?}"
        );
        assert!(!cr4.contains(Cr4Flags::L5_PAGING), "CPU {cpu}: {cr4:?}");
    }
}

gosched::test_main!();
