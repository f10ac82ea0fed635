//! One CPU: what it offers, how it is set up, how it waits.
//!
//! Invariant: after [`init`] every CPU runs with the same control registers, MXCSR and x87
//! control word, so that a goroutine finds the same machine wherever it continues. Refused:
//! `mwait` for idling (an emulator spins on it), AVX (nothing here is compiled for it, so
//! CR4.OSXSAVE stays off and no switch has to save more than FXSAVE covers).

use core::arch::{asm, naked_asm};
use core::fmt;

use raw_cpuid::{CpuId, CpuIdReaderNative};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::mxcsr::{self, MxCsr};

/// What CPUID says, as far as this kernel chooses by it.
#[derive(Clone, Copy)]
pub(super) struct Features {
    /// Local APIC reachable by MSR, 32-bit ids.
    pub(super) x2apic: bool,
    /// The local APIC's timer can take an absolute TSC value.
    pub(super) tsc_deadline: bool,
    /// The TSC runs at one rate in all power states.
    pub(super) invariant_tsc: bool,
    /// Supervisor-mode execution prevention.
    pub(super) smep: bool,
    /// Supervisor-mode access prevention.
    pub(super) smap: bool,
}

impl Features {
    pub(super) fn read() -> Self {
        let id = cpuid();
        let basic = id.get_feature_info();
        let extended = id.get_extended_feature_info();
        let power = id.get_advanced_power_mgmt_info();
        Self {
            x2apic: basic.as_ref().is_some_and(|f| f.has_x2apic()),
            tsc_deadline: basic.as_ref().is_some_and(|f| f.has_tsc_deadline()),
            invariant_tsc: power.is_some_and(|p| p.has_invariant_tsc()),
            smep: extended.as_ref().is_some_and(|f| f.has_smep()),
            smap: extended.is_some_and(|f| f.has_smap()),
        }
    }
}

/// CPUID through the instruction itself.
pub(super) fn cpuid() -> CpuId<CpuIdReaderNative> {
    CpuId::new()
}

/// The APIC id that CPUID gives this CPU at reset: right before the local APIC is touched.
pub(super) fn initial_apic_id() -> u32 {
    let id = cpuid();
    // Leaf 0xB is there on every CPU that can have an id above 255; EBX = 0 says it is empty.
    let wide = id
        .get_extended_topology_info()
        .and_then(|mut levels| levels.next())
        .filter(|level| level.processors() != 0)
        .map(|level| level.x2apic_id());
    let narrow = || {
        id.get_feature_info()
            .map_or(0, |f| f.initial_local_apic_id())
    };
    wide.unwrap_or_else(|| u32::from(narrow()))
}

/// Brings this CPU's control registers and floating point into the state that all share.
pub(super) fn init() {
    let features = Features::read();
    // SAFETY: paging and long mode stay on; the bits are those that 64-bit code with SSE needs
    // (Intel SDM vol. 3, 2.5 and 14.1.3): CR0.WP keeps read-only pages read-only for ring 0,
    // NXE, SMEP and SMAP only take rights away: no page is for ring 3, and one that became so by
    // mistake cannot be used. GS base is not touched.
    unsafe {
        Efer::update(|f| f.insert(EferFlags::NO_EXECUTE_ENABLE));
        Cr0::update(|f| {
            f.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
            f.remove(Cr0Flags::ALIGNMENT_MASK);
            f.insert(Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR);
            f.insert(Cr0Flags::WRITE_PROTECT);
        });
        Cr4::update(|f| {
            f.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE);
            f.set(
                Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
                features.smep,
            );
            f.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.smap);
        });
        // FNINIT leaves the control word 0x37f: all exceptions masked, 64-bit precision.
        asm!("fninit", options(nomem, nostack));
    }
    mxcsr::write(MxCsr::default());
}

/// Raw cycle counter: a few instructions, not ordered against its neighbours. For slices and
/// seeds; compare only with values of the same boot.
#[inline(always)]
pub fn cputicks() -> u64 {
    // SAFETY: RDTSC reads one register pair; CR4.TSD only concerns ring 3.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The cycle counter, read neither before older loads nor after younger instructions (Intel SDM
/// vol. 2, RDTSC).
#[inline(always)]
pub(super) fn ordered_ticks() -> u64 {
    // SAFETY: a fence, RDTSC as above, a fence.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        let ticks = core::arch::x86_64::_rdtsc();
        core::arch::x86_64::_mm_lfence();
        ticks
    }
}

/// The polite body of every wait loop: lets the sibling thread, or the emulator's next virtual
/// CPU, run.
#[inline(always)]
pub fn pause() {
    core::hint::spin_loop();
}

/// Forgets all translations of this CPU: a write of CR3 (Intel SDM vol. 3A, 4.10.4.1). The kernel
/// uses no global pages.
pub fn flush_tlb() {
    x86_64::instructions::tlb::flush_all();
}

/// Waits for an interrupt. Interrupts are off at the call, on while waiting, off at the return;
/// at least one interrupt was handled then.
///
/// `sti` holds interrupts back for one more instruction (Intel SDM vol. 2, STI), so none can
/// slip in between it and `hlt` and be slept over. An NMI can, and its `iretq` holds nothing back:
/// see [`leave_halt`].
#[inline(always)]
pub fn halt() {
    // SAFETY: ring 0; the interrupt's frame goes to its own stack (IST).
    unsafe { asm!("call {}", sym sti_hlt, clobber_abi("C")) }
}

/// The halt itself: one copy, so that the place of its `hlt` is known.
#[unsafe(naked)]
unsafe extern "C" fn sti_hlt() {
    naked_asm!("sti", ".global arch_hlt", "arch_hlt:", "hlt", "cli", "ret",)
}

/// In the NMI handler: an NMI that came between `sti` and `hlt` is the interrupt that ends the
/// halt. If it went back to `hlt`, an interrupt that came meanwhile would be taken before it, and
/// slept over.
pub(super) fn leave_halt(rip: &mut u64) {
    unsafe extern "C" {
        /// The `hlt` of [`sti_hlt`]; only its address is used.
        static arch_hlt: u8;
    }
    let hlt = &raw const arch_hlt as u64;
    if *rip == hlt {
        // One byte, f4.
        *rip += 1;
    }
}

/// Stops this CPU for good. An NMI still wakes it, so the loop.
pub(super) fn halt_forever() -> ! {
    loop {
        // SAFETY: ring 0; nothing after this point runs on this CPU.
        unsafe { asm!("cli", "hlt", options(nostack)) }
    }
}

/// Vendor and brand of this CPU, for the boot banner.
pub struct CpuName;

impl fmt::Display for CpuName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = cpuid();
        match id.get_processor_brand_string() {
            Some(brand) => write!(f, "{}", brand.as_str().trim())?,
            None => f.write_str("unnamed CPU")?,
        }
        match id.get_vendor_info() {
            Some(vendor) => write!(f, " ({})", vendor.as_str()),
            None => Ok(()),
        }
    }
}
