//! Proofs checked. Nothing about a proof is taken for granted.

use std::fmt;

use super::{
    Hash,
    path::{Path, Span},
};

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// The tree has no such leaf, or no such subtree.
    NoSuchPart,
    /// A proof for these sizes has another number of hashes.
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The hashes lead to another root than that of the part which was known.
    PartRoot,
    /// The hashes lead to another root than the tree's.
    Root,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPart => f.write_str("the tree has no such leaf or subtree"),
            Self::Length { found, expected } => {
                write!(f, "the proof has {found} hashes, and for these sizes it has {expected}")
            }
            Self::PartRoot => f.write_str("the proof leads to another root of the smaller tree"),
            Self::Root => f.write_str("the proof leads to another root of the tree"),
        }
    }
}

impl std::error::Error for ProofError {}

/// Checks that the leaf with hash `leaf_hash` is number `leaf` of the tree with this size and root.
pub fn verify_inclusion(
    proof: &[Hash],
    leaf: (u64, Hash),
    tree: (u64, Hash),
) -> Result<(), ProofError> {
    verify_subtree_inclusion(proof, leaf, (Span::of_tree(tree.0), tree.1))
}

/// Checks that the leaf is number `leaf.0` of the log of which `subtree` is a part.
pub fn verify_subtree_inclusion(
    proof: &[Hash],
    leaf: (u64, Hash),
    subtree: (Span, Hash),
) -> Result<(), ProofError> {
    let ((number, leaf_hash), (span, root)) = (leaf, subtree);
    if !span.is_subtree() || !span.contains(number) {
        return Err(ProofError::NoSuchPart);
    }
    let path = Path::new(span, Span { start: number, end: number + 1 });
    let (_, whole) = fold(&path, leaf_hash, proof)?;
    if whole == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree `old` is the beginning of the tree `new`; each is a size and a root.
///
/// A tree without leaves proves nothing, and is refused.
pub fn verify_consistency(
    proof: &[Hash],
    old: (u64, Hash),
    new: (u64, Hash),
) -> Result<(), ProofError> {
    if old.0 == 0 {
        return Err(ProofError::NoSuchPart);
    }
    verify_subtree_consistency(proof, (Span::of_tree(old.0), old.1), new)
}

/// Checks that `subtree` is part of `tree` (draft-ietf-plants-merkle-tree-certs, 4.4.3).
pub fn verify_subtree_consistency(
    proof: &[Hash],
    subtree: (Span, Hash),
    tree: (u64, Hash),
) -> Result<(), ProofError> {
    let ((span, part_root), (size, root)) = (subtree, tree);
    if !span.is_subtree() || span.end > size {
        return Err(ProofError::NoSuchPart);
    }
    if span.is_empty() {
        return empty_part(proof, part_root);
    }
    let path = Path::new(Span::of_tree(size), span);
    let (part, whole) = fold(&path, part_root, proof)?;
    if part != part_root {
        return Err(ProofError::PartRoot);
    }
    if whole == root { Ok(()) } else { Err(ProofError::Root) }
}

/// No leaves are part of every tree.
fn empty_part(proof: &[Hash], root: Hash) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::Length { found: proof.len(), expected: 0 });
    }
    if root == Hash::of_nothing() { Ok(()) } else { Err(ProofError::PartRoot) }
}

/// Walks `path` upwards and returns the roots of the part and of the whole that `proof` leads to.
fn fold(path: &Path, known: Hash, proof: &[Hash]) -> Result<(Hash, Hash), ProofError> {
    let one_node = path.is_one_node();
    let expected = path.steps.len() + usize::from(!one_node);
    if proof.len() != expected {
        return Err(ProofError::Length { found: proof.len(), expected });
    }
    let mut hashes = proof.iter().copied();
    let start = if one_node { Some(known) } else { hashes.next() };
    let start = start.expect("the proof has one hash more than there are steps");
    let (mut part, mut whole) = (start, start);
    for (step, sibling) in path.steps.iter().rev().zip(hashes) {
        if step.sibling_within {
            part = Hash::of_node(sibling, part);
        }
        whole = match step.sibling_left {
            true => Hash::of_node(sibling, whole),
            false => Hash::of_node(whole, sibling),
        };
    }
    Ok((part, whole))
}
