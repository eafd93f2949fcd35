//! What lies between a folder and a stream before a log is opened: the copy is brought up to date, or
//! made, or refused.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_eventlog::{Disk, File, finished_name};

use crate::{
    copy::{Copy, Found, Identity, Position},
    error::{OpenError, folder},
    mirror::Journal,
    operation::{self, Operation, Stamp, is_file_name, pack},
};

/// How often somebody may write while we take the log over.
const ATTEMPTS_MAX: usize = 8;
/// What is read of a file in one go, to be sent.
const SENT_BYTES: usize = 4 << 20;

/// Messages with their sequences.
pub(crate) type Messages = Vec<(u64, Bytes)>;

/// The stream, as a copy asks for it before there is a log.
pub(crate) trait Source: Journal {
    /// Which stream it is.
    fn identity(&self) -> Identity;

    /// The sequence of the last message.
    fn end(&self) -> Result<u64, OpenError>;

    /// Whose a message is; `None` when it is there no more.
    fn stamp(&self, sequence: u64) -> Result<Option<Stamp>, OpenError>;

    /// Reads messages from a sequence on, some of those up to another: at least one, which is there.
    fn read(&self, from: u64, to: u64) -> Result<Messages, OpenError>;

    /// Files of which there are messages.
    fn files(&self) -> Result<Vec<String>, OpenError>;

    /// Takes the log over behind a message; `None` if somebody wrote meanwhile.
    fn hold(&self, end: u64) -> Result<Option<Position>, OpenError>;
}

/// Makes the copy what the stream says, and takes the log over.
pub(crate) fn restore(
    disk: Arc<dyn Disk>,
    found: Found,
    link: &impl Source,
) -> Result<Copy, OpenError> {
    let identity = link.identity();
    let end = link.end()?;
    let settled = match judge(found, &identity, end)? {
        Beginning::At(settled) => settled,
        Beginning::Send => return send(disk, link, identity),
    };
    check(link, settled, end)?;
    let mut copy = Copy::new(disk, identity, settled);
    // From here on, what lies in the folder is known to be a copy.
    copy.settle().map_err(folder("marking the log's copy"))?;
    follow(link, &mut copy)?;
    give_up(link, &copy)?;
    Ok(copy)
}

/// Where a copy goes on.
#[derive(Debug, PartialEq, Eq)]
enum Beginning {
    At(Position),
    /// Nowhere: the stream is empty, and there is a log here to be sent.
    Send,
}

fn judge(found: Found, identity: &Identity, end: u64) -> Result<Beginning, OpenError> {
    match found {
        Found::Nothing => Ok(Beginning::At(Position::START)),
        Found::Log if end == 0 => Ok(Beginning::Send),
        Found::Log => Err(OpenError::Foreign(
            "the folder holds a log that is no copy of the stream, and the stream is not empty: move the folder away, or \
             delete the stream, whichever is not wanted",
        )),
        Found::Copy { of, .. } if of != *identity => Err(OpenError::Foreign(
            "the folder holds the copy of another stream, or the stream was deleted and made anew: move the folder away \
             to begin with what the stream has, or delete its file `journal`, and the stream, to begin with the copy",
        )),
        Found::Copy { settled, .. } if settled.sequence > end => {
            Err(OpenError::Lost { acknowledged: settled.sequence, found: end })
        }
        Found::Copy { settled, .. } => Ok(Beginning::At(settled)),
    }
}

/// Demands that the last message of the copy is the one that the stream has there.
fn check(link: &impl Source, settled: Position, end: u64) -> Result<(), OpenError> {
    if settled == Position::START {
        return Ok(());
    }
    match link.stamp(settled.sequence)? {
        Some(stamp) if stamp != settled.stamp => {
            Err(OpenError::Lost { acknowledged: settled.sequence, found: end })
        }
        // It told of a file that is no more, or it is the right one.
        _ => Ok(()),
    }
}

/// Applies what the copy lacks, and takes the log over where nobody writes meanwhile.
fn follow(link: &impl Source, copy: &mut Copy) -> Result<(), OpenError> {
    for _ in 0..ATTEMPTS_MAX {
        let end = link.end()?;
        while copy.reached().sequence < end {
            let messages = link.read(copy.reached().sequence + 1, end)?;
            messages.into_iter().try_for_each(|(sequence, bytes)| apply(copy, sequence, bytes))?;
        }
        if let Some(position) = link.hold(end)? {
            return copy.reach(position).map_err(folder("syncing the log's copy"));
        }
    }
    Err(OpenError::Contended)
}

fn apply(copy: &mut Copy, sequence: u64, bytes: Bytes) -> Result<(), OpenError> {
    let (stamp, operations) = operation::open(bytes)
        .map_err(|operation::Damaged(what)| OpenError::Damaged { sequence, what })?;
    let step = folder("writing the log's copy");
    operations.iter().try_for_each(|operation| copy.apply(operation)).map_err(&step)?;
    copy.reach(Position { sequence, stamp }).map_err(&step)
}

/// Gives up what the stream has of files that are no more.
fn give_up(link: &impl Source, copy: &Copy) -> Result<(), OpenError> {
    let here = copy.files().map_err(folder("listing the log's copy"))?;
    let wanted = |name: &String| here.iter().any(|file| finished_name(file) == name);
    for name in link.files()?.iter().filter(|name| !wanted(name)) {
        link.forget(name, copy.reached().sequence);
    }
    Ok(())
}

/// Sends a log that was kept here alone so far. The folder is a copy when all of it is there.
fn send(disk: Arc<dyn Disk>, link: &impl Source, identity: Identity) -> Result<Copy, OpenError> {
    let step = folder("reading the log that is to be sent");
    if link.hold(0)?.is_none() {
        return Err(OpenError::Contended);
    }
    let mut copy = Copy::new(Arc::clone(&disk), identity, Position::START);
    let mut position = Position::START;
    for name in copy.files().map_err(&step)?.into_iter().filter(|name| is_file_name(name)) {
        let file = disk.open(&name).map_err(&step)?;
        let length = file.length().map_err(&step)?;
        publish(link, &mut position, &[Operation::Create { name: name.clone() }])?;
        for offset in (0..length).step_by(SENT_BYTES) {
            let bytes = read(file.as_ref(), offset).map_err(&step)?;
            if bytes.iter().any(|byte| *byte != 0) {
                publish(
                    link,
                    &mut position,
                    &[Operation::Write { name: name.clone(), offset, bytes }],
                )?;
            }
        }
        publish(link, &mut position, &[Operation::Reserve { name, length }])?;
    }
    copy.reach(position).map_err(&step)?;
    copy.settle().map_err(folder("marking the log's copy"))?;
    Ok(copy)
}

fn publish(
    link: &impl Source,
    position: &mut Position,
    done: &[Operation],
) -> Result<(), OpenError> {
    let published = link.publish(pack(done, link.room()));
    *position = published.map_err(folder("sending the log"))?;
    Ok(())
}

fn read(file: &dyn File, offset: u64) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; SENT_BYTES];
    let length = file.read_at(offset, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes.into())
}
