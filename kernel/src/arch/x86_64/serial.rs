//! COM1, the console: raw bytes out and in, 115200 8N1, through `uart_16550`.
//!
//! Output and input are two driver values over the same device, so that a reader and a writer on
//! two CPUs share no driver state (the line-status bits it remembers). Each is claimed by a flag
//! for the time of one call. A writer that cannot get the claim in bounded time writes all the
//! same: the holder is frozen or is the very code that this CPU interrupted, and lost output of
//! a dying kernel is worse than mixed output. Every wait is bounded: a line that never drains
//! loses bytes, never the kernel. Ordering between whole messages is `base::console`'s matter.

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER};
use uart_16550::{BaudRate, Config, Uart16550};

use super::cpu;
use super::{ioapic, smp};

const COM1: u16 = 0x3f8;

/// One byte takes 87 us at 115200 baud and a poll no less than 0.1 us: room for a full FIFO.
const DRAIN_POLLS: usize = 100_000;
const CLAIM_POLLS: usize = 1_000_000;

struct Port {
    claimed: AtomicBool,
    uart: UnsafeCell<Uart16550<PioBackend>>,
}

// SAFETY: the driver value is used by the holder of `claimed` only; see `with` for the one
// exception.
unsafe impl Sync for Port {}

static OUTPUT: Port = Port::new();
static INPUT: Port = Port::new();

const fn com1() -> Uart16550<PioBackend> {
    // SAFETY: COM1's ports are this file's alone.
    match unsafe { Uart16550::new_port(COM1) } {
        Ok(uart) => uart,
        Err(_) => panic!("COM1 is a valid port"),
    }
}

impl Port {
    const fn new() -> Self {
        Self {
            claimed: AtomicBool::new(false),
            uart: UnsafeCell::new(com1()),
        }
    }

    /// Runs `f` with the driver if it can be claimed within `polls`.
    fn with<R>(&self, polls: usize, f: impl FnOnce(&mut Uart16550<PioBackend>) -> R) -> Option<R> {
        for _ in 0..polls {
            // Acquire pairs with the release below: the previous holder's use is over.
            if !self.claimed.swap(true, Ordering::Acquire) {
                // SAFETY: claimed by this call.
                let result = f(unsafe { &mut *self.uart.get() });
                self.claimed.store(false, Ordering::Release);
                return Some(result);
            }
            cpu::pause();
        }
        None
    }
}

/// Sets COM1 up. A machine without it goes on silently.
pub(super) fn init() {
    let config = Config {
        baud_rate: BaudRate::Baud115200,
        fifo_trigger_level: Some(FifoTriggerLevel::One),
        ..Config::DEFAULT
    };
    let init = |uart: &mut Uart16550<PioBackend>| uart.init(config).is_ok();
    // An absent device fails the driver's presence test; what is written then goes nowhere.
    let _present = OUTPUT.with(1, init);
}

/// Writes raw bytes to the console.
pub fn console_write(bytes: &[u8]) {
    if OUTPUT.with(CLAIM_POLLS, |uart| send(uart, bytes)).is_none() {
        // A fresh driver value knows nothing of the FIFO and sends byte by byte: slower, but it
        // shares nothing with the stuck one.
        send(&mut com1(), bytes);
    }
}

fn send(uart: &mut Uart16550<PioBackend>, mut bytes: &[u8]) {
    let mut polls = 0;
    while !bytes.is_empty() && polls < DRAIN_POLLS {
        let sent = uart.send_bytes(bytes);
        bytes = &bytes[sent..];
        if sent == 0 {
            polls += 1;
            cpu::pause();
        } else {
            polls = 0;
        }
    }
}

/// One byte of input, if there is any.
pub fn console_read() -> Option<u8> {
    INPUT.with(1, |uart| uart.try_receive_byte().ok()).flatten()
}

/// Makes console input interrupt the boot CPU (`Handlers::input`). Without an I/O APIC that has
/// the line, input must be polled; false then.
pub fn enable_console_input() -> bool {
    let routed = ioapic::route_serial(smp::platform(), smp::apic_id(0));
    INPUT.with(1, |uart| uart.enable_interrupts(IER::DATA_READY));
    routed
}

/// Formats straight to the console: for reports before there is a console above.
pub(super) fn print(args: fmt::Arguments<'_>) {
    struct Raw;
    impl fmt::Write for Raw {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            console_write(text.as_bytes());
            Ok(())
        }
    }
    // `Raw` never fails, so neither does this.
    let _ = fmt::write(&mut Raw, args);
}
