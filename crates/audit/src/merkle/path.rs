//! The way from a tree's root down to one of its subtrees: what proofs consist of.

/// Leaves from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first leaf.
    pub start: u64,
    /// The leaf after the last.
    pub end: u64,
}

impl Span {
    /// The leaves of a whole tree.
    pub fn of_tree(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    /// How many leaves there are.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is no leaf in it.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `leaf` is one of its leaves.
    pub fn contains(self, leaf: u64) -> bool {
        (self.start..self.end).contains(&leaf)
    }

    /// Whether a tree that reaches so far has a node over just these leaves, or could end so: the
    /// start is a multiple of the smallest power of two that holds them
    /// (draft-ietf-plants-merkle-tree-certs, 4.1).
    pub fn is_subtree(self) -> bool {
        let width = self.len().checked_next_power_of_two();
        let aligned = width.map_or(self.start == 0, |width| self.start.is_multiple_of(width));
        self.start <= self.end && aligned
    }

    /// Left and right half of two leaves or more: the left one is the largest complete tree that is
    /// not all of it.
    pub(super) fn halves(self) -> (Self, Self) {
        let middle = self.start + (1 << (self.len() - 1).ilog2());
        (Self { start: self.start, end: middle }, Self { start: middle, end: self.end })
    }
}

/// One step from a node to a child of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The other child.
    pub(super) sibling: Span,
    /// Whether the other child is the left one.
    pub(super) sibling_left: bool,
    /// Whether the other child is part of the subtree that is looked for.
    pub(super) sibling_within: bool,
}

/// The way from a tree to a subtree of it.
#[derive(Debug)]
pub(super) struct Path {
    /// From the root downwards.
    pub(super) steps: Vec<Step>,
    /// Where it ends: the subtree, or its last part if no single node holds it.
    pub(super) target: Span,
}

impl Path {
    /// The way from `tree` to `subtree`; the latter is a subtree, lies within, and has a leaf.
    pub(super) fn new(tree: Span, subtree: Span) -> Self {
        debug_assert!(subtree.is_subtree() && !subtree.is_empty());
        let (mut span, mut target, mut steps) = (tree, subtree, Vec::new());
        while span != target {
            let (left, right) = span.halves();
            let to_the_left = target.end <= left.end;
            let (next, sibling) = if to_the_left { (left, right) } else { (right, left) };
            let sibling_within = !to_the_left && target.start < right.start;
            steps.push(Step { sibling, sibling_left: !to_the_left, sibling_within });
            target.start = target.start.max(next.start);
            span = next;
        }
        Self { steps, target }
    }

    /// Whether the subtree is one node, whose hash who checks the proof has already.
    pub(super) fn is_one_node(&self) -> bool {
        !self.steps.iter().any(|step| step.sibling_within)
    }
}
