//! Execution traces, which `go tool trace` opens, of what the Ms have noted (`sched::trace`).
//!
//! | module | idea |
//! | --- | --- |
//! | [`events`] | records of one M → events |
//! | [`order`] | events of all Ms → one history that can have happened |
//! | [`names`] | functions, files, reasons |
//! | [`wire`] | Go's bytes |
//! | [`stream`] | a goroutine that writes a trace while it happens |
//! | [`show`] | the last moments as text |
//!
//! A trace begins with what the rings still hold, so it can be made at any time, also by a dying
//! kernel: of what happened just before. Reading the rings stops nobody.

pub mod events;
pub mod names;
pub mod order;
pub mod show;
pub mod stream;
pub mod wire;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::sched::SCHED;
use crate::sched::fatal;
use crate::sched::g::Status;
use crate::sched::m::M;
use names::{Living, Names};
use order::{Now, Order};

/// Goroutines that did nothing within the trace and are told of all the same.
const MAX_BYSTANDERS: usize = 10_000;

/// Ticks of the trace's clock in a second.
fn hz() -> u64 {
    arch::ns_to_cputicks(1_000_000_000)
}

/// A whole trace of what the rings hold (Go: `trace.FlightRecorder.WriteTo`). Takes some
/// milliseconds, and memory of some times the rings' size.
pub fn snapshot() -> Vec<u8> {
    snapshot_of_last(u64::MAX)
}

/// [`snapshot`] of so many records of each M at the most.
fn snapshot_of_last(records_each: u64) -> Vec<u8> {
    let mut order = Order::new(hz());
    for m in SCHED.allm() {
        let mut records = Vec::new();
        let from = m.trace.ring.written().saturating_sub(records_each);
        m.trace.ring.read(from, &mut records);
        order.add(m.id(), events::decode(&records), now(m));
    }
    let living = living();
    let mut names = Names::new(living.clone());
    order.run(u64::MAX, &mut names);
    for (g, living) in living.iter().take(MAX_BYSTANDERS) {
        let stack = names.living(order.writer(), *g);
        order.bystander(arch::cputicks(), *g, living.waits, stack);
    }
    order.take()
}

/// What the M does now.
fn now(m: &M) -> Now {
    Now {
        p: m.p.load(Ordering::Relaxed).map(|p| p.index()),
        g: m.curg().map(|gp| gp.goid.load(Ordering::Relaxed)),
    }
}

/// Most frames of a goroutine that waits.
const MAX_FRAMES: usize = 32;

/// The goroutines that live and do not run.
fn living() -> BTreeMap<u64, Living> {
    let mut all = BTreeMap::new();
    // Nobody runs who could change anything, and a frozen CPU may hold a scan bit.
    let frozen = fatal::is_dying();
    SCHED.for_each_g(|gp| {
        let status = gp.status();
        if !matches!(status, Status::Waiting | Status::Runnable) {
            return;
        }
        let mut pcs = [0; MAX_FRAMES];
        // Nobody may be kept waiting by this goroutine being preempted while it holds the scan bit.
        arch::switch::preempt_off();
        let held = frozen || gp.try_claim(status);
        let g = gp.goid.load(Ordering::Relaxed);
        let gopc = gp.gopc.load(Ordering::Relaxed) as u64;
        if held {
            let calls = crate::observe::dump::calls_of_parked(gp);
            calls
                .zip(&mut pcs)
                .for_each(|(call, pc)| *pc = call.pc as u64);
            if !frozen {
                gp.unclaim();
            }
        }
        arch::switch::preempt_on();
        if held {
            let pcs = pcs.into_iter().take_while(|pc| *pc != 0).collect();
            let waits = status == Status::Waiting;
            all.insert(g, Living { pcs, gopc, waits });
        }
    });
    all
}
