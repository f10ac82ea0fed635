//! Making goroutines, and their end.
//!
//! A G lives at the top of its stack's first frame, and its closure right below: in the steady
//! state a spawn takes a dead G from the P's own list, writes the closure, and puts the G into
//! `runnext`. It allocates nothing, and takes no lock.
//!
//! ```text
//!   top of the slot ─▶ ┌──────────────────┐
//!                      │ G                │
//!          stack.hi ─▶ ├──────────────────┤ 64-aligned
//!                      │ closure          │ ◀── sched.ctxt
//!                      │ goexit + 1       │ ◀── sched.sp
//!                      └──────────────────┘
//! ```
//!
//! Gs are never freed: a dead one waits on a list with its stack, so a stale `&'static G` always
//! names a G.

use alloc::alloc::Layout;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch::{self, GHead, Stack, preempt_off, preempt_on};
use crate::mem::stack;
use crate::sched::g::{G, Status, getg};
use crate::sched::m::getm;
use crate::sched::p::{GOID_BATCH, P};
use crate::sched::trace::{self, Stop};
use crate::sched::{SCHED, defer, fatal, idle, labels, lockedm, model, park, schedule};

/// Closures up to this size are written to the new stack; larger ones are boxed.
const CLOSURE_MAX: usize = 1024;
const CLOSURE_ALIGN_MAX: usize = 64;

/// What a new goroutine is given besides its closure.
#[derive(Default)]
pub struct Attributes {
    /// Shown in dumps.
    pub name: Option<Arc<str>>,
    /// Bytes of stack, if not the default.
    pub stack_size: Option<usize>,
    /// Of the runtime's own.
    pub system: bool,
    /// The job that it begins; if none, it is of its creator's.
    pub job: Option<u32>,
    /// Called when it panics, instead of ending the image.
    pub panic_hook: Option<fatal::PanicHook>,
    /// Return address of the `go` statement.
    pub gopc: usize,
}

/// A new goroutine. By the time somebody reads this, the G may have another number.
#[derive(Clone, Copy)]
pub struct Created {
    /// Where it lives.
    pub gp: &'static G,
    /// Its number.
    pub goid: u64,
}

/// There is no memory for a goroutine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Starts a goroutine (Go: `newproc`). It runs next on this P.
///
/// # Errors
/// No memory for it; `f` is dropped without having run.
pub fn newproc<F>(f: F, attributes: Attributes) -> Result<Created, OutOfMemory>
where
    F: FnOnce() + Send + 'static,
{
    // SAFETY: it borrows nothing that ends.
    unsafe { newproc_unchecked(f, attributes) }
}

/// [`newproc`] with a closure that borrows.
///
/// # Errors
/// As for [`newproc`].
///
/// # Safety
/// What `f` borrows outlives the goroutine.
pub unsafe fn newproc_unchecked<F>(f: F, attributes: Attributes) -> Result<Created, OutOfMemory>
where
    F: FnOnce() + Send,
{
    let publish = |created: Created| {
        created.gp.casgstatus(Status::Dead, Status::Runnable);
        let p = current_p();
        model::runqput(p, created.gp, true);
        if SCHED.started.load(Ordering::Relaxed) {
            idle::wakep();
        }
    };
    // SAFETY: the caller's promise.
    unsafe { create(f, attributes, publish) }
}

/// Makes a goroutine, and has `publish` take it out of status dead, with preemption off.
///
/// # Errors
/// As for [`newproc`].
///
/// # Safety
/// As for [`newproc_unchecked`].
pub(super) unsafe fn create<F>(
    f: F,
    attributes: Attributes,
    publish: impl FnOnce(Created),
) -> Result<Created, OutOfMemory>
where
    F: FnOnce() + Send,
{
    if size_of::<F>() <= CLOSURE_MAX && align_of::<F>() <= CLOSURE_ALIGN_MAX {
        write(f, attributes, publish)
    } else {
        let f: Box<dyn FnOnce() + Send + '_> = try_box(f).ok_or(OutOfMemory)?;
        write(f, attributes, publish)
    }
}

/// A box that says so when there is no memory.
fn try_box<F>(f: F) -> Option<Box<F>> {
    let layout = Layout::new::<F>();
    debug_assert!(layout.size() > 0, "only large closures are boxed");
    // SAFETY: the size is not 0.
    let place = unsafe { alloc::alloc::alloc(layout) }.cast::<F>();
    if place.is_null() {
        return None;
    }
    // SAFETY: fresh memory with the layout of F, from the allocator that boxes use.
    unsafe {
        place.write(f);
        Some(Box::from_raw(place))
    }
}

fn write<F>(
    f: F,
    attributes: Attributes,
    publish: impl FnOnce(Created),
) -> Result<Created, OutOfMemory>
where
    F: FnOnce() + Send,
{
    let size = attributes.stack_size.unwrap_or(stack::DEFAULT_SIZE);
    preempt_off();
    let p = current_p();
    let Some(gp) = p.gfree.get(size).or_else(|| malg(size)) else {
        preempt_on();
        return Err(OutOfMemory);
    };
    write_first_frame(gp, f);
    let goid = next_goid(p);
    gp.goid.store(goid, Ordering::Relaxed);
    let parent = getg();
    gp.parent_goid
        .store(parent.goid.load(Ordering::Relaxed), Ordering::Relaxed);
    gp.gopc.store(attributes.gopc, Ordering::Relaxed);
    let job = attributes
        .job
        .unwrap_or_else(|| parent.job.load(Ordering::Relaxed));
    gp.job.store(job, Ordering::Relaxed);
    gp.startpc
        .store(entry::<F> as *const () as usize, Ordering::Relaxed);
    if attributes.name.is_some() | labels::are_there(parent) {
        set_marks(gp, parent, attributes.name);
    }
    gp.panic_hook.store(
        attributes.panic_hook.map_or(0, |f| f as usize),
        Ordering::Relaxed,
    );
    if attributes.system {
        gp.system.store(true, Ordering::Relaxed);
        SCHED.ngsys.fetch_add(1, Ordering::Relaxed);
    }
    p.stats.created.add(1);
    trace::create(gp, core::any::type_name::<F>(), attributes.gopc);
    let created = Created { gp, goid };
    publish(created);
    preempt_on();
    Ok(created)
}

/// The P of the goroutine that creates one. Preemption is off.
#[inline(always)] // as all of this path: inlined later, each keeps a safe point
fn current_p() -> &'static P {
    getm()
        .p
        .load(Ordering::Relaxed)
        .expect("a goroutine is started by an M with a P")
}

/// Puts the closure on the new stack, and below it what the first switch there finds.
fn write_first_frame<F: FnOnce() + Send>(gp: &'static G, f: F) {
    let hi = gp.head.stack.get().hi;
    let closure = (hi - size_of::<F>()) & !(align_of::<F>().max(16) - 1);
    let sp = closure - 8;
    // SAFETY: both lie in the first frame of a stack that is ours alone, below the G.
    unsafe {
        (closure as *mut F).write(f);
        (sp as *mut usize).write(switch::goexit as *const () as usize + 1);
    }
    let buf = gp.gobuf();
    buf.sp.set(sp);
    buf.bp.set(0);
    buf.pc.set(switch::gostart as *const () as usize);
    buf.ret.set(entry::<F> as *const () as usize);
    buf.ctxt.set(closure);
}

/// First function of a goroutine; returns into `goexit`.
extern "C" fn entry<F: FnOnce() + Send>(closure: *mut F) {
    // SAFETY: `write_first_frame` put it there, for this one call.
    let f = unsafe { closure.read() };
    f();
}

#[inline(always)]
fn next_goid(p: &'static P) -> u64 {
    let mut next = p.goid_next.load(Ordering::Relaxed);
    if next == p.goid_end.load(Ordering::Relaxed) {
        next = SCHED.goidgen.fetch_add(GOID_BATCH, Ordering::Relaxed);
        p.goid_end.store(next + GOID_BATCH, Ordering::Relaxed);
    }
    p.goid_next.store(next + 1, Ordering::Relaxed);
    next
}

/// Makes a G with a stack, dead (Go: `malg`).
#[cold]
fn malg(size: usize) -> Option<&'static G> {
    let slot = stack::alloc(size)?;
    let place = (slot.hi - size_of::<G>()) & !63;
    // SAFETY: the first frame of a stack that is ours alone; G fits in it, and is never freed.
    let gp: &'static G = unsafe {
        let place = place as *mut G;
        place.write(G::new());
        &*place
    };
    gp.head.stack.set(Stack {
        lo: slot.lo,
        hi: place,
    });
    gp.gobuf().g.set(gp.as_head());
    gp.casgstatus(Status::Idle, Status::Dead);
    // The list of all Gs only grows: a push by compare-and-swap; release publishes the G.
    let mut head = SCHED.allgs.load(Ordering::Relaxed);
    loop {
        gp.alllink.store(head, Ordering::Relaxed);
        match SCHED
            .allgs
            .compare_exchange(head, Some(gp), Ordering::Release, Ordering::Relaxed)
        {
            Ok(()) => return Some(gp),
            Err(now) => head = now,
        }
    }
}

/// Ends the running goroutine (Go: `goexit1`). Its stack's frames are not unwound: there is no
/// unwinding in this kernel, so what they own is not dropped. What was deferred is run.
pub fn goexit() -> ! {
    defer::run_all();
    // SAFETY: goexit0 puts the G on a free list.
    unsafe { switch::mcall(goexit0) };
    unreachable!("a dead goroutine is never continued")
}

#[unsafe(no_mangle)]
extern "Rust" fn gosched_goexit1() -> ! {
    goexit()
}

unsafe extern "C" fn goexit0(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    gdestroy(gp);
    schedule::schedule()
}

/// What only some goroutines have, and others know them by: a name, and their parent's labels.
#[cold]
#[inline(never)]
fn set_marks(gp: &'static G, parent: &'static G, name: Option<Arc<str>>) {
    gp.set_name(name);
    labels::inherit(gp, parent);
}

#[cold]
#[inline(never)]
fn forget_marks(gp: &'static G) {
    gp.set_name(None);
    labels::clear(gp);
}

/// On g0: takes all from a goroutine that it must not take into its next life (Go: `gdestroy`), and
/// keeps it for that. Nobody may look at it afterwards.
#[inline(always)]
pub(super) fn gdestroy(gp: &'static G) {
    let p = getm()
        .p
        .load(Ordering::Relaxed)
        .expect("a goroutine ran here, so there is a P");
    gp.waitsince.store(arch::cputicks(), Ordering::Relaxed);
    trace::stop(getm(), gp, || Stop::Ended);
    gp.casgstatus(Status::Running, Status::Dead);
    if gp.lockedm.load(Ordering::Relaxed).is_some() {
        lockedm::unlock(gp);
    }
    gp.pinned.store(-1, Ordering::Relaxed);
    gp.urgent.store(false, Ordering::Relaxed);
    gp.unstoppable.store(0, Ordering::Relaxed);
    if gp.has_name() | labels::are_there(gp) {
        forget_marks(gp);
    }
    if gp.system.load(Ordering::Relaxed) {
        gp.system.store(false, Ordering::Relaxed);
        SCHED.ngsys.fetch_sub(1, Ordering::Relaxed);
    }
    gp.timer.stop();
    park::dropg(gp);
    p.stats.ended.add(1);
    p.gfree.put(gp);
}
