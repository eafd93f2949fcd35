//! Chains of transformations, those that begin alike sharing their beginning.

use crate::transform::Transformation;

/// A chain: a place in the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node(pub u16);

impl Node {
    /// The empty chain.
    pub const ROOT: Self = Self(0);
}

/// Every chain that rules have. A node's parent comes before it.
#[derive(Default)]
pub(super) struct Trie {
    /// Of each node but the root, what it does to which other's text.
    steps: Vec<(Node, Transformation)>,
}

impl Trie {
    /// The node of a chain; with `every`, those of its beginnings too.
    pub fn enter(&mut self, chain: &[Transformation], every: bool) -> Vec<Node> {
        let mut nodes = vec![Node::ROOT];
        for &transformation in chain {
            let step = (nodes[nodes.len() - 1], transformation);
            let known = self.steps.iter().position(|known| *known == step);
            let at = known.unwrap_or_else(|| {
                self.steps.push(step);
                self.steps.len() - 1
            });
            nodes.push(Node(
                u16::try_from(at + 1).expect("rule sets have fewer than 65,535 chains"),
            ));
        }
        if every { nodes } else { nodes.split_off(nodes.len() - 1) }
    }

    /// What a node does to which other's text; `None`: it is the root.
    pub fn step(&self, node: Node) -> Option<(Node, Transformation)> {
        usize::from(node.0).checked_sub(1).map(|at| self.steps[at])
    }

    /// How many nodes there are, the root included.
    pub fn len(&self) -> usize {
        self.steps.len() + 1
    }

    /// What is done from the root to a node.
    pub fn chain(&self, node: Node) -> Vec<Transformation> {
        let mut chain: Vec<_> =
            std::iter::successors(self.step(node), |(parent, _)| self.step(*parent))
                .map(|(_, step)| step)
                .collect();
        chain.reverse();
        chain
    }
}
