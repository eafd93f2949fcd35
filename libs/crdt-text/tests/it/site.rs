//! A replica with its document.

use selvedge_crdt::{Batch, Document, Edit, ReplicaId, Writer};
use selvedge_crdt_text::{Text, TextError};

pub const AT: (&str, &str) = ("note/1", "body");

pub struct Site {
    pub document: Document,
    writer: Writer,
    now_ms: u64,
}

impl Site {
    pub fn new(replica: u8) -> Self {
        let writer = Writer::new(ReplicaId([replica; 16]));
        Site { document: Document::new(), writer, now_ms: u64::from(replica) }
    }

    /// Edits, and returns what is to be sent.
    pub fn write(&mut self, write: impl FnOnce(&mut Edit<'_>)) -> Vec<Batch> {
        self.now_ms += 10;
        write(&mut self.writer.edit(&mut self.document, self.now_ms));
        std::iter::from_fn(|| self.writer.take_batch()).collect()
    }

    /// Changes the text, and returns what is to be sent.
    #[track_caller]
    pub fn change(
        &mut self,
        change: impl FnOnce(&mut Text) -> Result<(), TextError>,
    ) -> Vec<Batch> {
        self.write(|edit| {
            let mut text = Text::open(edit, AT.0, AT.1);
            change(&mut text).expect("the text has this place");
            let expected = text.to_string();
            text.commit(edit).expect("the field has room");
            assert_eq!(Text::read(edit.document(), AT.0, AT.1).to_string(), expected);
        })
    }

    pub fn set(&mut self, text: &str) -> Vec<Batch> {
        self.change(|it| it.set(text))
    }

    pub fn receive(&mut self, batches: &[Batch]) {
        batches.iter().for_each(|batch| self.document.apply(batch));
    }

    /// The text, to be written to.
    pub fn open(&mut self) -> Text {
        let mut text = None;
        self.write(|edit| text = Some(Text::open(edit, AT.0, AT.1)));
        text.expect("it was opened")
    }

    pub fn text(&self) -> Text {
        Text::read(&self.document, AT.0, AT.1)
    }

    #[track_caller]
    pub fn check(&self, expected: &str) {
        assert_eq!(self.text().to_string(), expected);
    }

    pub fn updates(&self) -> usize {
        self.document.entity(AT.0).map_or(0, |entity| entity.text_updates(AT.1).len())
    }
}

/// Two sites with the same text.
pub fn pair(text: &str) -> (Site, Site) {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    let sent = a.set(text);
    b.receive(&sent);
    (a, b)
}
