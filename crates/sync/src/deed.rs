//! What is done once the log has its record.

use std::sync::Arc;

use selvedge_crdt::session::{DeviceId, DocumentId};
use selvedge_eventlog::Append;

use crate::{
    hub::Hub,
    trust::{Revocation, Revoked},
};

/// Something that is in force as soon as its [record](Self::record) is durable, which goes into one batch with the entry that
/// tells of it. Dropped before it is [done](Self::done), it never was.
pub struct Deed {
    hub: Arc<Hub>,
    record: Append,
    change: Option<Change>,
}

pub(crate) enum Change {
    /// This device founded this document.
    Founded(DocumentId, DeviceId),
    /// This token counts no more.
    Revoked(Revocation),
}

impl Deed {
    pub(crate) fn new(hub: &Arc<Hub>, record: Append, change: Change) -> Self {
        Self { hub: hub.clone(), record, change: Some(change) }
    }

    /// For the log.
    pub fn record(&self) -> Append {
        self.record.clone()
    }

    /// Says that the record is durable.
    pub fn done(mut self) {
        match self.change.take() {
            Some(Change::Founded(document, device)) => {
                self.hub.founders().finish(&document, device);
            }
            Some(Change::Revoked(Revocation { id, revoked })) => self.hub.revoked(id, revoked),
            None => {}
        }
    }
}

impl Drop for Deed {
    fn drop(&mut self) {
        match self.change.take() {
            Some(Change::Founded(document, _)) => self.hub.founders().give_up(&document),
            Some(Change::Revoked(Revocation { id, revoked: Revoked { by: Some(_), .. } })) => {
                self.hub.warden.not_spent(&id);
            }
            Some(Change::Revoked(_)) | None => {}
        }
    }
}
