//! Goroutines that wait for each other: which belong together, and the cycle among them.
//!
//! An edge leads from a goroutine to one that it waits for. A *precise* edge is known (to the
//! holder of a lock); any other is a hint (the other one is near to the channel), and one of
//! several that could end the wait. So what goes in a circle along edges belongs together (a
//! strongly connected component, by Tarjan's algorithm); and who is in no circle belongs to those
//! it waits for if they are all of one group, or is by itself: one hint among several must not
//! tie two deadlocks together that have nothing to do with each other.
//!
//! Pure: numbers in, numbers out.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

/// Goroutines that are tied together by whom they wait for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Group {
    /// Each waits for the next, and the last for the first. Empty: there is no cycle.
    pub(super) cycle: Vec<usize>,
    /// The others, in order.
    pub(super) others: Vec<usize>,
}

/// For whom one waits.
#[derive(Clone, Debug)]
pub(super) enum Edges {
    /// For this one alone.
    Precise(usize),
    /// For any of these.
    Hints(Vec<usize>),
}

impl Edges {
    fn all(&self) -> &[usize] {
        match self {
            Self::Precise(to) => core::slice::from_ref(to),
            Self::Hints(to) => to,
        }
    }
}

/// Splits `0..edges.len()` into groups.
pub(super) fn groups(edges: &[Edges]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = vec![usize::MAX; edges.len()];
    // A component comes after all that its edges lead to.
    for component in components(edges) {
        let cycle = cycle(edges, &component);
        let mut targets = edges[component[0]].all().iter().map(|&to| group_of[to]);
        let into = match targets.next() {
            // In no circle, so all that it waits for has its group.
            Some(first) if cycle.is_empty() && targets.all(|group| group == first) => first,
            _ => {
                groups.push(Group::default());
                groups.len() - 1
            }
        };
        for &i in &component {
            group_of[i] = into;
        }
        let others = component.iter().filter(|i| !cycle.contains(i));
        groups[into].others.extend(others);
        if !cycle.is_empty() {
            groups[into].cycle = cycle;
        }
    }
    for group in &mut groups {
        group.others.sort_unstable();
    }
    groups.sort_unstable_by_key(|group| {
        let all = group.cycle.iter().chain(&group.others);
        all.copied().min()
    });
    groups
}

/// The strongly connected components, each in order; one comes after those that it leads to.
fn components(edges: &[Edges]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let n = edges.len();
    // When each was first met, and the earliest that is on the stack and reached from it.
    let (mut met, mut lowest) = (vec![NEW; n], vec![NEW; n]);
    let mut on_stack = vec![false; n];
    let (mut stack, mut count) = (Vec::new(), 0);
    let mut components = Vec::new();
    for root in 0..n {
        if met[root] != NEW {
            continue;
        }
        // The way from the root, with how many edges of each were followed.
        let mut path = vec![(root, 0)];
        while let Some((at, followed)) = path.last_mut() {
            let at = *at;
            if *followed == 0 && met[at] == NEW {
                (met[at], lowest[at]) = (count, count);
                count += 1;
                stack.push(at);
                on_stack[at] = true;
            }
            if let Some(&to) = edges[at].all().get(*followed) {
                *followed += 1;
                if met[to] == NEW {
                    path.push((to, 0));
                } else if on_stack[to] {
                    lowest[at] = lowest[at].min(met[to]);
                }
                continue;
            }
            path.pop();
            if let Some(&(before, _)) = path.last() {
                lowest[before] = lowest[before].min(lowest[at]);
            }
            if lowest[at] == met[at] {
                let from = stack.iter().rposition(|&i| i == at).unwrap_or(0);
                let mut component = stack.split_off(from);
                component.iter().for_each(|&i| on_stack[i] = false);
                component.sort_unstable();
                components.push(component);
            }
        }
    }
    components
}

/// A shortest cycle within a component: one of precise edges if there is one. Empty if there is no
/// cycle.
fn cycle(edges: &[Edges], component: &[usize]) -> Vec<usize> {
    let is_precise = |i: usize| matches!(edges[i], Edges::Precise(_));
    let precise: Vec<usize> = component
        .iter()
        .copied()
        .filter(|&i| is_precise(i))
        .collect();
    let shortest = |among: &[usize]| {
        // Each search costs as much as the component has edges, so few begin one.
        let cycles = among.iter().take(MAX_SEARCHES);
        cycles
            .filter_map(|&i| cycle_through(edges, among, i))
            .min_by_key(Vec::len)
    };
    let found = precise_cycle(edges, &precise).or_else(|| shortest(component));
    found.unwrap_or_default()
}

/// From how many members on a shortest cycle is looked for.
const MAX_SEARCHES: usize = 16;

/// The cycle of precise edges; each has one, so following them from anywhere ends in it.
fn precise_cycle(edges: &[Edges], precise: &[usize]) -> Option<Vec<usize>> {
    let mut seen = vec![0usize; precise.len()];
    for from in 0..precise.len() {
        let mut at = from;
        // Marks its own way: who meets an earlier one's mark ends where that one did.
        while seen[at] == 0 {
            seen[at] = from + 1;
            let Edges::Precise(to) = edges[precise[at]] else {
                break;
            };
            let Ok(next) = precise.binary_search(&to) else {
                break;
            };
            if seen[next] == from + 1 {
                let mut cycle = vec![precise[next]];
                let mut i = to;
                while let Edges::Precise(to) = edges[i]
                    && to != precise[next]
                {
                    cycle.push(to);
                    i = to;
                }
                return Some(cycle);
            }
            at = next;
        }
    }
    None
}

/// A shortest cycle through one member.
fn cycle_through(edges: &[Edges], among: &[usize], start: usize) -> Option<Vec<usize>> {
    let index = |i: usize| among.binary_search(&i).ok();
    // From where each was reached.
    let mut from = vec![None; among.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &to in edges[at].all() {
            if to == start {
                let mut cycle = vec![at];
                let mut i = at;
                while i != start {
                    i = index(i).and_then(|i| from[i])?;
                    cycle.push(i);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if let Some(i) = index(to)
                && from[i].is_none()
            {
                from[i] = Some(at);
                queue.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a list of pairs; who has one edge only has a precise one if `precise`.
    fn edges(n: usize, pairs: &[(usize, usize)], precise: bool) -> Vec<Edges> {
        let to = |i| pairs.iter().filter(move |(from, _)| *from == i);
        (0..n)
            .map(|i| match to(i).collect::<Vec<_>>().as_slice() {
                [(_, to)] if precise => Edges::Precise(*to),
                several => Edges::Hints(several.iter().map(|(_, to)| *to).collect()),
            })
            .collect()
    }

    fn group(cycle: &[usize], others: &[usize]) -> Group {
        Group {
            cycle: cycle.to_vec(),
            others: others.to_vec(),
        }
    }

    /// A cycle that is not found, or goroutines that only wait for it taken for members.
    #[test]
    fn cycles_and_those_who_wait_for_them() {
        for precise in [false, true] {
            let pairs = [(0, 1), (1, 2), (2, 1), (3, 2), (5, 5)];
            assert_eq!(
                groups(&edges(7, &pairs, precise)),
                [
                    group(&[1, 2], &[0, 3]),
                    group(&[], &[4]),
                    group(&[5], &[]),
                    group(&[], &[6])
                ]
            );
        }
    }

    /// Two deadlocks that one hint of several ties together.
    #[test]
    fn one_hint_of_several_joins_nothing() {
        let pairs = [(0, 1), (1, 0), (2, 3), (3, 2), (4, 0), (4, 2), (5, 4)];
        let found = groups(&edges(6, &pairs, true));
        assert_eq!(
            found,
            [
                group(&[0, 1], &[]),
                group(&[2, 3], &[]),
                group(&[], &[4, 5])
            ]
        );
    }

    /// A circle of hints shown where there is one of holders.
    #[test]
    fn a_cycle_of_holders_comes_first() {
        let pairs = [(0, 0), (0, 1), (1, 2), (2, 3), (3, 1), (2, 0)];
        let mut edges = edges(4, &pairs, true);
        edges[2] = Edges::Precise(3);
        edges[0] = Edges::Hints(vec![0, 1]);
        let mut with_a_hint_back = edges.clone();
        with_a_hint_back[3] = Edges::Precise(1);
        assert_eq!(
            groups(&with_a_hint_back),
            [group(&[0], &[]), group(&[1, 2, 3], &[])]
        );
    }

    /// Every cycle goes along edges and comes back, whatever the graph; each is in one group; and a
    /// group without a cycle has none.
    #[test]
    fn random_graphs() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |n: usize| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 11) as usize % n
        };
        for _ in 0..4000 {
            let n = 1 + random(9);
            let pairs: Vec<_> = (0..random(14)).map(|_| (random(n), random(n))).collect();
            let edges = edges(n, &pairs, random(2) == 0);
            let found = groups(&edges);
            let mut all: Vec<usize> = found
                .iter()
                .flat_map(|g| g.cycle.iter().chain(&g.others).copied())
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            for group in &found {
                let next = group.cycle.iter().cycle().skip(1);
                for (from, to) in group.cycle.iter().zip(next) {
                    assert!(edges[*from].all().contains(to), "{edges:?} {found:?}");
                }
                if group.cycle.is_empty() {
                    assert!(!has_cycle(&edges, &group.others), "{edges:?} {found:?}");
                }
            }
        }
    }

    /// Takes away who waits for nobody that is left, until nothing changes.
    fn has_cycle(edges: &[Edges], of: &[usize]) -> bool {
        let mut left = of.to_vec();
        loop {
            let before = left.len();
            let now = left.clone();
            left.retain(|&i| edges[i].all().iter().any(|to| now.contains(to)));
            if left.len() == before {
                return !left.is_empty();
            }
        }
    }
}
