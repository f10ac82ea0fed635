//! From the boot stage's jump to the main goroutine: the order of boot, as a list.

use alloc::vec::Vec;
use core::arch::naked_asm;
use core::mem::offset_of;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use bootloader_api::config::Mapping;
use bootloader_api::info::MemoryRegionKind;
use bootloader_api::{BootInfo, BootloaderConfig};
use linkme::distributed_slice;

use crate::arch::exceptions::PAGE_FAULT;
use crate::arch::switch::{self, MHead, Stack};
use crate::arch::{self, BootFacts, CpuStacks, Handlers, TrapFrame};
use crate::base::cmdline::{self, options};
use crate::base::intrinsics;
use crate::base::options::{Options, PreemptMode, SchedModel, Traceback};
use crate::mem::{self, stack, sysstack};
use crate::observe::trace::stream;
use crate::observe::{attend, dump, schedtrace, symbols, traceback, watch};
use crate::sched::fatal::{self, Cause};
use crate::sched::m::{ALLM, M, getm};
use crate::sched::model::{self, Model};
use crate::sched::newproc::{self, Attributes};
use crate::sched::stop::procresize;
use crate::sched::{SCHED, attention, defer, preempt, schedule, stop, sysmon, trace, watchdog};
use crate::{eprintln, testing};

/// Bytes of the stack that boot runs on.
const BOOT_STACK_SIZE: u64 = 64 * 1024;
/// Where what the boot stage maps ends: from here on the addresses are the kernel's own.
const BOOT_END: u64 = 0xffff_efff_ffff_f000;
/// Bytes of a g0 stack: the scheduler needs little, a report with symbols up to 16 KiB.
const G0_STACK_SIZE: usize = 48 * 1024;
/// Bytes of the stacks of exceptions that may end in a report.
const REPORT_STACK_SIZE: usize = 32 * 1024;
/// Bytes of the stack of plain interrupts: a dump by force runs there.
const IRQ_STACK_SIZE: usize = REPORT_STACK_SIZE;
/// Bytes of the stacks of NMIs and machine checks.
const LAST_STACK_SIZE: usize = 16 * 1024;

/// What the boot stage is asked for.
static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = BOOT_STACK_SIZE;
    config.mappings.physical_memory = Some(Mapping::FixedAddress(mem::PHYSICAL_MEMORY as u64));
    config.mappings.dynamic_range_start = Some(mem::BOOT as u64);
    config.mappings.dynamic_range_end = Some(BOOT_END);
    config
};

#[used]
#[unsafe(link_section = ".bootloader-config")]
static CONFIG_BYTES: [u8; BootloaderConfig::SERIALIZED_LEN] = CONFIG.serialize();

/// When the main goroutine began to run, in ns since boot.
static MAIN_STARTED_NS: AtomicU64 = AtomicU64::new(0);

/// Entry of the kernel: rdi = BootInfo, rsp = the boot stack. The first instrumented function finds
/// its M through GS, so GS base and the M's head are set before any Rust code runs.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start(info: &'static mut BootInfo) -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip", // the outermost frame
        // rax = M0
        "lea rax, [rip + {allm}]",
        "mov [rax + {this}], rax",
        "lea rcx, [rax + {g0}]",
        "mov [rax + {m_g}], rcx",
        "mov [rax + {m_g0}], rcx",
        "lea rcx, [rax + {gsignal}]",
        "mov [rax + {m_gsignal}], rcx",
        // IA32_GS_BASE (Intel SDM vol. 4, table 2-2) = rax
        "mov rdx, rax",
        "shr rdx, 32",
        "mov ecx, 0xc0000101",
        "wrmsr",
        "xor ebp, ebp",
        "and rsp, -16",
        "call {boot}",
        "ud2",
        ".cfi_endproc",
        allm = sym ALLM,
        this = const offset_of!(M, head) + offset_of!(MHead, this),
        m_g = const offset_of!(M, head) + offset_of!(MHead, g),
        m_g0 = const offset_of!(M, head) + offset_of!(MHead, g0),
        m_gsignal = const offset_of!(M, head) + offset_of!(MHead, gsignal),
        g0 = const offset_of!(M, g0),
        gsignal = const offset_of!(M, gsignal),
        boot = sym boot,
    )
}

extern "C" fn boot(info: &'static mut BootInfo) -> ! {
    ALLM[0].init(0, 1);
    // SAFETY: once, on the boot CPU; the boot stage enters with interrupts off, and M0 is complete.
    unsafe { arch::init_boot_cpu_early() };
    fatal::set_reporter(dump::report);
    fatal::at_exit(testing_report);
    check_boot_info(info);
    init_memory(info);
    arch::set_handlers(&HANDLERS);
    read_options(info);
    let stacks = cpu_stacks().unwrap_or_else(|| refuse("not enough memory for one CPU"));
    let facts = BootFacts {
        physical_memory_offset: mem::PHYSICAL_MEMORY as u64,
        rsdp_addr: info.rsdp_addr.into_option(),
        trampoline: arch::choose_trampoline(usable(info)),
    };
    // SAFETY: once, on the boot CPU, interrupts off; the stacks are fresh.
    unsafe { arch::init_boot_cpu(&facts, stacks) };
    init_symbols(info);
    init_scheduler();
    enter_g0()
}

/// Holds what the boot stage gave against what was asked for. A configuration that was damaged in
/// the file may still be a sound one, and is then followed: the boot would go astray on a stack of
/// another size, without the physical memory in its place, or with something of the loader's where
/// the kernel puts its own.
fn check_boot_info(info: &BootInfo) {
    let offset = info.physical_memory_offset.into_option();
    if offset != Some(mem::PHYSICAL_MEMORY as u64) {
        refuse("physical memory is not mapped where this kernel asks for it");
    }
    let len = info.kernel_stack_len;
    if len != BOOT_STACK_SIZE {
        refuse(format_args!(
            "the boot stack has {len} bytes instead of the {BOOT_STACK_SIZE} that were asked for"
        ));
    }
    let addresses = [
        Some(&raw const *info as u64),
        Some(info.kernel_stack_bottom),
        info.ramdisk_addr.into_option(),
    ];
    for addr in addresses.into_iter().flatten() {
        if !(mem::BOOT as u64..BOOT_END).contains(&addr) {
            refuse(format_args!(
                "the loader uses the address {addr:#x}, which was not given to it"
            ));
        }
    }
}

/// Usable stretches of physical memory.
fn usable(info: &BootInfo) -> impl Iterator<Item = (u64, u64)> {
    info.memory_regions
        .iter()
        .filter(|r| r.kind == MemoryRegionKind::Usable)
        .map(|r| (r.start, r.end))
}

fn init_memory(info: &BootInfo) {
    const MAX_REGIONS: usize = 128;
    let mut regions = [(0, 0); MAX_REGIONS];
    let mut n = 0;
    for (region, slot) in usable(info).zip(&mut regions) {
        *slot = region;
        n += 1;
    }
    mem::init(&regions[..n]);
    intrinsics::init();
    mem::on_shortage(|| sysmon::shrink_dead() + mem::reclaim(stop::flush_all_tlbs));
}

fn read_options(info: &BootInfo) {
    let line: &[u8] = match info.ramdisk_addr.into_option() {
        // SAFETY: the boot stage mapped this many bytes there for the kernel's use.
        Some(addr) => unsafe {
            slice::from_raw_parts(addr as *const u8, info.ramdisk_len as usize)
        },
        None => &[],
    };
    match Options::parse(line) {
        Ok(options) => {
            mem::set_faults(&options.faults);
            cmdline::init(options);
        }
        Err(error) => refuse(error),
    }
}

fn init_symbols(info: &BootInfo) {
    let start = mem::PHYSICAL_MEMORY as u64 + info.kernel_addr;
    // SAFETY: the boot stage promises the kernel's ELF there, and physical memory is mapped.
    let elf = unsafe { slice::from_raw_parts(start as *const u8, info.kernel_len as usize) };
    if let Err(reason) = symbols::init(elf) {
        eprintln!("runtime: tracebacks will have no names: {reason}");
    }
}

/// Ends a boot that makes no sense, in one line.
fn refuse(reason: impl core::fmt::Display) -> ! {
    eprintln!("gosched: {reason}");
    fatal::exit(fatal::FATAL_STATUS)
}

fn init_scheduler() {
    let options = options();
    if let Err(error) = options.check_cpus(arch::num_cpu()) {
        refuse(error);
    }
    let seed = options.seed.unwrap_or_else(arch::cputicks);
    SCHED.seed.store(seed, Ordering::Relaxed);
    arch::set_faults(&options.faults.machine, seed);
    SCHED
        .chaos
        .store(u32::from(options.chaos_percent), Ordering::Relaxed);
    SCHED.slice_ns.store(options.slice_ns(), Ordering::Relaxed);
    SCHED
        .slice_ticks
        .store(arch::ns_to_cputicks(options.slice_ns()), Ordering::Relaxed);
    model::set(match options.sched {
        SchedModel::Gmp => Model::Gmp,
        SchedModel::Global => Model::Global,
        SchedModel::Single => Model::Single,
    });
    preempt::set_mode(match options.preempt {
        PreemptMode::Off => preempt::Mode::Off,
        PreemptMode::Coop => preempt::Mode::Coop,
        PreemptMode::Async => preempt::Mode::Async,
    });
    dump::set_level(match options.traceback {
        Traceback::None => traceback::Level::None,
        Traceback::Single => traceback::Level::Single,
        Traceback::All => traceback::Level::All,
        Traceback::System => traceback::Level::System,
    });
    ALLM[0].seed(seed);
}

/// Leaves the boot stack for M0's g0 and goes on there.
fn enter_g0() -> ! {
    let m = getm();
    let Some(top) = set_g0_stack(m) else {
        refuse("not enough memory for one CPU")
    };
    let buf = m.g0.gobuf();
    // `gogo` jumps: the function expects the stack as after a call.
    buf.sp.set(top - 8);
    buf.pc.set(on_g0 as *const () as usize);
    // SAFETY: g0 is ours, its stack is fresh, and the boot stack is not needed any more.
    unsafe { switch::gogo(buf) }
}

/// Gives an M its g0 stack; the top.
fn set_g0_stack(m: &'static M) -> Option<usize> {
    let top = sysstack::alloc_system_stack(G0_STACK_SIZE)?;
    m.g0.head.stack.set(Stack {
        lo: top - G0_STACK_SIZE,
        hi: top,
    });
    // Its stackguard0 stays 0, as gsignal's: the page below finds the overflow, and its report runs
    // on another stack. One by a safe point would begin where nothing is left to run on.
    m.g0.gobuf().sp.set(top);
    Some(top)
}

/// The interrupt stacks of one CPU.
fn cpu_stacks() -> Option<CpuStacks> {
    Some(CpuStacks {
        irq: sysstack::alloc_system_stack(IRQ_STACK_SIZE)?,
        page_fault: sysstack::alloc_system_stack(REPORT_STACK_SIZE)?,
        double_fault: sysstack::alloc_system_stack(REPORT_STACK_SIZE)?,
        nmi: sysstack::alloc_system_stack(LAST_STACK_SIZE)?,
        machine_check: sysstack::alloc_system_stack(LAST_STACK_SIZE)?,
        exception: sysstack::alloc_system_stack(REPORT_STACK_SIZE)?,
    })
}

extern "C" fn on_g0() -> ! {
    let m = getm();
    m.g0.gobuf().sp.set(m.g0.head.stack.get().hi);
    // Before there is another CPU: the first that is idle begins to watch.
    watchdog::set_reporter(watch::copy, watch::print);
    start_other_cpus();
    name_refused_cpus();
    let mcount = SCHED.mcount();
    let n = match model::get() {
        Model::Single => 1,
        _ => options().gomaxprocs.unwrap_or(mcount).min(mcount),
    };
    give_rings();
    procresize(m, n);
    let spawned = newproc::newproc(main_goroutine, Attributes::default());
    if spawned.is_err() {
        refuse("not enough memory for the main goroutine");
    }
    attention::set_dumps(attend::dump, attend::dump_by_force);
    // Without an interrupt for it nobody hears before `shell::listen` polls.
    let _ = arch::enable_console_input();
    SCHED.started.store(true, Ordering::Release);
    // Those that sleep already did not watch, since boot was not over.
    watchdog::woken(m);
    arch::irq::enable();
    schedule::schedule()
}

/// Bytes of each M's flight recorder, at the most and at the least.
const RING_BYTES: (usize, usize) = (256 << 10, 16 << 10);
/// What all of them together may take of the memory: this part.
const RINGS_PART: usize = 64;

/// Gives each M its flight recorder. Without memory for it an M records nothing.
fn give_rings() {
    let mcount = SCHED.mcount();
    let part = mem::usage().total / RINGS_PART / mcount;
    let bytes = match options().trace {
        // What is streamed may have to wait for the port.
        Some(_) => (mem::usage().total / 4 / mcount).clamp(RING_BYTES.1, 16 * RING_BYTES.0),
        None => part.clamp(RING_BYTES.1, RING_BYTES.0),
    };
    let words = (bytes / size_of::<u64>() + 1).next_power_of_two() / 2;
    for m in SCHED.allm() {
        let mut memory = Vec::new();
        if memory.try_reserve_exact(words).is_err() {
            eprintln!("runtime: CPU {} has no memory for a trace", m.id());
            continue;
        }
        memory.resize_with(words, || AtomicU64::new(0));
        m.trace.ring.give(memory.leak());
    }
    trace::set_on(options().trace.as_deref() != Some("off"));
}

/// Starts the other CPUs one by one. One that does not come is named, and boot goes on without it.
///
/// With their stacks they may take half of the memory, so that there is some for a program: on a
/// small machine with many CPUs not all of them are worth theirs.
fn start_other_cpus() {
    let least = mem::usage().available / 2;
    let seed = SCHED.seed.load(Ordering::Relaxed);
    for (cpu, m) in ALLM.iter().enumerate().take(arch::num_cpu()).skip(1) {
        m.init(cpu, seed);
        let stacks = || Some((set_g0_stack(m)?, cpu_stacks()?));
        let has_memory = mem::usage().available >= least;
        let Some((top, stacks)) = has_memory.then(stacks).flatten() else {
            let total = arch::num_cpu();
            eprintln!(
                "runtime: CPUs {cpu} to {} stay off: not enough memory",
                total - 1
            );
            return;
        };
        // Counted before it runs, or the others could be taken for all.
        SCHED.ms.fetch_or(1 << cpu, Ordering::Relaxed);
        let head = (&raw const m.head).cast_mut();
        // SAFETY: the M is complete, and its stacks are fresh.
        let started = unsafe { arch::start_cpu(cpu, head, top, stacks, mstart) };
        if let Err(error) = started {
            SCHED.ms.fetch_and(!(1 << cpu), Ordering::Relaxed);
            eprintln!("runtime: CPU {cpu} stays off: {error}");
        }
    }
}

/// Says which CPUs are there that this kernel does not even try to start.
fn name_refused_cpus() {
    for (ids, why) in arch::describe().refusals() {
        eprintln!("runtime: CPUs with APIC ids {ids} stay off: {why}");
    }
}

/// First function of every other CPU, on its g0 (Go: `mstart`).
extern "C" fn mstart() -> ! {
    arch::irq::enable();
    crate::sched::idle::stopm(getm());
    schedule::schedule()
}

/// One `#[gosched::main]`. Made by the macro.
pub struct Main {
    /// Path of the module it stands in; without `::`, the root of a crate.
    pub module: &'static str,
    /// The function under the attribute.
    pub run: fn(),
}

/// All functions of this image that are marked `#[gosched::main]`, in the linker's order.
#[distributed_slice]
pub static MAINS: [Main];

/// The one that the main goroutine runs: that of the image itself, not of a program that it
/// includes as a module.
fn program() -> fn() {
    let mut at_root = MAINS.iter().filter(|main| !main.module.contains("::"));
    match (at_root.next(), at_root.next()) {
        (Some(main), None) => main.run,
        (None, _) => refuse("no function of this program's main file is marked #[gosched::main]"),
        (Some(_), Some(_)) => refuse(format_args!(
            "{} functions of this program's main file are marked #[gosched::main], instead of one",
            2 + at_root.count()
        )),
    }
}

fn main_goroutine() {
    let main = program();
    MAIN_STARTED_NS.store(arch::nanotime(), Ordering::Relaxed);
    let period_ms = options().schedtrace_ms;
    if period_ms != 0 {
        sysmon::set_schedtrace(period_ms * 1_000_000, schedtrace::print);
    }
    begin_trace();
    main();
    // What the main goroutine's locals own is dropped; the end of the others is not waited for.
    defer::run_all();
    fatal::exit(0)
}

/// Begins the trace that the command line asks for.
fn begin_trace() {
    let Some(file) = options().trace.as_deref().filter(|file| *file != "off") else {
        return;
    };
    if let Err(error) = stream::start(file) {
        refuse(format_args!("trace={file}: {error}"));
    }
    fatal::before_exit(|| {
        // Ended by the program, perhaps; a port that takes no more has been said.
        let _ = stream::stop();
    });
}

/// When the main goroutine began to run, in ns since the kernel's clock began.
pub fn main_started_ns() -> u64 {
    MAIN_STARTED_NS.load(Ordering::Relaxed)
}

fn testing_report(status: u8) {
    if status == fatal::FATAL_STATUS {
        testing::report_fatal();
    }
}

/// What the interrupts call. Public for checks that put something of their own in its place.
#[doc(hidden)]
pub static HANDLERS: Handlers = Handlers {
    tick: preempt::tick,
    preempt: preempt::preempt_ipi,
    wake: || getm().stats.ipis_got.add(1),
    flush_tlb: stop::flush_tlb_ipi,
    input: crate::shell::input::interrupt,
    line_break: attention::ask_for_dump,
    page_fault,
    exception,
};

/// Interrupt: grows the stack of the goroutine that ran into a page of its own.
fn page_fault(addr: usize, frame: &mut TrapFrame) -> bool {
    const PRESENT: u64 = 1;
    if frame.error & PRESENT != 0 {
        return false;
    }
    // On its own stack, or with its M on g0 on its behalf (arguments that lie on the stack).
    let Some(gp) = getm().curg() else {
        return false;
    };
    let bounds = gp.head.stack.get();
    match stack::grow(addr, stack::whole(bounds)) {
        stack::GrowResult::Mapped => true,
        stack::GrowResult::NotAStack => false,
        stack::GrowResult::Guard => fatal::die(&Cause::StackOverflow {
            sp: frame.rsp as usize,
            frame: Some(frame),
        }),
        stack::GrowResult::NoMemory => fatal::die(&Cause::OutOfMemory {
            size: mem::FRAME_SIZE,
        }),
    }
}

fn exception(frame: &TrapFrame, addr: usize) -> ! {
    if frame.vector == PAGE_FAULT && sysstack::is_guard(addr) {
        fatal::die(&Cause::SystemStackOverflow { frame, addr });
    }
    fatal::die(&Cause::Exception { frame, addr })
}
