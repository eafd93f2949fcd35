//! Agents that fail, one fault at a time: what the operator chose for their failure happens, and nothing
//! else. `cargo xtask chaos` does the same under load, and measures.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::exit,
    sync::{Arc, Mutex},
};

use rustix::process::Signal;
use selvedge_bench::hostile::{self, DENIED_STATUS, MARK, Order, Orders};

use crate::{
    http::{Answer, get},
    process::{Place, Running, eventually, field, send},
};

/// Where the agent that is started from this executable finds the name of its file of orders.
const ORDERS: &str = "HOSTILE_AGENT_ORDERS";

#[test]
#[ignore = "an agent in the disguise of a test: the edges of the other tests start it"]
fn hostile_agent() {
    if let Some(file) = std::env::var_os(ORDERS) {
        hostile::run(Orders::new(file.into()));
        exit(1);
    }
}

#[test]
fn what_the_agent_blocks_never_arrives() {
    let stage = Stage::new("");
    assert_eq!(stage.get("closed/deny").status, DENIED_STATUS);
    assert_eq!(stage.get("open/deny").status, DENIED_STATUS);
    assert!(stage.arrivals("/deny/").is_empty());
}

#[test]
fn killed() {
    let mut stage = Stage::new("");
    for _ in 0..3 {
        send(stage.agent, Signal::KILL);
        stage.suffer(4, Answers::Maybe);
        stage.hear_restart();
        stage.recover();
    }
}

#[test]
fn stopped_and_continued() {
    let stage = Stage::new("");
    send(stage.agent, Signal::STOP);
    eventually("the agent stops", || {
        let status = fs::read_to_string(format!("/proc/{}/status", stage.agent)).unwrap();
        status.contains("State:\tT").then_some(())
    });
    stage.suffer(8, Answers::Never);
    send(stage.agent, Signal::CONT);
    stage.recover();
}

#[test]
fn at_its_limit_of_memory() {
    let mut stage = Stage::new("sandbox { memory \"48MiB\" }");
    stage.orders.give(Order::Leak).unwrap();
    // More than there is room for.
    stage.suffer((48 << 20) / hostile::LEAK, Answers::Maybe);
    stage.hear_restart();
    stage.orders.give(Order::Fine).unwrap();
    stage.recover();
}

#[test]
fn ending_at_once_again_and_again() {
    let mut stage = Stage::new("");
    stage.orders.give(Order::Storm).unwrap();
    stage.suffer(4, Answers::Never);
    let pauses = [(); 8].map(|()| field(&stage.edge.hear("an agent's process ended"), "after"));
    assert_eq!(pauses, ["10ms", "20ms", "40ms", "80ms", "160ms", "320ms", "500ms", "500ms"]);
    stage.suffer(4, Answers::Never);
    stage.orders.give(Order::Fine).unwrap();
    stage.recover();
}

#[test]
fn blocking_and_then_crashing() {
    let mut stage = Stage::new("");
    stage.orders.give(Order::Crash).unwrap();
    stage.suffer(4, Answers::Never);
    stage.edge.hear("an agent's process ended");
    stage.orders.give(Order::Fine).unwrap();
    stage.recover();
}

#[test]
fn never_greeting() {
    let mut stage = Stage::new("");
    stage.orders.give(Order::Mute).unwrap();
    send(stage.agent, Signal::KILL);
    stage.hear_restart();
    stage.suffer(8, Answers::Never);
    stage.orders.give(Order::Fine).unwrap();
    stage.recover();
}

#[test]
fn flooding() {
    let stage = Stage::new("");
    stage.orders.give(Order::Flood).unwrap();
    stage.suffer(20, Answers::Maybe);
    stage.orders.give(Order::Fine).unwrap();
    stage.recover();
}

/// What the order makes of the agent, and back again.
#[track_caller]
fn check(order: Order) {
    let stage = Stage::new("");
    stage.orders.give(order).unwrap();
    stage.suffer(12, Answers::Never);
    stage.orders.give(Order::Fine).unwrap();
    stage.recover();
}

#[test]
fn too_slow() {
    check(Order::Slow);
}

#[test]
fn talking_garbage() {
    check(Order::Garbage);
}

#[test]
fn talking_out_of_turn() {
    check(Order::Disorder);
}

#[test]
fn beginning_a_frame_of_2_gib() {
    check(Order::Huge);
}

#[test]
fn deciding_what_nobody_asked() {
    check(Order::Stranger);
}

#[test]
fn reading_nothing() {
    check(Order::Deaf);
}

/// An edge, an agent that takes orders, and an upstream that sees who was inspected.
struct Stage {
    orders: Orders,
    edge: Running,
    url: String,
    /// The agent's process.
    agent: i32,
    upstream: Witness,
    _place: Place,
}

/// What the edge says when it has started an agent.
const RUNS: &str = "an agent's process runs";

/// Whether the agent that fails may still answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Never,
    Maybe,
}

impl Stage {
    /// Starts them all, and waits until the agent answers.
    fn new(settings: &str) -> Self {
        let (place, upstream) = (Place::new(), Witness::start());
        let program = std::env::current_exe().unwrap();
        place.write(
            "a.kdl",
            &format!(
                "workers 2\nadmin #false\ntelemetry {{ access-log #false }}\n\
                 listener \"web\" {{ address \"127.0.0.1:0\" }}\n\
                 agent \"hostile\" {{\n\
                     type \"hostile\"\n\
                     command {:?} \"chaos::hostile_agent\" \"--exact\" \"--ignored\"\n\
                     timeout-ms 500\n\
                     identity-headers \"X-Inspected\"\n\
                     circuit-breaker {{ timeout-seconds 1 }}\n\
                     {settings}\n\
                 }}\n\
                 upstream \"app\" {{ target \"{}\" }}\n\
                 route \"closed\" {{ matches {{ path-prefix \"/closed\" }}; agents \"hostile\"; upstream \"app\" }}\n\
                 route \"open\" {{ matches {{ path-prefix \"/open\" }}; agent \"hostile\" failure-mode=\"open\"; \
                     upstream \"app\" }}\n",
                program.display().to_string(),
                upstream.address,
            ),
        );
        let mut command = place.command(["edge", "--config", "a.kdl"]);
        command.env(ORDERS, place.path("orders"));
        let mut edge = Running::new(command);
        let url = field(&edge.hear("msg=listening"), "url");
        // Either may come first.
        let early = edge.rest().lines().find(|line| line.contains(RUNS)).map(str::to_owned);
        let agent = field(&early.unwrap_or_else(|| edge.hear(RUNS)), "pid").parse().unwrap();
        let orders = Orders::new(place.path("orders"));
        let stage = Self { orders, edge, url, agent, upstream, _place: place };
        stage.recover();
        stage
    }

    /// Learns which process the agent is now.
    #[track_caller]
    fn hear_restart(&mut self) {
        let line = self.edge.hear(RUNS);
        self.agent = field(&line, "pid").parse().unwrap();
    }

    #[track_caller]
    fn get(&self, target: &str) -> Answer {
        get(&format!("{}{target}/", self.url))
    }

    /// Asks both routes while the agent fails: one never lets anything pass, the other everything.
    #[track_caller]
    fn suffer(&self, requests: usize, answers: Answers) {
        for _ in 0..requests {
            let closed = self.get("closed");
            match closed.status {
                503 | 504 => {
                    assert!(closed.head.contains("application/problem+json"), "{closed:?}")
                }
                200 if answers == Answers::Maybe => assert_eq!(closed.body, "inspected"),
                _ => panic!("{closed:?}"),
            }
            let open = self.get("open");
            assert_eq!(open.status, 200, "{open:?}");
        }
        assert_eq!(self.arrivals("/closed/ uninspected"), [""; 0]);
    }

    /// Waits until the agent's answers are heard again.
    #[track_caller]
    fn recover(&self) {
        eventually("an inspected answer", || {
            let answer = self.get("closed");
            (answer.status == 200).then(|| assert_eq!(answer.body, "inspected"))
        });
    }

    /// What has arrived at the upstream with this text in it.
    fn arrivals(&self, text: &str) -> Vec<String> {
        let seen = self.upstream.seen.lock().unwrap();
        seen.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

/// An upstream that tells whether the agent has seen a request: `/closed/ inspected`.
struct Witness {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Witness {
    /// Starts one; its threads end with the process of the tests.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let target = head.split(' ').nth(1).unwrap_or_default();
                let mark = format!("\r\n{MARK}: {target}\r\n");
                let inspected = head.to_ascii_lowercase().contains(&mark);
                let word = if inspected { "inspected" } else { "uninspected" };
                shared.lock().unwrap().push(format!("{target} {word}"));
                let length = word.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{word}"
                );
                // Nobody may be there any more.
                let _ = reader.into_inner().write_all(answer.as_bytes());
            }
        });
        Self { address, seen }
    }
}
