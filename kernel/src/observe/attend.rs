//! The dump that a person at the serial line asks for (`sched::attention`), in its two forms.

use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

use crate::arch::{self, Held, Place, TrapFrame};
use crate::observe::symbols::Symbolizer;
use crate::observe::traceback::{Level, Traceback};
use crate::observe::{dump, living};
use crate::sched::SCHED;
use crate::sched::g::{G, Status};
use crate::sched::m::getm;
use crate::{print, println};

/// In a goroutine of its own: all goroutines of the program, which goes on.
pub fn dump() {
    println!("gosched: all goroutines, by Ctrl-\\ or a break; the program goes on");
    println!();
    living::all(&mut |text| {
        print!("{text}");
        true
    });
    println!();
}

/// How long the other CPUs have to stand.
const PATIENCE_NS: u64 = 500_000_000;

/// In an interrupt, which came upon `frame`: the scheduler does not answer. All other CPUs are
/// stopped for as long as it takes, since they may hold any lock, and go on.
pub fn dump_by_force(frame: &TrapFrame) {
    let others = (SCHED.mcount() - 1) as u32;
    arch::hold(u64::MAX, Place::Settled, PATIENCE_NS, |held| {
        let stand = (0..arch::MAX_CPUS)
            .filter(|&cpu| held.frame(cpu).is_some())
            .count() as u32;
        let mut out = Unlocked::new();
        // The console cannot fail.
        let _ = write_by_force(&mut out, frame, held, stand == others);
        out.flush();
    });
}

fn write_by_force(
    out: &mut dyn Write,
    own: &TrapFrame,
    held: &Held,
    all_stand: bool,
) -> fmt::Result {
    writeln!(
        out,
        "\ngosched: all goroutines, by Ctrl-\\ or a break; no scheduler answered, so every CPU was \
         stopped for it; the program goes on"
    )?;
    if !all_stand {
        out.write_str("gosched: not every CPU stopped: stacks may be missing\n")?;
    }
    let me = getm().id();
    let frame_of = |cpu| {
        if cpu == me {
            Some(own)
        } else {
            held.frame(cpu)
        }
    };
    let mut traceback = Traceback::new(out, Level::All, Symbolizer::without_lines());
    let mut result = Ok(());
    SCHED.for_each_g(|gp: &'static G| {
        if gp.system.load(Ordering::Relaxed) || result.is_err() {
            return;
        }
        let start = match gp.status() {
            // It may be going on, on a CPU that does not stand.
            Status::Waiting | Status::Runnable if !all_stand => None,
            _ => dump::start_by(gp, frame_of),
        };
        // SAFETY: nobody runs who could end it.
        let name = all_stand.then(|| unsafe { gp.name() }).flatten();
        result = traceback.out().write_str("\n");
        result = result.and(dump::goroutine(&mut traceback, gp, start, 0, name));
    });
    result?;
    traceback.out().write_str("\n")
}

/// The console past its lock, whose holder may stand still: whole lines at a time.
pub(super) struct Unlocked {
    bytes: [u8; 256],
    len: usize,
}

impl Unlocked {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; 256],
            len: 0,
        }
    }

    pub(super) fn flush(&mut self) {
        arch::console_write(&self.bytes[..self.len]);
        self.len = 0;
    }
}

impl Write for Unlocked {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            self.bytes[self.len] = byte;
            self.len += 1;
            if self.len == self.bytes.len() || byte == b'\n' {
                self.flush();
            }
        }
        Ok(())
    }
}
