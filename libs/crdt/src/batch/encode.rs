//! From operations to the body of a batch.

use super::{Batch, Code, Row};
use crate::{
    DotRange, ReplicaId,
    sorted::{sort, sort_numbers},
    wire::{NameWriter, put_column, put_count, put_deltas},
};

/// Appends the body of `batch`.
pub(super) fn body(batch: &Batch, out: &mut Vec<u8>) {
    let entities = put_entities(batch, out);
    let fields = put_fields(batch, out);
    let replicas = put_replicas(batch, out);
    let rows = &batch.rows;
    put_column(out, &column(rows, |row| row.code as u64));
    let stamps: Vec<u64> = rows.windows(2).map(|pair| pair[1].hlc.0 - pair[0].hlc.0).collect();
    put_column(out, &stamps);
    put_deltas(out, &column(rows, |row| entities[row.entity as usize]));
    let with_field = rows.iter().filter(|row| row.code != Code::Delete);
    let of_fields: Vec<u64> = with_field.map(|row| fields[row.field as usize]).collect();
    put_deltas(out, &of_fields);
    put_column(out, &lengths(rows.iter().map(|row| row.ranges_end)));
    put_ranges(&batch.ranges, batch.replica, &replicas, out);
    let puts = rows.iter().filter(|row| row.code == Code::Put);
    put_column(out, &lengths(puts.map(|row| row.payload_end)));
    out.extend_from_slice(&batch.payloads);
}

fn column(rows: &[Row], of: impl Fn(&Row) -> u64) -> Vec<u64> {
    rows.iter().map(of).collect()
}

fn lengths(ends: impl Iterator<Item = u32>) -> Vec<u64> {
    let mut start = 0;
    ends.map(|end| u64::from(end - std::mem::replace(&mut start, end))).collect()
}

/// Writes the entities in order, and returns each one's place.
fn put_entities(batch: &Batch, out: &mut Vec<u8>) -> Vec<u64> {
    let (order, places) = sorted(&batch.entities);
    put_count(out, order.len());
    let mut names = NameWriter::default();
    order.iter().for_each(|at| names.put(out, &batch.entities[*at as usize]));
    places
}

fn put_fields(batch: &Batch, out: &mut Vec<u8>) -> Vec<u64> {
    let (order, places) = sorted(&batch.fields);
    put_count(out, order.len());
    let mut names = NameWriter::default();
    for field in order.iter().map(|at| &batch.fields[*at as usize]) {
        out.push(field.kind().0);
        names.put(out, field.name());
    }
    places
}

/// What is at which place in order, and the place of each.
fn sorted<T: Ord>(list: &[T]) -> (Vec<u32>, Vec<u64>) {
    let mut order: Vec<u32> = (0..list.len() as u32).collect();
    sort_numbers(&mut order, &|a, b| list[a as usize].cmp(&list[b as usize]));
    let mut places = vec![0; list.len()];
    order.iter().enumerate().for_each(|(place, at)| places[*at as usize] = place as u64);
    (order, places)
}

fn put_replicas(batch: &Batch, out: &mut Vec<u8>) -> Vec<ReplicaId> {
    let others = batch.ranges.iter().map(|range| range.replica);
    let mut others: Vec<ReplicaId> = others.filter(|id| *id != batch.replica).collect();
    sort(&mut others, &Ord::cmp);
    others.dedup();
    put_count(out, others.len());
    others.iter().for_each(|id| out.extend(id.0));
    others
}

fn put_ranges(ranges: &[DotRange], own: ReplicaId, others: &[ReplicaId], out: &mut Vec<u8>) {
    let place = |range: &DotRange| {
        let other = || others.binary_search(&range.replica).expect("all replicas were listed") + 1;
        if range.replica == own { 0 } else { other() as u64 }
    };
    put_column(out, &ranges.iter().map(place).collect::<Vec<_>>());
    put_deltas(out, &ranges.iter().map(|range| range.first).collect::<Vec<_>>());
    put_column(out, &ranges.iter().map(|range| range.last - range.first).collect::<Vec<_>>());
}
