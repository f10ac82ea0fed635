//! The serial ports, 115200 8N1, through `uart_16550`: COM1, the console, raw bytes out and in; and
//! COM2, where files leave for the host.
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
use uart_16550::spec::registers::{FifoTriggerLevel, IER, LSR};
use uart_16550::{BaudRate, Config, Uart16550};

use super::cpu;
use super::{ioapic, smp, traps};

const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

/// How long a line may stand still before what is written is given up: a poll takes no less than
/// 0.1 us, so some tenths of a second at least. A byte takes 87 us at 115200 baud, but whoever
/// reads the other end of an emulated line may have to wait for its host.
const DRAIN_POLLS: usize = 5_000_000;
const CLAIM_POLLS: usize = 1_000_000;

struct Port {
    claimed: AtomicBool,
    uart: UnsafeCell<Uart16550<PioBackend>>,
}

// SAFETY: the driver value is used by the holder of `claimed` only; who gives up waiting for it
// takes a fresh one (`console_write`).
unsafe impl Sync for Port {}

/// What is written to COM1; the holder's.
static OUTPUT: Port = Port::new(COM1);
/// What is read from COM1, by a holder of its own. Both sides read the line's state, which forgets
/// a break that one of them has seen: whoever sees it says so (`Handlers::line_break`).
static INPUT: Port = Port::new(COM1);
/// COM2, written only; the holder's.
static SECOND: Port = Port::new(COM2);
/// Whoever has claimed `OUTPUT` stands still.
static CLAIM_LOST: AtomicBool = AtomicBool::new(false);
/// COM2 is there.
static SECOND_PRESENT: AtomicBool = AtomicBool::new(false);

const fn uart_at(base: u16) -> Uart16550<PioBackend> {
    // SAFETY: the ports of COM1 and COM2 are this file's alone.
    match unsafe { Uart16550::new_port(base) } {
        Ok(uart) => uart,
        Err(_) => panic!("COM1 and COM2 are valid ports"),
    }
}

impl Port {
    const fn new(base: u16) -> Self {
        Self {
            claimed: AtomicBool::new(false),
            uart: UnsafeCell::new(uart_at(base)),
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

/// Sets COM1 and COM2 up. A machine without them goes on silently.
pub(super) fn init() {
    let config = Config {
        baud_rate: BaudRate::Baud115200,
        fifo_trigger_level: Some(FifoTriggerLevel::One),
        ..Config::DEFAULT
    };
    let init = |uart: &mut Uart16550<PioBackend>| uart.init(config.clone()).is_ok();
    // An absent device fails the driver's presence test; what is written then goes nowhere.
    let _present = OUTPUT.with(1, init);
    let second = SECOND.with(1, init);
    SECOND_PRESENT.store(second == Some(true), Ordering::Relaxed);
}

/// Whether there is a second serial port.
pub fn has_second_port() -> bool {
    SECOND_PRESENT.load(Ordering::Relaxed)
}

/// Writes raw bytes to the second serial port. How many were taken: fewer if nobody takes them.
/// Callers keep each other apart: one that finds the port claimed takes the holder for frozen.
pub fn second_port_write(bytes: &[u8]) -> usize {
    if !has_second_port() {
        return 0;
    }
    SECOND
        .with(1, |uart| send(uart, bytes))
        .unwrap_or_else(|| send(&mut uart_at(COM2), bytes))
}

/// Writes raw bytes to the console.
pub fn console_write(bytes: &[u8]) {
    // A holder that stood still for one write will for the next.
    let lost = CLAIM_LOST.load(Ordering::Relaxed);
    let sent = OUTPUT.with(if lost { 1 } else { CLAIM_POLLS }, |uart| {
        send(uart, bytes);
        uart.lsr().contains(LSR::BREAK_INTERRUPT)
    });
    if sent.is_none() != lost {
        CLAIM_LOST.store(!lost, Ordering::Relaxed);
    }
    match sent {
        Some(false) => {}
        // To ask for the line's state takes note of a break away from whoever reads.
        Some(true) => traps::line_break(),
        None => {
            // A fresh driver value knows nothing of the FIFO and sends byte by byte: slower, but
            // it shares nothing with the stuck one. What a dead line does not take is lost.
            let _ = send(&mut uart_at(COM1), bytes);
        }
    }
}

/// How many bytes the line took.
fn send(uart: &mut Uart16550<PioBackend>, bytes: &[u8]) -> usize {
    let (mut done, mut polls) = (0, 0);
    while done < bytes.len() && polls < DRAIN_POLLS {
        let sent = uart.send_bytes(&bytes[done..]);
        done += sent;
        if sent == 0 {
            polls += 1;
            cpu::pause();
        } else {
            polls = 0;
        }
    }
    done
}

/// One byte of input, if there is any. A break (`Handlers::line_break`) is none: the null byte that
/// comes with it is dropped, unless a writer has seen the break first.
pub fn console_read() -> Option<u8> {
    let mut broken = false;
    let byte = INPUT.with(1, |uart| {
        broken = uart.lsr().contains(LSR::BREAK_INTERRUPT);
        let byte = uart.try_receive_byte().ok();
        if broken && byte == Some(0) {
            return uart.try_receive_byte().ok();
        }
        byte
    });
    if broken {
        traps::line_break();
    }
    byte.flatten()
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
