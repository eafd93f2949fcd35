//! Attackers beside people who log in, with an application that knows who is who.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::RULES;
use crate::process::{Place, Running, eventually, field};

const AGENT: &str = "agent \"waf\" {
    type \"waf\"
    rules \"own.kdl\"
    timeout-ms 10000
    counters { window \"1h\" }
    login \"/login\"
    bots { missing 20; points 25 }
}
";

/// An edge with two cores before an application whose users all have the password `right`.
struct Site {
    address: String,
    edge: Running,
    /// Attempts that the application has seen.
    attempts: Arc<AtomicUsize>,
    _place: Place,
}

impl Site {
    fn start() -> Self {
        let (application, attempts) = application();
        let place = Place::new();
        place.write("own.kdl", RULES).write(
            "a.kdl",
            &format!(
                "workers 2\nadmin #false\n\
                 listener \"web\" {{ address \"127.0.0.1:0\"; trusted-proxies \"127.0.0.0/8\" }}\n\
                 upstream \"app\" {{ target \"{application}\" }}\n{AGENT}\
                 route \"all\" {{ agents \"waf\"; upstream \"app\" }}\n"
            ),
        );
        let mut edge = place.start("edge --config a.kdl");
        let url = field(&edge.hear("listener=web"), "url");
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        edge.hear("msg=serving");
        let site = Self { address, edge, attempts, _place: place };
        eventually("the agent answers", || (site.get("192.0.2.200", "/") == 200).then_some(()));
        site
    }

    /// Asks as this client, on a connection of its own; the head of the answer.
    fn ask(&self, client: &str, (method, target, body): (&str, &str, &str)) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase()
    }

    fn get(&self, client: &str, target: &str) -> u16 {
        status(&self.ask(client, ("GET", target, "")))
    }

    fn login(&self, client: &str, user: &str, password: &str) -> u16 {
        let form = format!("username={user}&password={password}");
        status(&self.ask(client, ("POST", "/login", &form)))
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Starts it; its threads end with the process of the tests.
fn application() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || serve(BufReader::new(stream), &seen));
        }
    });
    (address, attempts)
}

fn serve(mut stream: BufReader<TcpStream>, attempts: &AtomicUsize) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let line = match head.split(' ').nth(1) {
            Some("/") => "200 OK",
            Some("/login") => {
                attempts.fetch_add(1, Ordering::SeqCst);
                let is_right = body.ends_with(b"password=right");
                if is_right { "200 OK" } else { "401 Unauthorized" }
            }
            _ => "404 Not Found",
        };
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn stuffing_is_stopped_and_everybody_else_logs_in() {
    let mut site = Site::start();
    let statuses: Vec<u16> =
        (0..30).map(|user| site.login("192.0.2.1", &format!("user{user}"), "123456")).collect();
    assert_eq!((&statuses[..10], &statuses[10..]), (&[401; 10][..], &[429; 20][..]));
    assert_eq!(site.attempts.load(Ordering::SeqCst), 10, "what is refused costs nothing upstream");
    let head = site.ask("192.0.2.1", ("POST", "/LOGIN/", "username=user1&password=right"));
    let wait = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    assert!((1..=3600).contains(&wait.unwrap().parse::<u32>().unwrap()), "{head}");
    assert_eq!(site.login("192.0.2.2", "user1", "right"), 200);
    let line = site.edge.read("waf/credential-stuffing");
    assert!(line.contains("10 user names failed from this address within 1h"), "{line}");
    assert!(!line.contains("user1"), "{line}");
}

#[test]
fn a_distributed_attack_on_one_user_is_stopped_and_he_logs_in() {
    let mut site = Site::start();
    assert_eq!(site.login("198.51.100.1", "ada", "right"), 200);
    let from = |host: usize| match host % 2 {
        0 => format!("203.0.113.{host}"),
        _ => format!("2001:db8:0:{host}::1"),
    };
    let statuses: Vec<u16> = (0..12).map(|host| site.login(&from(host), "Ada", "wrong")).collect();
    assert_eq!((&statuses[..8], &statuses[8..]), (&[401; 8][..], &[429; 4][..]));
    assert_eq!(site.login("198.51.100.1", "ada", "right"), 200, "from where he did before");
    assert_eq!(site.login(&from(9), "bob", "right"), 200, "another user");
    site.edge.read("waf/distributed-guessing");
}

#[test]
fn a_scanner_is_stopped_and_a_reader_is_not() {
    let site = Site::start();
    for page in 0..40 {
        assert_eq!(site.get("192.0.2.2", "/"), 200);
        assert_eq!(site.get("192.0.2.2", &format!("/old/{}", page % 10)), 404);
        assert_eq!(site.get("192.0.2.2", "/"), 200);
    }
    let found = |page: u32| site.get("192.0.2.1", &format!("/backup{page}.zip"));
    let mut page = 0;
    eventually("the scanner is refused", || {
        page += 1;
        (found(page) == 403).then_some(())
    });
    assert!(page > 20, "{page}");
    assert_eq!(site.get("192.0.2.1", "/"), 403);
    assert_eq!(site.get("192.0.2.2", "/"), 200);
    assert_eq!(site.get("192.0.2.3", "/backup.zip"), 404);
}

#[test]
fn a_busy_office_behind_one_address_is_let_pass() {
    let site = Site::start();
    for user in 0..60 {
        let name = format!("clerk{user}");
        // Some mistype, and a few give up.
        if user % 3 == 0 {
            assert_eq!(site.login("192.0.2.1", &name, "wrong"), 401);
        }
        if user % 12 != 0 {
            assert_eq!(site.login("192.0.2.1", &name, "right"), 200);
        }
    }
}
