//! Models of the agenda.

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Notify};
use loom::thread;

use super::{Agenda, Item};
use crate::model;
use crate::primitive::{Ordering, fence};
use crate::sched::note::Note;

/// Two items come while a third is taken: none is lost, and one of two who take an item has it.
#[test]
fn no_item_is_lost_on_another() {
    model(3, || {
        let agenda = Arc::new(Agenda::new());
        agenda.add(Item::Urgent);
        let adders = [Item::Sysmon, Item::Input].map(|item| {
            let agenda = Arc::clone(&agenda);
            thread::spawn(move || {
                agenda.add(item);
                agenda.take(Item::Urgent)
            })
        });
        let mine = agenda.take(Item::Urgent);
        let others = adders.map(|adder| adder.join().unwrap());
        let taken = others.into_iter().chain([mine]).filter(|taken| *taken);
        assert_eq!(taken.count(), 1);
        assert!(agenda.has(Item::Sysmon) && agenda.has(Item::Input));
        assert!(agenda.take(Item::Sysmon) && agenda.take(Item::Input));
        assert!(agenda.is_empty());
    });
}

/// Who takes an item sees what was done before it was added.
#[test]
fn an_item_comes_with_what_was_done_before() {
    struct Shared {
        agenda: Agenda,
        work: UnsafeCell<u32>,
    }
    // SAFETY: the cell's owner is who takes the item off: that no two do is what the model checks.
    unsafe impl Sync for Shared {}
    // SAFETY: as above, by its owner.
    unsafe impl Send for Shared {}
    model(3, || {
        let shared = Arc::new(Shared {
            agenda: Agenda::new(),
            work: UnsafeCell::new(0),
        });
        let adder = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // SAFETY: watched by loom.
                shared.work.with_mut(|work| unsafe { *work = 1 });
                shared.agenda.add(Item::Input);
            })
        };
        if shared.agenda.has(Item::Input) && shared.agenda.take(Item::Input) {
            // SAFETY: watched by loom.
            shared.work.with(|work| assert_eq!(unsafe { *work }, 1));
        }
        adder.join().unwrap();
    });
}

/// Input against an M that halts, with the steps of `attention::ask_for_dump` and of
/// `idle::sleep_without_p`. A lost wake-up is a deadlock.
#[test]
fn an_item_against_an_m_that_halts() {
    struct Cpu {
        agenda: Agenda,
        note: Note,
        interrupt: Notify,
    }
    model(3, || {
        let cpu = Arc::new(Cpu {
            agenda: Agenda::new(),
            note: Note::new(),
            interrupt: Notify::new(),
        });
        let asker = {
            let cpu = Arc::clone(&cpu);
            thread::spawn(move || {
                cpu.agenda.add(Item::Input);
                fence(Ordering::SeqCst);
                if cpu.note.is_halted() && cpu.note.poke() {
                    cpu.interrupt.notify();
                }
            })
        };
        while !cpu.agenda.has(Item::Input) {
            if cpu.note.prepare(|| cpu.agenda.has(Item::Input)) {
                cpu.interrupt.wait();
                cpu.note.awake();
            }
        }
        asker.join().unwrap();
    });
}
