//! The bytes of a roster.

use selvedge_crdt::{
    Malformed, Reader, put_varint,
    session::{DeviceId, DocumentId},
};

use super::{MEMBERS_MAX, Member, MemberKind, NAME_BYTES_MAX, Roster, RosterHash};
use crate::{
    Rights,
    cipher::Cipher,
    epoch::{Commitment, Epoch},
    wrap::{EncryptionKey, Wrapped},
};

/// The only version there is.
const VERSION: u8 = 1;

/// Bytes of all names, once they are sealed, at most.
const NAMES_BYTES_MAX: usize = Cipher::sealed_len(MEMBERS_MAX * (NAME_BYTES_MAX + 2));

/// The bytes of a roster, as a `keys` record carries them.
pub(super) fn write(roster: &Roster) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, roster.serial);
    out.extend(roster.before.0);
    out.extend(roster.commitment.0);
    out.push(u8::from(roster.owes_epoch));
    put_varint(&mut out, roster.members.len() as u64);
    roster.members.iter().for_each(|member| write_member(member, &mut out));
    put_varint(&mut out, roster.names.len() as u64);
    out.extend(&roster.names);
    out
}

fn write_member(member: &Member, out: &mut Vec<u8>) {
    let Member { device, encryption, rights, kind, since, wrapped } = member;
    out.extend(device.0);
    out.extend(encryption.0);
    out.extend([rights.bits(), *kind as u8]);
    put_varint(out, since.get().into());
    out.extend(wrapped.encapsulated);
    out.extend(&wrapped.sealed);
}

/// Reads the bytes that a `keys` record of `epoch` carries.
pub(super) fn read(
    document: &DocumentId,
    epoch: Epoch,
    hash: RosterHash,
    bytes: &[u8],
) -> Result<Roster, Malformed> {
    let mut reader = Reader::new(bytes);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(Malformed::Version(version.into()));
    }
    let serial = reader.varint()?;
    let (before, commitment) = (RosterHash(reader.array()?), Commitment(reader.array()?));
    let owes_epoch = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::NotCanonical("whether an epoch is owed")),
    };
    let count = reader.count(MEMBERS_MAX, "members")?;
    let members = (0..count).map(|_| read_member(&mut reader, epoch));
    let members: Vec<Member> = members.collect::<Result<_, _>>()?;
    if !members.is_sorted_by(|a, b| a.device < b.device) {
        return Err(Malformed::NotCanonical("the order of members"));
    }
    let names_len = reader.count(NAMES_BYTES_MAX, "bytes of names")?;
    let names = reader.take(names_len)?.to_vec();
    reader.finish()?;
    let document = document.clone();
    Ok(Roster { document, epoch, serial, before, hash, commitment, owes_epoch, members, names })
}

fn read_member(reader: &mut Reader<'_>, epoch: Epoch) -> Result<Member, Malformed> {
    let device = DeviceId(reader.array()?);
    let encryption = EncryptionKey(reader.array()?);
    let rights = Rights::from_bits(reader.byte()?);
    let rights = rights.ok_or(Malformed::Invalid("a right that is not known"))?;
    let kind = match reader.byte()? {
        0 => MemberKind::Device,
        1 => MemberKind::LinkOnce,
        2 => MemberKind::Link,
        _ => return Err(Malformed::Invalid("a member of no known kind")),
    };
    let since = reader.count(epoch.get() as usize, "epochs")? as u32;
    let since = Epoch::new(since).ok_or(Malformed::Invalid("epochs begin with 1"))?;
    let epochs = (epoch.get() - since.get()) as usize + 1;
    let encapsulated = reader.array()?;
    let sealed = reader.take(Wrapped::sealed_len(epochs))?.to_vec();
    Ok(Member {
        device,
        encryption,
        rights,
        kind,
        since,
        wrapped: Wrapped { encapsulated, sealed },
    })
}

/// Names, each behind its length.
pub(super) fn write_names(names: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        put_varint(&mut out, name.len() as u64);
        out.extend(name.as_bytes());
    }
    out
}

/// As many names as there are members.
pub(super) fn read_names(bytes: &[u8], count: usize) -> Result<Vec<String>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut name = || -> Result<String, Malformed> {
        let len = reader.count(NAME_BYTES_MAX, "bytes of a name")?;
        let name = str::from_utf8(reader.take(len)?);
        name.map(str::to_owned).map_err(|_| Malformed::Invalid("a name that is no UTF-8"))
    };
    let names = (0..count).map(|_| name()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(names)
}
