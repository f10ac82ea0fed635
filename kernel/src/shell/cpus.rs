//! `cpus` and `irq`: what each CPU does, and what interrupts it.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering;

use crate::sched::SCHED;
use crate::sched::m::M;
use crate::sched::watchdog;
use crate::shell::Command;
use crate::shell::commands::no_arguments;
use crate::{arch, print};

pub(super) const CPUS: Command = Command {
    name: "cpus",
    usage: "",
    about: "what each CPU does now, and how much of its time it idled",
    run: |args| {
        no_arguments(args)?;
        let mut text = format!(
            "{:>3} {:>3} {:<22} {:>7} {:>9} {:>6}\n",
            "CPU", "P", "STATE", "IDLE", "SPINNING", "LOCKS"
        );
        SCHED.allm().for_each(|m| text += &cpu_line(m));
        // In one piece, or the lines of others would come in between.
        print!("{text}");
        Ok(())
    },
};

fn cpu_line(m: &M) -> String {
    let p = m.p.load(Ordering::Relaxed);
    let state = match m.curg() {
        Some(gp) => format!("runs {}", gp.goid.load(Ordering::Relaxed)),
        None if m.park.is_halted() => String::from("halted"),
        None if m.spinning.load(Ordering::Relaxed) => String::from("looks for work"),
        None => String::from("schedules"),
    };
    let state = match m.lockedg.load(Ordering::Relaxed) {
        Some(gp) => format!("{state}, locked to {}", gp.goid.load(Ordering::Relaxed)),
        None => state,
    };
    let up_ns = arch::nanotime().max(1) as f64;
    format!(
        "{:>3} {:>3} {state:<22} {:>6.1}% {:>8.1}% {:>6}\n",
        m.id(),
        p.map_or(String::from("-"), |p| format!("{}", p.index())),
        m.stats.idle_ns.get() as f64 * 100.0 / up_ns,
        m.stats.spinning_ns.get() as f64 * 100.0 / up_ns,
        m.head.locks.load(Ordering::Relaxed),
    )
}

pub(super) const IRQ: Command = Command {
    name: "irq",
    usage: "",
    about: "interrupts of each CPU since boot, and requests it sent to others",
    run: |args| {
        no_arguments(args)?;
        let mut text = format!(
            "{:>3} {:>10} {:>10} {:>10}\n",
            "CPU", "TIMER", "IPIS GOT", "SENT"
        );
        for m in SCHED.allm() {
            text += &format!(
                "{:>3} {:>10} {:>10} {:>10}\n",
                m.id(),
                m.stats.ticks.get(),
                m.stats.ipis_got.get(),
                m.stats.ipis_sent.get()
            );
        }
        let again = watchdog::called_again();
        text += &format!("CPUs called again that had not woken up: {again}\n");
        print!("{text}");
        Ok(())
    },
};
