//! Who reads an encrypted document.

use data_encoding::HEXLOWER;
use selvedge_crdt::session::Sealing;
use selvedge_seal::{Link, Rights};
use wasm_bindgen::prelude::*;

use crate::{
    document::{device, document},
    error,
    link::Invitation,
    session::Session,
};

#[wasm_bindgen]
impl Session {
    /// Founds an encrypted document, in whose list this device is called `name`. This comes before its replica.
    pub fn found(&mut self, id: &str, name: &str) -> Result<(), JsValue> {
        self.vault.found(&document(id)?, name).map_err(error::invalid)
    }

    /// Comes into an encrypted document by a link, as `name`. This comes before its replica.
    #[wasm_bindgen(js_name = comeIn)]
    pub fn come_in(&mut self, link: &str, name: &str) -> Result<(), JsValue> {
        self.vault.come_in(&Link::parse(link).map_err(error::invalid)?, name);
        Ok(())
    }

    /// Makes a link that brings devices in, with these rights: for once, or as often as it is opened. It is good once it is no longer pending.
    pub fn invite(
        &mut self,
        id: &str,
        rights: Vec<String>,
        once: bool,
    ) -> Result<Invitation, JsValue> {
        let rights = rights.iter().try_fold(Rights::NONE, |all, name| {
            let right = Rights::from_name(name);
            right.map(|right| all | right).ok_or_else(|| error::invalid("no such right"))
        })?;
        let link = self.vault.invite(&document(id)?, (rights, once), "a link");
        link.map(Invitation::of).map_err(error::denied)
    }

    /// Takes a member out.
    #[wasm_bindgen(js_name = removeMember)]
    pub fn remove_member(&mut self, id: &str, member: &str) -> Result<(), JsValue> {
        self.vault.remove(&document(id)?, &device(member)?).map_err(error::denied)
    }

    /// The members of an encrypted document, each as: device, name, names of its rights with blanks between; nothing before they are known.
    pub fn members(&self, id: &str) -> Result<Vec<String>, JsValue> {
        let members = self.vault.members(&document(id)?).unwrap_or_default();
        let rows = members.into_iter().flat_map(|(device, rights, name)| {
            let rights: Vec<&str> = rights.names().collect();
            [device.to_string(), name, rights.join(" ")]
        });
        Ok(rows.collect())
    }

    /// Returns whether the list of members that counts has this device.
    #[wasm_bindgen(js_name = isMember)]
    pub fn is_member(&self, id: &str) -> Result<bool, JsValue> {
        Ok(self.vault.is_member(&document(id)?))
    }

    /// Returns whether a document is encrypted.
    #[wasm_bindgen(js_name = isEncrypted)]
    pub fn is_encrypted(&self, id: &str) -> Result<bool, JsValue> {
        Ok(self.vault.sealing(&document(id)?) != Sealing::Plain)
    }

    /// A change of the members that is on its way, as hexadecimal digits: who waits compares it with what counts in the end.
    #[wasm_bindgen(js_name = pendingMembers)]
    pub fn pending_members(&self, id: &str) -> Result<Option<String>, JsValue> {
        Ok(self.vault.pending(&document(id)?).map(|record| HEXLOWER.encode(record)))
    }

    /// Returns whether such a change is the one that counts.
    #[wasm_bindgen(js_name = areNewestMembers)]
    pub fn are_newest_members(&self, id: &str, record: &str) -> Result<bool, JsValue> {
        let record = HEXLOWER.decode(record.as_bytes()).map_err(error::invalid)?;
        Ok(self.vault.is_newest(&document(id)?, &record))
    }
}
