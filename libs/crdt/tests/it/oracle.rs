//! What operations come to, by the definition and from the format's page: no code is shared with the
//! crate, nothing is fast, and all operations are there from the beginning.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_crdt::{DotRange, ReplicaId};

use crate::op::{OwnChange, OwnOp};

type Place = (u8, String);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    entity: String,
    field: Place,
    hlc: u64,
    replica: ReplicaId,
    seq: u64,
    payload: Vec<u8>,
}

/// Replica and sequence up to which entries are marked, and the deletes that marked them last.
type Marks = BTreeMap<(ReplicaId, u64), (u64, ReplicaId, u64)>;

/// The bytes of the document that has taken in exactly `ops`.
pub fn snapshot(ops: &[OwnOp]) -> Vec<u8> {
    let (entries, decided) = (entries(ops), decided(ops));
    let deletions = deletions(ops);
    let mut replicas: BTreeSet<ReplicaId> = decided.keys().copied().collect();
    for ((marked, _), (_, by, _)) in deletions.values().flatten() {
        replicas.extend([marked, by]);
    }
    let replicas: Vec<ReplicaId> = replicas.into_iter().collect();
    let mut out = b"SLVGDOC\n\x01".to_vec();
    out.extend([0; 8]);
    let latest = ops.iter().map(|op| op.hlc.0).max().unwrap_or(0);
    out.extend(latest.to_le_bytes());
    varint(&mut out, replicas.len() as u64);
    replicas.iter().for_each(|replica| out.extend(replica.0));
    for replica in &replicas {
        let none = BTreeSet::new();
        let seqs = decided.get(replica).unwrap_or(&none);
        let ranges = runs(seqs);
        varint(&mut out, ranges.len() as u64);
        let mut end = 0;
        for (first, last) in &ranges {
            varint(&mut out, first - 1 - end);
            varint(&mut out, last - first);
            end = *last;
        }
        if !ranges.is_empty() {
            let own = ops.iter().filter(|op| op.dot.replica == *replica);
            varint(&mut out, latest - own.map(|op| op.hlc.0).max().unwrap_or(0));
        }
    }
    let entities: BTreeSet<&str> = entries
        .iter()
        .map(|entry| &*entry.entity)
        .chain(deletions.keys().map(|id| &**id))
        .collect();
    let entities: Vec<&str> = entities.into_iter().collect();
    varint(&mut out, entities.len() as u64);
    names(&mut out, entities.iter().map(|id| (None, *id)));
    put_deletions(&mut out, latest, &deletions, (&entities, &replicas));
    put_fields(&mut out, &entries, &entities, &replicas);
    out
}

/// The entries that nobody covered and that no other operation contests.
fn entries(ops: &[OwnOp]) -> Vec<Entry> {
    let all: BTreeSet<Entry> = ops.iter().filter_map(entry).collect();
    let alone = |one: &&Entry| {
        let same_dot = |op: &&OwnOp| op.dot.replica == one.replica && op.dot.seq == one.seq;
        ops.iter().filter(same_dot).all(|op| entry(op).as_ref() == Some(*one))
    };
    let free = |one: &&Entry| {
        let covers = |range: &DotRange| {
            range.replica == one.replica && range.first <= one.seq && one.seq <= range.last
        };
        !ops.iter().any(|op| covered_by(op).iter().any(covers))
    };
    all.iter().filter(alone).filter(free).cloned().collect()
}

fn entry(op: &OwnOp) -> Option<Entry> {
    let OwnChange::Put { field, payload, .. } = &op.change else { return None };
    Some(Entry {
        entity: op.entity.to_string(),
        field: (field.kind().0, field.name().to_owned()),
        hlc: op.hlc.0,
        replica: op.dot.replica,
        seq: op.dot.seq,
        payload: payload.clone(),
    })
}

fn covered_by(op: &OwnOp) -> &[DotRange] {
    match &op.change {
        OwnChange::Put { covers, .. } | OwnChange::Cover { covers, .. } => covers,
        OwnChange::Delete { .. } => &[],
    }
}

fn decided(ops: &[OwnOp]) -> BTreeMap<ReplicaId, BTreeSet<u64>> {
    let mut decided: BTreeMap<ReplicaId, BTreeSet<u64>> = BTreeMap::new();
    for op in ops {
        decided.entry(op.dot.replica).or_default().insert(op.dot.seq);
        for range in covered_by(op) {
            decided.entry(range.replica).or_default().extend(range.first..=range.last);
        }
    }
    decided
}

/// All marks but those that say less than another.
fn deletions(ops: &[OwnOp]) -> BTreeMap<String, Marks> {
    let mut deletions: BTreeMap<String, Marks> = BTreeMap::new();
    for op in ops {
        let OwnChange::Delete { marks } = &op.change else { continue };
        for range in marks {
            let marks = deletions.entry(op.entity.to_string()).or_default();
            let known = marks.entry((range.replica, range.last)).or_default();
            *known = (op.hlc.0, op.dot.replica, op.dot.seq).max(*known);
        }
    }
    for marks in deletions.values_mut() {
        let all = marks.clone();
        marks.retain(|(replica, last), stamp| {
            let is_more = |((other, seq), by): (&(ReplicaId, u64), &(u64, ReplicaId, u64))| {
                (other, seq, by) != (replica, last, stamp)
                    && other == replica
                    && seq >= last
                    && by >= stamp
            };
            !all.iter().any(is_more)
        });
    }
    deletions
}

fn put_deletions(
    out: &mut Vec<u8>,
    latest: u64,
    deletions: &BTreeMap<String, Marks>,
    (entities, replicas): (&[&str], &[ReplicaId]),
) {
    varint(out, deletions.len() as u64);
    let mut next = 0;
    for (id, marks) in deletions {
        let at = place(entities, &&**id);
        varint(out, at - next);
        next = at + 1;
        varint(out, marks.len() as u64);
        for ((replica, last), (hlc, by, seq)) in marks {
            varint(out, place(replicas, replica));
            varint(out, *last);
            varint(out, latest - hlc);
            varint(out, place(replicas, by));
            varint(out, *seq);
        }
    }
}

fn put_fields(out: &mut Vec<u8>, entries: &[Entry], entities: &[&str], replicas: &[ReplicaId]) {
    let fields: BTreeSet<&Place> = entries.iter().map(|entry| &entry.field).collect();
    varint(out, fields.len() as u64);
    names(out, fields.iter().map(|(kind, name)| (Some(*kind), &**name)));
    for field in fields {
        let mut column: Vec<&Entry> =
            entries.iter().filter(|entry| entry.field == *field).collect();
        column.sort_by_key(|entry| (&entry.entity, entry.hlc, entry.replica, entry.seq));
        varint(out, column.len() as u64);
        let of_entity: Vec<u64> =
            column.iter().map(|entry| place(entities, &&*entry.entity)).collect();
        let steps = of_entity.iter().scan(0, |last, at| Some(at - std::mem::replace(last, *at)));
        put_column(out, &steps.collect::<Vec<_>>());
        let of = |get: &dyn Fn(&Entry) -> u64| column.iter().map(|e| get(e)).collect::<Vec<_>>();
        put_column(out, &of(&|entry| place(replicas, &entry.replica)));
        put_column(out, &differences(&of(&|entry| entry.seq)));
        put_column(out, &differences(&of(&|entry| entry.hlc)));
        put_column(out, &of(&|entry| entry.payload.len() as u64));
        column.iter().for_each(|entry| out.extend(&entry.payload));
    }
}

fn place<T: PartialEq>(list: &[T], item: &T) -> u64 {
    list.iter().position(|other| other == item).expect("everything was listed") as u64
}

fn runs(seqs: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let starts = seqs.iter().filter(|seq| !seqs.contains(&(**seq - 1)));
    let end = |start: &u64| {
        (*start..).take_while(|seq| seqs.contains(seq)).last().expect("it has its start")
    };
    starts.map(|start| (*start, end(start))).collect()
}

fn names<'a>(out: &mut Vec<u8>, names: impl Iterator<Item = (Option<u8>, &'a str)>) {
    let mut last: &[u8] = &[];
    for (kind, name) in names {
        out.extend(kind);
        let name = name.as_bytes();
        let shared = (0..=name.len())
            .rev()
            .find(|len| last.starts_with(&name[..*len]))
            .expect("nothing at least");
        varint(out, shared as u64);
        varint(out, (name.len() - shared) as u64);
        out.extend(&name[shared..]);
        last = name;
    }
}

fn differences(values: &[u64]) -> Vec<u64> {
    let zigzag = |n: i128| if n < 0 { (-2 * n - 1) as u64 } else { (2 * n) as u64 };
    let mut last = 0i128;
    let difference =
        |value: &u64| zigzag(i128::from(*value) - std::mem::replace(&mut last, i128::from(*value)));
    values.iter().map(difference).collect()
}

/// Cuts into groups of equal numbers; groups of three and more are runs, the others literals.
fn put_column(out: &mut Vec<u8>, values: &[u64]) {
    if values.len() == 1 {
        return varint(out, values[0]);
    }
    let mut literals: Vec<u64> = Vec::new();
    for group in values.chunk_by(|a, b| a == b) {
        if group.len() < 3 {
            literals.extend(group);
            continue;
        }
        flush(out, &mut literals);
        varint(out, 2 * group.len() as u64 + 1);
        varint(out, group[0]);
    }
    flush(out, &mut literals);
}

fn flush(out: &mut Vec<u8>, literals: &mut Vec<u64>) {
    if !literals.is_empty() {
        varint(out, 2 * literals.len() as u64);
        literals.drain(..).for_each(|value| varint(out, value));
    }
}

fn varint(out: &mut Vec<u8>, value: u64) {
    let groups = (1..10).find(|n| value >> (7 * n) == 0).unwrap_or(10);
    for group in 0..groups {
        let more = if group + 1 < groups { 0x80 } else { 0 };
        out.push((value >> (7 * group) & 0x7f) as u8 | more);
    }
}
