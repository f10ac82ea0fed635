//! All goroutines at one instant: what each waits for, and whether anybody can still end it.
//!
//! The world is stopped for it. Claiming goroutines one after the other, as `ps` does, would not
//! do: while one stack is looked at, the only pointer to a channel may move from a stack that was
//! not looked at yet to one that was, and a wait that is just going to be ended would seem
//! hopeless. Stopped, no goroutine holds a kernel lock and no timer's function runs, so every queue
//! is whole, and whoever was taken out of one but is not readied yet is known by its sudog.
//!
//! The stop lasts for the look at live memory. Under emulation, the default image measured: 20 ms
//! with the shell alone, 0.1 s with 1,000 goroutines, 2.3 s with 10,000. Names of functions are
//! looked up after it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use super::memory::{Place, World};
use super::reach::{self, Node, Wait};
use crate::arch;
use crate::arch::switch::{self, with_registers_on_stack};
use crate::observe::dump;
use crate::observe::unwind::{Bounds, Calls, Start};
use crate::sched::g::{G, Status, getg};
use crate::sched::park::WaitReason;
use crate::sched::sudog::Sudog;
use crate::sched::{SCHED, stop};
use crate::{chan, sync};

/// So many frames of each stack are kept, the innermost ones.
const FRAMES: usize = 32;

/// What ends a wait, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ender {
    /// It does not wait.
    NotWaiting,
    /// Somebody has: it is about to go on.
    Woken,
    /// The clock, at this time at the latest.
    Time(u64),
    /// Something outside: the console.
    Outside,
    /// This goroutine alone, by number; it may have ended.
    Holder(u64),
    /// Whoever reaches what it waits for.
    Reach,
}

/// One goroutine.
pub(super) struct Found {
    pub(super) goid: u64,
    pub(super) name: Option<Arc<str>>,
    pub(super) system: bool,
    pub(super) reason: WaitReason,
    pub(super) since_ns: u64,
    pub(super) ender: Ender,
    /// The objects' addresses, each with all bits turned: nobody shall take them for pointers.
    pub(super) objects: Vec<usize>,
    pub(super) wait: Wait,
    pub(super) live: bool,
    /// Who is near to an object of it: goroutines by index, without itself.
    pub(super) near: Vec<u32>,
    /// Addresses of code: innermost first.
    pub(super) pcs: Vec<u64>,
}

/// Looks at all goroutines. In the order of their numbers.
pub(super) fn take() -> Vec<Found> {
    let mut found = Vec::new();
    with_registers_on_stack(|sp| {
        found = stop::with_the_world_stopped(|| look(sp));
    });
    found
}

/// World stopped. `sp`: from there on the caller's stack counts.
fn look(sp: usize) -> Vec<Found> {
    let me = getg();
    let mut gs: Vec<&'static G> = Vec::with_capacity(SCHED.gcount() + 64);
    SCHED.for_each_g(|gp| gs.push(gp));
    gs.sort_unstable_by_key(|gp| gp.goid.load(Ordering::Relaxed));
    let goids: Vec<u64> = gs
        .iter()
        .map(|gp| gp.goid.load(Ordering::Relaxed))
        .collect();
    let used = |gp: &'static G| {
        let from = if core::ptr::eq(gp, me) {
            sp
        } else {
            gp.gobuf().sp.get()
        };
        from..gp.head.stack.get().hi
    };
    let mut sudogs = Vec::new();
    let mut found: Vec<Found> = gs
        .iter()
        .map(|gp| {
            let mut one = describe(gp, core::ptr::eq(*gp, me));
            classify(gp, &used(gp), &mut one, &mut sudogs);
            one
        })
        .collect();
    // By address, as `World` wants them; `at[i]` is the index there of the one with number i.
    let mut order: Vec<usize> = (0..gs.len()).collect();
    order.sort_unstable_by_key(|&i| used(gs[i]).start);
    let places = order
        .iter()
        .map(|&i| Place {
            gp: gs[i],
            used: used(gs[i]),
        })
        .collect();
    // SAFETY: the world is stopped; a stack is mapped from its stack pointer on.
    let mut world = unsafe { World::new(places, &sudogs, &[gs.as_ptr() as usize]) };
    judge(&mut world, &order, &goids, &mut found);
    found
}

/// What is known of the goroutine without its wait.
fn describe(gp: &'static G, is_me: bool) -> Found {
    let buf = gp.gobuf();
    let start = Start {
        pc: buf.pc.get(),
        sp: buf.sp.get(),
        bp: buf.bp.get(),
        interrupted: false,
    };
    let stop_at = [switch::goexit as *const () as usize + 1];
    let hi = gp.head.stack.get().hi;
    let lo = gp.head.stack.get().lo;
    // SAFETY: the goroutine stands still, and from its stack pointer on its stack is mapped.
    let calls = unsafe { Calls::new(start, Bounds { lo, hi }, &stop_at) };
    let pcs = match is_me {
        true => Vec::new(),
        false => calls.take(FRAMES).map(|call| call.lookup_pc()).collect(),
    };
    Found {
        goid: gp.goid.load(Ordering::Relaxed),
        // SAFETY: nobody runs who could end it.
        name: unsafe { gp.shared_name() },
        system: gp.system.load(Ordering::Relaxed),
        reason: gp.waitreason(),
        since_ns: dump::wait_ns(gp),
        ender: Ender::NotWaiting,
        objects: Vec::new(),
        wait: Wait::Live,
        live: true,
        near: Vec::new(),
        pcs,
    }
}

/// Finds out who ends the wait, and what objects it is about. Adds the sudogs to `sudogs`.
fn classify(gp: &'static G, used: &Range<usize>, one: &mut Found, sudogs: &mut Vec<usize>) {
    if gp.status() != Status::Waiting {
        return;
    }
    one.ender = match one.reason {
        WaitReason::Sleep => Ender::Time(gp.sleep_until_ns.load(Ordering::Relaxed)),
        WaitReason::IoWait | WaitReason::Semacquire => Ender::Outside,
        WaitReason::ChanReceiveNil | WaitReason::SelectNoCases => Ender::Reach,
        WaitReason::Coroutine => {
            one.objects.push(!gp.park_lock.load(Ordering::Relaxed));
            Ender::Reach
        }
        // Not a wait that is known here: nothing is said of it.
        WaitReason::Zero | WaitReason::Preempted => Ender::Outside,
        _ => queued(gp, used, one, sudogs),
    };
    if let Some(due_ns) = gp.timer.armed_until_ns() {
        one.ender = Ender::Time(due_ns);
    }
}

/// The goroutine waits in a queue.
fn queued(gp: &'static G, used: &Range<usize>, one: &mut Found, sudogs: &mut Vec<usize>) -> Ender {
    let waiting = gp.waiting.load(Ordering::Relaxed);
    let lock = gp.park_lock.load(Ordering::Relaxed);
    if waiting == 0 {
        // For the value that a lazy sender owes it (`chan::raw::await_owed`).
        // SAFETY: the address of a G; Gs are never freed.
        let sender = unsafe { &*(lock as *const G) };
        return Ender::Holder(sender.goid.load(Ordering::Relaxed));
    }
    if !used.contains(&waiting) {
        return Ender::Outside; // no sudog of this wait: nothing is said of it
    }
    if one.reason == WaitReason::Select {
        let mut woken = false;
        // SAFETY: it waits in a select, and cannot go on.
        unsafe {
            chan::parked_cases(lock, &mut |key, sudog| {
                woken |= sudog.taken.get();
                one.objects.push(!key);
                sudogs.push(core::ptr::from_ref(sudog) as usize);
            });
        }
        return if woken { Ender::Woken } else { Ender::Reach };
    }
    // SAFETY: its sudog, which stays while it waits.
    let sudog = unsafe { &*(waiting as *const Sudog) };
    sudogs.push(waiting);
    one.objects.push(!lock);
    if sudog.taken.get() {
        return Ender::Woken;
    }
    // SAFETY: it waits there and cannot go on; nobody holds a lock while the world is stopped.
    match unsafe { sync::holder(one.reason, lock, sudog) } {
        Some(goid) => Ender::Holder(goid),
        None => Ender::Reach,
    }
}

/// Decides who is live, and who is near to what. `order[i]`: the number in `found` of the
/// goroutine with index i in `world`.
fn judge(world: &mut World, order: &[usize], goids: &[u64], found: &mut [Found]) {
    let n = order.len();
    let mut index_of = alloc::vec![0u32; n];
    for (index, &i) in (0u32..).zip(order) {
        index_of[i] = index;
    }
    let by_force = sync::unlocks_by_force();
    for one in found.iter_mut() {
        let nodes = || -> Option<Vec<Node>> {
            let mut nodes: Vec<Node> = one
                .objects
                .iter()
                .map(|at| world.node_of(!at))
                .collect::<Option<_>>()?;
            nodes.dedup();
            Some(nodes)
        };
        one.wait = match (&one.ender, nodes()) {
            // An object that is nowhere: not understood, so nothing is said.
            (Ender::Reach | Ender::Holder(_), None) => Wait::Live,
            (Ender::Reach, Some(objects)) => Wait::Blocked {
                objects,
                holders: Vec::new(),
            },
            (&Ender::Holder(goid), Some(objects)) => {
                let holder = goids.binary_search(&goid).ok().map(|i| index_of[i]);
                Wait::Blocked {
                    // Others may unlock only if the image does such things.
                    objects: if by_force { objects } else { Vec::new() },
                    holders: holder.into_iter().collect(),
                }
            }
            _ => Wait::Live,
        };
        if one.system {
            one.wait = Wait::Live;
        }
    }
    near(world, order, found);
    // The search wants the waits by index.
    let waits: Vec<Wait> = order.iter().map(|&i| found[i].wait.clone()).collect();
    // Whoever runs besides this goroutine was not stopped, and its registers are not known.
    let runs = |index: u32| world.gp(index).status() == Status::Running;
    let all_stopped = (0..n as u32).filter(|&index| runs(index)).count() <= 1;
    let timers = world.timers();
    if all_stopped {
        let live = reach::live(&waits, &timers, world);
        for (live, &i) in live.into_iter().zip(order) {
            found[i].live = live;
        }
    }
}

/// Fills in who is near to what others wait for. Whoever waits for an object as well cannot end
/// anybody's wait there, so all who wait for it have the same ones near: they are kept once for
/// each object while all stacks are looked at, which costs one search in a sorted list for each
/// find.
fn near(world: &World, order: &[usize], found: &mut [Found]) {
    // Object, and the number of who waits for it.
    let mut waited: Vec<(Node, usize)> = Vec::new();
    for (i, one) in found.iter().enumerate() {
        let nodes = one.objects.iter().filter_map(|at| world.node_of(!at));
        waited.extend(nodes.map(|node| (node, i)));
    }
    waited.sort_unstable();
    waited.dedup();
    let mut objects: Vec<Node> = waited.iter().map(|&(node, _)| node).collect();
    objects.dedup();
    let mut near: Vec<Vec<u32>> = alloc::vec![Vec::new(); objects.len()];
    let mut hits: Vec<usize> = Vec::new();
    for (index, &holder) in (0u32..).zip(order) {
        hits.clear();
        world.near(index, &mut |node| {
            if let Ok(object) = objects.binary_search(&node)
                && hits.len() < MAX_HITS
                && !hits.contains(&object)
            {
                hits.push(object);
            }
        });
        for &object in &hits {
            let node = objects[object];
            let waits_too = waited.binary_search(&(node, holder)).is_ok();
            if node != Node::Static && !waits_too && near[object].len() < MAX_NEAR {
                near[object].push(holder as u32);
            }
        }
    }
    for (node, i) in waited {
        if let Ok(object) = objects.binary_search(&node) {
            let left = MAX_NEAR.saturating_sub(found[i].near.len());
            let of_object = near[object].iter().take(left);
            found[i].near.extend(of_object);
        }
    }
    for one in found {
        one.near.sort_unstable();
        one.near.dedup();
    }
}

/// How many objects one goroutine may be found near to.
const MAX_HITS: usize = 64;
/// How many are kept who are near to what one waits for.
const MAX_NEAR: usize = 16;

/// From now until this `nanotime`, in ns.
pub(super) fn until_ns(due_ns: u64) -> u64 {
    due_ns.saturating_sub(arch::nanotime())
}
