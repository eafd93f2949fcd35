//! Documents whose relay does not take what is written, is away, or is reached by another process, and commands that are killed.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::Signal;
use selvedge_crdt::{
    Header,
    session::{
        ClientFrame, Limits, LogId, OpenDocument, Record, Refusal, RelayFrame, SUBPROTOCOL,
        Sealing, Start, VERSION,
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use crate::{
    core::{CORE, up},
    doc::Keeper,
    process::{Place, Running, eventually},
};

/// A relay that takes nothing, and says why; returns where it is. It serves until the test ends.
fn refusing(why: Refusal) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, why.clone()));
            }
        });
    });
    format!("http://{address}")
}

/// Talks until the device hangs up.
async fn talk(stream: TcpStream, why: Refusal) -> Option<()> {
    let mut socket = accept(stream).await?;
    loop {
        let Message::Binary(message) = socket.next().await?.ok()? else { continue };
        let (channel, frame) = ClientFrame::read(&message).unwrap();
        if let Some(answer) = answer(&frame, &why) {
            socket.send(Message::Binary(answer.to_bytes(channel).into())).await.ok()?;
        }
    }
}

fn answer(frame: &ClientFrame<'_>, why: &Refusal) -> Option<RelayFrame<'static>> {
    match frame {
        ClientFrame::Hello { .. } => Some(welcome()),
        ClientFrame::Open { resume, .. } => Some(opened(resume.is_some())),
        ClientFrame::Push { record } => match Record::read(record).unwrap() {
            Record::Batch { batch, .. } => {
                let (header, _) = Header::read(batch).unwrap();
                let (replica, first, why) = (header.replica, header.first, why.clone());
                Some(RelayFrame::Refused { replica, first, why })
            }
            _ => Some(RelayFrame::Rejected { frame: 3, why: why.clone() }),
        },
        _ => None,
    }
}

fn welcome() -> RelayFrame<'static> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(since.as_millis()).unwrap();
    let limits = Limits { channels: 8, credit: 4 << 20, presence_ms: 50, presence_ends_ms: 30_000 };
    RelayFrame::Welcome { version: VERSION, challenge: [3; 16], now_ms, limits }
}

fn opened(is_again: bool) -> RelayFrame<'static> {
    RelayFrame::Opened(Box::new(OpenDocument {
        log: LogId([9; 16]),
        start: if is_again { Start::Resumed } else { Start::Snapshot },
        next: 0,
        tail: 0,
        snapshot: None,
        heads: vec![],
        sealing: Sealing::Plain,
        rights: 15,
        lease_ms: 86_400_000,
        lost_ms: 0,
    }))
}

/// The server's side of the handshake (RFC 6455, section 4.2.2).
async fn accept(mut stream: TcpStream) -> Option<WebSocketStream<TcpStream>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let request = String::from_utf8(request).ok()?;
    let mut fields = request.lines().filter_map(|line| line.split_once(": "));
    let key = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?.1;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {}\r\nsec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some(WebSocketStream::from_raw_socket(stream, Role::Server, None).await)
}

/// A device that keeps a document at this relay.
fn keeper<'a>(place: &'a Place, relay: &str, more: &[&str]) -> Keeper<'a> {
    let ann = Keeper::new(place, "ann", relay);
    ann.run(&[&["create", "notes", "--relay", relay, "--token", "a.b.c"], more].concat());
    ann
}

#[test]
fn what_is_refused_for_good_is_undone_and_a_failure() {
    let place = Place::new();
    let relay = refusing(Refusal::Schema("n: title is too long".to_owned()));
    let ann = keeper(&place, &relay, &[]);
    let shown = ann.shows(&["set", "notes", "n", "title=Milk", "--wait", "60s"]);
    assert!(shown.starts_with("exit 1"), "{shown}");
    assert!(shown.contains("undone here: against the schema: n: title is too long"), "{shown}");
    assert_eq!(ann.json(&["get", "notes", "--offline"]), json!({}));

    // Somebody else's process has the document.
    let mut watch = Running::new(ann.command(&["watch", "notes"]));
    let socket = place.path("ann").join("default/notes/leader.sock");
    eventually("it watches", || socket.exists().then_some(()));
    let shown = ann.shows(&["set", "notes", "n", "title=Milk", "--wait", "60s"]);
    assert!(shown.starts_with("exit 1") && shown.contains("undone here"), "{shown}");
    watch.signal(Signal::INT);
    assert_eq!(watch.end(), 0);
}

#[test]
fn what_waits_because_it_is_refused_says_so() {
    let place = Place::new();
    let ann = keeper(&place, &refusing(Refusal::Epoch(0)), &["--encrypted"]);
    let shown = ann.shows(&["set", "notes", "n", "title=Milk"]);
    assert!(shown.starts_with("exit 0"), "{shown}");
    assert!(shown.contains("wait for the relay: this document is not encrypted"), "{shown}");
    let shown = ann.shows(&["sync", "notes", "--wait", "5s"]);
    assert!(shown.starts_with("exit 1"), "{shown}");
    assert!(shown.contains("does not take it: this document is not encrypted"), "{shown}");
}

#[test]
fn a_list_of_members_that_is_never_taken_is_undone_and_told_once() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let ann = Keeper::new(&place, "ann", &url);
    let admin = ann.keeps("diary", &["--encrypted"]);
    ann.run(&["set", "diary", "day/1", "title=Milk"]);
    let before = ann.run(&["members", "diary"]);
    let writer = ann.token_for("diary", "read,write", ann.run(&["device"]).trim());
    ann.run(&["token", "diary", &writer]);
    let shown = ann.shows(&["invite", "diary"]);
    assert!(shown.starts_with("exit 1"), "{shown}");
    assert!(shown.contains("undone here: the list of its members: the token does not"), "{shown}");
    let again = ann.shows(&["sync", "diary"]);
    assert!(again.starts_with("exit 0") && !again.contains("undone"), "{again}");
    assert_eq!(ann.run(&["members", "diary"]), before);
    ann.run(&["token", "diary", &admin]);
    ann.run(&["invite", "diary"]);
    assert_eq!(ann.run(&["members", "diary"]).lines().count(), before.lines().count() + 1);
}

#[test]
fn what_founds_a_document_is_kept_and_said_to_wait() {
    let place = Place::new();
    let ann = keeper(&place, &refusing(Refusal::Denied), &["--encrypted"]);
    for _ in 0..2 {
        let shown = ann.shows(&["sync", "notes", "--wait", "5s"]);
        assert!(shown.starts_with("exit 1"), "{shown}");
        assert!(shown.contains("the list of members is kept here until then"), "{shown}");
    }
    let shown = ann.shows(&["members", "notes", "--wait", "5s"]);
    assert!(shown.contains("list of members waits for the relay: the token does not"), "{shown}");
}

/// Somebody comes in by a link, at a relay that does not answer, and is killed; then where the relay is.
#[track_caller]
fn joins_after_a_kill(place: &Place, ben: &Keeper<'_>, (url, link, token): (&str, &str, &str)) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", silent.local_addr().unwrap());
    let join = |relay: &str| ben.command(&["join", link, "--relay", relay, "--token", token]);
    let joining = Running::new(join(&away));
    let (_stream, _) = silent.accept().unwrap();
    drop(joining);
    let name = ben.run(&["list"]);
    // What is written meanwhile stays, though the next attempt fails.
    ben.run(&["set", name.trim(), "m/1", "title=Meanwhile", "--offline"]);
    let output = join("http://127.0.0.1:9").args(["--wait", "1s"]).output().unwrap();
    assert!(!output.status.success(), "{}", place.show(&output));
    assert_eq!(ben.json(&["get", name.trim(), "m/1", "title", "--offline"]), json!("Meanwhile"));
    ben.run(&["token", name.trim(), token, "--relay", url]);
    for _ in 0..2 {
        let output = join(url).output().unwrap();
        assert!(output.status.success(), "{}", place.show(&output));
    }
}

#[test]
fn a_join_that_was_killed_half_way_goes_on() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let ann = Keeper::new(&place, "ann", &url);
    for (name, more) in [("diary", &["--encrypted"][..]), ("notes", &[])] {
        ann.keeps(name, more);
        ann.run(&["set", name, "n/1", "title=Milk"]);
        let link = ann.run(&["invite", name]).trim().to_owned();
        let ben = Keeper::new(&place, &format!("ben-{name}"), &url);
        let token = ben.token_for(name, "read,write,join", ben.run(&["device"]).trim());
        joins_after_a_kill(&place, &ben, (&url, &link, &token));
        assert_eq!(ben.json(&["get", name, "n/1", "title"]), json!("Milk"));
        ben.run(&["set", name, "n/1", "title=Oats"]);
        assert_eq!(ann.json(&["get", name, "n/1", "title"]), json!("Oats"));
    }
}

#[test]
fn commands_at_the_same_time_are_all_done() {
    let place = Place::new();
    let ann = keeper(&place, "http://127.0.0.1:9", &[]);
    let set = |n: i32| ann.command(&["set", "notes", &format!("n/{n}"), "title=Milk", "--offline"]);
    let running: Vec<Running> = (0..4).map(|n| Running::new(set(n))).collect();
    for mut one in running {
        assert_eq!(one.end(), 0);
    }
    assert_eq!(ann.json(&["get", "notes", "--offline"]).as_object().unwrap().len(), 4);
}

#[test]
fn a_document_with_a_long_name_is_watched() {
    let place = Place::new();
    let ann = Keeper::new(&place, "ann", "http://127.0.0.1:9");
    let name = "n".repeat(120);
    ann.run(&["create", &name, "--relay", "http://127.0.0.1:9", "--token", "t"]);
    ann.run(&["set", &name, "n", "title=Milk", "--offline"]);
    let mut watching = Running::new(ann.command(&["watch", &name]));
    watching.read("Milk");
    assert_eq!(ann.json(&["get", &name, "n", "title"]), json!("Milk"));
    let shown = ann.shows(&["forget", &name]);
    assert!(shown.contains("help: end the `selvedge doc watch`"), "{shown}");
}

#[test]
fn what_is_not_there_is_not_deleted_and_has_no_members() {
    let place = Place::new();
    let ann = keeper(&place, "http://127.0.0.1:9", &[]);
    let shown = ann.shows(&["delete", "notes", "n/9", "--offline"]);
    assert!(shown.contains("there is no entity n/9"), "{shown}");
    let shown = ann.shows(&["members", "notes", "--wait", "0s"]);
    assert!(shown.contains("not encrypted, and has no list of members"), "{shown}");
}

#[test]
fn all_changes_are_made_or_none() {
    let place = Place::new();
    let ann = keeper(&place, "http://127.0.0.1:9", &[]);
    let large = format!("title={}", "x".repeat(70_000));
    ann.ends(64, &["set", "notes", "n", "counter:votes+=1", &large, "--offline"]);
    assert_eq!(ann.json(&["get", "notes", "--offline"]), json!({}));
    ann.run(&["set", "notes", "n", "counter:votes+=1", "title=Milk", "--offline"]);
    let expected = json!({ "n": { "title": "Milk", "votes": 1 } });
    assert_eq!(ann.json(&["get", "notes", "--offline"]), expected);
}

#[test]
fn who_asks_the_process_that_watches_hears_what_the_relay_has() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let ann = Keeper::new(&place, "ann", &url);
    ann.keeps("notes", &[]);
    ann.run(&["set", "notes", "n", "title=Milk"]);
    let mut watch = Running::new(ann.command(&["watch", "notes"]));
    watch.read(r#"{"entity":{"title":"Milk"},"id":"n"}"#);
    let shown = ann.shows(&["set", "notes", "n", "title=Oats", "--wait", "60s"]);
    assert!(shown.starts_with("exit 0") && !shown.contains("kept here"), "{shown}");
    assert_eq!(ann.json(&["sync", "notes"])["waiting"], 0);

    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    eventually("the process that watches hears that the relay is gone", || {
        let shown = ann.shows(&["sync", "notes", "--wait", "100ms"]);
        shown.starts_with("exit 69").then_some(())
    });
    let shown = ann.shows(&["set", "notes", "n", "title=Rye"]);
    assert!(shown.starts_with("exit 0") && shown.contains("kept here"), "{shown}");
    ann.ends(69, &["sync", "notes", "--wait", "100ms"]);
    watch.signal(Signal::INT);
    assert_eq!(watch.end(), 0);
}
