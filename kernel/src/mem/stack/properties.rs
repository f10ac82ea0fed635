//! Properties of goroutine stacks: against a map of the living ones, with the pages that each must
//! have.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;

use proptest::prelude::*;

use super::{FRAME_SIZE, GUARD_SIZE, GrowResult, Reclaim, SLOT_SIZE, Stack, Stacks, order_of};
use crate::arch;
use crate::base::properties::properties;
use crate::mem::STACKS;
use crate::mem::fixture;
use crate::mem::frames::Urgency;
use crate::mem::space::PageTables;

#[derive(Clone, Copy, Debug)]
enum Op {
    Alloc {
        size: usize,
    },
    /// One of the living, of which the `which`th modulo their number.
    Free {
        which: usize,
    },
    /// A fault so many pages below the top; beyond the stack for some.
    Touch {
        which: usize,
        page: usize,
    },
    Shrink {
        which: usize,
        keep: usize,
    },
    Reclaim(Reclaim),
    /// Takes the last frames, or gives them back.
    Starve(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<usize>;
    let reclaim = prop_oneof![Just(Reclaim::Grown), Just(Reclaim::All)];
    prop_oneof![
        4 => (1..3 * SLOT_SIZE).prop_map(|size| Op::Alloc { size }),
        3 => which().prop_map(|which| Op::Free { which }),
        6 => (which(), 0..70_usize).prop_map(|(which, page)| Op::Touch { which, page }),
        2 => (which(), 0..70_usize).prop_map(|(which, keep)| Op::Shrink { which, keep }),
        1 => reclaim.prop_map(Op::Reclaim),
        1 => any::<bool>().prop_map(Op::Starve),
    ]
}

/// A living stack: its pages that are mapped, by number below the top. At birth it may have more
/// than its first, as its last goroutine left it.
struct Living {
    stack: Stack,
    pages: BTreeSet<usize>,
}

/// Bytes for the side table.
const TABLE: usize = 1 << 20;

/// The pages that are mapped, by number below the top.
fn pages_of(tables: &PageTables, stack: Stack) -> BTreeSet<usize> {
    let pages = (stack.hi - stack.lo) / FRAME_SIZE;
    let at = |page: &usize| tables.translate(stack.hi - page * FRAME_SIZE).is_some();
    (1..=pages).filter(at).collect()
}

/// Neither it nor its guard lies in one that lives, or in the guard of one.
fn is_apart(stack: Stack, living: &BTreeMap<usize, Living>) -> bool {
    let below = living.range(..stack.hi).next_back();
    let above = living.range(stack.lo..).next();
    below.is_none_or(|(_, below)| below.stack.hi <= stack.lo - GUARD_SIZE)
        && above.is_none_or(|(_, above)| stack.hi <= above.stack.lo - GUARD_SIZE)
}

fn assert_as_modelled(one: &Living, stacks: &Stacks, tables: &PageTables) {
    let Living { stack, pages } = one;
    assert_eq!(&pages_of(tables, *stack), pages);
    assert!(tables.translate(stack.lo - GUARD_SIZE).is_none(), "a guard");
    assert_eq!(stacks.has_grown(*stack), pages.len() > 1);
}

proptest! {
    #![proptest_config(properties(150))]

    /// Any order of births, growth, shrinking, ends, reclaiming and shortage: stacks never overlap,
    /// guards are never mapped, and a page goes only where the model says so.
    #[test]
    fn stacks_are_apart_and_keep_their_pages(ops in proptest::collection::vec(op(), 1..120)) {
        arch::become_cpu(0);
        let frames = fixture::frames(600);
        let tables = fixture::tables(frames);
        let table = fixture::reserve(TABLE) as usize;
        let stacks = Stacks::new(STACKS, table);
        let mut living: BTreeMap<usize, Living> = BTreeMap::new();
        let mut starved = alloc::vec::Vec::new();
        for op in ops {
            let one = |which: usize| living.keys().nth(which % living.len().max(1)).copied();
            match op {
                Op::Alloc { size } => {
                    let stack = stacks.alloc(&tables, order_of(size).unwrap());
                    let Some(stack) = stack else { continue };
                    prop_assert!(stack.hi - stack.lo >= size && is_apart(stack, &living));
                    let pages = pages_of(&tables, stack);
                    prop_assert!(pages.contains(&1));
                    living.insert(stack.lo, Living { stack, pages });
                }
                Op::Free { which } => {
                    let Some(lo) = one(which) else { continue };
                    stacks.free(living.remove(&lo).unwrap().stack);
                }
                Op::Touch { which, page } => {
                    let Some(lo) = one(which) else { continue };
                    let Living { stack, pages } = living.get_mut(&lo).unwrap();
                    let at = stack.hi - page * FRAME_SIZE;
                    let grown = stacks.grow(&tables, at, *stack);
                    if page == 0 || at < stack.lo - GUARD_SIZE {
                        prop_assert_eq!(grown, GrowResult::NotAStack);
                    } else if at < stack.lo {
                        prop_assert_eq!(grown, GrowResult::Guard);
                    } else if grown == GrowResult::Mapped {
                        pages.insert(page);
                    } else {
                        prop_assert_eq!(grown, GrowResult::NoMemory);
                        prop_assert!(!pages.contains(&page));
                    }
                }
                Op::Shrink { which, keep } => {
                    let Some(lo) = one(which) else { continue };
                    let Living { stack, pages } = living.get_mut(&lo).unwrap();
                    let unmapped = stacks.shrink(&tables, *stack, stack.hi - keep * FRAME_SIZE);
                    let before = pages.len();
                    pages.retain(|page| *page == 1 || *page <= keep);
                    prop_assert_eq!(unmapped.release(), before - pages.len());
                }
                Op::Reclaim(what) => {
                    let free = frames.free_count();
                    let reclaimed = stacks.reclaim(&tables, what, || ());
                    prop_assert_eq!(frames.free_count(), free + reclaimed);
                    prop_assert_eq!(stacks.reclaim(&tables, what, || ()), 0);
                }
                Op::Starve(true) => {
                    starved.extend(core::iter::from_fn(|| frames.alloc(Urgency::Dying)));
                }
                Op::Starve(false) => starved.drain(..).for_each(|pa| frames.free(pa)),
            }
            for one in living.values() {
                assert_as_modelled(one, &stacks, &tables);
            }
        }
        // What is left goes: no frame is lost but those of the tables.
        living.into_values().for_each(|one| stacks.free(one.stack));
        stacks.reclaim(&tables, Reclaim::All, || ());
        let table = (table..table + TABLE).step_by(FRAME_SIZE);
        let table = table.filter(|page| tables.translate(*page).is_some());
        prop_assert_eq!(stacks.mapped_frames.load(super::Ordering::Relaxed), table.count());
    }
}
