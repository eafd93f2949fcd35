//! From a state to bytes, field by field.

use super::{Document, MAGIC, VERSION};
use crate::{
    EntityId, ReplicaId,
    document::entity::Mark,
    sorted::{sort, sort_numbers},
    wire::{NameWriter, put_column, put_count, put_deltas, put_varint},
};

/// What a snapshot says of one entity beside its cells: its marks that mean something.
type Marked = (u32, Vec<Mark>);

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
    let deletions = deletions(document);
    let used = used_replicas(document, &deletions);
    put_count(&mut out, used.len());
    used.iter().for_each(|(id, _)| out.extend(id.0));
    used.iter().for_each(|(_, at)| put_decided(document, *at, &mut out));
    let entities = used_entities(document, &deletions);
    put_entities(&entities, &mut out);
    let places = places(document, &used, &entities);
    put_deletions(document, &deletions, &places, &mut out);
    put_fields(document, &places, &mut out);
    out
}

fn used_replicas(document: &Document, deletions: &[Marked]) -> Vec<(ReplicaId, u32)> {
    let mut used: Vec<bool> = (0..document.replicas.len())
        .map(|at| !document.decided[at].is_empty() || !document.live[at].is_empty())
        .collect();
    for mark in deletions.iter().flat_map(|(_, marks)| marks) {
        used[mark.replica as usize] = true;
        used[who(document, mark) as usize] = true;
    }
    let sorted = document.replicas.sorted().map(|(id, at)| (*id, at));
    sorted.filter(|(_, at)| used[*at as usize]).collect()
}

/// Who made a mark.
fn who(document: &Document, mark: &Mark) -> u32 {
    document.replicas.find(&mark.stamp.dot.replica).expect("who deletes is known")
}

fn deletions(document: &Document) -> Vec<Marked> {
    let entities = document.order.iter().map(|at| (*at, document.marks(*at).collect()));
    entities.filter(|(_, marks): &Marked| !marks.is_empty()).collect()
}

/// The entities, by id, of which there is something to say.
fn used_entities<'a>(document: &'a Document, deletions: &[Marked]) -> Vec<(&'a EntityId, u32)> {
    // Both are in the order of ids.
    let mut marked = deletions.iter().map(|(at, _)| *at).peekable();
    let mut is_used = |at: u32| {
        let is_marked = marked.next_if_eq(&at).is_some();
        is_marked || !document.entities.get(at).cells.is_empty()
    };
    let order = document.order.iter().copied().filter(|at| is_used(*at));
    order.map(|at| (document.entity_id(at), at)).collect()
}

fn put_decided(document: &Document, replica: u32, out: &mut Vec<u8>) {
    let decided = document.decided_at(replica);
    put_count(out, decided.ranges_len());
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

fn put_entities(entities: &[(&EntityId, u32)], out: &mut Vec<u8>) {
    put_count(out, entities.len());
    let mut names = NameWriter::default();
    entities.iter().for_each(|(id, _)| names.put(out, id));
}

fn places(document: &Document, used: &[(ReplicaId, u32)], entities: &[(&EntityId, u32)]) -> Places {
    let mut replicas = vec![0; document.replicas.len()];
    used.iter().enumerate().for_each(|(place, (_, at))| replicas[*at as usize] = place as u64);
    let len = document.order.iter().max().map_or(0, |at| *at as usize + 1);
    let mut of_entities = vec![0; len];
    let order = entities.iter().enumerate();
    order.for_each(|(place, (_, at))| of_entities[*at as usize] = place as u64);
    Places { replicas, entities: of_entities }
}

fn put_deletions(document: &Document, deletions: &[Marked], places: &Places, out: &mut Vec<u8>) {
    put_count(out, deletions.len());
    let mut next = 0;
    for (entity, marks) in deletions {
        let place = places.entities[*entity as usize];
        put_varint(out, place - std::mem::replace(&mut next, place + 1));
        put_marks(document, marks, places, out);
    }
}

fn put_marks(document: &Document, marks: &[Mark], places: &Places, out: &mut Vec<u8>) {
    let place = |mark: &Mark| (places.replicas[mark.replica as usize], mark.seq);
    let mut marks = marks.to_vec();
    sort(&mut marks, &|a, b| place(a).cmp(&place(b)));
    put_count(out, marks.len());
    for mark in &marks {
        let (replica, seq) = place(mark);
        put_varint(out, replica);
        put_varint(out, seq);
        put_varint(out, document.latest.0 - mark.stamp.hlc.0);
        put_varint(out, places.replicas[who(document, mark) as usize]);
        put_varint(out, mark.stamp.dot.seq);
    }
}

fn put_fields(document: &Document, places: &Places, out: &mut Vec<u8>) {
    let mut of_fields: Vec<Vec<u32>> = vec![Vec::new(); document.fields.len()];
    for entity in document.order.iter() {
        for (field, cell) in document.entities.get(*entity).cells.iter() {
            let column = &mut of_fields[field as usize];
            let start = column.len();
            column.extend(document.entries.of_cell(Some(cell)));
            let stamp = |at: u32| document.stamp(at);
            sort_numbers(&mut column[start..], &|a, b| stamp(a).cmp(&stamp(b)));
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
