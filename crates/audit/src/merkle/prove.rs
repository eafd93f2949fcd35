//! Proofs from stored hashes. The hashes come from whoever keeps the tiles.

use super::{
    Hash,
    path::{Path, Span},
};

/// Hashes of complete subtrees, by level (0 is a leaf) and number within the level.
pub trait NodeHashes {
    /// Why a hash cannot be had.
    type Error;

    /// The hash over leaves `number << level` to before `(number + 1) << level`.
    fn node(&mut self, level: u8, number: u64) -> Result<Hash, Self::Error>;
}

/// The root of the tree of `size` leaves.
pub fn root<N: NodeHashes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    hash_of(nodes, Span::of_tree(size))
}

/// Proves that `leaf` is in the tree of `size` leaves (RFC 6962, 2.1.1); the leaf's sibling first.
///
/// # Panics
/// If the tree has no such leaf.
pub fn prove_inclusion<N: NodeHashes>(
    nodes: &mut N,
    leaf: u64,
    size: u64,
) -> Result<Vec<Hash>, N::Error> {
    assert!(leaf < size, "leaf {leaf} of a tree of {size}");
    prove_subtree(nodes, Span { start: leaf, end: leaf + 1 }, size)
}

/// Proves that the tree of `old` leaves is the beginning of that of `size` (RFC 6962, 2.1.2).
///
/// # Panics
/// If `old` is 0 or more than `size`.
pub fn prove_consistency<N: NodeHashes>(
    nodes: &mut N,
    old: u64,
    size: u64,
) -> Result<Vec<Hash>, N::Error> {
    prove_subtree(nodes, Span::of_tree(old), size)
}

/// Proves that `subtree` is part of the tree of `size` leaves
/// (draft-ietf-plants-merkle-tree-certs, 4.4.1).
///
/// # Panics
/// If `subtree` is empty, is no subtree, or ends behind the tree.
pub fn prove_subtree<N: NodeHashes>(
    nodes: &mut N,
    subtree: Span,
    size: u64,
) -> Result<Vec<Hash>, N::Error> {
    let possible = subtree.is_subtree() && !subtree.is_empty() && subtree.end <= size;
    assert!(possible, "{subtree:?} of a tree of {size}");
    let path = Path::new(Span::of_tree(size), subtree);
    let mut proof = Vec::with_capacity(path.steps.len() + 1);
    if !path.is_one_node() {
        proof.push(hash_of(nodes, path.target)?);
    }
    for step in path.steps.iter().rev() {
        proof.push(hash_of(nodes, step.sibling)?);
    }
    Ok(proof)
}

/// The hash over a subtree.
fn hash_of<N: NodeHashes>(nodes: &mut N, span: Span) -> Result<Hash, N::Error> {
    if span.is_empty() {
        return Ok(Hash::of_nothing());
    }
    if span.len().is_power_of_two() {
        let level = span.len().ilog2() as u8;
        return nodes.node(level, span.start >> level);
    }
    let (left, right) = span.halves();
    let left = hash_of(nodes, left)?;
    Ok(Hash::of_node(left, hash_of(nodes, right)?))
}
