//! Whatever the order and the way: the same operations, the same bytes.

use proptest::{prelude::*, sample::Index};
use selvedge_crdt::{Batch, BatchBuilder, BatchHash, Document, Hlc, ReplicaId};

use crate::{
    op::{OwnOp, folded, ops},
    oracle,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_is_the_definition(ops in ops(14), again in ops(3)) {
        let expected = oracle::snapshot(&ops);
        prop_assert_eq!(folded(&ops).snapshot(), &expected[..]);
        prop_assert_eq!(folded(ops.iter().rev()).snapshot(), &expected[..]);
        // Nothing is taken in twice, and what came in between changes nothing about that.
        let mut all = ops.clone();
        all.extend(again);
        all.extend(ops);
        prop_assert_eq!(folded(&all).snapshot(), oracle::snapshot(&all));
    }

    #[test]
    fn any_partition_joined_is_the_definition(
        ops in ops(14),
        parts in prop::collection::vec(any::<Index>(), 14),
        joins in prop::collection::vec((any::<Index>(), any::<Index>()), 5),
    ) {
        let mut documents = vec![Document::new(); 4];
        for (op, part) in ops.iter().zip(&parts) {
            documents[part.index(4)].apply_op(op.as_op());
        }
        for (into, from) in joins {
            let from = documents[from.index(4)].clone();
            documents[into.index(4)].merge(&from);
        }
        let mut whole = Document::new();
        documents.iter().rev().for_each(|document| whole.merge(document));
        prop_assert_eq!(whole.snapshot(), oracle::snapshot(&ops));
    }

    #[test]
    fn joins_commute_and_associate(a in ops(6), b in ops(6), c in ops(6)) {
        let [a, b, c] = [folded(&a), folded(&b), folded(&c)];
        prop_assert_eq!(joined(&a, &b).snapshot(), joined(&b, &a).snapshot());
        let left = joined(&joined(&a, &b), &c).snapshot();
        prop_assert_eq!(left, joined(&a, &joined(&b, &c)).snapshot());
        prop_assert_eq!(joined(&a, &a).snapshot(), a.snapshot());
    }

    #[test]
    fn an_operation_is_a_small_document(before in ops(10), op in ops(2)) {
        for op in &op {
            let mut applied = folded(&before);
            applied.apply_op(op.as_op());
            let joined = joined(&folded(&before), &folded([op]));
            prop_assert_eq!(applied.snapshot(), joined.snapshot());
        }
    }

    #[test]
    fn an_operation_behind_a_horizon_is_a_small_document(
        before in ops(10),
        (horizon, retired) in (0..6u64, prop::collection::vec(0..3u8, 0..6)),
        behind in ops(4),
    ) {
        let retired: Vec<_> = retired.into_iter().map(|id| ReplicaId([id; 16])).collect();
        let mut document = folded(&before);
        document.compact(Hlc(horizon), &retired);
        for mut op in behind {
            op.hlc = Hlc(op.hlc.0 + horizon);
            let expected = joined(&document, &folded([&op])).snapshot();
            prop_assert_eq!(&joined(&folded([&op]), &document).snapshot(), &expected);
            document.apply_op(op.as_op());
            prop_assert_eq!(&document.snapshot(), &expected);
            prop_assert_eq!(Document::load(&expected).unwrap().snapshot(), expected);
        }
    }

    #[test]
    fn a_snapshot_and_the_tail_is_all(ops in ops(14), cut in any::<Index>()) {
        let (before, tail) = ops.split_at(cut.index(ops.len() + 1));
        let snapshot = folded(before).snapshot();
        let mut loaded = Document::load(&snapshot).unwrap();
        prop_assert_eq!(loaded.snapshot(), snapshot);
        tail.iter().for_each(|op| loaded.apply_op(op.as_op()));
        prop_assert_eq!(loaded.snapshot(), oracle::snapshot(&ops));
    }

    #[test]
    fn batches_say_what_their_operations_do(ops in ops(14)) {
        for batch in batches(&ops) {
            let bytes = batch.encode(BatchHash::NONE);
            let (header, decoded) = Batch::decode(&bytes).unwrap();
            prop_assert_eq!(&decoded, &batch);
            prop_assert_eq!(header, batch.header(BatchHash::NONE));
            prop_assert_eq!(decoded.encode(header.prev), bytes);
            let mut document = Document::new();
            document.apply(&decoded);
            let ops: Vec<OwnOp> = batch.ops().map(OwnOp::of).collect();
            prop_assert_eq!(document.snapshot(), oracle::snapshot(&ops));
        }
    }
}

fn joined(a: &Document, b: &Document) -> Document {
    let mut joined = a.clone();
    joined.merge(b);
    joined
}

/// As long batches as the operations make, in their order.
fn batches(ops: &[OwnOp]) -> Vec<Batch> {
    let mut ops = ops.to_vec();
    ops.sort_by_key(|op| (op.dot, op.hlc));
    let (mut done, mut open) = (Vec::new(), None::<BatchBuilder>);
    for op in &ops {
        if open.as_mut().is_none_or(|builder| builder.push(op.as_op()).is_err()) {
            let mut next = BatchBuilder::new(op.dot.replica);
            next.push(op.as_op()).expect("the first fits");
            done.extend(open.replace(next).and_then(BatchBuilder::finish));
        }
    }
    done.extend(open.and_then(BatchBuilder::finish));
    done
}

/// A few of the stories that `cargo xtask sim crdt` tells.
#[test]
fn stories_end_well() {
    for seed in 0..60 {
        selvedge_crdt::sim::run(seed);
    }
}
