//! The end: hands a status to whoever runs the machine and stops.
//!
//! Under `run-qemu.sh` the status goes out as text on the debug console (port 0xe9) and the
//! emulator is told to end by isa-debug-exit (0xf4). Only both together count as an orderly end,
//! since a triple fault also ends the emulator. Where neither device exists, ACPI's soft-off is
//! tried for status 0 alone: a failure report must stay on the screen. Then the CPU halts.
//!
//! Refused: reset as a fallback (a machine that ends by itself would boot for ever), and AML: the
//! sleep type is that of emulated boards, real firmware ignores it and the CPU stays halted.

use core::sync::atomic::{AtomicU32, Ordering};

use x86_64::instructions::port::Port;

use super::acpi::Platform;
use super::clock;
use super::cpu;

const DEBUG_CONSOLE: u16 = 0xe9;
const DEBUG_EXIT: u16 = 0xf4;
/// QEMU ends with (0x10 << 1) | 1 = 33, which neither it nor a shell uses otherwise.
const DEBUG_EXIT_VALUE: u32 = 0x10;

/// PM1 control (ACPI 6.5, 4.8.3.2.1): SLP_EN; SLP_TYP in bits 10 to 12.
const SLEEP_ENABLE: u16 = 1 << 13;

/// Newer emulators end some time after the write.
const GRACE_NS: u64 = 100_000_000;

/// PM1a control port, or 0.
static PM1A_CONTROL: AtomicU32 = AtomicU32::new(0);

/// Notes how this machine is turned off.
pub(super) fn init(platform: &Platform) {
    PM1A_CONTROL.store(
        platform.pm1a_control.map_or(0, u32::from),
        Ordering::Relaxed,
    );
}

/// Ends the image with `status`. Interrupts go off; other CPUs are left as they are.
pub fn exit(status: u8) -> ! {
    super::irq::disable();
    report(status);
    // SAFETY: isa-debug-exit where present, else an unused port.
    unsafe { Port::new(DEBUG_EXIT).write(DEBUG_EXIT_VALUE) }
    clock::spin_until(GRACE_NS, || false);
    if status == 0 {
        soft_off();
    }
    cpu::halt_forever()
}

fn report(status: u8) {
    let digits = [
        b'0' + status / 100,
        b'0' + status / 10 % 10,
        b'0' + status % 10,
    ];
    let skip = match status {
        0..10 => 2,
        10..100 => 1,
        100.. => 0,
    };
    for &byte in b"exit ".iter().chain(&digits[skip..]).chain(b"\n") {
        // SAFETY: the debug console where present, else an unused port.
        unsafe { Port::new(DEBUG_CONSOLE).write(byte) }
    }
}

/// Sleep type 0 is S5 on QEMU's boards; real firmware that has another value ignores the write.
fn soft_off() {
    let port = PM1A_CONTROL.load(Ordering::Relaxed);
    if port != 0 {
        // SAFETY: the port that the FADT names; turning the machine off is what was asked for.
        unsafe { Port::new(port as u16).write(SLEEP_ENABLE) }
    }
}
