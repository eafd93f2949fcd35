//! A text that is read, and written to.

use std::{collections::BTreeSet, error::Error, fmt, ops::Range};

use dissimilar::Chunk;
use selvedge_crdt::{Document, Dot, Edit, EditError, ReplicaId};
use yrs::{
    Doc, GetString, Out, ReadTxn, StateVector, Text as _, TextRef, Transact, merge_updates_v1,
    types::text::YChange,
};

use crate::{
    Fault, Position, ROOT, Unread,
    replay::{Room, apply_all, guarded, pieces, replay, replay_for, transact, updates},
};

/// Bytes that are compared character by character, at most; of more, what differs is replaced as a whole.
const COMPARED_MAX: usize = 8192;

/// Changes that wait to be committed, before they are made one.
const WAITING_MAX: usize = 64;

/// A text, as it was when it was read, and what was changed since.
pub struct Text {
    entity: String,
    field: String,
    doc: Doc,
    root: TextRef,
    /// What people read, and how long it is in UTF-16 code units.
    content: String,
    units: u32,
    /// The updates that it was read from.
    seen: BTreeSet<Dot>,
    /// What these take of what a text may have.
    room: Room,
    unread: Vec<Unread>,
    /// Who writes to it, if somebody does.
    writer: Option<ReplicaId>,
    /// What was changed and not committed, an update each.
    changes: Vec<Vec<u8>>,
}

/// Why a text is not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// A place that the text does not have.
    Position(Position),
    /// This replica wrote to the field since the text was read, or is another one by now.
    Stale,
    /// Something was changed that is not committed yet.
    Waiting,
    /// Something in the text cannot be read, and would be lost.
    Unread,
    /// What was written cannot be put into the field.
    Edit(EditError),
    /// `yrs` gave up; nothing was written.
    Broken,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextError::Position(Position::Chars(at)) => {
                write!(f, "the text has no character {at}")
            }
            TextError::Position(Position::Utf16(at)) => {
                write!(f, "no character of the text begins at UTF-16 unit {at}")
            }
            TextError::Stale => f.write_str("the text was written to since it was read"),
            TextError::Waiting => f.write_str("the text has changes that are not committed"),
            TextError::Unread => f.write_str("something in the text cannot be read"),
            TextError::Edit(error) => error.fmt(f),
            TextError::Broken => f.write_str("the text cannot be changed"),
        }
    }
}

impl Error for TextError {}

impl From<EditError> for TextError {
    fn from(error: EditError) -> Self {
        TextError::Edit(error)
    }
}

impl Text {
    /// Reads a field. What was never written, or is deleted, is an empty text.
    pub fn read(document: &Document, entity: &str, field: &str) -> Text {
        Text::new(document, (entity, field), None)
    }

    /// Reads a field to write to it, by the writer of `edit`.
    pub fn open(edit: &Edit<'_>, entity: &str, field: &str) -> Text {
        Text::new(edit.document(), (entity, field), Some(edit.next_dot()))
    }

    fn new(document: &Document, (entity, field): (&str, &str), next: Option<Dot>) -> Text {
        let (mut room, mut unread) = (Room::default(), Vec::new());
        let updates = updates(document, entity, field);
        let seen = updates.iter().map(|update| update.stamp.dot).collect();
        let pieces = pieces(updates, &mut room, &mut unread);
        let doc = match next {
            Some(next) => replay_for(next, pieces, &mut unread),
            None => replay(pieces, 0, &mut unread),
        };
        let root = doc.get_or_insert_text(ROOT);
        let content = root.get_string(&doc.transact());
        Text {
            entity: entity.to_owned(),
            field: field.to_owned(),
            doc,
            root,
            units: units(&content),
            content,
            seen,
            room,
            unread,
            writer: next.map(|next| next.replica),
            changes: Vec::new(),
        }
    }

    /// Reads what came into the field since the text was read, for the writer of `edit`. That costs as much as what is new,
    /// as long as that was only added; who writes to a text for a while keeps it, and calls this instead of
    /// [opening](Text::open) it before each change.
    ///
    /// # Errors
    /// Changes that are not committed.
    pub fn catch_up(&mut self, edit: &Edit<'_>) -> Result<(), TextError> {
        if !self.changes.is_empty() {
            return Err(TextError::Waiting);
        }
        if self.writer != Some(edit.next_dot().replica) || !self.take_in(edit.document()) {
            *self = Text::open(edit, &self.entity, &self.field);
        }
        Ok(())
    }

    /// Applies the updates that are new. Returns whether what is here is then what reading everything would have made.
    fn take_in(&mut self, document: &Document) -> bool {
        let mut updates = updates(document, &self.entity, &self.field);
        let all = updates.len();
        updates.retain(|update| !self.seen.contains(&update.stamp.dot));
        let nothing_went = all - updates.len() == self.seen.len();
        if !nothing_went || !self.unread.is_empty() {
            return false;
        }
        if updates.is_empty() {
            return true;
        }
        self.seen.extend(updates.iter().map(|update| update.stamp.dot));
        let pieces = pieces(updates, &mut self.room, &mut self.unread);
        if !self.unread.is_empty() || apply_all(&self.doc, &pieces).is_err() {
            return false;
        }
        self.content = self.root.get_string(&self.doc.transact());
        self.units = units(&self.content);
        true
    }

    /// What people read.
    pub fn as_str(&self) -> &str {
        &self.content
    }

    /// The updates that were skipped.
    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }

    /// Returns whether everything that was read had what it follows from. It has not, where somebody wrote on in what
    /// somebody else erased at the same time.
    pub fn is_whole(&self) -> bool {
        !self.doc.transact().has_missing_updates()
    }

    /// What each client of Yjs has contributed, in the encoding of Yjs, version 1.
    pub fn state_vector(&self) -> Vec<u8> {
        use yrs::updates::encoder::Encode;
        self.doc.transact().state_vector().encode_v1()
    }

    /// One update of Yjs, version 1, that has all that was read.
    pub fn to_update(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Puts `text` at a place.
    ///
    /// # Errors
    /// A place that is not there.
    pub fn insert(&mut self, at: Position, text: &str) -> Result<(), TextError> {
        self.replace(at, at, text)
    }

    /// Takes out what lies between two places.
    ///
    /// # Errors
    /// A place that is not there, or an end before the beginning.
    pub fn delete(&mut self, from: Position, to: Position) -> Result<(), TextError> {
        self.replace(from, to, "")
    }

    /// Replaces what lies between two places.
    ///
    /// # Errors
    /// A place that is not there, or an end before the beginning.
    pub fn replace(&mut self, from: Position, to: Position, with: &str) -> Result<(), TextError> {
        let place = |at: Position| at.byte_of(&self.content).ok_or(TextError::Position(at));
        let (start, end) = (place(from)?, place(to)?);
        if end < start {
            return Err(TextError::Position(to));
        }
        self.splice(&[(start..end, with)])
    }

    /// Makes the text `whole`, by as few changes as people would: what others change at the same time elsewhere in it
    /// stays.
    ///
    /// # Errors
    /// None but [`TextError::Broken`].
    pub fn set(&mut self, whole: &str) -> Result<(), TextError> {
        self.splice(&differences(&self.content, whole))
    }

    /// Writes what was changed as one update.
    ///
    /// # Errors
    /// A field that this replica wrote to since, names out of bounds, or more text than an operation holds or is read. Then nothing
    /// is written, and it may be tried again.
    pub fn commit(&mut self, edit: &mut Edit<'_>) -> Result<(), TextError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.check_fresh(edit)?;
        self.gather()?;
        let room = fitting(self.room, &self.changes[0])?;
        edit.push_text(&self.entity, &self.field, &self.changes[0])?;
        // What others wrote meanwhile was not read.
        self.wrote(edit, room);
        Ok(())
    }

    /// Makes one update of what waits.
    fn gather(&mut self) -> Result<(), TextError> {
        if self.changes.len() > 1 {
            let merged = guarded(|| merge_updates_v1(&self.changes)).and_then(Result::ok);
            self.changes = vec![merged.ok_or(TextError::Broken)?];
        }
        Ok(())
    }

    /// Replaces all updates of the field by one that has them all, with what was changed.
    ///
    /// # Errors
    /// As [`commit`](Text::commit), and a text of which something cannot be read, or misses what it follows from.
    pub fn squash(&mut self, edit: &mut Edit<'_>) -> Result<(), TextError> {
        if !self.unread.is_empty() || !self.is_whole() {
            return Err(TextError::Unread);
        }
        let now = updates(edit.document(), &self.entity, &self.field);
        let is_all = now.len() == self.seen.len()
            && now.iter().all(|update| self.seen.contains(&update.stamp.dot));
        if !is_all {
            return Err(TextError::Stale);
        }
        if !self.changes.is_empty() {
            self.check_fresh(edit)?;
        }
        let all = guarded(|| self.to_update()).ok_or(TextError::Broken)?;
        let room = fitting(Room::default(), &all)?;
        edit.squash_text(&self.entity, &self.field, &all)?;
        self.seen.clear();
        self.wrote(edit, room);
        Ok(())
    }

    /// What was changed is the last operation of `edit`.
    fn wrote(&mut self, edit: &Edit<'_>, room: Room) {
        let Dot { replica, seq } = edit.next_dot();
        self.seen.insert(Dot { replica, seq: seq - 1 });
        self.room = room;
        self.changes.clear();
    }

    /// Two texts that were read before either was written would write different things under the same names.
    fn check_fresh(&self, edit: &Edit<'_>) -> Result<(), TextError> {
        let own = edit.next_dot().replica;
        let mut now = updates(edit.document(), &self.entity, &self.field)
            .into_iter()
            .map(|update| update.stamp.dot)
            .filter(|dot| dot.replica == own);
        let is_fresh = self.writer == Some(own) && now.all(|dot| self.seen.contains(&dot));
        if is_fresh { Ok(()) } else { Err(TextError::Stale) }
    }

    /// Replaces ranges of bytes, ascending, apart, and between characters of the text.
    fn splice(&mut self, parts: &[(Range<usize>, &str)]) -> Result<(), TextError> {
        if parts.iter().all(|(range, with)| range.is_empty() && with.is_empty()) {
            return Ok(());
        }
        let (embeds, content) = (self.embeds(), &self.content);
        let update = transact(&self.doc, |transaction| {
            // From the end, so that what lies before keeps its place.
            for (range, with) in parts.iter().rev() {
                let before = units(&content[..range.start]);
                let end = before + units(&content[range.clone()]);
                let start = before + embeds.partition_point(|embed| *embed <= before) as u32;
                let end = end + embeds.partition_point(|embed| *embed < end) as u32;
                // Objects at either end stay, and what is put goes behind them.
                self.root.remove_range(transaction, start, end.saturating_sub(start));
                self.root.insert(transaction, start, with);
            }
            transaction.encode_update_v1()
        });
        self.changes.push(update.ok_or(TextError::Broken)?);
        for (range, with) in parts.iter().rev() {
            self.units = self.units - units(&self.content[range.clone()]) + units(with);
            self.content.replace_range(range.clone(), with);
        }
        if self.changes.len() < WAITING_MAX { Ok(()) } else { self.gather() }
    }

    /// Before how much text objects are embedded, which take a place in Yjs and none in what people read.
    fn embeds(&self) -> Vec<u32> {
        let transaction = self.doc.transact();
        if self.root.len(&transaction) == self.units {
            return Vec::new();
        }
        let (mut before, mut embeds) = (0, Vec::new());
        for part in self.root.diff(&transaction, YChange::identity) {
            match part.insert {
                Out::Any(yrs::Any::String(text)) => before += units(&text),
                _ => embeds.push(before),
            }
        }
        embeds
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.content)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text { entity, field, unread, .. } = self;
        f.debug_struct("Text").field("of", &(entity, field)).field("unread", unread).finish()
    }
}

/// What is taken with an update that is to be written: nothing is written that would not be read.
fn fitting(room: Room, update: &[u8]) -> Result<Room, TextError> {
    room.with(update).map_err(|fault| match fault {
        Fault::TooMuch(_) => TextError::Edit(EditError::TooLarge),
        _ => TextError::Broken,
    })
}

/// How many UTF-16 code units a text has; a text has less than four billion.
fn units(text: &str) -> u32 {
    let units = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// The ranges of `old` that are to be replaced to make it `new`.
fn differences<'a>(old: &str, new: &'a str) -> Vec<(Range<usize>, &'a str)> {
    let (start, old, new) = without_ends(old, new);
    if old.len().max(new.len()) > COMPARED_MAX {
        return vec![(start..start + old.len(), new)];
    }
    let (mut at, mut taken) = (start, 0);
    let mut parts: Vec<(Range<usize>, &str)> = Vec::new();
    for chunk in dissimilar::diff(old, new) {
        match chunk {
            Chunk::Equal(same) => {
                at += same.len();
                taken += same.len();
            }
            Chunk::Delete(gone) => {
                parts.push((at..at + gone.len(), ""));
                at += gone.len();
            }
            Chunk::Insert(text) => {
                let text = &new[taken..taken + text.len()];
                taken += text.len();
                match parts.last_mut() {
                    Some((range, with)) if range.end == at && with.is_empty() => *with = text,
                    _ => parts.push((at..at, text)),
                }
            }
        }
    }
    parts
}

/// What is left without the same beginning, whose length comes first, and the same end.
fn without_ends<'o, 'n>(old: &'o str, new: &'n str) -> (usize, &'o str, &'n str) {
    let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b);
    let (start, rest) = old.split_at(same.map(|(a, _)| a.len_utf8()).sum());
    let new = &new[start.len()..];
    let same = rest.chars().rev().zip(new.chars().rev()).take_while(|(a, b)| a == b);
    let end: usize = same.map(|(a, _)| a.len_utf8()).sum();
    (start.len(), &rest[..rest.len() - end], &new[..new.len() - end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[(Range<usize>, &str)]) {
        assert_eq!(differences(old, new), expected);
    }

    #[test]
    fn few_changes() {
        check("", "", &[]);
        check("same", "same", &[]);
        check("", "new", &[(0..0, "new")]);
        check("old", "", &[(0..3, "")]);
        check("🙂 milk", "🙂 oat milk", &[(5..5, "oat ")]);
        check("aaa", "aa", &[(2..3, "")]);
        check("The cat sat here.", "The dog sat there.", &[(4..7, "dog"), (12..12, "t")]);
    }

    #[test]
    fn much_is_replaced_as_a_whole() {
        let (old, new) = ("a".repeat(9_000), "b".repeat(9_000));
        assert_eq!(differences(&format!("x{old}y"), &format!("x{new}y")), [(1..9_001, &*new)]);
    }
}
