//! Limits over several machines: two agents and a real Redis server.

use std::{
    cell::{Cell, RefCell},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{server::Server, *};

/// Long enough for a loaded machine.
const PATIENT: Duration = Duration::from_secs(20);

fn redis(address: &str, on_failure: OnFailure) -> Redis {
    Redis {
        address: Secret::new(address),
        on_failure,
        timeout: PATIENT,
        prefix: "test:".into(),
        ca: None,
    }
}

pub fn shared(
    server: &Server,
    on_failure: OnFailure,
    policies: impl Into<Vec<Policy>>,
) -> Settings {
    Settings { store: Store::Redis(redis(&server.address(), on_failure)), ..local(policies) }
}

/// Asks until the answer is of this status.
async fn until(agent: &RateLimit, asked: &Asked, wanted: u16) {
    let asking = async {
        while status(&ask(agent, asked).await) != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENT, asking).await.expect("the answer changes in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_agents_share_one_limit() {
    let Some(server) = Server::start(&[]).await else { return };
    let settings =
        || shared(&server, OnFailure::Closed, [policy("wide", 150), policy("narrow", 100)]);
    let agents = [start(settings()).await, start(settings()).await].map(Arc::new);
    let mut tasks = JoinSet::new();
    for n in 0..400 {
        let agent = Arc::clone(&agents[n % 2]);
        tasks.spawn(async move { status(&ask(&agent, &from("192.0.2.1")).await) });
    }
    let statuses = tasks.join_all().await;
    let of = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(0), of(429)), (100, 300));
    // The other policy lost no more than was admitted.
    let wide = from("192.0.2.1").attribute("route.policy", "wide");
    for agent in &agents {
        let verdict = written(&ask(agent, &wide).await);
        assert!(verdict.contains(r#"RateLimit: "wide";r=4"#), "{verdict}");
    }
}

#[tokio::test]
async fn answers_are_those_of_a_local_limit() {
    let Some(server) = Server::start(&[]).await else { return };
    let key = vec![KeyPart::Header("x-api-key".into())];
    let policies = || [policy("daily", 3), Policy { key: key.clone(), ..policy("per-key", 2) }];
    let far = start(shared(&server, OnFailure::Closed, policies())).await;
    let near = start(local(policies())).await;
    let ask_both = async |asked: Asked| {
        let [far, near] = [&far, &near].map(|agent| ask(agent, &asked));
        let (far, near) = (written(&far.await), written(&near.await));
        // A moment lies between them, and no more: seconds are rounded up.
        assert_eq!(far, near);
    };
    let client = |key| from("192.0.2.1").field("x-api-key", key);
    for key in ["one", "one", "one", "two", "two", "three"] {
        ask_both(client(key)).await;
    }
    ask_both(client("four").attribute("route.cost", "9")).await;
    ask_both(from("192.0.2.2")).await;
}

#[tokio::test]
async fn the_server_learns_no_secret_and_forgets_in_time() {
    let Some(server) = Server::start(&[]).await else { return };
    let key = vec![KeyPart::Header("x-api-key".into())];
    let hour = Duration::from_secs(3_600);
    let policies = [Policy { key, per: hour, ..policy("hourly", 10) }];
    let agent = start(shared(&server, OnFailure::Closed, policies)).await;
    let client = from("192.0.2.1").field("x-api-key", "hunter2");
    assert_eq!(status(&ask(&agent, &client).await), 0);
    let keys: Vec<String> = server.say(&["KEYS", "test:limit:*"]);
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    assert!(key.starts_with("test:limit:hourly:") && !key.contains("hunter2"), "{key}");
    let left: i64 = server.say(&["PTTL", key]);
    // One of ten tokens an hour: six minutes, less what this test took.
    assert!((1_000..=360_001).contains(&left), "{left}");
}

#[tokio::test]
async fn a_server_that_forgot_the_script_is_told_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let agent = start(shared(&server, OnFailure::Closed, [policy("daily", 3)])).await;
    for expected in [0, 0, 0, 429] {
        server.say::<()>(&["SCRIPT", "FLUSH"]);
        assert_eq!(status(&ask(&agent, &from("192.0.2.1")).await), expected);
    }
}

#[tokio::test]
async fn nonsense_in_the_server_is_a_full_bucket() {
    let Some(server) = Server::start(&[]).await else { return };
    let agent = start(shared(&server, OnFailure::Closed, [policy("daily", 3)])).await;
    assert_eq!(status(&ask(&agent, &from("192.0.2.1")).await), 0);
    let keys: Vec<String> = server.say(&["KEYS", "test:limit:*"]);
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    for nonsense in ["", "x", "1 2", "1 2 3 4", "-1 0 1", "1e9 0 1", "0x1 0 1", "1\n0 1"] {
        server.say::<()>(&["SET", key, nonsense]);
        let verdict = ask(&agent, &from("192.0.2.1")).await;
        assert_eq!(status(&verdict), 0, "{nonsense:?}");
        assert!(written(&verdict).contains("RateLimit: \"daily\";r="));
    }
    // A moment far away is one that this policy cannot have meant: no bucket is emptier than empty.
    server.say::<()>(&["SET", key, "99999999999999999999999999999999 0 1"]);
    let verdict = written(&ask(&agent, &from("192.0.2.1")).await);
    assert!(verdict.contains("Retry-After: 8h"), "{verdict}");
    server.say::<()>(&["DEL", key]);
    server.say::<()>(&["LPUSH", key, "of another kind"]);
    assert_eq!(status(&ask(&agent, &from("192.0.2.1")).await), 0);
}

#[tokio::test]
async fn debts_are_shared_too() {
    let Some(server) = Server::start(&[]).await else { return };
    let cost = Cost::ResponseHeader { name: "x-tokens".into(), otherwise: 1 };
    let settings = || {
        let tokens = Policy { cost: cost.clone(), ..policy("tokens", 100) };
        shared(&server, OnFailure::Closed, [tokens])
    };
    let agents = [start(settings()).await, start(settings()).await];
    let client = from("192.0.2.1");
    let mut exchange = Exchange::default();
    assert_eq!(status(&request(&agents[0], &client, &mut exchange).await), 0);
    let verdict = response(&agents[0], &client, &[("x-tokens", "300")], &mut exchange).await;
    check(
        &verdict,
        &expect![[r#"
        allow: done
        RateLimit-Policy: "tokens";q=100;w=86400
        RateLimit: "tokens";r=0;t=2895m
    "#]],
    );
    check(
        &ask(&agents[1], &client).await,
        &expect![[r#"
            block: 429
            Content-Type: application/problem+json
            Retry-After: 2895m
            RateLimit-Policy: "tokens";q=100;w=86400
            RateLimit: "tokens";r=0;t=2895m
            body: {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"\"tokens\" allows 100 per 1d.","code":"rate-limit/exceeded","violated-policies":["tokens"]}
            finding rate-limit/tokens ["refused", "address"]: policy "tokens" (100 per 1d by address): used up, enough in 2895m
            reason: policy "tokens" (100 per 1d by address): used up, enough in 2895m
        "#]],
    );
    // A debt beyond all time is a very long one.
    for _ in 0..3 {
        let mut exchange = Exchange::default();
        let elsewhere = from("192.0.2.2");
        request(&agents[0], &elsewhere, &mut exchange).await;
        let fields = [("x-tokens", "99999999999999999999")];
        response(&agents[0], &elsewhere, &fields, &mut exchange).await;
        assert_eq!(status(&ask(&agents[1], &elsewhere).await), 429);
    }
}

#[tokio::test]
async fn requests_wait_for_tokens_of_all_machines() {
    let Some(server) = Server::start(&[]).await else { return };
    let settings = || {
        let delay = waiting(10, Duration::from_secs(30));
        let paced = Policy { per: Duration::from_millis(200), delay, ..policy("paced", 1) };
        shared(&server, OnFailure::Closed, [paced])
    };
    let agents = [start(settings()).await, start(settings()).await];
    let client = from("192.0.2.1");
    let begin = std::time::Instant::now();
    let ask = |agent| ask(agent, &client);
    let [a, b] = &agents;
    let verdicts: [Verdict; 4] = tokio::join!(ask(a), ask(b), ask(a), ask(b)).into();
    assert!(verdicts.iter().all(|verdict| status(verdict) == 0));
    assert!(begin.elapsed() >= Duration::from_millis(600), "the fourth token was there too early");
}

#[tokio::test]
async fn without_a_server_each_machine_counts_for_itself() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let settings = || shared(&server, OnFailure::Local, [policy("daily", 3)]);
    let agents = [start(settings()).await, start(settings()).await];
    let client = from("192.0.2.1");
    for agent in [0, 1, 0] {
        assert_eq!(status(&ask(&agents[agent], &client).await), 0);
    }
    assert_eq!(status(&ask(&agents[1], &client).await), 429);
    server.kill();
    for agent in &agents {
        for expected in [0, 0, 0, 429] {
            assert_eq!(status(&ask(agent, &client).await), expected);
        }
    }
    // The server comes back without its memory, and limits are common again.
    server.restart().await;
    let others = (1..).map(|n| from(&format!("198.51.100.{n}")));
    for client in others.take(250) {
        for agent in [0, 1, 0] {
            ask(&agents[agent], &client).await;
        }
        if status(&ask(&agents[1], &client).await) == 429 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the agents do not find the server again");
}

#[tokio::test]
async fn without_a_server_requests_pass_or_not_as_was_said() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let open = start(shared(&server, OnFailure::Open, [policy("daily", 1)])).await;
    let closed = start(shared(&server, OnFailure::Closed, [policy("daily", 1)])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&open, &client).await), 0);
    assert_eq!(status(&ask(&open, &client).await), 429);
    server.kill();
    check(
        &ask(&open, &client).await,
        &expect![[r#"
        allow: done
    "#]],
    );
    check(
        &ask(&closed, &client).await,
        &expect![[r#"
            block: 503
            Content-Type: application/problem+json
            Retry-After: 1m
            body: {"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","title":"Request cannot be satisfied due to temporary server capacity constraints","status":503,"detail":"Limits cannot be counted at present.","code":"rate-limit/unavailable"}
            finding rate-limit/store ["unavailable"]:
            reason: Redis does not answer, and `on-failure` is "closed"
        "#]],
    );
    for _ in 0..5 {
        assert_eq!(status(&ask(&open, &client).await), 0);
        assert_eq!(status(&ask(&closed, &client).await), 503);
    }
    server.restart().await;
    until(&closed, &client, 429).await;
    until(&open, &client, 429).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_killed_under_load_lets_nobody_through_uncounted() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let settings = || shared(&server, OnFailure::Closed, [policy("daily", 1_000)]);
    let agents = [start(settings()).await, start(settings()).await].map(Arc::new);
    let (admitted, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let (agent, stop) = (Arc::clone(&agents[n % 2]), Arc::clone(&stop));
        let (admitted, asked) = (Arc::clone(&admitted), Arc::clone(&asked));
        tasks.spawn(async move {
            let mut refused = 0;
            while !stop.load(Ordering::Relaxed) {
                match status(&ask(&agent, &from("192.0.2.1")).await) {
                    0 => drop(admitted.fetch_add(1, Ordering::Relaxed)),
                    429 => {}
                    503 => refused += 1,
                    other => panic!("{other}"),
                }
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            refused
        });
    }
    let wait_for = async |count: usize| {
        let enough = async {
            while asked.load(Ordering::Relaxed) < count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENT, enough).await.expect("requests are answered");
    };
    wait_for(200).await;
    server.kill();
    let before = asked.load(Ordering::Relaxed);
    wait_for(before + 1_000).await;
    let after_death = admitted.load(Ordering::Relaxed);
    assert!(after_death <= 1_000, "{after_death}");
    // What the server knew is lost with it; then the limit holds again.
    server.restart().await;
    until(&agents[0], &from("192.0.2.1"), 429).await;
    until(&agents[1], &from("192.0.2.1"), 429).await;
    stop.store(true, Ordering::Relaxed);
    let refused: usize = tasks.join_all().await.into_iter().sum();
    assert!(refused > 0, "the death went by unnoticed");
    let total = admitted.load(Ordering::Relaxed);
    // `until` has admissions of its own among the second thousand.
    assert!((after_death..=after_death + 1_000).contains(&total), "{total}");
}

#[tokio::test]
async fn a_frozen_server_holds_up_nobody() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut own = redis(&server.address(), OnFailure::Closed);
    own.timeout = Duration::from_millis(500);
    let settings = Settings { store: Store::Redis(own), ..local([policy("daily", 1_000)]) };
    let agent = start(settings).await;
    let client = from("192.0.2.1");
    until(&agent, &client, 0).await;
    server.signal("STOP");
    // The first ones wait for their answer as long as was said; then nobody waits.
    until(&agent, &client, 503).await;
    server.signal("CONT");
    until(&agent, &client, 0).await;
}

#[tokio::test]
async fn a_server_that_cannot_write_is_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let agent = start(shared(&server, OnFailure::Closed, [policy("daily", 1_000)])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&agent, &client).await), 0);
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..5 {
        assert_eq!(status(&ask(&agent, &client).await), 503);
    }
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    until(&agent, &client, 0).await;
}

#[tokio::test]
async fn a_server_that_comes_later() {
    let Some(mut server) = Server::start(&[]).await else { return };
    server.kill();
    let agent = start(shared(&server, OnFailure::Closed, [policy("daily", 1_000)])).await;
    let client = from("192.0.2.1");
    assert_eq!(status(&ask(&agent, &client).await), 503);
    server.restart().await;
    until(&agent, &client, 0).await;
}

#[tokio::test]
async fn passwords_and_unix_sockets() {
    let Some(server) = Server::start(&["--requirepass", "hunter2"]).await else { return };
    let with = |address: String| Settings {
        store: Store::Redis(redis(&address, OnFailure::Closed)),
        ..local([policy("daily", 1_000)])
    };
    let tcp = server.address();
    let socket = server.socket().display().to_string();
    let client = from("192.0.2.1");
    for (address, expected) in [
        (tcp.replace("//", "//:hunter2@"), 0),
        (tcp.replace("//", "//:hunter3@"), 503),
        (tcp, 503),
        (format!("unix://{socket}?pass=hunter2"), 0),
    ] {
        let agent = start(with(address.clone())).await;
        assert_eq!(status(&ask(&agent, &client).await), expected, "{address}");
    }
}

#[tokio::test]
async fn over_tls_to_a_server_that_one_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), certified.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let ca = folder.path().join("cert.pem");
    let stranger = folder.path().join("stranger.pem");
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(&stranger, other.cert.pem()).unwrap();
    let Some(server) = Server::start_tls(folder).await else { return };
    let with = |ca: Option<PathBuf>| Settings {
        store: Store::Redis(Redis { ca, ..redis(&server.tls_address(), OnFailure::Closed) }),
        ..local([policy("daily", 1_000)])
    };
    for (ca, expected) in [(Some(ca), 0), (Some(stranger), 503), (None, 503)] {
        let agent = start(with(ca.clone())).await;
        assert_eq!(status(&ask(&agent, &from("192.0.2.1")).await), expected, "{ca:?}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_connection() {
    let Some(server) = Server::start(&[]).await else { return };
    let old = start(shared(&server, OnFailure::Closed, [policy("daily", 2)])).await;
    let clients = || {
        let stats: String = server.say(&["INFO", "stats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().parse::<u32>().unwrap()
    };
    let before = clients();
    let settings = shared(&server, OnFailure::Closed, [policy("daily", 2), policy("more", 9)]);
    let new = RateLimit::start(settings, Some(&old)).await.unwrap();
    drop(old);
    assert_eq!(clients(), before + 1, "only our question is new");
    for expected in [0, 0, 429] {
        assert_eq!(status(&ask(&new, &from("192.0.2.1")).await), expected);
    }
}

/// A token bucket as the textbook says, over microseconds: a level in fractions of a token.
struct Textbook {
    level: i128,
    then: u64,
    limit: i128,
    period: i128,
    burst: i128,
}

impl Textbook {
    fn take(&mut self, now: u64, tokens: u64) -> bool {
        self.refill(now);
        let price = i128::from(tokens) * self.period;
        let enough = self.level >= price;
        self.level -= if enough { price } else { 0 };
        enough
    }

    fn refill(&mut self, now: u64) {
        let gained = i128::from(now - self.then) * self.limit;
        self.level = (self.level + gained).min(self.burst * self.period);
        self.then = now;
    }

    /// What the script is to say of this bucket: how far from full it is.
    fn lag(&self) -> (i64, i64) {
        let lag = self.burst * self.period - self.level;
        ((lag / self.limit) as i64, (lag % self.limit) as i64)
    }
}

/// The script, told the time instead of asking for it, decides to the last fraction of a microsecond
/// as a textbook bucket does, for several policies at once.
#[tokio::test]
async fn the_script_counts_exactly() {
    let Some(server) = Server::start(&[]).await else { return };
    let text = include_str!("../../../src/rate_limit/shared/take.lua");
    let told = text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
    assert_ne!(text, told);
    // Keys expire by the server's own clock, which goes on while the told one stands still.
    let kept = told.replace("math.floor(l / 1000) + 1", "3600000");
    assert_ne!(told, kept);
    let script = ::redis::Script::new(&kept);
    let client = ::redis::Client::open(server.address()).unwrap();
    let connection = RefCell::new(client.get_connection().unwrap());
    // Fast ones whose tokens are fractions of a microsecond, and slow ones.
    let period = prop_oneof![1..=50_u32, 1..=100_000_000_u32];
    let shape = (1..=1_000_u32, period, 1..=50_u32);
    let later = prop_oneof![0..=3_u64, 0..=3_000_000_u64];
    let requests = prop::collection::vec((later, 0..=30_u64), 1..60);
    let cases = (prop::collection::vec(shape, 1..=4), requests, 0..=1_000_000_u64);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let run = Cell::new(0);
    let outcome = runner.run(&cases, |(shapes, requests, start)| {
        run.set(run.get() + 1);
        let mut now = 1_800_000_000_000_000 + start;
        let mut books: Vec<_> = shapes
            .iter()
            .map(|(limit, period, burst)| {
                let [limit, period, burst] = [limit, period, burst].map(|n| i128::from(*n));
                Textbook { level: burst * period, then: now, limit, period, burst }
            })
            .collect();
        for (later, tokens) in requests {
            now += later;
            let mut call = script.prepare_invoke();
            for (n, book) in books.iter_mut().enumerate() {
                book.refill(now);
                call.key(format!("{}:{n}", run.get()));
                let room = (book.burst - i128::from(tokens)) * book.period;
                let take = i128::from(tokens) * book.period;
                let parts =
                    |number: i128| [number.div_euclid(book.limit), number.rem_euclid(book.limit)];
                for number in [parts(room), parts(take), [book.limit, -1]].concat() {
                    call.arg(number as i64);
                }
            }
            call.arg(now / 1_000_000).arg(now % 1_000_000);
            let reply: Vec<i64> = call.invoke(&mut *connection.borrow_mut()).unwrap();
            let lags: Vec<i64> =
                books.iter().flat_map(|book| <[i64; 2]>::from(book.lag())).collect();
            prop_assert_eq!(&reply[1..], lags);
            let price = |book: &Textbook| i128::from(tokens) * book.period;
            let all = books.iter().all(|book| book.level >= price(book));
            prop_assert_eq!(reply[0] == 1, all);
            if all {
                assert!(books.iter_mut().all(|book| book.take(now, tokens)));
            }
        }
        Ok(())
    });
    outcome.unwrap();
    // A clock that goes back an hour makes nobody wait for an hour.
    let at = |now: u64| -> Vec<i64> {
        let mut call = script.key("clock");
        for number in [0, 0, 1_000_000, 0, 1, 1_000_000, now / 1_000_000, now % 1_000_000] {
            call.arg(number);
        }
        call.invoke(&mut *connection.borrow_mut()).unwrap()
    };
    let hour = 3_600_000_000;
    assert_eq!(at(10 * hour), [1, 0, 0]);
    assert_eq!(at(9 * hour), [0, 1_000_000, 0]);
    assert_eq!(at(10 * hour + 999_999), [0, 1, 0]);
    assert_eq!(at(10 * hour + 1_000_000), [1, 0, 0]);
}
