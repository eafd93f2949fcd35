//! What does not follow the schema of a document is refused, and gone from its device.

use std::sync::Arc;

use selvedge_crdt::{
    EntityType, FieldRule, Kind, OnDelete, Schema, ValueType,
    session::{DocumentId, Event, Refusal, Remedy, relay::Demand},
};
use selvedge_seal::Rights;
use selvedge_sync::{Rule, Settings};

use crate::relay::{Peer, Relay};

#[tokio::test]
async fn what_does_not_fit_is_named_and_undone() {
    let note = EntityType::new(OnDelete::EditsRevive)
        .field("title", FieldRule::new(Kind::LWW, &[ValueType::Text]));
    let rule = Rule {
        tenant: "*".to_owned(),
        documents: "notes".to_owned(),
        demand: Demand::Plain,
        schema: Some(Arc::new(Schema::default().entity("note", note))),
    };
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings { rules: vec![rule], ..Settings::default() });
    let notes = DocumentId::new("acme", "notes").unwrap();
    let mut ann = Peer::new(&relay, (1, &notes), Rights::ALL, |_| ()).await;
    ann.set("note/1", "title", "Milk");
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    ann.set("note/1", "shop", "Corner");
    ann.until("the shop is refused", |ann| {
        let text = "note/1 at sequence 2: note has no field \"shop\"";
        ann.events.iter().any(|event| {
            let Event::Refused { why: Refusal::Schema(why), remedy: Remedy::Dropped } = event
            else {
                return false;
            };
            assert_eq!(why, text);
            true
        })
    })
    .await;
    ann.until("the shop is gone", |ann| !ann.has("note/1", "shop", "Corner")).await;
    ann.set("note/1", "title", "Oats");
    ann.until("the rest goes on", |ann| ann.is_in_step() && ann.has("note/1", "title", "Oats"))
        .await;
}
