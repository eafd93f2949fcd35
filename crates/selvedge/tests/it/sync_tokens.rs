//! Tokens that devices get for themselves, as they are asked for on the wire.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::Signal;
use selvedge_seal::{
    Asked, Device, Rights,
    token::{Capability, Documents, Holder, IssuerKey, Issuers},
};
use serde_json::{Value, json};

use crate::{
    core::{CORE, health, role, up},
    http::{Answer, send},
    process::{self, Place, Running, eventually},
};

const GUESTS: &str = "core { data-dir \"./data\"; sync { origins \"https://app.example\"; \
                      guests \"vaults/\" { documents 3; address-rate 4 } } }";
const NAME: &str = "vaults/AAAAAAAAAAAAAAAAAAAAAA";
const DAY: u64 = 86_400;

fn device(seed: u8) -> Device {
    Device::from_seed([seed; 32])
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn now_ms() -> u64 {
    now().as_millis().try_into().unwrap()
}

/// A relay that devices ask.
struct Relay {
    place: Place,
    up: Running,
    url: String,
}

impl Relay {
    fn new(config: &str) -> Self {
        let place = Place::new();
        let (up, url) = up(&place, config);
        Self { place, up, url }
    }

    fn post(&self, path: &str, proof: &str, (body, more): (&str, &str)) -> Answer {
        let url = format!("{}_selvedge/sync{path}", self.url);
        let proof = format!("Selvedge-Proof: {proof}");
        let fields = ["Content-Type: application/json", &proof, more];
        send(("POST", &url), &fields[..if more.is_empty() { 2 } else { 3 }], body).unwrap()
    }

    fn ask(&self, by: &Device, what: &str, wanted: &Value) -> Answer {
        let (path, body) = (format!("/device/{what}"), wanted.to_string());
        let asked = Asked { method: "POST", path: &path, body: body.as_bytes() };
        let proof = by.prove_request(&asked, now_ms()).to_string();
        self.post(&path, &proof, (&body, ""))
    }

    #[track_caller]
    fn gives(&self, by: &Device, what: &str, wanted: &Value) -> Value {
        let answer = self.ask(by, what, wanted);
        assert_eq!(answer.status, 201, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    #[track_caller]
    fn refuses(&self, by: &Device, (what, wanted): (&str, &Value), code: &str) {
        let answer = self.ask(by, what, wanted);
        assert!(answer.body.contains(&format!("\"{code}\"")), "{what}: {answer:?}");
    }

    /// The key that this relay signs with.
    fn key(&self) -> IssuerKey {
        let pem = fs::read_to_string(self.place.path("data/sync/issuer.pem")).unwrap();
        IssuerKey::parse(&pem).unwrap()
    }

    /// Waits until the audit log has an action so often.
    #[track_caller]
    fn tells(&self, action: &str, times: usize) {
        eventually(action, || (self.told(action) == times).then_some(()));
    }

    fn told(&self, action: &str) -> usize {
        let tail = self.place.run_args(&[
            "audit",
            "tail",
            "--data-dir",
            "data",
            "--action",
            action,
            "-n",
            "100",
        ]);
        tail.lines().filter(|line| line.contains(action)).count()
    }
}

fn verified(relay: &Relay, answer: &Value) -> Capability {
    let mut issuers = Issuers::default();
    issuers.add(relay.key().public()).unwrap();
    issuers.verify(answer["token"].as_str().unwrap(), now().as_secs()).unwrap()
}

#[test]
fn the_first_device_that_asks_is_the_founder_for_good() {
    let relay = Relay::new(GUESTS);
    let (ann, ben) = (device(1), device(2));
    let wanted = json!({ "document": NAME });
    let given = relay.gives(&ann, "found", &wanted);
    assert_eq!((&given["tenant"], &given["document"]), (&json!("default"), &json!(NAME)));
    let capability = verified(&relay, &given);
    assert_eq!(capability.holder, Holder::Key(ann.id()));
    assert_eq!(
        (capability.rights, capability.documents),
        (Rights::ALL, Documents::One(NAME.to_owned()))
    );
    relay.refuses(&ben, ("found", &wanted), "sync/founded");

    let core = role(&relay.up, "core").unwrap();
    process::send(core, Signal::KILL);
    eventually("another core serves", || {
        let other = role(&relay.up, "core").is_some_and(|other| other != core);
        (other && health(&relay.url).status == 200).then_some(())
    });
    relay.refuses(&ben, ("found", &wanted), "sync/founded");
    let again = relay.gives(&ann, "found", &wanted);
    assert_eq!(again["id"], given["id"], "who revokes one revokes all of them");
    // Each token is told of, and no refusal.
    relay.tells("sync.document.found", 2);
    // Whoever stole the device does not found it again.
    relay.place.run(&format!("sync revoke {} --data-dir data", again["token"].as_str().unwrap()));
    relay.refuses(&ann, ("found", &wanted), "sync/spent");
    relay.refuses(&ben, ("found", &wanted), "sync/founded");

    for (document, code) in [
        ("vaults/short", "sync/guests"),
        ("notes/AAAAAAAAAAAAAAAAAAAAAA", "sync/guests"),
        ("vaults/../AAAAAAAAAAAAAAAAAAAAAA", "sync/token"),
    ] {
        relay.refuses(&ben, ("found", &json!({ "document": document })), code);
    }
    let elsewhere = json!({ "document": NAME, "tenant": "acme" });
    relay.refuses(&ben, ("found", &elsewhere), "sync/guests");
}

#[test]
fn so_many_documents_are_founded_and_so_fast() {
    let relay = Relay::new(GUESTS);
    let name = |number: usize| json!({ "document": format!("vaults/{number:022}") });
    for number in 0..3 {
        relay.gives(&device(1), "found", &name(number));
    }
    relay.refuses(&device(2), ("found", &name(3)), "sync/documents");
    relay.gives(&device(1), "found", &name(0));

    let relay = Relay::new(&GUESTS.replace("documents 3", "documents 9"));
    for number in 0..4 {
        relay.gives(&device(1), "found", &name(number));
    }
    let often = relay.ask(&device(2), "found", &name(4));
    assert!(often.status == 429 && often.head.contains("retry-after: "), "{often:?}");
    relay.gives(&device(1), "found", &name(3));
}

#[test]
fn nothing_is_given_without_a_proof_of_now() {
    let relay = Relay::new(GUESTS);
    let (ann, path) = (device(1), "/device/found");
    let body = json!({ "document": NAME }).to_string();
    let asked = Asked { method: "POST", path, body: body.as_bytes() };
    let check = |proof: &str, path: &str, body: &str, status: u16, code: &str| {
        let answer = relay.post(path, proof, (body, ""));
        assert!(answer.status == status && answer.body.contains(code), "{code}: {answer:?}");
        answer
    };
    let proof = ann.prove_request(&asked, now_ms()).to_string();
    check(&proof, "/device/renew", &body, 401, "sync/proof");
    check(&proof, path, &body.replace("AAAA", "AAAB"), 401, "sync/proof");
    check("", path, &body, 401, "sync/proof");
    let other = device(2).prove_request(&asked, now_ms()).to_string();
    let mixed =
        format!("{},{}", proof.split_once(',').unwrap().0, other.split_once(',').unwrap().1);
    check(&mixed, path, &body, 401, "sync/proof");
    for wrong in [now_ms() - 61_000, now_ms() + 70_000] {
        let proof = ann.prove_request(&asked, wrong).to_string();
        let answer = check(&proof, path, &body, 401, "sync/clock");
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(told["now"].as_u64().unwrap().abs_diff(now_ms()) < 60_000, "{told}");
    }
    let long = format!("{body}{}", " ".repeat(20_000));
    check(&proof, path, &long, 413, "sync/body");
    let strange = json!({ "document": NAME, "more": 1 }).to_string();
    let asked = Asked { body: strange.as_bytes(), ..asked };
    check(&ann.prove_request(&asked, now_ms()).to_string(), path, &strange, 400, "sync/token");
    check(&proof, path, &body, 201, NAME);
}

#[test]
fn a_token_is_renewed_by_its_device_until_it_is_revoked() {
    let relay = Relay::new(CORE);
    let ann = device(1);
    let ended = |days: u64, of: &Device| Capability {
        tenant: "acme".to_owned(),
        documents: Documents::Prefix("notes/".to_owned()),
        rights: Rights::READ | Rights::WRITE,
        holder: Holder::Key(of.id()),
        expires: now().as_secs() - days * DAY,
        not_before: None,
        issued: Some(now().as_secs() - (days + 2) * DAY),
        id: format!("ended-{days}"),
        subject: "user:ann".to_owned(),
        link: None,
    };
    let mint = |key: IssuerKey, of: &Capability| json!({ "token": key.mint(of).unwrap() });
    let known = ended(29, &ann);
    let given = relay.gives(&ann, "renew", &mint(relay.key(), &known));
    let renewed = verified(&relay, &given);
    assert_eq!((&*renewed.id, &*renewed.subject), ("ended-29", "user:ann"));
    let life = renewed.expires - renewed.issued.unwrap();
    assert_eq!(
        (renewed.rights, &renewed.documents, life),
        (known.rights, &known.documents, 2 * DAY)
    );

    relay.refuses(&ann, ("renew", &mint(relay.key(), &ended(31, &ann))), "sync/spent");
    relay.refuses(&device(2), ("renew", &mint(relay.key(), &known)), "sync/proof");
    let stranger = mint(IssuerKey::from_seed([9; 32]), &ended(1, &ann));
    relay.refuses(&ann, ("renew", &stranger), "sync/spent");
    relay.place.run("sync revoke ended-29 --data-dir data");
    relay.refuses(&ann, ("renew", &mint(relay.key(), &known)), "sync/spent");
    relay.refuses(&ann, ("renew", &json!({ "token": given["token"] })), "sync/spent");
    relay.tells("sync.token.renew", 1);
    relay.tells("sync.token.revoke", 1);

    let never = Relay::new("core { data-dir \"./data\"; sync { renew \"0s\" } }");
    never.refuses(&ann, ("renew", &mint(never.key(), &ended(1, &ann))), "sync/spent");
}

#[test]
fn a_link_for_once_brings_one_device_in() {
    let relay = Relay::new(GUESTS);
    let (ann, ben, eve) = (device(1), device(2), device(3));
    let hex = |device: &Device| device.id().to_string();
    let own = relay.gives(&ann, "found", &json!({ "document": NAME }))["token"].clone();
    let link_for = |uses: &str, seed: u8| {
        let wanted =
            json!({ "token": own, "device": hex(&device(seed)), "rights": ["read"], "link": uses });
        relay.gives(&ann, "share", &wanted)
    };
    let once = link_for("once", 11);
    assert_eq!((&once["link"], &once["rights"]), (&json!("once"), &json!(["read", "join"])));
    let join = |link: &Value, of: &Device| json!({ "token": link["token"], "device": hex(of) });

    relay.refuses(&ben, ("join", &join(&once, &ben)), "sync/proof");
    relay.refuses(&device(11), ("renew", &json!({ "token": once["token"] })), "sync/spent");
    let bens = relay.gives(&device(11), "join", &join(&once, &ben));
    assert_eq!(verified(&relay, &bens).holder, Holder::Key(ben.id()));
    assert_eq!((&bens["document"], &bens["link"]), (&json!(NAME), &Value::Null));
    let again = relay.gives(&device(11), "join", &join(&once, &ben));
    assert_eq!(again["id"], bens["id"], "who revokes one revokes all of them");
    relay.refuses(&device(11), ("join", &join(&once, &eve)), "sync/used");
    // What a device was given is no link, and gives nothing on.
    relay.refuses(&ben, ("join", &join(&bens, &eve)), "sync/spent");
    let on = json!({ "token": bens["token"], "device": hex(&eve), "rights": ["read"] });
    relay.refuses(&ben, ("share", &on), "sync/rights");

    let many = link_for("many", 12);
    relay.gives(&device(12), "join", &join(&many, &ben));
    let eves = relay.gives(&device(12), "join", &join(&many, &eve));
    relay.place.run(&format!("sync revoke {} --data-dir data", eves["id"].as_str().unwrap()));
    relay.refuses(&device(12), ("join", &join(&many, &eve)), "sync/spent");
    relay.gives(&device(12), "join", &join(&many, &ben));
    relay.place.run(&format!("sync revoke {} --data-dir data", many["id"].as_str().unwrap()));
    relay.refuses(&device(12), ("join", &join(&many, &device(4))), "sync/spent");
    relay.tells("sync.token.share", 2);
    relay.tells("sync.token.join", 5);
}

/// Issuers write into ids what they like, and have tokens last as long as they like.
#[test]
fn a_token_of_another_issuer_is_revoked_by_its_own_id_and_to_its_end() {
    let relay = Relay::new(CORE);
    let until = now().as_secs() + 700 * DAY;
    let capability = |id: &str| Capability {
        tenant: "acme".to_owned(),
        documents: Documents::All,
        rights: Rights::READ,
        holder: Holder::Key(device(1).id()),
        expires: until,
        not_before: None,
        issued: None,
        id: id.to_owned(),
        subject: "ann".to_owned(),
        link: None,
    };
    let token = relay.key().mint(&capability("user 1?/all#x")).unwrap();
    let revoked = relay.place.run_args(&["sync", "revoke", &token, "--data-dir", "data"]);
    assert!(revoked.contains("revoked: user 1?/all#x"), "{revoked}");
    let renew = |id: &str| json!({ "token": relay.key().mint(&capability(id)).unwrap() });
    relay.refuses(&device(1), ("renew", &renew("user 1?/all#x")), "sync/spent");
    relay.gives(&device(1), "renew", &renew("user 1"));
    let told = relay.place.run("sync revoke user%201 --data-dir data");
    assert!(told.contains("revoked: user%201"), "{told}");
    relay.gives(&device(1), "renew", &renew("user 1"));
}

#[test]
fn pages_of_origins_that_are_named_may_ask() {
    let relay = Relay::new(GUESTS);
    let url = format!("{}_selvedge/sync/device/found", relay.url);
    let preflight = |origin: &str| {
        let origin = format!("Origin: {origin}");
        send(("OPTIONS", &url), &[&origin, "Access-Control-Request-Method: POST"], "").unwrap()
    };
    let allowed = preflight("https://app.example");
    assert_eq!(allowed.status, 204);
    for field in [
        "access-control-allow-origin: https://app.example",
        "access-control-allow-headers: content-type, selvedge-proof",
        "vary: origin",
    ] {
        assert!(allowed.head.contains(field), "{}", allowed.head);
    }
    let refused = preflight("https://evil.example");
    assert!(refused.status == 403 && refused.body.contains("sync/origin"), "{refused:?}");
    assert!(!refused.head.contains("access-control"), "{}", refused.head);
    // The browser shows its page why it was refused.
    let answer = relay.post("/device/found", "x", ("{}", "Origin: https://app.example"));
    assert!(answer.head.contains("access-control-allow-origin: https://app.example"), "{answer:?}");
}
