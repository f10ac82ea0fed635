//! The ends of the boot stage that are not the kernel: one line, then exit status 2.
//!
//! The exit channel is the kernel's: `exit 2` on the debug console (port 0xe9) for the host's
//! script to read, then QEMU's isa-debug-exit. On a machine with neither, the CPU halts.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use x86_64::instructions::{self, port::Port};

use crate::serial::Com1;

/// QEMU's debug console.
const DEBUG_CONSOLE_PORT: u16 = 0xe9;
/// QEMU's isa-debug-exit device.
const DEBUG_EXIT_PORT: u16 = 0xf4;
/// Makes QEMU's own status 33: "the guest ended by itself, see the debug console".
const DEBUG_EXIT_VALUE: u32 = 0x10;

/// Says why the boot stage gives up, and ends with status 2.
pub(crate) fn refuse(reason: fmt::Arguments<'_>) -> ! {
    // Com1 never fails.
    let _ = writeln!(Com1, "gosched-boot: {reason}");
    for &byte in b"exit 2\n" {
        // SAFETY: a write to the debug console has no effect on the machine.
        unsafe { Port::new(DEBUG_CONSOLE_PORT).write(byte) };
    }
    // SAFETY: ends the virtual machine; without that device the write goes nowhere.
    unsafe { Port::new(DEBUG_EXIT_PORT).write(DEBUG_EXIT_VALUE) };
    loop {
        instructions::interrupts::disable();
        instructions::hlt();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => refuse(format_args!("internal error at {at}: {}", info.message())),
        None => refuse(format_args!("internal error: {}", info.message())),
    }
}
