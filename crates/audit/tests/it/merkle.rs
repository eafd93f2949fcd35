//! Trees, and proofs about them, against a tree computed by the definition.

use std::convert::Infallible;

use proptest::prelude::*;
use selvedge_audit::merkle::{
    Frontier, Hash, NodeHashes, ProofError, Span, prove_consistency, prove_inclusion,
    prove_subtree, root, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};
use tlog_tiles::{RecordProof, TreeProof};

/// Leaves kept in memory; nodes are computed by the words of RFC 6962, section 2.1.
pub(crate) struct Leaves(Vec<Hash>);

impl Leaves {
    pub(crate) fn new(size: u64) -> Self {
        Self((0..size).map(|number| Hash::of_leaf(&number.to_be_bytes())).collect())
    }

    pub(crate) fn root(&self, span: Span) -> Hash {
        by_definition(&self.0[span.start as usize..span.end as usize])
    }
}

impl NodeHashes for Leaves {
    type Error = Infallible;

    fn node(&mut self, level: u8, number: u64) -> Result<Hash, Infallible> {
        Ok(self.root(Span { start: number << level, end: (number + 1) << level }))
    }
}

fn by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of_node(by_definition(left), by_definition(right))
        }
    }
}

/// The eight leaves that RFC 6962's implementations have always been tested with.
const KNOWN_LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

#[test]
fn known_trees_have_their_known_roots() {
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root().to_hex()];
    for leaf in KNOWN_LEAVES {
        tree.append(Hash::of_leaf(leaf));
        roots.push(tree.root().to_hex());
    }
    let expected = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(roots, expected);
}

#[test]
fn a_frontier_has_the_root_of_the_definition_at_every_size() {
    let leaves = Leaves::new(300);
    let mut tree = Frontier::new();
    for size in 0..300 {
        assert_eq!(tree.root(), leaves.root(Span::of_tree(size)), "{size}");
        tree.append(leaves.0[size as usize]);
    }
}

#[test]
fn every_proof_of_small_trees_verifies_and_no_proof_says_anything_else() {
    let mut leaves = Leaves::new(20);
    for size in 1..=20 {
        let tree = (size, root(&mut leaves, size).unwrap());
        for start in 0..size {
            for end in start + 1..=size {
                let span = Span { start, end };
                if span.is_subtree() {
                    check_subtree(&mut leaves, span, tree);
                }
            }
        }
    }
}

#[track_caller]
fn check_subtree(leaves: &mut Leaves, span: Span, tree: (u64, Hash)) {
    let part = leaves.root(span);
    let proof = prove_subtree(leaves, span, tree.0).unwrap();
    assert_eq!(verify_subtree_consistency(&proof, (span, part), tree), Ok(()), "{span:?}");
    let other = Hash::of(b"other");
    assert!(verify_subtree_consistency(&proof, (span, other), tree).is_err(), "{span:?}");
    assert!(verify_subtree_consistency(&proof, (span, part), (tree.0, other)).is_err());
    for at in 0..proof.len() {
        let mut wrong = proof.clone();
        wrong[at] = other;
        assert!(verify_subtree_consistency(&wrong, (span, part), tree).is_err(), "{span:?} {at}");
        wrong.remove(at);
        assert!(verify_subtree_consistency(&wrong, (span, part), tree).is_err(), "{span:?} {at}");
    }
    for leaf in span.start..span.end {
        check_leaf(leaves, leaf, (span, part));
    }
}

#[track_caller]
fn check_leaf(leaves: &Leaves, leaf: u64, subtree: (Span, Hash)) {
    let within = leaves.0[subtree.0.start as usize..subtree.0.end as usize].to_vec();
    let proof = prove_inclusion(&mut Leaves(within), leaf - subtree.0.start, subtree.0.len());
    let hash = leaves.0[leaf as usize];
    let proof = proof.unwrap();
    assert_eq!(verify_subtree_inclusion(&proof, (leaf, hash), subtree), Ok(()));
    assert!(verify_subtree_inclusion(&proof, (leaf, Hash::of(b"other")), subtree).is_err());
    assert!(verify_subtree_inclusion(&proof, (subtree.0.end, hash), subtree).is_err());
}

#[test]
fn what_a_tree_does_not_have_is_refused() {
    let nothing = Hash::of_nothing();
    let check = |result: Result<(), ProofError>| assert_eq!(result, Err(ProofError::NoSuchPart));
    check(verify_inclusion(&[], (0, nothing), (0, nothing)));
    check(verify_inclusion(&[], (u64::MAX, nothing), (u64::MAX, nothing)));
    check(verify_consistency(&[], (0, nothing), (7, nothing)));
    check(verify_consistency(&[], (8, nothing), (7, nothing)));
    let backwards = Span { start: 3, end: 1 };
    check(verify_subtree_consistency(&[], (backwards, nothing), (7, nothing)));
    let oblique = Span { start: 1, end: u64::MAX };
    check(verify_subtree_consistency(&[], (oblique, nothing), (u64::MAX, nothing)));
}

#[test]
fn the_largest_trees_are_walked_without_overflow() {
    let nothing = Hash::of_nothing();
    let found = verify_inclusion(&[], (u64::MAX - 1, nothing), (u64::MAX, nothing));
    assert_eq!(found, Err(ProofError::Length { found: 0, expected: 63 }));
    let (half, all) = ((1 << 63) + 1, u64::MAX);
    let found = verify_consistency(&[], (half, nothing), (all, nothing));
    assert_eq!(found, Err(ProofError::Length { found: 0, expected: 65 }));
}

/// `tlog_tiles` counts in `i64` and has hashes of its own type.
fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
}

proptest! {
    #[test]
    fn another_implementation_accepts_our_proofs(size in 1_u64..700, at in 0_u64..700) {
        let (mut leaves, leaf) = (Leaves::new(size), at % size);
        let whole = root(&mut leaves, size).unwrap();
        prop_assert_eq!(whole, leaves.root(Span::of_tree(size)));

        let ours = prove_inclusion(&mut leaves, leaf, size).unwrap();
        prop_assert_eq!(verify_inclusion(&ours, (leaf, leaves.0[leaf as usize]), (size, whole)), Ok(()));
        let proof: RecordProof = theirs(&ours);
        let leaf_hash = tlog_tiles::Hash(leaves.0[leaf as usize].0);
        tlog_tiles::check_record(&proof, size, tlog_tiles::Hash(whole.0), leaf, leaf_hash).unwrap();

        let old = (leaf + 1, leaves.root(Span::of_tree(leaf + 1)));
        let ours = prove_consistency(&mut leaves, old.0, size).unwrap();
        prop_assert_eq!(verify_consistency(&ours, old, (size, whole)), Ok(()));
        let proof: TreeProof = theirs(&ours);
        tlog_tiles::check_tree(&proof, size, tlog_tiles::Hash(whole.0), old.0, tlog_tiles::Hash(old.1.0)).unwrap();
    }
}
