//! Writing a judged batch into the group.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Core, Effect, Staged, Undo};
use crate::{
    Append, Batch, Committed, Lsn, Placed, Producer, Slice, StreamId, StreamOptions,
    batch::Step,
    format::{
        EntryHeader, FRAME_HEADER, FrameHeader, Kind, Placement, flag, padded, put_counted,
        put_options,
    },
    producers::{Last, Producers},
    stream::{Extent, Stream},
};

impl Core {
    /// Writes the steps that are to be written as one frame, and changes what is staged.
    pub(super) fn stage(&mut self, batch: &Batch, fresh: &[bool]) -> Committed {
        let at = self.group.bytes.len();
        let lsn = self.active.base + self.active.written + at as u64;
        let fresh = |index: usize| fresh.get(index).copied().unwrap_or(true);
        let entries = (0..batch.steps().len()).filter(|index| fresh(*index)).count();
        if entries > 0 {
            self.group.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        }
        let effects = self.group.effects.len();
        let mut placed = batch.steps().enumerate().map(|(index, step)| {
            if fresh(index) { self.stage_step(step) } else { self.repeated(step) }
        });
        let first = placed.next().expect("a batch has a step");
        let others = placed.collect();
        if entries > 0 {
            self.close_frame(at, lsn, u16::try_from(entries).expect("judged to be below"));
            self.place_extents(effects, lsn, self.group.bytes.len() - at);
            self.join_last(effects);
        }
        Committed { lsn: Lsn(lsn), time_ms: self.clock.stamp_ms(), placed: first, others }
    }

    /// Writes a frame that says nothing but how far the log is durable: what lies before it can then be
    /// told from a write that was never acknowledged, should the disk damage it.
    pub(super) fn stage_proof(&mut self) {
        let at = self.group.bytes.len();
        let lsn = self.active.base + self.active.written + at as u64;
        self.group.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        self.close_frame(at, lsn, 0);
    }

    /// Writes records once more, at the end of the log, which are about to go elsewhere.
    pub(super) fn stage_move(&mut self, stream: Arc<Stream>, slice: &Slice) {
        let at = self.group.bytes.len();
        let lsn = self.active.base + self.active.written + at as u64;
        let effects = self.group.effects.len();
        self.group.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        put_move(&mut self.group.bytes, stream.id, slice);
        let Slice { first, count, time_ms, .. } = *slice;
        let end = first + u64::from(count);
        let extent = Extent { first, end, lsn: 0, length: 0, time_ms };
        self.group.effects.push(Effect::Move { stream, extent });
        self.close_frame(at, lsn, 1);
        self.place_extents(effects, lsn, self.group.bytes.len() - at);
    }

    fn close_frame(&mut self, at: usize, lsn: u64, entries: u16) {
        let end = self.group.bytes.len();
        let (header, body) = self.group.bytes[at..end].split_at_mut(FRAME_HEADER);
        let frame = FrameHeader {
            lsn,
            durable: self.active.base + self.active.written,
            time_ms: self.clock.stamp_ms(),
            length: u32::try_from(body.len()).expect("a batch is below 4 GiB"),
            body_checksum: crc32c::crc32c(body),
            chain: self.chain,
            entries,
        };
        self.chain = frame.encode(&self.shared.id, header);
        self.group.bytes.resize(at + padded(end - at), 0);
    }

    /// Tells the appends of a frame where it lies, which is known only when it is whole.
    fn place_extents(&mut self, effects: usize, at: u64, length: usize) {
        for effect in &mut self.group.effects[effects..] {
            if let Effect::Append { extent, .. } | Effect::Move { extent, .. } = effect {
                extent.lsn = at;
                extent.length = u32::try_from(length).expect("a batch is below 4 GiB");
            }
        }
    }

    /// Lets an append join the one before it in the group where it follows that in its stream and on disk: readers are
    /// told of both at once.
    fn join_last(&mut self, effects: usize) {
        let (before, own) = self.group.effects.split_at_mut(effects);
        let (Some(before), [own]) = (before.last_mut(), own) else { return };
        if let (
            Effect::Append { stream, extent, close: false },
            Effect::Append { stream: same, extent: next, close: false },
        ) = (before, own)
            && Arc::ptr_eq(stream, same)
            && extent.absorb(next)
        {
            self.group.effects.truncate(effects);
        }
    }

    fn repeated(&self, step: &Step) -> Placed {
        let staged = self.streams.get(&step.stream());
        let tail = staged.map_or(0, |staged| staged.tail);
        let producer_sequence = match step {
            Step::Append(Append { producer: Some(producer), .. }) => {
                staged.and_then(|staged| staged.producers.last_sequence(&producer.id))
            }
            _ => None,
        };
        let duplicate = matches!(step, Step::Append(_));
        Placed { stream: step.stream(), first: tail, tail, duplicate, producer_sequence }
    }

    fn stage_step(&mut self, step: &Step) -> Placed {
        match step {
            Step::Append(append) => self.stage_append(append),
            Step::Create { stream, name, options } => self.stage_creation(*stream, name, options),
            Step::Delete { stream } => self.stage_deletion(*stream),
            Step::Trim { stream, start } => self.stage_trim(*stream, *start),
            Step::Configure { stream, options } => self.stage_options(*stream, options),
        }
    }

    fn stage_append(&mut self, append: &Append) -> Placed {
        let time_ms = self.clock.stamp_ms();
        let staged = self.streams.get_mut(&append.stream).expect("judged to exist");
        let (first, closed) = (staged.tail, staged.closed);
        staged.tail += u64::from(append.count);
        staged.closed |= append.close;
        let tail = staged.tail;
        self.group.undo.push(Undo::Append { stream: append.stream, tail: first, closed });
        self.group.effects.push(Effect::Append {
            stream: Arc::clone(&staged.stream),
            extent: Extent { first, end: tail, lsn: 0, length: 0, time_ms },
            close: append.close,
        });
        put_append(&mut self.group.bytes, append, first);
        if let Some(producer) = &append.producer {
            self.remember(append.stream, producer);
        }
        let producer_sequence = append.producer.as_ref().map(|producer| producer.sequence);
        Placed { stream: append.stream, first, tail, duplicate: false, producer_sequence }
    }

    fn remember(&mut self, stream: StreamId, producer: &Producer) {
        let max = self.shared.settings.producers_max;
        let Producer { id, epoch, sequence } = producer;
        let last = Last { epoch: *epoch, sequence: *sequence, time_ms: self.clock.stamp_ms() };
        let staged = self.streams.get_mut(&stream).expect("judged to exist");
        let before = staged.producers.remember(id, last, max);
        self.group.undo.push(Undo::Produced { stream, producer: id.clone(), before });
    }

    fn stage_creation(&mut self, id: StreamId, name: &str, options: &StreamOptions) -> Placed {
        put_control(&mut self.group.bytes, Kind::Create, id, 0, |out| {
            put_counted(out, name.as_bytes());
            put_options(out, options);
        });
        let stream = Arc::new(Stream::new(id, name.into(), options.clone()));
        self.enter(Arc::clone(&stream));
        self.group.undo.push(Undo::Create(id));
        self.group.effects.push(Effect::Create(stream));
        Placed { stream: id, first: 0, tail: 0, duplicate: false, producer_sequence: None }
    }

    /// Makes a stream known to what follows.
    pub(super) fn enter(&mut self, stream: Arc<Stream>) {
        self.names.insert(Arc::clone(&stream.name), stream.id);
        let (tail, start, closed, producers) = (0, 0, false, Producers::default());
        self.streams.insert(stream.id, Staged { stream, tail, start, closed, producers });
    }

    fn stage_deletion(&mut self, stream: StreamId) -> Placed {
        put_control(&mut self.group.bytes, Kind::Delete, stream, 0, |_| ());
        let staged = self.streams.remove(&stream).expect("judged to exist");
        self.names.remove(&staged.stream.name);
        let tail = staged.tail;
        self.group.effects.push(Effect::Delete(Arc::clone(&staged.stream)));
        self.group.undo.push(Undo::Delete(Box::new(staged)));
        Placed { stream, first: tail, tail, duplicate: false, producer_sequence: None }
    }

    fn stage_trim(&mut self, stream: StreamId, start: u64) -> Placed {
        let staged = self.streams.get_mut(&stream).expect("judged to exist");
        let tail = staged.tail;
        let start = start.min(tail);
        self.group.undo.push(Undo::Trim { stream, start: staged.start });
        staged.start = start;
        self.group.effects.push(Effect::Trim { stream: Arc::clone(&staged.stream), start });
        put_control(&mut self.group.bytes, Kind::Trim, stream, start, |_| ());
        Placed { stream, first: start, tail, duplicate: false, producer_sequence: None }
    }

    fn stage_options(&mut self, id: StreamId, options: &StreamOptions) -> Placed {
        let staged = self.streams.get(&id).expect("judged to exist");
        let (stream, tail) = (Arc::clone(&staged.stream), staged.tail);
        let effect = Effect::Configure { stream, options: options.clone() };
        self.group.effects.push(effect);
        put_control(&mut self.group.bytes, Kind::Configure, id, 0, |out| put_options(out, options));
        Placed { stream: id, first: tail, tail, duplicate: false, producer_sequence: None }
    }
}

/// Writes an append whose first record has sequence `first`.
fn put_append(out: &mut BytesMut, append: &Append, first: u64) {
    let Append { stream, producer, metadata, records, count, close, .. } = append;
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = bit(*close, flag::CLOSE)
        | bit(producer.is_some(), flag::PRODUCER)
        | bit(!metadata.is_empty(), flag::METADATA);
    let header =
        EntryHeader { kind: Kind::Append, flags, stream: stream.get(), first, count: *count };
    header.encode(out, |out| {
        if let Some(Producer { id, epoch, sequence }) = producer {
            Placement { epoch: *epoch, sequence: *sequence, id }.encode(out);
        }
        if !metadata.is_empty() {
            put_counted(out, metadata);
        }
        out.extend_from_slice(records);
    });
}

fn put_move(out: &mut BytesMut, stream: StreamId, slice: &Slice) {
    let Slice { first, count, time_ms, metadata, records, .. } = slice;
    let flags = flag::MOVED | if metadata.is_empty() { 0 } else { flag::METADATA };
    let (kind, stream) = (Kind::Append, stream.get());
    let header = EntryHeader { kind, flags, stream, first: *first, count: *count };
    header.encode(out, |out| {
        out.extend_from_slice(&time_ms.to_le_bytes());
        if !metadata.is_empty() {
            put_counted(out, metadata);
        }
        out.extend_from_slice(records);
    });
}

fn put_control(
    out: &mut BytesMut,
    kind: Kind,
    stream: StreamId,
    first: u64,
    fill: impl FnOnce(&mut BytesMut),
) {
    EntryHeader { kind, flags: 0, stream: stream.get(), first, count: 0 }.encode(out, fill);
}

/// Bytes of their own, for what outlives the buffer they were read into.
pub(super) fn owned(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
