//! Operations that nobody could have written: the same dots, stamps and places again and again.

use super::{Chance, Report};
use crate::{Change, Document, Dot, DotRange, EntityId, Field, Hlc, Kind, Op, ReplicaId};

const OPS: usize = 12;

struct Wild {
    dot: Dot,
    hlc: Hlc,
    entity: EntityId,
    field: Field,
    payload: Vec<u8>,
    ranges: Vec<DotRange>,
    code: usize,
}

impl Wild {
    fn new(chance: &mut Chance) -> Self {
        let dot = dot(chance);
        let kind = Kind(chance.below(10) as u8);
        let name = if kind == Kind::LIFE { "" } else { chance.one(&["f", "g"]) };
        let code = chance.below(4);
        let marks = code == 3;
        let mut ranges: Vec<DotRange> = (0..3)
            .map(|at| (ReplicaId([at; 16]), 1 + chance.next() % 5, chance.next() % 3))
            .map(|(replica, first, more)| DotRange {
                replica,
                first,
                last: if marks { first } else { first + more },
            })
            .collect();
        ranges.retain(|range| {
            let past = range.replica != dot.replica || range.last < dot.seq;
            past && chance.below(2) == 0
        });
        Wild {
            dot,
            hlc: Hlc(1 + chance.next() % 4),
            entity: EntityId::new(chance.one(&["x", "y"])).expect("an id"),
            field: Field::new(name, kind).expect("a field"),
            payload: chance.one(&[&[0][..], &[1, 0], &[2, 2], &[77]]).to_vec(),
            ranges,
            code,
        }
    }

    fn op(&self) -> Op<'_> {
        let (field, covers) = (&self.field, &self.ranges[..]);
        let change = match self.code {
            2 if !covers.is_empty() => Change::Cover { field, covers },
            3 if !covers.is_empty() => Change::Delete { marks: covers },
            3 => Change::Put { field, payload: &self.payload, covers: &[] },
            _ => Change::Put { field, payload: &self.payload, covers },
        };
        Op { dot: self.dot, hlc: self.hlc, entity: &self.entity, change }
    }
}

fn dot(chance: &mut Chance) -> Dot {
    Dot { replica: ReplicaId([chance.below(3) as u8; 16]), seq: 1 + chance.next() % 5 }
}

/// Joins the same operations by different ways.
pub(super) fn tell(mut chance: Chance) -> Report {
    let wild: Vec<Wild> = (0..OPS).map(|_| Wild::new(&mut chance)).collect();
    assert!(wild.iter().all(|wild| wild.op().check().is_ok()));
    let mut forwards = Document::new();
    wild.iter().for_each(|wild| forwards.apply_op(wild.op()));
    let expected = forwards.snapshot();

    let mut parts = vec![Document::new(); 3];
    for at in 0..3 * OPS {
        parts[chance.below(3)].apply_op(wild[(at * 7 + 3) % OPS].op());
    }
    let mut whole = parts.remove(chance.below(3));
    parts.iter().for_each(|part| whole.merge(part));
    assert_eq!(whole.snapshot(), expected, "parts that were joined differ");

    let mut tail = Document::load(&whole.snapshot()).expect("what was saved is read");
    wild.iter().rev().for_each(|wild| tail.apply_op(wild.op()));
    assert_eq!(tail.snapshot(), expected, "what was seen before made a difference");
    Report { ops: OPS as u64, joins: 5 * OPS as u64 + 2, ..Report::default() }
}
