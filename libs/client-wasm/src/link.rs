//! Links.

use selvedge_crdt::session::DocumentId;
use selvedge_seal::{Device, Link, RosterHash};
use wasm_bindgen::prelude::*;

use crate::{chance, document::document, error};

/// The hash of no roster: the document is not encrypted.
const NO_ROSTER: RosterHash = RosterHash([0; 32]);

/// A link that is being made, or that was read.
#[wasm_bindgen]
pub struct Invitation(Link);

#[wasm_bindgen]
impl Invitation {
    /// A link to a document that is not encrypted: what lets others in is its token.
    pub fn plain(id: &str) -> Result<Invitation, JsValue> {
        Ok(Invitation(Link::new(&document(id)?, chance::draw(), NO_ROSTER, None)))
    }

    /// Reads a link.
    pub fn parse(text: &str) -> Result<Invitation, JsValue> {
        Link::parse(text).map(Invitation).map_err(error::invalid)
    }

    /// Which document it opens.
    #[wasm_bindgen(getter)]
    pub fn document(&self) -> String {
        let name: &DocumentId = &self.0.document;
        name.to_string()
    }

    /// Whether the document is encrypted.
    #[wasm_bindgen(getter, js_name = isEncrypted)]
    pub fn is_encrypted(&self) -> bool {
        self.0.anchor != NO_ROSTER
    }

    /// The public key of the link's own device.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        self.0.device().id().to_string()
    }

    /// The capability that comes with it.
    #[wasm_bindgen(getter)]
    pub fn token(&self) -> Option<String> {
        self.0.token.clone()
    }

    /// The signature of the link's own device.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let device: Device = self.0.device();
        device.sign(bytes).0.to_vec()
    }

    /// Its text, with a capability for its own device, if it is to carry one.
    pub fn text(&self, token: Option<String>) -> String {
        let mut link = self.0.clone();
        link.token = token;
        link.text().to_string()
    }
}

impl Invitation {
    pub(crate) fn of(link: Link) -> Self {
        Invitation(link)
    }
}
