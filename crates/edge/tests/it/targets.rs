//! Several targets: which one gets a request, and what happens when some of them fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{
    harness::{Bench, eventually},
    upstream::{Upstream, hang, nobody},
};

fn several(targets: &[String], settings: &str) -> Bench {
    let targets: String = targets.iter().map(|target| format!("target {target}\n")).collect();
    Bench::plain(&format!(
        "upstream \"u\" {{ {targets}{settings} }}\nroute \"all\" {{ upstream \"u\" }}"
    ))
}

fn quoted(upstream: &Upstream) -> String {
    format!("\"{}\"", upstream.target())
}

/// How often each answer came.
fn answers(bench: &Bench, count: usize, fields: &str) -> BTreeMap<String, usize> {
    let mut client = bench.connect();
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let response = client.get_with("/", fields);
        let text = if response.status == 200 { response.text().into() } else { response.verdict() };
        *answers.entry(text).or_default() += 1;
    }
    answers
}

#[test]
fn weights_are_kept() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let bench = several(&[quoted(&a) + " weight=3", quoted(&b)], "balance \"round-robin\"");
    let expected = BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 10)]);
    assert_eq!(answers(&bench, 40, ""), expected);
}

#[test]
fn each_balance_reaches_every_target() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    for balance in ["round-robin", "least-connections", "power-of-two", "peak-ewma"] {
        let bench = several(&[quoted(&a), quoted(&b)], &format!("balance \"{balance}\""));
        let answers = answers(&bench, 100, "");
        assert_eq!(answers.len(), 2, "{balance}: {answers:?}");
    }
}

#[test]
fn least_connections_avoids_the_busy_one() {
    let busy = Upstream::start(hang);
    let free = Upstream::named("free");
    let bench = several(&[quoted(&busy), quoted(&free)], "balance \"least-connections\"");
    let mut held = Vec::new();
    while busy.connections() == 0 {
        let mut client = bench.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        held.push(client);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(answers(&bench, 10, ""), BTreeMap::from([("free".to_owned(), 10)]));
    assert_eq!(busy.connections(), 1);
}

#[test]
fn a_hash_keeps_a_key_on_one_target() {
    let (a, b, c) = (Upstream::named("a"), Upstream::named("b"), Upstream::named("c"));
    let targets = [quoted(&a), quoted(&b), quoted(&c)];
    let bench = several(&targets, "balance \"consistent-hash\" key=\"header:X-User\"");
    let mut seen = BTreeMap::new();
    for user in 0..30 {
        let answers = answers(&bench, 3, &format!("X-User: {user}\r\n"));
        assert_eq!(answers.len(), 1, "user {user}: {answers:?}");
        *seen.entry(answers.into_keys().next().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_cookie_keeps_a_client_on_one_target() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let targets = [quoted(&a), quoted(&b)];
    let bench = several(&targets, "balance \"round-robin\"; sticky cookie=\"srv\"");
    for _ in 0..2 {
        let first = bench.connect().get("/");
        let cookie = first.field("set-cookie").unwrap();
        assert!(cookie.starts_with("srv=") && cookie.contains("HttpOnly"), "{cookie}");
        let fields = format!("Cookie: x=y; {}\r\n", cookie.split(';').next().unwrap());
        assert_eq!(answers(&bench, 10, &fields), BTreeMap::from([(first.text().to_owned(), 10)]));
        assert_eq!(bench.connect().get_with("/", &fields).field("set-cookie"), None);
    }
    let stranger = bench.connect().get_with("/", "Cookie: srv=nonsense\r\n");
    assert!(stranger.field("set-cookie").is_some());
    assert!(!stranger.field("set-cookie").unwrap().contains("127.0.0.1"), "targets stay private");
}

#[test]
fn a_stuck_client_moves_when_its_target_is_gone() {
    let (a, b) = (Upstream::named("a"), nobody());
    let bench = several(&[quoted(&a), format!("\"{b}\"")], "sticky cookie=\"srv\"");
    let cookie = loop {
        let response = bench.connect().get("/");
        if let Some(cookie) = response.field("set-cookie") {
            break cookie.split(';').next().unwrap().to_owned();
        }
    };
    let fields = format!("Cookie: {cookie}\r\n");
    assert_eq!(answers(&bench, 5, &fields), BTreeMap::from([("a".to_owned(), 5)]));
}

#[test]
fn a_failed_attempt_goes_to_another_target() {
    let good = Upstream::named("good");
    let dead = nobody();
    for method in ["GET", "POST"] {
        let bench = several(
            &[format!("\"{dead}\""), quoted(&good)],
            "balance \"round-robin\"; ejection #false; retry { attempts 1; budget-percent 100 }",
        );
        let mut client = bench.connect();
        for _ in 0..6 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"));
            assert_eq!(
                client.response().text(),
                "good",
                "{method}: nothing was sent to the dead one"
            );
        }
    }
}

#[test]
fn a_request_that_may_have_worked_is_not_repeated() {
    let good = Upstream::named("good");
    let closing = Upstream::closing("");
    let bench = several(
        &[quoted(&closing), quoted(&good)],
        "balance \"round-robin\"; ejection #false; retry { attempts 1; budget-percent 100 }",
    );
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let mut client = bench.connect();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        statuses.push(client.response().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    for _ in 0..4 {
        assert_eq!(bench.connect().get("/").text(), "good", "a GET may be repeated");
    }
}

#[test]
fn statuses_are_tried_again_where_asked() {
    let good = Upstream::named("good");
    let sick = Upstream::fixed("HTTP/1.1 503 Sick\r\nContent-Length: 4\r\n\r\nsick");
    let settings =
        "balance \"round-robin\"; ejection #false; retry { attempts 1; budget-percent 100";
    let bench = several(&[quoted(&sick), quoted(&good)], &format!("{settings}; statuses 503 }}"));
    assert_eq!(answers(&bench, 6, ""), BTreeMap::from([("good".to_owned(), 6)]));
    let bench = several(&[quoted(&sick), quoted(&good)], &format!("{settings} }}"));
    assert_eq!(answers(&bench, 6, "").get("good"), Some(&3));
    let bench = several(&[quoted(&sick)], &format!("{settings}; statuses 503 }}"));
    let response = bench.connect().get("/");
    assert_eq!((response.status, response.text()), (503, "sick"), "the last answer is passed on");
}

#[test]
fn retries_stay_within_their_budget() {
    let sick = Upstream::closing("");
    let bench =
        several(&[quoted(&sick)], "ejection #false; retry { attempts 3; budget-percent 10 }");
    let total: usize = answers(&bench, 200, "").values().sum();
    assert_eq!(total, 200);
    let attempts = sick.requests().len();
    assert!((201..=260).contains(&attempts), "{attempts} attempts for 200 requests");
}

#[test]
fn nobody_left() {
    let bench = several(
        &[format!("\"{}\"", nobody()), format!("\"{}\"", nobody())],
        "retry { attempts 5; budget-percent 100 }",
    );
    for (answer, _) in answers(&bench, 20, "") {
        assert!(["502 upstream/connect", "503 upstream/unhealthy"].contains(&&*answer), "{answer}");
    }
}

#[test]
fn a_failing_target_is_ejected_and_comes_back() {
    let good = Upstream::named("good");
    let sick = Arc::new(AtomicBool::new(true));
    let flag = sick.clone();
    let moody = Upstream::start(move |mut peer| {
        while peer.request().is_some() {
            match flag.load(SeqCst) {
                true => peer.send("HTTP/1.1 503 Sick\r\nContent-Length: 4\r\n\r\nsick"),
                false => peer.answer(b"moody"),
            };
        }
    });
    let bench = several(
        &[quoted(&moody), quoted(&good)],
        "balance \"round-robin\"; ejection { failures 3; rest \"400ms\"; most-percent 50 }",
    );
    let first = answers(&bench, 6, "");
    assert_eq!(first.get("503 -"), Some(&3), "{first:?}");
    let seen = moody.requests().len();
    sick.store(false, SeqCst);
    answers(&bench, 4, "");
    assert!(moody.requests().len() <= seen + 1, "it rests");
    eventually("it comes back", || answers(&bench, 4, "").contains_key("moody"));
}

#[test]
fn an_unhealthy_target_is_left_alone_until_it_is_well() {
    let well = Arc::new(AtomicBool::new(false));
    let flag = well.clone();
    let patient = Upstream::start(move |mut peer| {
        while let Some(request) = peer.request() {
            match flag.load(SeqCst) || !request.head.starts_with("GET /health") {
                true => peer.answer(b"patient"),
                false => peer.send("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n"),
            };
        }
    });
    let bench = several(
        &[quoted(&patient)],
        "health { http \"/health\"; every \"100ms\"; timeout \"100ms\"; healthy 1; unhealthy 1 }",
    );
    eventually("it is found ill", || {
        bench.connect().get("/").verdict() == "503 upstream/unhealthy"
    });
    assert!(bench.connect().get("/").field("retry-after").is_some());
    well.store(true, SeqCst);
    eventually("it is found well", || bench.connect().get("/").status == 200);
}

/// Two targets that answer each GET with their names; the paths below have their own answers.
fn scripted(name: &'static str) -> Upstream {
    Upstream::start(move |mut peer| {
        while let Some(head) = peer.head() {
            match head.split(' ').nth(1).unwrap() {
                "/missing" => peer.send("HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n"),
                "/hang" | "/upload" => return hang(peer),
                "/events" => {
                    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
                    return hang(peer);
                }
                "/broken" => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
                    return peer.close();
                }
                _ => peer.answer(name.as_bytes()),
            };
        }
    })
}

/// One failure takes a target out for good, and the breaker opens at the third.
const STRICT: &str = "balance \"round-robin\"; ejection { failures 1; rest \"60s\"; most-percent 50 }
     circuit-breaker { failure-threshold 3; success-threshold 1; window \"60s\"; timeout-seconds 60 }";

/// After `request`, sent four times, both targets are asked as before, or one has been ejected.
#[track_caller]
fn check_blame(request: &str, settings: &str, expected: Blame) {
    let targets = [scripted("a"), scripted("b")];
    let bench = several(&targets.each_ref().map(quoted), &format!("{STRICT}; {settings}"));
    for _ in 0..4 {
        let mut client = bench.connect();
        client.send(request);
        // Whatever comes of it: it is over when the edge has said or closed.
        let _ = client.try_response(false);
    }
    let after = answers(&bench, 10, "");
    let names = after.keys().filter(|answer| ["a", "b"].contains(&&***answer)).count();
    let found = match (names, after.get("503 upstream/breaker")) {
        (2, None) => Blame::Nobody,
        _ => Blame::Target,
    };
    assert_eq!(found, expected, "{request:?}: {after:?}");
}

#[derive(Debug, PartialEq)]
enum Blame {
    Nobody,
    Target,
}

/// What clients do, and what was asked for, takes no target out: otherwise anybody could.
#[test]
fn only_what_a_target_does_counts_against_it() {
    let post = "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let whole = "timeouts { whole \"200ms\" }";
    check_blame(post, whole, Blame::Nobody);
    check_blame(&format!("{post}some"), whole, Blame::Nobody);
    check_blame(&get("/events"), "timeouts { idle \"200ms\" }", Blame::Nobody);
    check_blame(&get("/events"), whole, Blame::Nobody);
    check_blame(&get("/missing"), "retry { statuses 404; attempts 1 }", Blame::Nobody);
    check_blame(&format!("{post}all of it"), whole, Blame::Target);
    check_blame(&get("/hang"), whole, Blame::Target);
    check_blame(&get("/hang"), "timeouts { first-byte \"200ms\" }", Blame::Target);
    check_blame(&get("/broken"), "", Blame::Target);
}

#[test]
fn a_path_is_hashed_in_its_one_spelling() {
    let named = ["a", "b", "c"].map(Upstream::named);
    for key in ["path", "uri"] {
        let balance = format!("balance \"consistent-hash\" key={key:?}");
        let bench = several(&named.each_ref().map(quoted), &balance);
        let mut client = bench.connect();
        for n in 0..20 {
            let plain = client.get(&format!("/h/abc{n}?q")).text().to_owned();
            assert_eq!(client.get(&format!("/h/%61bc{n}?q")).text(), plain, "{key} {n}");
            assert_eq!(client.get(&format!("/x/../h/./abc{n}?q")).text(), plain, "{key} {n}");
        }
    }
}

#[test]
fn the_breaker_opens_and_closes_again() {
    let sick = Arc::new(AtomicBool::new(true));
    let flag = sick.clone();
    let upstream = Upstream::start(move |mut peer| {
        while peer.request().is_some() {
            match flag.load(SeqCst) {
                true => peer.send("HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n"),
                false => peer.answer(b"well"),
            };
        }
    });
    let bench = several(
        &[quoted(&upstream)],
        "ejection #false; circuit-breaker { failure-threshold 3; success-threshold 1; window \"30s\"; timeout-seconds 1 }",
    );
    let mut client = bench.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 503);
    }
    assert_eq!(upstream.requests().len(), 3);
    let response = client.get("/");
    assert_eq!(
        (response.verdict(), response.field("retry-after")),
        ("503 upstream/breaker".into(), Some("1"))
    );
    assert_eq!(upstream.requests().len(), 3, "an open breaker lets nothing pass");
    sick.store(false, SeqCst);
    eventually("it closes again", || client.get("/").status == 200);
    assert_eq!(client.get("/").text(), "well");
}
