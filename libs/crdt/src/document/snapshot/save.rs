//! From a state to bytes, field by field.

use super::{Document, MAGIC, VERSION};
use crate::{
    ReplicaId,
    document::entity::Deletion,
    wire::{NameWriter, put_column, put_count, put_deltas, put_varint},
};

/// Where things stand in a snapshot, by their numbers in the document.
struct Places {
    replicas: Vec<u64>,
    entities: Vec<u64>,
}

/// The one encoding of `document`.
pub(super) fn snapshot(document: &Document) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_varint(&mut out, VERSION);
    out.extend(document.horizon.0.to_le_bytes());
    out.extend(document.latest.0.to_le_bytes());
    let used = used_replicas(document);
    put_count(&mut out, used.len());
    used.iter().for_each(|(id, _)| out.extend(id.0));
    used.iter().for_each(|(_, at)| put_decided(document, *at, &mut out));
    put_entities(document, &mut out);
    let places = places(document, &used);
    put_deletions(document, &places, &mut out);
    put_fields(document, &places, &mut out);
    out
}

fn used_replicas(document: &Document) -> Vec<(ReplicaId, u32)> {
    let mut used: Vec<bool> = (0..document.replicas.len())
        .map(|at| !document.decided[at].is_empty() || !document.live[at].is_empty())
        .collect();
    for deletion in deletions(document).map(|(_, deletion)| deletion) {
        let by = document.replicas.find(&deletion.stamp.dot.replica);
        by.into_iter()
            .chain(deletion.marks.keys().copied())
            .for_each(|at| used[at as usize] = true);
    }
    let sorted = document.replicas.sorted().map(|(id, at)| (*id, at));
    sorted.filter(|(_, at)| used[*at as usize]).collect()
}

fn deletions(document: &Document) -> impl Iterator<Item = (u32, &Deletion)> {
    let entities = document.order.values();
    entities.filter_map(|at| Some((*at, document.entities.get(*at).deletion.as_deref()?)))
}

fn put_decided(document: &Document, replica: u32, out: &mut Vec<u8>) {
    let decided = document.decided_at(replica);
    put_count(out, decided.ranges().len());
    let mut end = 0;
    for (first, last) in decided.ranges() {
        put_varint(out, first - 1 - end);
        put_varint(out, last - first);
        end = last;
    }
    if !decided.is_empty() {
        put_varint(out, document.latest.0 - decided.latest.0);
    }
}

fn put_entities(document: &Document, out: &mut Vec<u8>) {
    put_count(out, document.order.len());
    let mut names = NameWriter::default();
    document.order.keys().for_each(|id| names.put(out, id));
}

fn places(document: &Document, used: &[(ReplicaId, u32)]) -> Places {
    let mut replicas = vec![0; document.replicas.len()];
    used.iter().enumerate().for_each(|(place, (_, at))| replicas[*at as usize] = place as u64);
    let len = document.order.values().max().map_or(0, |at| *at as usize + 1);
    let mut entities = vec![0; len];
    let order = document.order.values().enumerate();
    order.for_each(|(place, at)| entities[*at as usize] = place as u64);
    Places { replicas, entities }
}

fn put_deletions(document: &Document, places: &Places, out: &mut Vec<u8>) {
    put_count(out, deletions(document).count());
    let mut next = 0;
    for (entity, deletion) in deletions(document) {
        let place = places.entities[entity as usize];
        put_varint(out, place - std::mem::replace(&mut next, place + 1));
        put_deletion(document, deletion, places, out);
    }
}

fn put_deletion(document: &Document, deletion: &Deletion, places: &Places, out: &mut Vec<u8>) {
    let dot = deletion.stamp.dot;
    let by = document.replicas.find(&dot.replica).expect("who deletes is known");
    out.extend(deletion.stamp.hlc.0.to_le_bytes());
    put_varint(out, places.replicas[by as usize]);
    put_varint(out, dot.seq);
    let marks = deletion.marks.iter();
    let mut marks: Vec<(u64, u64)> =
        marks.map(|(replica, last)| (places.replicas[*replica as usize], *last)).collect();
    marks.sort_unstable();
    put_count(out, marks.len());
    for (replica, last) in marks {
        put_varint(out, replica);
        put_varint(out, last);
    }
}

fn put_fields(document: &Document, places: &Places, out: &mut Vec<u8>) {
    let mut of_fields: Vec<Vec<u32>> = vec![Vec::new(); document.fields.len()];
    for entity in document.order.values() {
        for (field, cell) in document.entities.get(*entity).cells.iter() {
            let column = &mut of_fields[field as usize];
            let start = column.len();
            column.extend(document.entries.of_cell(Some(cell)));
            column[start..].sort_unstable_by_key(|at| document.stamp(*at));
        }
    }
    let used = document.fields.sorted().filter(|(_, at)| !of_fields[*at as usize].is_empty());
    let used: Vec<_> = used.collect();
    put_count(out, used.len());
    let mut names = NameWriter::default();
    for (field, _) in &used {
        out.push(field.kind().0);
        names.put(out, field.name());
    }
    for (_, at) in used {
        put_entries(document, &of_fields[at as usize], places, out);
    }
}

fn put_entries(document: &Document, entries: &[u32], places: &Places, out: &mut Vec<u8>) {
    put_count(out, entries.len());
    let column = |of: &dyn Fn(u32) -> u64| entries.iter().map(|at| of(*at)).collect::<Vec<u64>>();
    let entry = |at: u32| document.entries.get(at);
    let mut entities = column(&|at| places.entities[entry(at).entity as usize]);
    to_steps(&mut entities);
    put_column(out, &entities);
    put_column(out, &column(&|at| places.replicas[entry(at).replica as usize]));
    put_deltas(out, &column(&|at| entry(at).seq));
    put_deltas(out, &column(&|at| entry(at).hlc.0));
    put_column(out, &column(&|at| document.payload(at).len() as u64));
    entries.iter().for_each(|at| out.extend_from_slice(document.payload(*at)));
}

/// From ascending numbers to what each adds to the one before.
fn to_steps(numbers: &mut [u64]) {
    let mut last = 0;
    for number in numbers {
        *number -= std::mem::replace(&mut last, *number);
    }
}
