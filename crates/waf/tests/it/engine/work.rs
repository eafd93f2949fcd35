//! What an exchange costs grows as it does.

use super::*;

/// Work of a body of so many bytes.
fn work(profile: &Arc<Profile>, kind: &str, body: &[u8]) -> u64 {
    let mut transaction = Transaction::new();
    request(&mut transaction, profile, &post(kind, body));
    transaction.work()
}

/// Our own rules, with room for bodies of any size.
fn boundless() -> Arc<Profile> {
    let mut policy = Policy::default();
    policy.limits.work = u64::MAX;
    policy.limits.request_body_bytes = 1 << 20;
    policy.limits.arguments = 1 << 20;
    profile(&native::bundled(), policy)
}

/// Checks that eight times the bytes cost no more than about eight times the work.
#[track_caller]
fn check_growth(profile: &Arc<Profile>, kind: &str, body: impl Fn(usize) -> Vec<u8>) {
    let costs = [1, 8, 64].map(|kib| work(profile, kind, &body(kib * 1024)));
    assert!(costs[0] >= 1024, "{costs:?}");
    for pair in costs.windows(2) {
        assert!(pair[1] <= pair[0] * 10, "{kind} {costs:?}");
    }
}

/// Whole units, so that texts of all lengths end alike: what is cut decodes to other texts.
fn repeated(unit: &str) -> impl Fn(usize) -> Vec<u8> {
    move |len| unit.repeat(len / unit.len()).into_bytes()
}

/// One test, because each test is a process and compiles the rules again.
#[test]
fn work_grows_as_texts_and_documents_do() {
    let profile = boundless();
    texts_grow(&profile);
    documents_grow(&profile);
}

fn texts_grow(profile: &Arc<Profile>) {
    for unit in ["'", "a", "{{", "<", "\"(", "/*", "\\x", "%2525", "$(", "a b ", "../"] {
        check_growth(profile, "text/plain", repeated(unit));
        check_growth(profile, "application/x-www-form-urlencoded", |len| {
            [b"a=".as_slice(), &repeated(unit)(len)].concat()
        });
    }
}

fn documents_grow(profile: &Arc<Profile>) {
    check_growth(profile, "application/json", |len| {
        let depth = len / 2;
        [b"[".repeat(depth), b"]".repeat(depth)].concat()
    });
    check_growth(profile, "application/json", |len| {
        let one = br#"{"key":"it's"},"#;
        [b"[".as_slice(), &one.repeat(len / one.len()), b"0]"].concat()
    });
    check_growth(profile, "application/x-www-form-urlencoded", |len| b"a='&".repeat(len / 4));
    check_growth(profile, "text/xml", |len| {
        [b"<a>".as_slice(), &b"<b c='d'/>".repeat(len / 10), b"</a>"].concat()
    });
}

#[test]
fn work_ends_at_its_bound() {
    let mut policy = Policy::default();
    policy.limits.work = 10_000;
    let profile = profile(&native::bundled(), policy);
    let mut transaction = Transaction::new();
    let decision = request(&mut transaction, &profile, &post("text/plain", "'a(".repeat(40_000)));
    assert_eq!(told(&transaction, &decision), "| 413");
}
