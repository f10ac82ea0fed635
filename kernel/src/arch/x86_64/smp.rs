//! The CPUs: who is there, who runs, and starting the others.
//!
//! Indices are `0..num_cpu()`, 0 the boot CPU, the others in the MADT's order; an index is not an
//! APIC id, which may have holes. CPUs are started one at a time by INIT-SIPI-SIPI (Intel SDM
//! vol. 3, 9.4.4). The INITs go out together during boot, so that the 10 ms the manual asks for
//! pass once and while other work is done; then every wait is a bounded poll.
//!
//! Invariant: an index in `ONLINE` has run its entry and takes IPIs. A CPU that does not answer
//! is sent another INIT, so that it cannot wake up later in a mailbox that is not its own, and
//! is named in the [`StartError`]; the boot goes on without it.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use conquer_once::spin::OnceCell;

use super::MAX_CPUS;
use super::acpi::Platform;
use super::apic::{self, Ipi};
use super::clock;
use super::cpu;
use super::faults;
use super::gdt::{self, CpuStacks};
use super::idt;
use super::timer;
use super::trampoline::{self, MAILBOX};
use super::tsc_sync;
use crate::arch::switch::{MHead, cpu_index};

/// From INIT to SIPI, and from the first SIPI to the second (Intel SDM vol. 3, 9.4.4).
const INIT_TO_SIPI_NS: u64 = 10_000_000;
const SIPI_TO_SIPI_NS: u64 = 200_000;

/// How long a CPU may take: an emulated one may wait for its host thread.
const START_TIMEOUT_NS: u64 = 1_000_000_000;

/// Memory that the trampoline may use.
const LOW_MEMORY_END: u64 = 0xa_0000;

static PLATFORM: OnceCell<Platform> = OnceCell::uninit();
static ONLINE: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
static INIT_SENT_NS: AtomicU64 = AtomicU64::new(0);

/// The pages for the trampoline, or 0.
static TRAMPOLINE: AtomicU64 = AtomicU64::new(0);

/// Why a CPU does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// There is no such CPU, or it is the boot CPU, or it runs already.
    NotStartable {
        /// The index that was asked for.
        cpu: usize,
    },
    /// No memory below 1 MiB is free for the trampoline.
    NoLowMemory,
    /// It never reached the trampoline.
    Silent {
        /// Its index.
        cpu: usize,
        /// Its APIC id.
        apic_id: u32,
    },
    /// It arrived but did not finish setting itself up.
    Stuck {
        /// Its index.
        cpu: usize,
        /// Its APIC id.
        apic_id: u32,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = START_TIMEOUT_NS / 1_000_000;
        match *self {
            Self::NotStartable { cpu } => write!(f, "CPU {cpu} is not one that can be started"),
            Self::NoLowMemory => f.write_str("no free memory below 1 MiB to start other CPUs from"),
            Self::Silent { cpu, apic_id } => {
                write!(
                    f,
                    "CPU {cpu} (APIC id {apic_id}) did not start within {ms} ms"
                )
            }
            Self::Stuck { cpu, apic_id } => {
                write!(
                    f,
                    "CPU {cpu} (APIC id {apic_id}) started but was not ready within {ms} ms"
                )
            }
        }
    }
}

/// The lowest place for the trampoline among regions of usable memory `(start, end)`.
pub fn choose_trampoline(usable: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
    // Page 0 holds the real-mode vectors and 0x400 to 0x600 the firmware's data.
    let fits = |(start, end): (u64, u64)| {
        let page = start.max(0x1000).next_multiple_of(0x1000);
        (page + trampoline::BYTES <= end.min(LOW_MEMORY_END)).then_some(page)
    };
    usable.into_iter().filter_map(fits).min()
}

/// Notes what there is.
pub(super) fn set_platform(platform: Platform) -> &'static Platform {
    PLATFORM.init_once(|| platform);
    self::platform()
}

pub(super) fn platform() -> &'static Platform {
    PLATFORM.get().expect("the platform is read first")
}

/// Puts all other CPUs into the state that a start begins from. After the clock runs.
pub(super) fn init(trampoline: Option<u64>) {
    TRAMPOLINE.store(trampoline.unwrap_or(0), Ordering::Relaxed);
    ONLINE[0].store(true, Ordering::Release);
    for &apic_id in &platform().cpus()[1..] {
        apic::send(apic_id, apic::init_command());
    }
    INIT_SENT_NS.store(clock::nanotime(), Ordering::Relaxed);
}

/// How many CPUs are usable, running or not: 1..=`MAX_CPUS`.
pub fn num_cpu() -> usize {
    PLATFORM
        .try_get()
        .map_or(1, |platform| platform.cpus().len())
}

/// The APIC id of CPU `index`.
pub(super) fn apic_id(index: usize) -> u32 {
    platform().cpus()[index]
}

/// The CPUs that run.
pub(super) fn online() -> impl Iterator<Item = usize> {
    (0..MAX_CPUS).filter(|&cpu| ONLINE[cpu].load(Ordering::Acquire))
}

/// Sends an IPI to CPU `cpu`. Nothing happens if it does not run.
pub fn send_ipi(cpu: usize, ipi: Ipi) {
    if ONLINE[cpu].load(Ordering::Acquire) {
        faults::send(cpu, ipi);
    }
}

/// Starts CPU `index` and waits, bounded, until it is about to run `entry` on the stack below
/// `stack_top`, with GS base = `m`, interrupts off, and its tables, APIC and timer set up.
/// Called on the boot CPU, for one CPU at a time.
///
/// # Safety
/// `m` is the MHead of this CPU alone, complete (`this`, `g`, `gsignal`; `cpu` = `index`); the
/// stacks are its own, mapped, 16-aligned at the top. After an error they may be reused only if
/// it is not [`StartError::Stuck`].
pub unsafe fn start_cpu(
    index: usize,
    m: *mut MHead,
    stack_top: usize,
    stacks: CpuStacks,
    entry: extern "C" fn() -> !,
) -> Result<(), StartError> {
    if index == 0 || index >= num_cpu() || ONLINE[index].load(Ordering::Acquire) {
        return Err(StartError::NotStartable { cpu: index });
    }
    // SAFETY: a valid MHead that nobody else uses yet (caller).
    let m_cpu = unsafe { (*m).cpu.get() };
    assert!(
        m_cpu as usize == index,
        "an M carries the index of the CPU that it runs on"
    );
    let page = TRAMPOLINE.load(Ordering::Relaxed);
    if page == 0 {
        return Err(StartError::NoLowMemory);
    }
    // SAFETY: CPU `index` does not run; the pages are reserved for this, and the previous start
    // is over, since a CPU that did not make it was stopped by INIT.
    unsafe {
        gdt::set_stacks(index, &stacks);
        trampoline::prepare(page);
    }
    MAILBOX.m.store(m as u64, Ordering::Relaxed);
    MAILBOX.stack_top.store(stack_top as u64, Ordering::Relaxed);
    MAILBOX
        .entry
        .store(entry as usize as u64, Ordering::Relaxed);
    tsc_sync::reset();
    // Release: pairs with the locked exchange in `trampoline::arrive`.
    MAILBOX.state.store(trampoline::POSTED, Ordering::Release);
    let result = kick(index, page);
    MAILBOX.state.store(trampoline::EMPTY, Ordering::Release);
    result
}

/// SIPI, SIPI, and the wait for the CPU to run.
fn kick(index: usize, page: u64) -> Result<(), StartError> {
    let apic_id = apic_id(index);
    let state = || MAILBOX.state.load(Ordering::Acquire);
    let settled_ns = INIT_SENT_NS.load(Ordering::Relaxed) + INIT_TO_SIPI_NS;
    clock::spin_until(settled_ns.saturating_sub(clock::nanotime()), || false);
    let start = || {
        if !faults::is_absent(index) {
            apic::send(apic_id, apic::startup_command(page));
        }
    };
    start();
    let mut arrived = clock::spin_until(SIPI_TO_SIPI_NS, || state() != trampoline::POSTED);
    if !arrived {
        start();
        arrived = clock::spin_until(START_TIMEOUT_NS, || state() != trampoline::POSTED);
    }
    // Either this CPU takes its offer back, and stops the other one, or that one goes on.
    let take_back_from = |expected| {
        let state = &MAILBOX.state;
        let taken = state.compare_exchange(
            expected,
            trampoline::EMPTY,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if taken.is_ok() {
            apic::send(apic_id, apic::init_command());
        }
        taken.is_ok()
    };
    if !arrived && take_back_from(trampoline::POSTED) {
        return Err(StartError::Silent {
            cpu: index,
            apic_id,
        });
    }
    tsc_sync::compare_with_starting_cpu();
    let runs = clock::spin_until(START_TIMEOUT_NS, || state() == trampoline::RUNNING);
    if !runs && take_back_from(trampoline::TAKEN) {
        return Err(StartError::Stuck {
            cpu: index,
            apic_id,
        });
    }
    // It does so as well, before it runs anything: whoever is first.
    ONLINE[index].store(true, Ordering::Release);
    Ok(())
}

/// Called by the trampoline on the started CPU: on its stack, with GS base and paging as they
/// will stay.
pub(super) extern "C" fn started(entry: extern "C" fn() -> !) -> ! {
    let index = cpu_index();
    cpu::init();
    // SAFETY: this is CPU `index`, interrupts are off, and its stacks were set before the start.
    unsafe {
        gdt::load(index);
        idt::load();
    }
    apic::init_this_cpu();
    if apic::id() != apic_id(index) {
        // Not the CPU that was meant. The boot CPU reports the one that is missing.
        cpu::halt_forever()
    }
    timer::init_this_cpu();
    tsc_sync::answer_boot_cpu();
    // Release: the boot CPU sees all of the above.
    let runs = MAILBOX.state.compare_exchange(
        trampoline::TAKEN,
        trampoline::RUNNING,
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    if runs.is_err() {
        // It took too long and was given up. The boot CPU has reported it and sends INIT.
        cpu::halt_forever()
    }
    ONLINE[index].store(true, Ordering::Release);
    entry()
}
