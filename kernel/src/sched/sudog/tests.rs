//! Host tests of the wait queue.

use alloc::boxed::Box;
use core::ptr;

use super::{Sudog, WaitQueue};
use crate::sched::g::G;

fn goroutines<const N: usize>() -> [&'static G; N] {
    [(); N].map(|()| &*Box::leak(Box::new(G::new())))
}

fn first_is(queue: &mut WaitQueue, want: Option<&Sudog>) -> bool {
    queue.dequeue().map(ptr::from_ref) == want.map(ptr::from_ref)
}

#[test]
fn first_in_first_out_and_any_may_leave() {
    let mut queue = WaitQueue::new();
    let sudogs = goroutines::<5>().map(|g| Sudog::new(g, ptr::null_mut()));
    for sudog in &sudogs {
        // SAFETY: the sudogs stay in place until the queue is empty.
        unsafe { queue.enqueue(sudog) };
    }
    assert!(queue.remove(&sudogs[2]) && !queue.remove(&sudogs[2]));
    assert!(first_is(&mut queue, Some(&sudogs[0])));
    assert!(!queue.remove(&sudogs[0]));
    assert!(queue.remove(&sudogs[4]));
    // SAFETY: as above.
    unsafe { queue.enqueue(&sudogs[0]) };
    for i in [1, 3, 0] {
        assert!(!queue.is_empty() && first_is(&mut queue, Some(&sudogs[i])));
    }
    assert!(queue.is_empty() && first_is(&mut queue, None));
}

#[test]
fn whose_wait_was_ended_is_passed_over() {
    let mut queue = WaitQueue::new();
    let [late, waiting] = goroutines();
    let old = late.wait.begin();
    assert!(late.wait.win(old));
    let ticket = waiting.wait.begin();
    let sudogs = [
        Sudog::new(late, ptr::null_mut()),
        Sudog::new(waiting, ptr::null_mut()),
    ];
    for (sudog, ticket) in sudogs.iter().zip([old, ticket]) {
        sudog.ticket.set(Some(ticket));
        // SAFETY: the sudogs stay in place until the queue is empty.
        unsafe { queue.enqueue(sudog) };
    }
    assert!(first_is(&mut queue, Some(&sudogs[1])));
    assert!(queue.is_empty() && !queue.remove(&sudogs[0]));
    assert!(!waiting.wait.win(ticket));
    assert_ne!(late.wait.begin(), old);
}

#[test]
fn who_goes_to_the_front_is_next() {
    let mut queue = WaitQueue::new();
    let sudogs = goroutines::<3>().map(|g| Sudog::new(g, ptr::null_mut()));
    // SAFETY: the sudogs stay in place until the queue is empty.
    unsafe {
        queue.enqueue_front(&sudogs[1]);
        queue.enqueue(&sudogs[2]);
        queue.enqueue_front(&sudogs[0]);
    }
    for sudog in &sudogs {
        assert!(first_is(&mut queue, Some(sudog)));
    }
    assert!(first_is(&mut queue, None));
}
