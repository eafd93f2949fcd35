//! Credit never runs out for good: whatever was settled, the largest message has room.

use std::{collections::VecDeque, sync::Arc};

use proptest::prelude::*;
use selvedge_crdt::session::{
    CONNECTION, ClientFrame, DeviceId, DocumentId, Limits, MESSAGE_BYTES_MAX, OpenDocument,
    RECORD_BYTES_MAX, Refusal, RelayFrame, Signature, VERSION,
    relay::{Answer, Asked, Grant, READ, RelayConnection, WRITE},
};

use crate::scripted::fresh;

const CHANNEL: u32 = 1;

/// A connection whose device asks for a document.
pub fn asked(limits: Limits) -> RelayConnection<Arc<[u8]>> {
    let mut relay = RelayConnection::new([0; 16], limits);
    let device = DeviceId([1; 32]);
    let hello = ClientFrame::Hello { version: VERSION, device, credit: 0 };
    assert_eq!(relay.receive(&hello.to_bytes(CONNECTION), 0), Asked::Nothing);
    let document = DocumentId::new("acme", "notes").expect("a name");
    let (proof, replicas) = (Signature([0; 64]), vec![]);
    let open = ClientFrame::Open { document, token: "", proof, resume: None, replicas };
    assert!(matches!(relay.receive(&open.to_bytes(CHANNEL), 0), Asked::Open(_)));
    relay
}

/// A connection with a document open, and what its device may still send.
struct Line {
    relay: RelayConnection<Arc<[u8]>>,
    credit: u64,
    /// Sizes of what was sent and is not settled, in order.
    sent: VecDeque<usize>,
}

impl Line {
    /// The channel lags where the relay has more than the device.
    fn new(window: u32, tail: u64) -> Self {
        let mut relay = asked(Limits { credit: window, ..Limits::default() });
        let grant = Grant { rights: READ | WRITE, expires_ms: u64::MAX, id: String::new() };
        relay.opened(CHANNEL, (1, grant), OpenDocument { tail, ..fresh() });
        Line { relay, credit: window.into(), sent: VecDeque::new() }
    }

    /// Sends a record of this size, where there is credit.
    fn try_send(&mut self, record: usize) -> bool {
        let message = ClientFrame::Push { record: &vec![0; record] }.to_bytes(CHANNEL);
        let left = self.credit.checked_sub(message.len() as u64);
        if let Some(left) = left {
            self.credit = left;
            assert!(matches!(self.relay.receive(&message, 0), Asked::Push(CHANNEL, _)));
            self.sent.push_back(message.len());
        }
        left.is_some()
    }

    /// The relay is done with what was sent first.
    fn settle(&mut self) -> bool {
        let first = self.sent.pop_front();
        first.into_iter().for_each(|bytes| self.relay.settle(bytes));
        first.is_some()
    }

    /// The device reads all that the relay says.
    fn read(&mut self) {
        let mut head = Vec::new();
        while self.relay.pop(&mut head).is_some() {
            if let Ok((_, RelayFrame::Credit { bytes })) = RelayFrame::read(&head) {
                self.credit += u64::from(bytes);
            }
            head.clear();
        }
    }
}

/// Sizes of records, and windows, where things are close.
fn near(edge: usize) -> impl Strategy<Value = usize> {
    (0..=8_usize).prop_map(move |off| (edge + off).saturating_sub(4).min(RECORD_BYTES_MAX))
}

fn size(window: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        near(RECORD_BYTES_MAX),
        near(window / 2),
        near(window.saturating_sub(RECORD_BYTES_MAX)),
        0..1000_usize,
        0..=RECORD_BYTES_MAX,
    ]
}

fn load() -> impl Strategy<Value = (usize, Vec<(usize, bool)>)> {
    let windows = prop_oneof![
        Just(2 << 20),
        Just(MESSAGE_BYTES_MAX),
        Just(MESSAGE_BYTES_MAX + 1),
        MESSAGE_BYTES_MAX..4 << 20,
    ];
    windows.prop_flat_map(|window| {
        (Just(window), prop::collection::vec((size(window), any::<bool>()), 1..24))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_settled_the_next_message_has_room((window, records) in load()) {
        let mut line = Line::new(u32::try_from(window).expect("it is small"), 0);
        for (record, settles_early) in records {
            while !line.try_send(record) {
                prop_assert!(line.settle(), "nothing is on its way, and {record} have no room");
                line.read();
            }
            if settles_early {
                line.settle();
                line.read();
            }
        }
    }

    #[test]
    fn small_windows_have_room_for_what_fits_into_them(
        window in 64..4096_usize,
        records in prop::collection::vec(0.0..1.0_f64, 1..64),
    ) {
        let mut line = Line::new(u32::try_from(window).expect("it is small"), 0);
        for share in records {
            // A message is a few bytes more than its record.
            let record = ((window - 16) as f64 * share) as usize;
            while !line.try_send(record) {
                prop_assert!(line.settle(), "nothing is on its way, and {record} have no room");
                line.read();
            }
        }
    }
}

/// It was so: half a window was held back, and the largest message is larger than the other half.
#[test]
fn the_largest_message_has_room_behind_half_a_window() {
    let mut line = Line::new(2 << 20, 0);
    assert!(line.try_send((1 << 20) - 40));
    assert!(line.settle());
    line.read();
    assert!(line.try_send(RECORD_BYTES_MAX));
}

#[test]
fn credit_that_was_due_to_who_did_not_read_comes_when_it_reads() {
    let mut line = Line::new(2 << 20, 9);
    let why = Refusal::Invalid("x".repeat(1000));
    (0..2).for_each(|_| assert!(line.try_send(1_000_000)));
    for _ in 0..300 {
        let frame = RelayFrame::Rejected { frame: 3, why: why.clone() };
        line.relay.answer(CHANNEL, Answer::Frame(frame));
    }
    assert!(line.relay.is_clogged());
    while line.settle() {}
    line.read();
    assert_eq!(line.credit, 2 << 20, "all of it is there again");
}
