//! Go's `schedtrace` and `scheddetail` lines: the state of the scheduler in one line, or in one for
//! each P, M and G.

use core::fmt::Write;
use core::sync::atomic::Ordering;

use alloc::string::String;

use crate::arch;
use crate::base::cmdline;
use crate::println;
use crate::sched::SCHED;
use crate::sched::agenda::Item;
use crate::sched::g::G;
use crate::sched::m::M;
use crate::sched::p::P;

/// Prints the line, and the details if the command line asks for them. On g0 or a goroutine, no
/// lock held.
pub fn print() {
    println!("{}", text(cmdline::options().scheddetail));
}

/// The line, or with `detail` one for each P, M and G after it; without a newline at the end. On g0
/// or a goroutine, no lock held.
pub(crate) fn text(detail: bool) -> String {
    let mut text = String::new();
    // A String takes what it is given.
    let _ = line(&mut text, detail);
    text
}

fn line(out: &mut String, detail: bool) -> core::fmt::Result {
    let inner = SCHED.lock.lock();
    let (ms, idle_ms, runqueue) = (SCHED.mcount(), inner.midle.len(), inner.runq.len());
    let locked_ms = inner.mlocked.len();
    drop(inner);
    write!(
        out,
        "SCHED {}ms: gomaxprocs={} idleprocs={} threads={ms} spinningthreads={} needspinning={} \
         idlethreads={idle_ms} runqueue={runqueue}",
        arch::nanotime() / 1_000_000,
        SCHED.gomaxprocs.load(Ordering::Relaxed),
        SCHED.npidle.load(Ordering::Relaxed),
        SCHED.spinning.count(),
        u8::from(SCHED.spinning.is_needed()),
    )?;
    if detail {
        writeln!(
            out,
            " gcwaiting={} nmidlelocked={locked_ms} stopwait={} sysmonwait=false",
            SCHED.agenda.has(Item::GcWaiting),
            SCHED.stopwait.load(Ordering::Relaxed),
        )?;
        return details(out);
    }
    out.write_str(" [ ")?;
    for p in SCHED.allp() {
        write!(out, "{} ", p.runq.len())?;
    }
    out.write_str("] schedticks=[ ")?;
    for p in SCHED.allp() {
        write!(out, "{} ", p.schedtick.get())?;
    }
    out.write_str("]")
}

fn details(out: &mut String) -> core::fmt::Result {
    for p in SCHED.allp() {
        p_line(out, p)?;
    }
    for m in SCHED.allm() {
        m_line(out, m)?;
    }
    let mut result = Ok(());
    SCHED.for_each_g(|gp| result = result.and_then(|()| g_line(out, gp)));
    // The caller ends the last line.
    out.truncate(out.trim_end().len());
    result
}

fn p_line(out: &mut String, p: &P) -> core::fmt::Result {
    write!(
        out,
        "  P{}: status={} schedtick={} ",
        p.index(),
        p.status() as u32,
        p.schedtick.get()
    )?;
    match p.m.load(Ordering::Relaxed) {
        Some(m) => write!(out, "m={}", m.id())?,
        None => out.write_str("m=nil")?,
    }
    writeln!(
        out,
        " runqsize={} gfreecnt={} timerslen={}",
        p.runq.len(),
        p.gfree.len(),
        p.timers.len()
    )
}

fn m_line(out: &mut String, m: &M) -> core::fmt::Result {
    write!(out, "  M{}: ", m.id())?;
    match m.p.load(Ordering::Relaxed) {
        Some(p) => write!(out, "p={}", p.index())?,
        None => out.write_str("p=nil")?,
    }
    match m.curg() {
        Some(gp) => write!(out, " curg={}", gp.goid.load(Ordering::Relaxed))?,
        None => out.write_str(" curg=nil")?,
    }
    write!(
        out,
        " locks={} dying={} spinning={} blocked={}",
        m.head.locks.load(Ordering::Relaxed),
        m.head.dying.load(Ordering::Relaxed),
        m.spinning.load(Ordering::Relaxed),
        m.park.is_halted(),
    )?;
    match m.lockedg.load(Ordering::Relaxed) {
        Some(gp) => writeln!(out, " lockedg={}", gp.goid.load(Ordering::Relaxed)),
        None => writeln!(out, " lockedg=nil"),
    }
}

fn g_line(out: &mut String, gp: &G) -> core::fmt::Result {
    write!(
        out,
        "  G{}: status={}({}) ",
        gp.goid.load(Ordering::Relaxed),
        gp.readgstatus(),
        gp.waitreason().text()
    )?;
    match gp.m.load(Ordering::Relaxed) {
        Some(m) => write!(out, "m={}", m.id())?,
        None => out.write_str("m=nil")?,
    }
    match gp.lockedm.load(Ordering::Relaxed) {
        Some(m) => writeln!(out, " lockedm={}", m.id()),
        None => writeln!(out, " lockedm=nil"),
    }
}
