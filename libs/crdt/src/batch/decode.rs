//! From the body of a batch to operations; whatever has another encoding is refused.

use super::{BATCH_BYTES_MAX, BATCH_OPS_MAX, BATCH_RANGES_MAX, Batch, Code, Header, Row};
use crate::{
    DotRange, EntityId, Field, Hlc, Kind, ReplicaId,
    name::{ENTITY_BYTES_MAX, FIELD_BYTES_MAX},
    wire::{Malformed, NameReader, Reader, read_column, read_deltas},
};

/// Reads the operations that `header` announces.
pub(super) fn body(header: &Header, body: &[u8]) -> Result<Batch, Malformed> {
    let mut head = Vec::new();
    header.write(&mut head);
    if head.len() + body.len() > BATCH_BYTES_MAX {
        return Err(Malformed::TooMuch("bytes of a batch"));
    }
    let reader = &mut Reader::new(body);
    let entities = read_entities(reader, BATCH_OPS_MAX)?;
    let fields = read_fields(reader, BATCH_OPS_MAX)?;
    let replicas = read_replicas(reader, header.replica)?;
    let mut rows = read_rows(reader, header, (entities.len(), fields.len()))?;
    let ranges = read_ranges(reader, &mut rows, &replicas)?;
    let payloads = read_payloads(reader, &mut rows)?.to_vec();
    reader.finish()?;
    let (replica, first) = (header.replica, header.first);
    let batch = Batch { replica, first, entities, fields, rows, ranges, payloads };
    batch.ops().try_for_each(|op| op.check())?;
    Ok(batch)
}

/// Reads a sorted list of entities, of which there may be `max`.
pub(crate) fn read_entities(
    reader: &mut Reader<'_>,
    max: usize,
) -> Result<Vec<EntityId>, Malformed> {
    let count = reader.count(max.min(reader.remaining()), "entities")?;
    let mut names = NameReader::new(ENTITY_BYTES_MAX, "bytes of an entity's id");
    let mut entities = Vec::with_capacity(count);
    for _ in 0..count {
        let id = EntityId::new(names.read(reader, false)?);
        entities.push(id.ok_or(Malformed::Invalid("an entity without an id"))?);
    }
    Ok(entities)
}

/// Reads a sorted list of fields, of which there may be `max`.
pub(crate) fn read_fields(reader: &mut Reader<'_>, max: usize) -> Result<Vec<Field>, Malformed> {
    let count = reader.count(max.min(reader.remaining()), "fields")?;
    let mut names = NameReader::new(FIELD_BYTES_MAX, "bytes of a field's name");
    let mut fields: Vec<Field> = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = Kind(reader.byte()?);
        let last = fields.last().map(Field::kind);
        if last.is_some_and(|last| last > kind) {
            return Err(Malformed::Invalid("fields are not in order"));
        }
        let field = Field::new(names.read(reader, last != Some(kind))?, kind);
        fields.push(field.ok_or(Malformed::Invalid("a field whose name is not of its kind"))?);
    }
    Ok(fields)
}

/// The replicas of ranges: the batch's own, then the others.
fn read_replicas(reader: &mut Reader<'_>, own: ReplicaId) -> Result<Vec<ReplicaId>, Malformed> {
    let others = read_ids(reader, BATCH_RANGES_MAX)?;
    if others.contains(&own) {
        return Err(Malformed::NotCanonical("a replica"));
    }
    Ok(std::iter::once(own).chain(others).collect())
}

/// Reads a sorted list of replicas, of which there may be `max`.
pub(crate) fn read_ids(reader: &mut Reader<'_>, max: usize) -> Result<Vec<ReplicaId>, Malformed> {
    let count = reader.count(max.min(reader.remaining() / 16), "replicas")?;
    let ids: Result<Vec<_>, _> = (0..count).map(|_| reader.array().map(ReplicaId)).collect();
    let ids = ids?;
    if ids.is_sorted_by(|a, b| a < b) {
        Ok(ids)
    } else {
        Err(Malformed::Invalid("replicas are not in order"))
    }
}

fn read_rows(
    reader: &mut Reader<'_>,
    header: &Header,
    (entities, fields): (usize, usize),
) -> Result<Vec<Row>, Malformed> {
    let count = header.count as usize;
    let codes: Vec<Code> =
        read_column(reader, count)?.into_iter().map(code).collect::<Result<_, _>>()?;
    let stamps = read_stamps(reader, header)?;
    let of_entities = read_indices(reader, count, entities)?;
    let with_field = codes.iter().filter(|code| **code != Code::Delete).count();
    let mut of_fields = read_indices(reader, with_field, fields)?.into_iter();
    let row = |((code, hlc), entity): ((Code, Hlc), u32)| {
        let field = if code == Code::Delete { None } else { of_fields.next() };
        let field = field.unwrap_or_default();
        Row { hlc, code, entity, field, ranges_end: 0, payload_end: 0 }
    };
    Ok(codes.into_iter().zip(stamps).zip(of_entities).map(row).collect())
}

fn code(value: u64) -> Result<Code, Malformed> {
    match value {
        0 => Ok(Code::Put),
        1 => Ok(Code::Cover),
        2 => Ok(Code::Delete),
        _ => Err(Malformed::Invalid("an operation that does nothing known")),
    }
}

fn read_stamps(reader: &mut Reader<'_>, header: &Header) -> Result<Vec<Hlc>, Malformed> {
    let differences = read_column(reader, header.count as usize - 1)?;
    let mut stamps = vec![header.stamp_first];
    let mut last = header.stamp_first.0;
    for difference in differences {
        last = last.checked_add(difference).ok_or(Malformed::Invalid("stamps out of range"))?;
        stamps.push(Hlc(last));
    }
    if last == header.stamp_last.0 {
        Ok(stamps)
    } else {
        Err(Malformed::Invalid("the header has another last stamp"))
    }
}

/// Reads `count` places in a list of `len`; each is used.
fn read_indices(reader: &mut Reader<'_>, count: usize, len: usize) -> Result<Vec<u32>, Malformed> {
    let indices = read_deltas(reader, count)?;
    let mut used = vec![false; len];
    for index in &indices {
        let index = usize::try_from(*index).unwrap_or(usize::MAX);
        *used.get_mut(index).ok_or(Malformed::Invalid("a name that is not there"))? = true;
    }
    if used.contains(&false) {
        return Err(Malformed::NotCanonical("a name that nothing uses"));
    }
    Ok(indices.into_iter().map(|index| index as u32).collect())
}

fn read_ranges(
    reader: &mut Reader<'_>,
    rows: &mut [Row],
    replicas: &[ReplicaId],
) -> Result<Vec<DotRange>, Malformed> {
    let mut end = 0u32;
    let counts = read_column(reader, rows.len())?;
    for (row, len) in rows.iter_mut().zip(counts) {
        let next = u64::from(end).checked_add(len).filter(|end| *end <= BATCH_RANGES_MAX as u64);
        end = next.ok_or(Malformed::TooMuch("ranges of a batch"))? as u32;
        row.ranges_end = end;
    }
    let owners = read_owners(reader, end as usize, replicas)?;
    let firsts = read_deltas(reader, end as usize)?;
    let lengths = read_column(reader, end as usize)?;
    let range = |((replica, first), length): ((ReplicaId, u64), u64)| {
        let last = first.checked_add(length).ok_or(Malformed::Invalid("a range out of range"))?;
        Ok(DotRange { replica, first, last })
    };
    owners.into_iter().zip(firsts).zip(lengths).map(range).collect()
}

/// Reads whose `count` ranges are; `replicas` begins with the batch's own, which alone may be unused.
fn read_owners(
    reader: &mut Reader<'_>,
    count: usize,
    replicas: &[ReplicaId],
) -> Result<Vec<ReplicaId>, Malformed> {
    let mut used = vec![false; replicas.len()];
    let mut owners = Vec::with_capacity(count);
    for place in read_column(reader, count)? {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        *used.get_mut(place).ok_or(Malformed::Invalid("a replica that is not there"))? = true;
        owners.push(replicas[place]);
    }
    if used[1..].contains(&false) {
        return Err(Malformed::NotCanonical("a replica that nothing uses"));
    }
    Ok(owners)
}

fn read_payloads<'a>(reader: &mut Reader<'a>, rows: &mut [Row]) -> Result<&'a [u8], Malformed> {
    let puts = rows.iter().filter(|row| row.code == Code::Put).count();
    let mut lengths = read_column(reader, puts)?.into_iter();
    let mut end = 0u64;
    for row in rows {
        let len = if row.code == Code::Put { lengths.next().unwrap_or_default() } else { 0 };
        end = end
            .checked_add(len)
            .filter(|end| *end <= reader.remaining() as u64)
            .ok_or(Malformed::Truncated)?;
        row.payload_end = end as u32;
    }
    reader.take(end as usize)
}
