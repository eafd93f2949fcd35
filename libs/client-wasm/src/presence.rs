//! What sessions show of themselves: sealed where the document is.

use selvedge_crdt::session::{DocumentId, Sealing};
use wasm_bindgen::prelude::*;

use crate::{document::document, error, session::Session};

#[wasm_bindgen]
impl Session {
    /// Shows others a state; nothing to be gone.
    pub fn show(&mut self, id: &str, state: &[u8], now_ms: f64) -> Result<(), JsValue> {
        let name = document(id)?;
        let sealed = match self.vault.sealing(&name) {
            Sealing::Epoch(_) if !state.is_empty() => {
                // Before this device has the key, it shows nothing.
                let sealed = self.vault.seal_presence(&name, state, now_ms as u64);
                sealed.unwrap_or_default()
            }
            _ => state.to_vec(),
        };
        match self.client.show(&name, sealed) {
            true => Ok(()),
            false => Err(error::invalid("what is shown is too large")),
        }
    }
}

impl Session {
    /// What another session shows; nothing where it is gone, or not to be read.
    pub(crate) fn presence_of(&self, name: &DocumentId, state: &[u8]) -> Option<Vec<u8>> {
        if state.is_empty() {
            return None;
        }
        match self.vault.sealing(name) {
            Sealing::Plain => Some(state.to_vec()),
            Sealing::Epoch(_) => self.vault.open_presence(name, state).map(|shown| shown.state),
        }
    }
}
