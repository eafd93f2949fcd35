//! From bytes to a state; whatever has another encoding is refused.

use super::{Document, MAGIC, VERSION};
use crate::{
    Dot, EntityId, Field, Hlc, Stamp,
    batch::{read_entities, read_fields, read_ids},
    document::{
        entity::{Deletion, Entity, Mark},
        entry::{Entries, Entry},
    },
    op::check_payload,
    sorted::sort_numbers,
    wire::{Malformed, Reader, read_column, read_deltas},
};

const UNUSED: Malformed = Malformed::NotCanonical("a name or a mark that nothing uses");

/// Sequences for each entry, at most, among which entries are sorted by a place for each.
const SPREAD_MAX: u64 = 8;

/// Reads the one encoding of a document.
pub(super) fn snapshot(bytes: &[u8]) -> Result<Document, Malformed> {
    let reader = &mut Reader::new(bytes);
    if reader.take(MAGIC.len()) != Ok(MAGIC) {
        return Err(Malformed::Foreign);
    }
    let version = reader.varint()?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let (horizon, latest) = (Hlc(reader.u64()?), Hlc(reader.u64()?));
    let document = Document { horizon, latest, ..Document::default() };
    let mut loader = Loader { document, live: Vec::new(), used: Vec::new() };
    loader.replicas(reader)?;
    loader.entities(reader)?;
    loader.deletions(reader)?;
    loader.fields(reader)?;
    reader.finish()?;
    loader.finish()
}

/// A document while it is read; its replicas, entities and fields have the numbers of the snapshot.
struct Loader {
    document: Document,
    /// For each replica its entries.
    live: Vec<Vec<u32>>,
    /// Which replicas appear.
    used: Vec<bool>,
}

impl Loader {
    fn replicas(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let ids = read_ids(reader, usize::MAX)?;
        for id in &ids {
            self.document.replica(*id);
        }
        self.live = vec![Vec::new(); ids.len()];
        self.used = vec![false; ids.len()];
        (0..ids.len()).try_for_each(|at| self.decided(at, reader))
    }

    fn decided(&mut self, at: usize, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let out_of_range = Malformed::Invalid("sequences out of range");
        let count = reader.count(reader.remaining() / 2, "ranges of a replica")?;
        let decided = &mut self.document.decided[at];
        let mut end = 0u64;
        for range in 0..count {
            let gap = reader.varint()?;
            if range > 0 && gap == 0 {
                return Err(Malformed::NotCanonical("a range"));
            }
            let first = end.checked_add(gap).and_then(|end| end.checked_add(1));
            let first = first.ok_or(out_of_range)?;
            end = first.checked_add(reader.varint()?).ok_or(out_of_range)?;
            decided.insert(first, end);
        }
        if count > 0 {
            let latest = self.document.latest.0.checked_sub(reader.varint()?);
            decided.latest = Hlc(latest.ok_or(Malformed::Invalid("a stamp before the first"))?);
            self.used[at] = true;
        }
        Ok(())
    }

    fn entities(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let ids = read_entities(reader, usize::MAX)?;
        let number = |id: EntityId| {
            self.document.entities.insert(Entity { id: Some(id), ..Entity::default() })
        };
        ids.into_iter().map(number).for_each(|at| self.document.order.push(at));
        Ok(())
    }

    fn deletions(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let count = reader.count(self.document.order.len(), "deletions")?;
        let mut next = 0u64;
        for _ in 0..count {
            let place = next.checked_add(reader.varint()?);
            let place = place.filter(|place| *place < self.document.order.len() as u64);
            let place = place.ok_or(Malformed::Invalid("an entity that is not there"))?;
            let deletion = self.deletion(reader)?;
            self.document.entities.get_mut(place as u32).deletion = Some(Box::new(deletion));
            next = place + 1;
        }
        Ok(())
    }

    fn deletion(&mut self, reader: &mut Reader<'_>) -> Result<Deletion, Malformed> {
        let count = reader.count(reader.remaining() / 5, "marks of a deletion")?;
        let (mut deletion, mut last) = (Deletion::default(), None);
        for _ in 0..count {
            let mark = self.mark(reader)?;
            let place = Some((mark.replica, mark.seq));
            if std::mem::replace(&mut last, place) >= place {
                return Err(Malformed::Invalid("marks are not in order"));
            }
            deletion.join(mark);
        }
        if deletion.len() == count && count > 0 { Ok(deletion) } else { Err(UNUSED) }
    }

    fn mark(&mut self, reader: &mut Reader<'_>) -> Result<Mark, Malformed> {
        let (replica, seq) = (self.replica(reader.varint()?)?, reader.varint()?);
        let hlc = self.document.latest.0.saturating_sub(reader.varint()?);
        let by = self.replica(reader.varint()?)?;
        let dot = Dot { replica: *self.document.replicas.get(by), seq: reader.varint()? };
        if seq == 0 || hlc == 0 || dot.seq == 0 {
            return Err(Malformed::Invalid("a deletion that cannot be"));
        }
        Ok(Mark { replica, seq, stamp: Stamp { hlc: Hlc(hlc), dot } })
    }

    fn replica(&mut self, place: u64) -> Result<u32, Malformed> {
        let used = usize::try_from(place).ok().and_then(|place| self.used.get_mut(place));
        *used.ok_or(Malformed::Invalid("a replica that is not there"))? = true;
        Ok(place as u32)
    }

    fn fields(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let fields = read_fields(reader, usize::MAX)?;
        // Payloads have a byte at least, so that entries are no more than bytes.
        self.document.entries = Entries::with_capacity(0, reader.remaining());
        fields.iter().try_for_each(|field| self.entries(field, reader))
    }

    fn entries(&mut self, field: &Field, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let number = self.document.fields.intern(field);
        let count = reader.count(reader.remaining(), "entries of a field")?;
        if count == 0 {
            return Err(UNUSED);
        }
        let entities = read_column(reader, count)?;
        let replicas = read_column(reader, count)?;
        let seqs = read_deltas(reader, count)?;
        let hlcs = read_deltas(reader, count)?;
        let lens = read_column(reader, count)?;
        let (mut entity, mut last) = (0u64, None);
        for at in 0..count {
            entity = entity.saturating_add(entities[at]);
            let replica = self.replica(replicas[at])?;
            let (hlc, seq) = (Hlc(hlcs[at]), seqs[at]);
            let place = Some((entity, hlc, replica, seq));
            if last >= place {
                return Err(Malformed::Invalid("entries are not in order"));
            }
            last = place;
            let len = usize::try_from(lens[at]).map_err(|_| Malformed::Truncated)?;
            let payload = reader.take(len)?;
            check_payload(field, payload)?;
            if entity >= self.document.order.len() as u64 {
                return Err(Malformed::Invalid("an entity that is not there"));
            }
            let entity = entity as u32;
            self.entry(
                Entry { hlc, seq, replica, entity, field: number, ..Entry::default() },
                payload,
            )?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry, payload: &[u8]) -> Result<(), Malformed> {
        let document = &mut self.document;
        let decided = document.decided_at(entry.replica).contains(entry.seq);
        if entry.hlc > document.latest || entry.hlc == Hlc::ZERO || entry.seq == 0 {
            return Err(Malformed::Invalid("an entry that cannot be"));
        }
        if !decided && entry.hlc > document.horizon {
            return Err(Malformed::Invalid("an entry that was not decided"));
        }
        let at = document.place(entry, payload);
        self.live[entry.replica as usize].push(at);
        Ok(())
    }

    fn finish(mut self) -> Result<Document, Malformed> {
        let document = &mut self.document;
        for (live, entries) in document.live.iter_mut().zip(self.live) {
            let seq = |at: u32| document.entries.get(at).seq;
            let entries = by_seq(entries, &seq);
            let entries = entries.ok_or(Malformed::Invalid("two entries with one dot"))?;
            entries.into_iter().for_each(|at| live.push(at));
        }
        let document = self.document;
        let is_used = |at: &u32| {
            let entity = document.entities.get(*at);
            let marks = entity.deletion.as_deref().map_or(0, Deletion::len);
            let is_meant = marks == document.marks(*at).count();
            is_meant && (marks > 0 || !entity.cells.is_empty())
        };
        if self.used.contains(&false) || !document.order.iter().all(is_used) {
            return Err(UNUSED);
        }
        Ok(document)
    }
}

/// Entries in the order of their sequences; nothing if two have the same. Most lie so close together that each finds its place without
/// being compared.
fn by_seq(mut entries: Vec<u32>, seq: &dyn Fn(u32) -> u64) -> Option<Vec<u32>> {
    let (first, last) = entries
        .iter()
        .fold((u64::MAX, 0), |(first, last), at| (first.min(seq(*at)), last.max(seq(*at))));
    let span = last.saturating_sub(first);
    if span >= SPREAD_MAX * entries.len() as u64 {
        sort_numbers(&mut entries, &|a, b| seq(a).cmp(&seq(b)));
        return entries.is_sorted_by(|a, b| seq(*a) < seq(*b)).then_some(entries);
    }
    let mut places: Vec<Option<u32>> = vec![None; span as usize + 1];
    for at in entries {
        if places[(seq(at) - first) as usize].replace(at).is_some() {
            return None;
        }
    }
    Some(places.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::by_seq;

    #[track_caller]
    fn check(seqs: &[u64], expected: Option<&[u32]>) {
        let numbers = (0..seqs.len() as u32).collect();
        assert_eq!(by_seq(numbers, &|at| seqs[at as usize]).as_deref(), expected);
    }

    #[test]
    fn entries_lie_by_their_sequences() {
        check(&[], Some(&[]));
        check(&[7], Some(&[0]));
        check(&[7, 5, 6], Some(&[1, 2, 0]));
        check(&[7, 5, 5], None);
        check(&[9_000, 1, u64::MAX], Some(&[1, 0, 2]));
        check(&[9_000, 1, 9_000], None);
        check(&[u64::MAX, u64::MAX - 1], Some(&[1, 0]));
    }
}
