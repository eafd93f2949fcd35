//! Operations that collide: few replicas, sequences, stamps, entities and fields, clones included.

use proptest::prelude::*;
use selvedge_crdt::{Change, Document, Dot, DotRange, EntityId, Field, Hlc, Kind, Op, ReplicaId};

/// An operation with everything that is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnOp {
    pub dot: Dot,
    pub hlc: Hlc,
    pub entity: EntityId,
    pub change: OwnChange,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnChange {
    Put { field: Field, payload: Vec<u8>, covers: Vec<DotRange> },
    Cover { field: Field, covers: Vec<DotRange> },
    Delete { marks: Vec<DotRange> },
}

impl OwnOp {
    pub fn of(op: Op<'_>) -> Self {
        let change = match op.change {
            Change::Put { field, payload, covers } => OwnChange::Put {
                field: field.clone(),
                payload: payload.to_vec(),
                covers: covers.to_vec(),
            },
            Change::Cover { field, covers } => {
                OwnChange::Cover { field: field.clone(), covers: covers.to_vec() }
            }
            Change::Delete { marks } => OwnChange::Delete { marks: marks.to_vec() },
        };
        OwnOp { dot: op.dot, hlc: op.hlc, entity: op.entity.clone(), change }
    }

    pub fn as_op(&self) -> Op<'_> {
        let change = match &self.change {
            OwnChange::Put { field, payload, covers } => Change::Put { field, payload, covers },
            OwnChange::Cover { field, covers } => Change::Cover { field, covers },
            OwnChange::Delete { marks } => Change::Delete { marks },
        };
        Op { dot: self.dot, hlc: self.hlc, entity: &self.entity, change }
    }
}

/// A document that took in these, in this order.
pub fn folded<'a>(ops: impl IntoIterator<Item = &'a OwnOp>) -> Document {
    let mut document = Document::new();
    ops.into_iter().for_each(|op| document.apply_op(op.as_op()));
    document
}

/// Operations of few replicas at few times about few things; the same dot may stand for several.
pub fn ops(max: usize) -> impl Strategy<Value = Vec<OwnOp>> {
    prop::collection::vec(op(), 0..max)
}

fn op() -> impl Strategy<Value = OwnOp> {
    let dot = (0..3u8, 1..6u64);
    let entity = prop::sample::select(vec!["a", "note/1", "note/2"]);
    (dot, 1..5u64, entity, change()).prop_map(|((replica, seq), hlc, entity, change)| {
        let dot = Dot { replica: ReplicaId([replica; 16]), seq };
        let change = past(dot, change);
        OwnOp { dot, hlc: Hlc(hlc), entity: EntityId::new(entity).expect("an id"), change }
    })
}

fn change() -> impl Strategy<Value = OwnChange> {
    let put = (field(), payload(), covers(0));
    prop_oneof![
        5 => put.prop_map(|(field, payload, covers)| OwnChange::Put { field, payload, covers }),
        2 => (field(), covers(1)).prop_map(|(field, covers)| OwnChange::Cover { field, covers }),
        2 => marks().prop_map(|marks| OwnChange::Delete { marks }),
    ]
}

fn field() -> impl Strategy<Value = Field> {
    let kinds = prop::sample::select(vec![1, 2, 3, 4, 5, 6, 7, 8, 99]);
    let named = (prop::sample::select(vec!["tags", "title"]), kinds)
        .prop_map(|(name, kind)| Field::new(name, Kind(kind)).expect("a field"));
    prop_oneof![4 => named, 1 => Just(Field::life())]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![vec![0], vec![1, 0], vec![2, 4], vec![2, 6], vec![4, b'x'], vec![77]])
}

fn covers(min: usize) -> impl Strategy<Value = Vec<DotRange>> {
    let range = (0..3u8, 1..6u64, 0..2u64);
    prop::collection::btree_set(range, min..4).prop_map(|ranges| {
        let mut apart: Vec<DotRange> = Vec::new();
        for (replica, first, more) in ranges {
            let range = DotRange { replica: ReplicaId([replica; 16]), first, last: first + more };
            match apart.last_mut() {
                Some(last) if last.replica == range.replica && first <= last.last + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => apart.push(range),
            }
        }
        apart
    })
}

fn marks() -> impl Strategy<Value = Vec<DotRange>> {
    prop::collection::btree_map(0..3u8, 1..6u64, 1..4).prop_map(|marks| {
        let mark = |(replica, seq)| DotRange::one(Dot { replica: ReplicaId([replica; 16]), seq });
        marks.into_iter().map(mark).collect()
    })
}

/// The same change without what `dot` could not have seen.
fn past(dot: Dot, change: OwnChange) -> OwnChange {
    let seen = |mut ranges: Vec<DotRange>| {
        for range in ranges.iter_mut().filter(|range| range.replica == dot.replica) {
            range.last = range.last.min(dot.seq - 1);
        }
        ranges.retain(|range| range.first <= range.last);
        ranges
    };
    match change {
        OwnChange::Put { field, payload, covers } => {
            OwnChange::Put { field, payload, covers: seen(covers) }
        }
        OwnChange::Cover { field, covers } => match seen(covers) {
            covers if covers.is_empty() => {
                OwnChange::Put { field: Field::life(), payload: vec![0], covers }
            }
            covers => OwnChange::Cover { field, covers },
        },
        OwnChange::Delete { marks } => {
            let mark = |mark: &DotRange| mark.replica != dot.replica || mark.last < dot.seq;
            match marks.into_iter().filter(mark).collect::<Vec<_>>() {
                marks if marks.is_empty() => {
                    OwnChange::Put { field: Field::life(), payload: vec![0], covers: Vec::new() }
                }
                marks => OwnChange::Delete { marks },
            }
        }
    }
}
