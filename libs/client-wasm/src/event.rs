//! What happened, as rows: document, name, and what belongs to it.

use js_sys::Array;
use selvedge_crdt::session::{CloseReason, Event, Refusal, Remedy};
use wasm_bindgen::prelude::*;

use crate::session::Session;

#[wasm_bindgen]
impl Session {
    /// The next event, as: document, what it is called, and its parts.
    #[wasm_bindgen(js_name = takeEvent)]
    pub fn take_event(&mut self) -> Option<Vec<JsValue>> {
        let (document, event) = self.client.poll_event()?;
        let mut row = vec![document.to_string().into()];
        match event {
            Event::Changed(entities) => {
                row.push("changed".into());
                row.extend(entities.map(|ids| {
                    JsValue::from(ids.iter().map(|id| JsValue::from_str(id)).collect::<Array>())
                }));
            }
            Event::Acknowledged { seq, .. } => row.extend(["acknowledged".into(), number(seq)]),
            Event::CaughtUp => row.push("caughtUp".into()),
            Event::Refused { why, remedy } => {
                row.extend(["refused".into(), refusal(&why), remedy_of(remedy)]);
            }
            Event::Renamed { from, to, why } => row.extend([
                "renamed".into(),
                from.to_string().into(),
                to.to_string().into(),
                format!("{why:?}").into(),
            ]),
            Event::Lost => row.push("lost".into()),
            Event::Healed => row.push("healed".into()),
            Event::Unhealed => row.push("unhealed".into()),
            Event::Lag(records) => row.extend(["lag".into(), number(records)]),
            Event::Presence { session, state } => {
                row.extend(["presence".into(), session.to_string().into()]);
                row.extend(self.presence_of(&document, &state).map(JsValue::from));
            }
            Event::Snapshot(_) => row.push("snapshot".into()),
            Event::SnapshotRefused(why) => row.extend(["snapshotRefused".into(), refusal(&why)]),
            Event::Rejected { why, .. } => row.extend(["rejected".into(), refusal(&why)]),
            Event::NeedsKey(epoch) => row.extend(["needsKey".into(), epoch.into()]),
            Event::NeedsToken => row.push("needsToken".into()),
            Event::Closed(why) => row.extend(["closed".into(), closed(why)]),
            Event::Suspicious { offset, what } => {
                row.extend(["suspicious".into(), number(offset), format!("{what:?}").into()]);
            }
        }
        Some(row)
    }
}

fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

fn refusal(why: &Refusal) -> JsValue {
    why.to_string().into()
}

fn closed(why: CloseReason) -> JsValue {
    format!("{why:?}").into()
}

fn remedy_of(remedy: Remedy) -> JsValue {
    JsValue::from_str(match remedy {
        Remedy::Again => "again",
        Remedy::Waits => "waits",
        Remedy::Dropped => "dropped",
    })
}
