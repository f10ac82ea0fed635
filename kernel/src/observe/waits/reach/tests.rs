//! Random memories against the definition, written down as slowly as possible.

use super::{Memory, Node, Wait, live};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// Who points to whom.
#[derive(Default)]
struct Model {
    edges: BTreeMap<Node, Vec<Node>>,
    marked: BTreeSet<Node>,
}

impl Memory for Model {
    fn mark(&mut self, node: Node) -> bool {
        self.marked.insert(node)
    }

    fn targets(&mut self, node: Node, each: &mut dyn FnMut(Node)) {
        for &target in self.edges.get(&node).into_iter().flatten() {
            each(target);
        }
    }
}

fn blocked(objects: &[Node], holders: &[u32]) -> Wait {
    Wait::Blocked {
        objects: objects.to_vec(),
        holders: holders.to_vec(),
    }
}

/// All that is reached from `from`.
fn closure(edges: &BTreeMap<Node, Vec<Node>>, from: BTreeSet<Node>) -> BTreeSet<Node> {
    let mut reached = from;
    loop {
        let more: Vec<Node> = reached
            .iter()
            .flat_map(|node| edges.get(node).into_iter().flatten().copied())
            .filter(|node| !reached.contains(node))
            .collect();
        if more.is_empty() {
            return reached;
        }
        reached.extend(more);
    }
}

/// The definition, from the other side: a set of blocked goroutines is dead if nothing that they
/// wait for is reached without them, and no holder is outside. The union of dead sets is dead, so
/// there is a greatest one; with few goroutines all sets can be tried.
fn live_by_definition(waits: &[Wait], roots: &[Node], model: &Model) -> Vec<bool> {
    let n = waits.len();
    let mut dead = 0usize;
    for set in 0..1usize << n {
        let inside = |i: usize| set & 1 << i != 0;
        let mut from: BTreeSet<Node> = roots.iter().copied().collect();
        from.insert(Node::Static);
        from.extend(
            (0..n)
                .filter(|&i| !inside(i))
                .map(|i| Node::Stack(i as u32)),
        );
        let reached = closure(&model.edges, from);
        let is_dead = |i: usize| match &waits[i] {
            Wait::Live => false,
            Wait::Blocked { objects, holders } => {
                objects.iter().all(|node| !reached.contains(node))
                    && holders.iter().all(|&holder| inside(holder as usize))
            }
        };
        if (0..n).filter(|&i| inside(i)).all(is_dead) {
            dead |= set;
        }
    }
    (0..n).map(|i| dead & 1 << i == 0).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % n
    }

    fn node(&mut self, n: u64, blocks: u64) -> Node {
        match self.below(12) {
            0 => Node::Stack(self.below(n) as u32),
            1 => Node::Record(self.below(n) as u32),
            2 if self.below(4) == 0 => Node::Static,
            _ => Node::Block(self.below(blocks)),
        }
    }
}

/// A goroutine that is called dead and is not, or the other way round, in any small memory.
#[test]
fn the_search_finds_the_greatest_dead_set() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let (mut dead, mut alive) = (0, 0);
    for _ in 0..4000 {
        let n = 1 + random.below(6);
        let blocks = 1 + random.below(8);
        let mut model = Model::default();
        for _ in 0..random.below(3 * (n + blocks)) {
            let from = random.node(n, blocks);
            let to = random.node(n, blocks);
            if from != Node::Static || random.below(3) == 0 {
                model.edges.entry(from).or_default().push(to);
            }
        }
        let waits: Vec<Wait> = (0..n)
            .map(|_| match random.below(6) {
                0 => Wait::Live,
                1 => blocked(&[], &[random.below(n) as u32]),
                2 => blocked(&[], &[]),
                3 => blocked(&[random.node(n, blocks), random.node(n, blocks)], &[]),
                _ => blocked(&[random.node(n, blocks)], &[]),
            })
            .collect();
        let roots: Vec<Node> = (0..random.below(2))
            .map(|_| random.node(n, blocks))
            .collect();
        let expected = live_by_definition(&waits, &roots, &model);
        let edges = model.edges.clone();
        assert_eq!(
            live(&waits, &roots, &mut model),
            expected,
            "{waits:?} {roots:?} {edges:?}"
        );
        dead += expected.iter().filter(|live| !**live).count();
        alive += expected.iter().filter(|live| **live).count();
    }
    assert!(dead > 2000 && alive > 2000, "{dead} dead, {alive} alive");
}

/// Two goroutines that hold what the other waits for, beside one that runs and reaches neither.
#[test]
fn a_cycle_beside_others_is_dead_until_somebody_reaches_into_it() {
    let waits = [
        blocked(&[Node::Block(1)], &[]),
        blocked(&[Node::Block(2)], &[]),
        Wait::Live,
    ];
    let edges = BTreeMap::from([
        (Node::Stack(0), vec![Node::Block(2)]),
        (Node::Stack(1), vec![Node::Block(1)]),
        (Node::Stack(2), vec![Node::Block(3)]),
    ]);
    let model = || Model {
        edges: edges.clone(),
        marked: BTreeSet::new(),
    };
    assert_eq!(live(&waits, &[], &mut model()), [false, false, true]);
    let mut reached = model();
    reached.edges.insert(Node::Block(3), vec![Node::Block(2)]);
    assert_eq!(live(&waits, &[], &mut reached), [true; 3]);
    assert_eq!(live(&waits, &[Node::Block(1)], &mut model()), [true; 3]);
}

/// A chain in which each goroutine wakes the next costs a step each, not a pass over all.
#[test]
fn long_chains_are_quick() {
    let n = 50_000u32;
    let waits: Vec<Wait> = (0..n)
        .map(|i| match i {
            0 => Wait::Live,
            _ if i % 2 == 0 => blocked(&[], &[i - 1]),
            _ => blocked(&[Node::Block(u64::from(i))], &[]),
        })
        .collect();
    let mut model = Model::default();
    for i in 0..n - 1 {
        model
            .edges
            .insert(Node::Stack(i), vec![Node::Block(u64::from(i) + 1)]);
    }
    assert!(live(&waits, &[], &mut model).iter().all(|live| *live));
}
