//! Judging clean requests allocates nothing once buffers have grown.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use selvedge_waf::{
    engine::{Connection, Decision, Profile, RequestHead, Rules, Transaction},
    native,
    policy::{Limits, Policy},
    rule::RuleSet,
    seclang::{self, Files},
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that this thread holds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be told of otherwise")]
// SAFETY: every call goes to the system's allocator unchanged; the counts touch no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const FIELDS: &[(&[u8], &[u8])] = &[
    (b"host", b"www.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"referer", b"https://www.example.com/shop/list?page=2"),
    (b"cookie", b"session=8f14e45fceea167a5a36dedd4bea2543; theme=dark"),
    (b"cache-control", b"no-cache"),
    (b"dnt", b"1"),
    (b"x-request-id", b"7b0a4c8e-1d9e-4b52-9a64-0a5c9be2b6d1"),
];

/// A request that no rule minds. Each `#` is a number that changes from one to the next, so that what is remembered of clean
/// values is not all that is tested.
struct Clean {
    target: &'static str,
    kind: &'static str,
    body: &'static str,
}

const CLEAN: &[Clean] = &[
    Clean { target: "/shop/item?id=#&sort=price&page=3&query=blue+shoes", kind: "", body: "" },
    Clean {
        target: "/login",
        kind: "application/x-www-form-urlencoded",
        body: "name=Ann+Example&city=Berlin&note=hello+there+#",
    },
    Clean {
        target: "/api/orders",
        kind: "application/json",
        body: r#"{"items":[{"id":#,"name":"Blue shoe","price":12.5},{"id":1#,"name":"Red shoe","price":9},
            {"id":2#,"name":"Green shoe","price":10.25}],"note":"ring twice"}"#,
    },
    Clean {
        target: "/profile/#",
        kind: "multipart/form-data; boundary=----form",
        body: "------form\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nAnn #\r\n\
            ------form\r\nContent-Disposition: form-data; name=\"image\"; filename=\"me#.png\"\r\n\
            Content-Type: image/png\r\n\r\nnot much of one\r\n------form--\r\n",
    },
    Clean {
        target: "/feed",
        kind: "text/xml",
        body: "<entry lang=\"en\"><title>Blue shoes, #</title><body>They fit and last.</body></entry>",
    },
];

/// Rounds until buffers have grown, and automata know what they come by.
const ROUNDS: u32 = 20;

/// Checks that judging such requests allocates nothing in the end.
#[track_caller]
fn check(set: &RuleSet) {
    let rules = Arc::new(Rules::compile(set));
    let profile = Arc::new(Profile::new(rules, Policy::default()));
    let mut transaction = Transaction::new();
    let mut round = |number: u32| {
        let allocated = |clean| pass(&mut transaction, &profile, clean, number);
        CLEAN.iter().map(allocated).collect::<Vec<_>>()
    };
    assert!(round(0)[0] > 0, "the first exchange grows buffers");
    (1..ROUNDS).for_each(|number| _ = round(number));
    assert_eq!(round(ROUNDS), [0; CLEAN.len()]);
}

/// How much judging a request allocates, which must pass.
fn pass(transaction: &mut Transaction, profile: &Arc<Profile>, clean: &Clean, number: u32) -> u64 {
    let filled = |text: &str| text.replace('#', &(48_271 * number % 90_000 + 10_000).to_string());
    let (target, body) = (filled(clean.target), filled(clean.body));
    let length = body.len().to_string();
    let of_body: &[(&[u8], &[u8])] =
        &[(b"content-type", clean.kind.as_bytes()), (b"content-length", length.as_bytes())];
    let (method, of_body) =
        if body.is_empty() { (&b"GET"[..], &[][..]) } else { (&b"POST"[..], of_body) };
    let fields = [FIELDS, of_body].concat();
    let address = Ipv4Addr::LOCALHOST.into();
    let connection =
        Connection { client: address, client_port: 1, server: address, server_port: 80 };
    let before = ALLOCATIONS.get();
    transaction.begin(profile, &connection, SystemTime::UNIX_EPOCH);
    transaction.request_head(&RequestHead {
        method,
        target: target.as_bytes(),
        version: "HTTP/1.1",
        fields: &fields,
    });
    transaction.request_body(body.as_bytes());
    assert_eq!(transaction.request(), Decision::Pass);
    transaction.log();
    let allocated = ALLOCATIONS.get() - before;
    assert!(transaction.matches().is_empty(), "{:?}", transaction.matches());
    allocated
}

#[test]
fn our_own_rules() {
    check(&native::bundled());
}

#[test]
fn the_core_rule_set() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("SELVEDGE_VECTORS")
        .map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let folder = data.join("crs");
    if !folder.is_dir() {
        println!("skipped: {} is missing", folder.display());
        return;
    }
    let mut names = vec![folder.join("crs-setup.conf.example")];
    let parts = fs::read_dir(folder.join("rules")).unwrap().map(|entry| entry.unwrap().path());
    names.extend(parts.filter(|path| path.extension().is_some_and(|kind| kind == "conf")));
    names[1..].sort();
    let names: Vec<&str> = names.iter().map(|name| name.to_str().unwrap()).collect();
    let loaded = seclang::load(&mut Disk, &names).unwrap();
    check(&loaded.rules);
}

/// Rule files, named one by one.
struct Disk;

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(name)
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        Ok(vec![pattern.to_owned()])
    }
}

/// Judges one request, whatever is found.
fn judge(transaction: &mut Transaction, profile: &Arc<Profile>, kind: &[u8], body: &[u8]) {
    let address = Ipv4Addr::LOCALHOST.into();
    let connection =
        Connection { client: address, client_port: 1, server: address, server_port: 80 };
    transaction.begin(profile, &connection, SystemTime::UNIX_EPOCH);
    transaction.request_head(&RequestHead {
        method: b"POST",
        target: b"/",
        version: "HTTP/1.1",
        fields: &[(b"host", b"example.com"), (b"content-type", kind)],
    });
    transaction.request_body(body);
    transaction.request();
    transaction.log();
}

#[test]
fn what_a_hostile_exchange_needed_is_given_back() {
    const BODY: usize = 8 << 20;
    let limits = Limits {
        request_body_bytes: BODY,
        arguments: 100_000,
        work: u64::MAX,
        ..Limits::default()
    };
    let rules = Arc::new(Rules::compile(&native::bundled()));
    let profile = Arc::new(Profile::new(rules, Policy { limits, ..Policy::default() }));
    let form: &[u8] = b"application/x-www-form-urlencoded";
    let hostile = [
        (form, b"a=%27&".repeat(20_000)),
        (form, [b"a=%27".as_slice(), &vec![b'x'; BODY - 5]].concat()),
        (
            b"multipart/form-data; boundary=B",
            [
                b"--B\r\nContent-Disposition: form-data; name=a; filename*0=\"".as_slice(),
                &vec![b'y'; BODY / 2],
                b"\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
                &vec![b'A'; BODY / 4],
                b"\r\n--B--",
            ]
            .concat(),
        ),
    ];
    let mut transaction = Transaction::new();
    let mut grown = || {
        let held = hostile.each_ref().map(|(kind, body)| {
            let before = HELD.get();
            judge(&mut transaction, &profile, kind, body);
            let during = HELD.get() - before;
            judge(&mut transaction, &profile, form, b"a=b");
            (during, HELD.get() - before)
        });
        held.to_vec()
    };
    // What expressions remember stays, within bounds of their own.
    grown();
    for (during, after) in grown() {
        assert!(during > 256 << 10, "{during} bytes are no hostile exchange, or were kept");
        assert!(after < 64 << 10, "{after} bytes of {during} are kept");
    }
}
