//! People with devices, and a document.

use selvedge_crdt::{
    Batch, Document, ReplicaId, Writer,
    session::{DocumentId, Record},
};
use selvedge_seal::{
    Anchor, Device, Draft, Epoch, EpochKey, Keyring, Newcomer, Rights, Roster, RosterError,
};

pub const MEMBER: Rights = Rights::READ;

pub fn document(name: &str) -> DocumentId {
    DocumentId::new("acme", name).expect("a name")
}

pub fn epoch(number: u32) -> Epoch {
    Epoch::new(number).expect("from 1")
}

pub fn device(number: u8) -> Device {
    Device::from_seed([number; 32])
}

pub fn key(name: &str, number: u32, secret: u8) -> EpochKey {
    EpochKey::new(&document(name), epoch(number), [secret; 32])
}

/// Two notes, or as many more as are asked for.
pub fn batch(notes: usize) -> Batch {
    let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([0xa1; 16])));
    for note in 0..notes {
        let mut edit = writer.edit(&mut document, 1_000);
        edit.set(&format!("note/{note}"), "title", "Milk and honey".into()).expect("it fits");
    }
    writer.take_batch().expect("something was written")
}

/// What an admin knows: device 1, of a document that it founded.
pub struct Scene {
    pub admin: Device,
    pub keyring: Keyring,
    pub roster: Roster,
    random: u8,
}

impl Scene {
    pub fn new() -> Self {
        let (admin, document) = (device(1), document("notes"));
        let mut keyring = Keyring::new(&document);
        let mut draft = Draft::founding(&document);
        draft.add(Newcomer::device(admin.public(), Rights::ALL, "admin"));
        let record = draft.sign(&admin, &keyring, [100; 32]).expect("a roster");
        let record = Record::read(&record).expect("a record");
        let roster = Roster::first(&document, &record, &Anchor::Founder(admin.id()));
        let roster = roster.expect("founded here");
        roster.unlock(&admin, &mut keyring).expect("its own");
        Scene { admin, keyring, roster, random: 100 }
    }

    /// The record of the roster after this one.
    pub fn draft(&mut self, change: impl FnOnce(&mut Draft<'_>)) -> Vec<u8> {
        self.random += 1;
        let mut draft = Draft::after(&self.roster, &self.keyring).expect("its names");
        change(&mut draft);
        draft.sign(&self.admin, &self.keyring, [self.random; 32]).expect("a roster")
    }

    /// Takes a record over.
    pub fn follow(&mut self, record: &[u8]) -> Result<(), RosterError> {
        let next = self.roster.follow(&Record::read(record).expect("a record"))?;
        next.unlock(&self.admin, &mut self.keyring).expect("the admin stays");
        self.roster = next;
        Ok(())
    }

    /// Changes the roster.
    pub fn change(&mut self, change: impl FnOnce(&mut Draft<'_>)) {
        let record = self.draft(change);
        self.follow(&record).expect("the admin may");
    }

    /// The keys that `device` gets now.
    pub fn keys_of(&self, device: &Device) -> Vec<u32> {
        let mut keyring = Keyring::new(self.roster.document());
        match self.roster.unlock(device, &mut keyring) {
            Ok(()) => keyring.secrets().map(|(epoch, _)| epoch.get()).collect(),
            Err(_) => Vec::new(),
        }
    }
}
