//! Documents from the command line, through a real edge and a real core.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::process::Signal;
use selvedge_crdt::session::DeviceId;
use selvedge_seal::{
    Rights,
    token::{Capability, Documents, Holder, IssuerKey},
};
use serde_json::{Value, json};

use crate::{
    core::{CORE, health, role, up},
    process::{Place, Running, eventually, send as signal},
};

/// A device with a folder of its own, in which it keeps documents.
pub struct Keeper<'a> {
    place: &'a Place,
    folder: String,
    relay: String,
}

impl<'a> Keeper<'a> {
    pub fn new(place: &'a Place, name: &str, relay: &str) -> Self {
        let folder = place.path(name).display().to_string();
        Keeper { place, folder, relay: relay.to_owned() }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(["doc", "--folder", &self.folder]);
        command.args(arguments);
        command
    }

    /// Runs to an end; shows exit code, standard output and standard error.
    pub fn shows(&self, arguments: &[&str]) -> String {
        self.place.show(&self.command(arguments).output().unwrap())
    }

    /// Runs to an end that is expected; returns standard output.
    #[track_caller]
    pub fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", self.place.show(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        self.ends(0, arguments)
    }

    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).unwrap()
    }

    /// A token of the core in `data`, for this device.
    #[track_caller]
    fn token(&self, document: &str, rights: &str) -> String {
        self.token_for(document, rights, self.run(&["device"]).trim())
    }

    /// A token of the core in `data`.
    #[track_caller]
    pub fn token_for(&self, document: &str, rights: &str, device: &str) -> String {
        let made = "sync token --data-dir data --expires 1h";
        let mut command = self.place.command(made.split(' ').chain([document, "--device", device]));
        for right in rights.split(',') {
            command.args(["--right", right]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", self.place.show(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Keeps a document with every right; returns the token.
    #[track_caller]
    pub fn keeps(&self, document: &str, more: &[&str]) -> String {
        let token = self.token(document, "read,write,snapshot,admin,join");
        let create = ["create", document, "--relay", &self.relay, "--token", &token];
        self.run(&[&create, more].concat());
        token
    }

    #[track_caller]
    fn snapshot(&self, document: &str) -> Vec<u8> {
        let file = self.place.path("snapshot");
        self.run(&["export", document, "--format", "snapshot", "-o", file.to_str().unwrap()]);
        fs::read(file).unwrap()
    }
}

/// Ends the core as a power cut would, and waits until there is another.
fn kill_the_core(up: &Running, url: &str) {
    let core = eventually("the core runs", || role(up, "core"));
    signal(core, Signal::KILL);
    eventually("another core serves", || {
        let other = role(up, "core").is_some_and(|other| other != core);
        (other && health(url).status == 200).then_some(())
    });
}

#[test]
fn two_devices_hold_the_same_whatever_happens_to_the_core() {
    let place = Place::new();
    let (mut up, url) = up(&place, CORE);
    let (ann, ben) = (Keeper::new(&place, "ann", &url), Keeper::new(&place, "ben", &url));
    ann.keeps("notes", &[]);
    ben.keeps("notes", &[]);
    ann.run(&[
        "set",
        "notes",
        "note/1",
        "title=Milk",
        "tags+=red",
        "counter:votes+=2",
        "text:body=Hello",
    ]);
    assert_eq!(ben.json(&["get", "notes", "note/1", "title"]), json!("Milk"));

    kill_the_core(&up, &url);
    // Both write without having seen the other.
    ann.run(&["set", "notes", "note/1", "title=Oat milk", "counter:votes+=1", "--offline"]);
    ben.run(&[
        "set",
        "notes",
        "note/1",
        "tags+=blue",
        "counter:votes+=4",
        "text:body+=, you",
        "--offline",
    ]);
    ben.ends(1, &["delete", "notes", "note/2", "--offline"]);
    for device in [&ann, &ben, &ann] {
        assert_eq!(device.json(&["sync", "notes"])["waiting"], 0);
    }
    let expected = json!({
        "note/1": { "body": "Hello, you", "tags": ["blue", "red"], "title": "Oat milk", "votes": 7 },
    });
    assert_eq!(ann.json(&["get", "notes"]), expected);
    assert_eq!(ann.snapshot("notes"), ben.snapshot("notes"), "byte for byte");

    let blame = ann.json(&["get", "notes", "note/1", "title", "--blame"]);
    assert_eq!((&blame["value"], &blame["kind"]), (&json!("Oat milk"), &json!("lww")));
    let folder = format!("--folder {}", ann.folder);
    let verified = place.run(&format!("sync verify notes {folder}"));
    assert!(verified.contains("are as devices wrote them"), "{verified}");
    let dumped = place.run(&format!("sync dump notes {folder}"));
    assert_eq!(
        dumped.lines().filter(|line| line.contains("\"operations\"")).count(),
        3,
        "{dumped}"
    );

    up.signal(Signal::INT);
    assert_eq!(up.end(), 0);
    // The relay is away: what is written is kept, and said to be.
    let output = ann
        .command(&["set", "notes", "note/3", "title=Later", "--wait", "100ms"])
        .output()
        .unwrap();
    let shown = place.show(&output);
    assert!(shown.starts_with("exit 0") && shown.contains("kept here"), "{shown}");
    ann.ends(69, &["sync", "notes", "--wait", "100ms"]);
    assert_eq!(ann.json(&["get", "notes", "note/3", "title", "--offline"]), json!("Later"));
}

/// Whether some file below `folder` has these bytes in it.
fn is_written_below(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_written_below(&path, needle);
        }
        let found = fs::read(&path).unwrap_or_default();
        found.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn the_relay_reads_no_word_of_an_encrypted_document() {
    const NEEDLE: &str = "The vixen hides her cubs below the oak";
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let (ann, ben) = (Keeper::new(&place, "ann", &url), Keeper::new(&place, "ben", &url));
    ann.keeps("diary", &["--encrypted"]);
    ann.run(&["set", "diary", "day/1", &format!("text:body={NEEDLE}"), &format!("title={NEEDLE}")]);
    let link = ann.run(&["invite", "diary"]).trim().to_owned();
    let token = ben.token("diary", "read,write,join");
    ben.run(&["join", &link, "--relay", &url, "--token", &token]);
    assert_eq!(
        ben.json(&["get", "diary", "day/1", "title"]),
        json!(NEEDLE),
        "also what was before"
    );
    ben.run(&["set", "diary", "day/2", &format!("title={NEEDLE}")]);
    assert_eq!(ann.json(&["get", "diary", "day/2", "title"]), json!(NEEDLE));
    assert_eq!(ann.snapshot("diary"), ben.snapshot("diary"), "byte for byte");
    assert!(!is_written_below(&place.path("data"), NEEDLE.as_bytes()));
    assert!(is_written_below(&place.path("ann"), b"day/1"), "the search finds what is there");

    // The link was for once.
    let eve = Keeper::new(&place, "eve", &url);
    let token = eve.token("diary", "read,write,join");
    eve.ends(1, &["join", &link, "--relay", &url, "--token", &token]);

    ann.ends(1, &["members", "diary", "--remove", eve.run(&["device"]).trim()]);

    // Who was taken out reads nothing that is written from then on.
    let members = ann.run(&["members", "diary", "--remove", ben.run(&["device"]).trim()]);
    assert_eq!(members.lines().count(), 1, "{members}");
    ann.run(&["set", "diary", "day/3", "title=Alone"]);
    assert_eq!(ann.json(&["get", "diary", "day/3", "title"]), json!("Alone"));
    let seen = ben.json(&["get", "diary", "--wait", "1s"]);
    assert!(seen["day/2"].is_object() && seen["day/3"].is_null(), "{seen}");
    let shown = ben.shows(&["sync", "diary", "--wait", "5s"]);
    assert!(shown.starts_with("exit 1") && shown.contains("has no key for some"), "{shown}");
    assert!(ben.shows(&["get", "diary", "--offline"]).contains("warning: this device has no key"));
}

#[test]
fn a_batch_that_does_not_follow_the_schema_is_refused_and_undone() {
    let place = Place::new();
    let note = r#"{ "note": { "fields": { "title": { "kind": "lww", "types": ["text"] } } } }"#;
    place.write("notes.json", note);
    let ruled =
        "core { data-dir \"./data\"; sync { documents \"notes\" { schema \"notes.json\" } } }";
    let (_up, url) = up(&place, ruled);
    let ann = Keeper::new(&place, "ann", &url);
    ann.keeps("notes", &[]);
    ann.run(&["set", "notes", "note/1", "title=Milk"]);
    for (change, expected) in [
        (["note/1", "title=5"], "note.title takes text, and not int"),
        (["note/1", "votes=a"], "note has no field \"votes\""),
        (["list/1", "title=a"], "no type of entities is called \"list\""),
        (["note/1", "title+=a"], "note.title is of kind lww, and not or-set"),
    ] {
        let output = ann.command(&[&["set", "notes"], &change[..]].concat()).output().unwrap();
        let shown = place.show(&output);
        assert!(shown.starts_with("exit 1") && shown.contains(expected), "{shown}");
    }
    ann.run(&["set", "notes", "note/1", "title=Oats"]);
    assert_eq!(ann.json(&["get", "notes"]), json!({ "note/1": { "title": "Oats" } }));
}

const GUESTS: &str = "core { data-dir \"./data\"; sync { guests \"vaults/\" } }";

#[test]
fn who_founds_a_document_shares_it_by_a_link_and_needs_no_operator() {
    let place = Place::new();
    let (_up, url) = up(&place, GUESTS);
    let names = ["ann", "ben", "cy", "eve"];
    let [ann, ben, cy, eve] = names.map(|name| Keeper::new(&place, name, &url));
    let name = ann.run(&["create", "vaults/", "--relay", &url, "--found"]).trim().to_owned();
    ann.run(&["set", &name, "n/1", "title=Milk"]);
    ben.ends(1, &["create", &name, "--relay", &url, "--found"]);

    let link = ann.run(&["invite", &name]).trim().to_owned();
    ben.run(&["join", &link, "--relay", &url]);
    ben.run(&["set", &name, "n/1", "title=Oats"]);
    assert_eq!(ann.json(&["get", &name, "n/1", "title"]), json!("Oats"));
    eve.ends(1, &["join", &link, "--relay", &url]);
    assert_eq!(eve.run(&["list"]), "", "nothing is left of it");
    ben.ends(1, &["invite", &name]);

    let link = ann.run(&["invite", &name, "--many", "--right", "read"]).trim().to_owned();
    for reader in [&cy, &eve] {
        reader.run(&["join", &link, "--relay", &url]);
        assert_eq!(reader.json(&["get", &name, "n/1", "title"]), json!("Oats"));
    }
    eve.ends(1, &["set", &name, "n/2", "title=Mine"]);
    assert!(cy.json(&["get", &name])["n/2"].is_null(), "the link lets nobody write");

    // A further link allows more, and is not used up by who may do as much already.
    let link = ann.run(&["invite", &name]).trim().to_owned();
    ben.run(&["join", &link, "--relay", &url]);
    eve.run(&["join", &link, "--relay", &url]);
    eve.run(&["set", &name, "n/2", "title=Mine"]);
    assert_eq!(cy.json(&["get", &name, "n/2", "title"]), json!("Mine"));
}

#[test]
fn an_encrypted_document_that_was_founded_is_shared_by_a_link_alone() {
    let place = Place::new();
    let (_up, url) = up(&place, GUESTS);
    let [ann, ben, eve] = ["ann", "ben", "eve"].map(|name| Keeper::new(&place, name, &url));
    let found = ["create", "vaults/", "--relay", &url, "--found", "--encrypted"];
    let name = ann.run(&found).trim().to_owned();
    ann.run(&["set", &name, "n/1", "title=Milk"]);
    let link = ann.run(&["invite", &name]).trim().to_owned();
    ben.run(&["join", &link, "--relay", &url]);
    assert_eq!(ben.json(&["get", &name, "n/1", "title"]), json!("Milk"));
    ben.run(&["set", &name, "n/1", "title=Oats"]);
    assert_eq!(ann.json(&["get", &name, "n/1", "title"]), json!("Oats"));
    eve.ends(1, &["join", &link, "--relay", &url]);

    let link = ann.run(&["invite", &name, "--right", "read"]).trim().to_owned();
    eve.run(&["join", &link, "--relay", &url]);
    let link = ann.run(&["invite", &name]).trim().to_owned();
    let output = eve.command(&["join", &link, "--relay", &url]).output().unwrap();
    let shown = place.show(&output);
    assert!(shown.starts_with("exit 1") && shown.contains("is a member already"), "{shown}");
    let cy = Keeper::new(&place, "cy", &url);
    cy.run(&["join", &link, "--relay", &url]);
}

#[test]
fn a_token_that_ended_is_exchanged() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let ann = Keeper::new(&place, "ann", &url);
    ann.keeps("notes", &[]);
    let ended = ended_token(&place, ann.run(&["device"]).trim());
    ann.run(&["token", "notes", &ended]);
    ann.run(&["set", "notes", "n", "title=Milk"]);
    assert_eq!(ann.json(&["sync", "notes"])["waiting"], 0);
    place.run("sync revoke ended --data-dir data");
    ann.ends(1, &["sync", "notes"]);
}

/// A token of the core in `data` that ended yesterday.
fn ended_token(place: &Place, device: &str) -> String {
    let pem = fs::read_to_string(place.path("data/sync/issuer.pem")).unwrap();
    let yesterday = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 86_400;
    let device = data_encoding::HEXLOWER.decode(device.as_bytes()).unwrap();
    let capability = Capability {
        tenant: "default".to_owned(),
        documents: Documents::One("notes".to_owned()),
        rights: Rights::READ | Rights::WRITE,
        holder: Holder::Key(DeviceId(device.try_into().unwrap())),
        expires: yesterday,
        not_before: None,
        issued: Some(yesterday - 3600),
        id: "ended".to_owned(),
        subject: "ann".to_owned(),
        link: None,
    };
    IssuerKey::parse(&pem).unwrap().mint(&capability).unwrap()
}

#[test]
fn a_revoked_token_opens_nothing() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let ann = Keeper::new(&place, "ann", &url);
    let token = ann.keeps("notes", &[]);
    ann.run(&["set", "notes", "n", "title=Milk"]);
    let revoked = place.run(&format!("sync revoke {token} --data-dir data"));
    assert!(revoked.starts_with("exit 0"), "{revoked}");
    ann.ends(1, &["sync", "notes"]);
    assert_eq!(ann.json(&["get", "notes", "n", "title", "--offline"]), json!("Milk"));
    let another = ann.token("notes", "read,write");
    ann.run(&["token", "notes", &another]);
    assert_eq!(ann.json(&["sync", "notes"])["waiting"], 0);
    // A token of somebody else's is none.
    let eve = Keeper::new(&place, "eve", &url);
    eve.run(&["create", "notes", "--relay", &url, "--token", &another]);
    eve.ends(1, &["sync", "notes"]);
}

#[test]
fn who_watches_sees_changes_and_does_what_others_want() {
    let place = Place::new();
    let (_up, url) = up(&place, CORE);
    let (ann, ben) = (Keeper::new(&place, "ann", &url), Keeper::new(&place, "ben", &url));
    ann.keeps("notes", &[]);
    ben.keeps("notes", &[]);
    ann.run(&["set", "notes", "n", "title=Milk"]);
    let mut watch = Running::new(ann.command(&["watch", "notes"]));
    watch.read(r#"{"entity":{"title":"Milk"},"id":"n"}"#);
    ben.run(&["set", "notes", "n", "title=Oats"]);
    watch.read(r#"{"entity":{"title":"Oats"},"id":"n"}"#);
    // The document is taken: the process that has it does this.
    ann.run(&["set", "notes", "n", "title=Rye"]);
    watch.read(r#"{"entity":{"title":"Rye"},"id":"n"}"#);
    assert_eq!(ann.json(&["get", "notes", "n", "title"]), json!("Rye"));
    ann.ends(64, &["set", "notes", "n", "counter:votes=x"]);
    ben.run(&["delete", "notes", "n"]);
    watch.read(r#"{"entity":null,"id":"n"}"#);
    watch.signal(Signal::INT);
    assert_eq!(watch.end(), 0);
}

#[test]
fn what_was_acknowledged_outlives_cores_that_are_killed() {
    let place = Place::new();
    let (up, url) = up(&place, CORE);
    let done = AtomicBool::new(false);
    let acknowledged: Vec<u64> = thread::scope(|scope| {
        let writers: Vec<_> = ["ann", "ben"]
            .map(|name| {
                let device = Keeper::new(&place, name, &url);
                device.keeps("notes", &[]);
                let done = &done;
                scope.spawn(move || {
                    let mut written = 0;
                    while !done.load(SeqCst) {
                        written += 1;
                        device.run(&["set", "notes", name, &format!("grow:seen+={written}")]);
                    }
                    assert_eq!(device.json(&["sync", "notes", "--wait", "60s"])["waiting"], 0);
                    written
                })
            })
            .into_iter()
            .collect();
        for _ in 0..4 {
            kill_the_core(&up, &url);
        }
        done.store(true, SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let reader = Keeper::new(&place, "reader", &url);
    reader.keeps("notes", &[]);
    reader.run(&["sync", "notes"]);
    for (name, written) in ["ann", "ben"].iter().zip(acknowledged) {
        let all: Vec<u64> = (1..=written).collect();
        assert_eq!(reader.json(&["get", "notes", name, "seen"]), json!(all));
    }
}
