//! What somebody may do with a document.

use std::{fmt, ops::BitOr};

/// A set of rights. None contains another: who may write, and not read, writes into a letter box.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// No right.
    pub const NONE: Rights = Rights(0);
    /// To get records, snapshots and presence.
    pub const READ: Rights = Rights(1);
    /// To push batches.
    pub const WRITE: Rights = Rights(2);
    /// To put a snapshot in place of the current one.
    pub const SNAPSHOT: Rights = Rights(4);
    /// To say who is a member.
    pub const ADMIN: Rights = Rights(8);
    /// To bring one device in, with no more rights than one's own: what a link is for.
    pub const JOIN: Rights = Rights(16);
    /// Every right.
    pub const ALL: Rights = Rights(31);

    /// Every single right with its name, in order.
    pub const KNOWN: [(Rights, &'static str); 5] = [
        (Rights::READ, "read"),
        (Rights::WRITE, "write"),
        (Rights::SNAPSHOT, "snapshot"),
        (Rights::ADMIN, "admin"),
        (Rights::JOIN, "join"),
    ];

    /// The right of this name.
    pub fn from_name(name: &str) -> Option<Rights> {
        Rights::KNOWN.iter().find(|(_, known)| *known == name).map(|(right, _)| *right)
    }

    /// The rights of these bits, if each is known.
    pub fn from_bits(bits: u8) -> Option<Rights> {
        (bits & !Rights::ALL.0 == 0).then_some(Rights(bits))
    }

    /// One bit for each.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `others` are in this.
    pub fn has(self, others: Rights) -> bool {
        self.0 & others.0 == others.0
    }

    /// These without `others`.
    #[must_use]
    pub fn without(self, others: Rights) -> Rights {
        Rights(self.0 & !others.0)
    }

    /// The names of these, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Rights::KNOWN.into_iter().filter(move |(right, _)| self.has(*right)).map(|(_, name)| name)
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names().collect();
        if names.is_empty() { f.write_str("nothing") } else { f.write_str(&names.join(", ")) }
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_have_names_and_bits() {
        for (at, (right, name)) in Rights::KNOWN.into_iter().enumerate() {
            assert_eq!(right.bits(), 1 << at);
            assert_eq!(Rights::from_name(name), Some(right));
            assert!(Rights::ALL.has(right) && !Rights::NONE.has(right));
            assert!(!Rights::ALL.without(right).has(right));
        }
        assert_eq!(Rights::from_bits(31), Some(Rights::ALL));
        assert_eq!(Rights::from_bits(32), None);
        assert_eq!((Rights::READ | Rights::ADMIN).to_string(), "read, admin");
        assert_eq!(Rights::NONE.to_string(), "nothing");
    }
}
