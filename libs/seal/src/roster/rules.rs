//! What may follow what.

use selvedge_crdt::session::DeviceId;

use super::{Member, MemberKind, Roster, RosterError, RosterHash};
use crate::Rights;

/// What holds of every roster: somebody can sign the next one, and no link is admin.
pub(super) fn stands(roster: &Roster) -> Result<(), RosterError> {
    let is_first = roster.before == RosterHash::default() && roster.epoch.get() == 1;
    if roster.serial == 0 || (roster.serial == 1 && !is_first) {
        return Err(RosterError::Epoch);
    }
    let mut admins = roster.members.iter().filter(|member| member.rights.has(Rights::ADMIN));
    let ruled = admins.next().is_some();
    let by_links = roster
        .members
        .iter()
        .any(|member| member.kind != MemberKind::Device && member.rights.has(Rights::ADMIN));
    if ruled && !by_links { Ok(()) } else { Err(RosterError::Signer) }
}

/// Whether `next`, by `signer`, follows `held`.
pub(super) fn follows(held: &Roster, next: &Roster, signer: &DeviceId) -> Result<(), RosterError> {
    let serial = held.serial.saturating_add(1);
    if next.serial < serial {
        return Err(RosterError::Past);
    } else if next.serial > serial {
        return Err(RosterError::Gap(serial));
    } else if next.before != held.hash {
        return Err(RosterError::Forked);
    }
    let signer = held.member(signer).ok_or(RosterError::Signer)?;
    if signer.rights.has(Rights::ADMIN) {
        keeps_the_key_from_others(held, next)
    } else if signer.rights.has(Rights::JOIN) {
        brings_one_in(held, next, signer)
    } else {
        Err(RosterError::Signer)
    }
}

/// Whoever is gone, or unwraps with another key, does not have the key of what follows.
fn keeps_the_key_from_others(held: &Roster, next: &Roster) -> Result<(), RosterError> {
    let stays = |member: &Member| {
        next.member(&member.device).is_some_and(|it| it.encryption == member.encryption)
    };
    let right = if next.epoch == held.epoch {
        let same_key = next.commitment == held.commitment;
        same_key && next.owes_epoch == held.owes_epoch && held.members.iter().all(stays)
    } else {
        let is_next = held.epoch.checked_add(1) == Some(next.epoch);
        is_next && next.commitment != held.commitment && !next.owes_epoch
    };
    if right { Ok(()) } else { Err(RosterError::Epoch) }
}

/// One device more, which may no more than `signer`; nobody else is touched, and a link for once is gone.
fn brings_one_in(held: &Roster, next: &Roster, signer: &Member) -> Result<(), RosterError> {
    let is_used_up = signer.kind == MemberKind::LinkOnce;
    let same = next.epoch == held.epoch
        && next.commitment == held.commitment
        && next.owes_epoch == (held.owes_epoch || is_used_up);
    let stays = |member: &&Member| !is_used_up || member.device != signer.device;
    let (old, new): (Vec<&Member>, Vec<&Member>) =
        next.members.iter().partition(|member| held.member(&member.device).is_some());
    let untouched = held.members.iter().filter(stays).eq(old);
    let may = |new: &Member| {
        let less = signer.rights.has(new.rights) && new.since >= signer.since;
        // Else a link for once would bring in as many as it likes, by the first of them.
        less && !new.rights.has(Rights::JOIN) && new.kind == MemberKind::Device
    };
    let right = same && untouched && matches!(new[..], [new] if may(new));
    if right { Ok(()) } else { Err(RosterError::Join) }
}
