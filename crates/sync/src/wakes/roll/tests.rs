use super::*;

const MINUTE: u64 = 60_000;
/// A moment in 2026.
const NOW: u64 = 1_790_000_000_000;
const ANN: DeviceId = DeviceId([1; 32]);
const BEN: DeviceId = DeviceId([2; 32]);
const BOUNDS: Bounds = Bounds {
    after_ms: MINUTE,
    every_ms: 10 * MINUTE,
    subscriptions_max: 1_000,
    renew_ms: 30 * DAY_MS,
};

fn document(name: &str) -> DocumentId {
    DocumentId::new("acme", name).unwrap()
}

fn wish(device: DeviceId, name: &str) -> Wish {
    Wish {
        device,
        document: document(name),
        target: Subscription {
            endpoint: format!("https://push.example/{device}"),
            key: [4; 65],
            secret: [7; 16],
        },
        token: format!("token {device}"),
        ends_ms: NOW + DAY_MS,
        heard_ms: NOW,
    }
}

/// A roll where Ben wants to hear of these documents.
fn roll(names: &[&str]) -> Roll {
    let mut roll = Roll::new(BOUNDS);
    for name in names {
        assert_eq!(roll.subscribe(wish(BEN, name), NOW), Ok(true));
    }
    roll
}

/// The only call that is due, and the documents that are new in it.
#[track_caller]
fn due(roll: &mut Roll, now_ms: u64) -> (Call, Vec<String>) {
    let mut calls = roll.take_due(9, now_ms);
    assert_eq!(calls.len(), 1, "at {}", now_ms - NOW);
    let call = calls.remove(0);
    let new = call.documents.iter().filter(|news| news.is_new);
    let new = new.map(|news| news.document.name().to_owned()).collect();
    (call, new)
}

/// A call comes to this; what it names is told.
fn done(roll: &mut Roll, call: &Call, outcome: Outcome, now_ms: u64) -> Vec<DocumentId> {
    let told = call.documents.iter().map(|news| news.document.clone()).collect();
    roll.done(call, (&outcome, &told), now_ms)
}

#[track_caller]
fn send(roll: &mut Roll, now_ms: u64) -> Vec<String> {
    let (call, new) = due(roll, now_ms);
    assert_eq!(done(roll, &call, Outcome::Sent, now_ms), []);
    new
}

#[test]
fn changes_within_a_while_are_one_message() {
    let mut roll = roll(&["a", "b", "c"]);
    assert!(roll.changed(&document("a"), &ANN, NOW));
    assert!(!roll.changed(&document("a"), &ANN, NOW + 1), "that is nothing new");
    assert!(roll.changed(&document("b"), &ANN, NOW + 2));
    assert!(!roll.changed(&document("elsewhere"), &ANN, NOW));
    assert_eq!(roll.take_due(9, NOW + MINUTE - 1), []);
    assert_eq!(send(&mut roll, NOW + MINUTE), ["a", "b"]);
    assert_eq!(roll.next_due_ms(), None, "it was told");
}

#[test]
fn nobody_is_woken_for_what_he_wrote_or_has_seen() {
    let mut roll = roll(&["a"]);
    assert!(!roll.changed(&document("a"), &BEN, NOW));
    assert_eq!(roll.next_due_ms(), None);
    roll.changed(&document("a"), &ANN, NOW);
    roll.seen(&BEN, &document("a"));
    assert_eq!(roll.next_due_ms(), None);
}

#[test]
fn who_does_not_come_is_woken_less_and_less_often() {
    let mut roll = roll(&["a", "b"]);
    let mut at_ms = NOW;
    for (round, pause) in [10, 20, 40, 80].into_iter().enumerate() {
        roll.changed(&document(["a", "b"][round % 2]), &ANN, at_ms);
        at_ms = roll.next_due_ms().unwrap();
        send(&mut roll, at_ms);
        roll.changed(&document(["b", "a"][round % 2]), &ANN, at_ms + 1);
        assert_eq!(roll.next_due_ms(), Some(at_ms + pause * MINUTE), "round {round}");
        let (call, _) = due(&mut roll, at_ms + pause * MINUTE);
        assert_eq!(call.documents.len(), 2, "a message takes the place of the one before");
        done(&mut roll, &call, Outcome::PutOff, at_ms + pause * MINUTE);
        // Not sent: the pause stays what it was.
        roll.unsubscribe(&BEN, &document(["b", "a"][round % 2]));
        roll.subscribe(wish(BEN, ["b", "a"][round % 2]), NOW).unwrap();
        at_ms += pause * MINUTE;
    }
    roll.seen(&BEN, &document("a"));
    roll.changed(&document("a"), &ANN, at_ms + DAY_MS);
    send(&mut roll, at_ms + DAY_MS + MINUTE);
    roll.seen(&BEN, &document("a"));
    roll.changed(&document("a"), &ANN, at_ms + DAY_MS + 2 * MINUTE);
    assert_eq!(roll.next_due_ms(), Some(at_ms + DAY_MS + 11 * MINUTE), "he came");
}

#[test]
fn what_changes_during_a_call_is_told_by_the_next() {
    let mut roll = roll(&["a"]);
    roll.changed(&document("a"), &ANN, NOW);
    let (call, _) = due(&mut roll, NOW + MINUTE);
    roll.changed(&document("a"), &ANN, NOW + MINUTE);
    assert_eq!(roll.next_due_ms(), None, "one at a time");
    done(&mut roll, &call, Outcome::Sent, NOW + MINUTE + 5);
    assert_eq!(roll.next_due_ms(), Some(NOW + 11 * MINUTE + 5));
}

#[test]
fn failures_are_tried_again_later_and_later() {
    let mut roll = roll(&["a"]);
    roll.changed(&document("a"), &ANN, NOW);
    let mut now_ms = NOW + MINUTE;
    for pause in [30, 60, 120, 240] {
        let (call, new) = due(&mut roll, now_ms);
        assert_eq!(new, ["a"]);
        done(&mut roll, &call, Outcome::Failed, now_ms);
        assert_eq!(roll.next_due_ms(), Some(now_ms + pause * 1000));
        now_ms += pause * 1000;
    }
    let (call, _) = due(&mut roll, now_ms);
    done(&mut roll, &call, Outcome::Later(Some(Duration::from_secs(7_200))), now_ms);
    assert_eq!(roll.next_due_ms(), Some(now_ms + 7_200_000), "when the service said");
    let (call, _) = due(&mut roll, now_ms + 7_200_000);
    let year = Duration::from_secs(365 * 86_400);
    done(&mut roll, &call, Outcome::Later(Some(year)), now_ms);
    assert_eq!(roll.next_due_ms(), Some(now_ms + DAY_MS), "but within a day");
}

#[test]
fn a_subscription_that_is_gone_is_forgotten() {
    let mut roll = roll(&["a", "b"]);
    roll.subscribe(wish(ANN, "a"), NOW).unwrap();
    roll.changed(&document("a"), &ANN, NOW);
    let (call, _) = due(&mut roll, NOW + MINUTE);
    assert_eq!(done(&mut roll, &call, Outcome::Gone, NOW), [document("a"), document("b")]);
    assert_eq!((roll.subscriptions(), roll.next_due_ms()), (1, None));
    assert!(!roll.changed(&document("b"), &ANN, NOW));
}

#[test]
fn one_that_is_refused_again_and_again_is_forgotten() {
    let mut roll = roll(&["a"]);
    roll.changed(&document("a"), &ANN, NOW);
    let mut now_ms = NOW + MINUTE;
    for _ in 1..REFUSALS_MAX {
        let (call, _) = due(&mut roll, now_ms);
        assert_eq!(done(&mut roll, &call, Outcome::Refused, now_ms), []);
        now_ms = roll.next_due_ms().unwrap();
    }
    let (call, _) = due(&mut roll, now_ms);
    assert_eq!(done(&mut roll, &call, Outcome::Refused, now_ms), [document("a")]);
    assert_eq!(roll.subscriptions(), 0);
}

#[test]
fn another_address_counts_at_once_and_for_all_documents() {
    let mut roll = roll(&["a", "b"]);
    roll.changed(&document("a"), &ANN, NOW);
    let (call, _) = due(&mut roll, NOW + MINUTE);
    let target = Subscription { endpoint: "https://new".to_owned(), ..wish(BEN, "a").target };
    let moved = Wish { target, ..wish(BEN, "a") };
    assert_eq!(roll.subscribe(moved.clone(), NOW), Ok(true));
    assert_eq!(done(&mut roll, &call, Outcome::Gone, NOW + MINUTE), [], "that was the old one");
    assert_eq!(roll.subscriptions(), 2);
    let (call, new) = due(&mut roll, NOW + MINUTE);
    assert_eq!((&*call.target.endpoint, new), ("https://new", vec!["a".to_owned()]));
    let other = Wish { document: document("b"), ..moved.clone() };
    assert!(roll.has(&moved) && !roll.has(&other), "it was not said for the other yet");
    assert_eq!(roll.subscribe(other.clone(), NOW), Ok(true));
    assert!(roll.has(&other));
}

#[test]
fn what_is_said_again_is_kept_once_a_day() {
    let mut roll = roll(&["a"]);
    let at = |ms| Wish { heard_ms: NOW + ms, ..wish(BEN, "a") };
    assert_eq!(roll.subscribe(at(5), NOW + 5), Ok(false));
    assert!(roll.has(&at(0)));
    assert_eq!(roll.subscribe(at(DAY_MS), NOW + DAY_MS), Ok(true));
    assert!(roll.has(&at(DAY_MS)) && !roll.has(&at(0)));
    let grant = Grant { rights: 1, expires_ms: NOW + 9, id: "new".to_owned() };
    let renewed = roll.renew(&BEN, &document("a"), &grant).unwrap();
    assert_eq!((&*renewed.token, renewed.ends_ms), ("new", NOW + 9));
    assert!(roll.has(&renewed));
    assert_eq!(roll.renew(&ANN, &document("a"), &grant), None);
}

#[test]
fn there_are_so_many_and_no_more() {
    let mut roll = Roll::new(Bounds { subscriptions_max: 2, ..BOUNDS });
    roll.subscribe(wish(ANN, "a"), NOW).unwrap();
    roll.subscribe(wish(BEN, "a"), NOW).unwrap();
    assert_eq!(roll.subscribe(wish(BEN, "b"), NOW), Err(Full));
    assert!(roll.unsubscribe(&ANN, &document("a")) && !roll.unsubscribe(&ANN, &document("a")));
    assert_eq!(roll.subscribe(wish(BEN, "b"), NOW), Ok(true));

    let mut roll = Roll::new(BOUNDS);
    for number in 0..OF_DEVICE_MAX {
        roll.subscribe(wish(BEN, &number.to_string()), NOW).unwrap();
    }
    assert_eq!(roll.subscribe(wish(BEN, "more"), NOW), Err(Full));
}

#[test]
fn who_has_no_token_any_more_is_forgotten() {
    let mut roll = roll(&["a"]);
    let short = Wish { ends_ms: NOW - 31 * DAY_MS, ..wish(ANN, "a") };
    roll.subscribe(short, NOW).unwrap();
    roll.changed(&document("a"), &DeviceId([3; 32]), NOW);
    roll.forget(NOW);
    assert_eq!(roll.subscriptions(), 1);
    assert_eq!(due(&mut roll, NOW + MINUTE).0.device, BEN);
}
