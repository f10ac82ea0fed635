//! COM1, written by polling: the only voice of the boot stage.
//!
//! By hand and not with `uart_16550`: before the kernel there is one line to say, and a machine
//! without a COM1 must get through it without an error path of its own.

use core::fmt;

use x86_64::instructions::port::Port;

const COM1: u16 = 0x3f8;

/// Line status: the transmitter holds nothing.
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// Polls for one byte. At 115,200 baud a byte takes 87 us and one poll about 1 us, so a UART that
/// is there has answered long before.
const MAX_POLLS: u32 = 100_000;

/// 115,200 baud, 8 data bits, no parity, 1 stop bit, no interrupts (16550 data sheet, section 8).
pub(crate) fn init() {
    // DLAB on, divisor 1, DLAB off with 8N1, FIFOs on and cleared, DTR + RTS.
    let writes: [(u16, u8); 7] = [
        (1, 0),
        (3, 0x80),
        (0, 1),
        (1, 0),
        (3, 0x03),
        (2, 0xc7),
        (4, 0x03),
    ];
    for (register, value) in writes {
        // SAFETY: these are COM1's registers; without a UART the write goes nowhere.
        unsafe { Port::new(COM1 + register).write(value) };
    }
}

/// COM1 as a text sink; a byte that the UART does not take in time is dropped.
pub(crate) struct Com1;

impl fmt::Write for Com1 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            write_byte(byte);
        }
        Ok(())
    }
}

fn write_byte(byte: u8) {
    let mut line_status = Port::<u8>::new(COM1 + 5);
    for _ in 0..MAX_POLLS {
        // SAFETY: reading the line status has no side effect but clearing error bits.
        if unsafe { line_status.read() } & TRANSMITTER_EMPTY != 0 {
            break;
        }
        core::hint::spin_loop();
    }
    // SAFETY: the transmit register of COM1.
    unsafe { Port::new(COM1).write(byte) };
}
