//! Judging clean requests allocates nothing once buffers have grown.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::Ipv4Addr,
    sync::Arc,
    time::SystemTime,
};

use selvedge_waf::{
    engine::{Connection, Decision, Profile, RequestHead, Rules, Transaction},
    native,
    policy::{Limits, Policy},
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

/// Checks that judging the same request again allocates nothing.
#[track_caller]
fn check(target: &[u8], kind: &[u8], body: &[u8]) {
    let rules = Arc::new(Rules::compile(&native::bundled()));
    let profile = Arc::new(Profile::new(rules, Policy::default()));
    let address = Ipv4Addr::LOCALHOST.into();
    let connection =
        Connection { client: address, client_port: 1, server: address, server_port: 80 };
    let method: &[u8] = if body.is_empty() { b"GET" } else { b"POST" };
    let fields: Vec<_> = match kind {
        b"" => FIELDS.to_vec(),
        kind => [FIELDS, &[(b"content-type".as_slice(), kind)]].concat(),
    };
    let mut transaction = Transaction::new();
    let mut run = || {
        let before = ALLOCATIONS.get();
        transaction.begin(&profile, &connection, SystemTime::UNIX_EPOCH);
        transaction.request_head(&RequestHead {
            method,
            target,
            version: "HTTP/1.1",
            fields: &fields,
        });
        transaction.request_body(body);
        assert_eq!(transaction.request(), Decision::Pass);
        transaction.log();
        assert!(transaction.matches().is_empty(), "{:?}", transaction.matches());
        ALLOCATIONS.get() - before
    };
    assert!(run() > 0, "the first exchange grows buffers");
    run();
    assert_eq!(run(), 0);
}

#[test]
fn a_request_of_a_browser() {
    check(b"/shop/item?id=4711&sort=price&page=3&query=blue+shoes", b"", b"");
}

#[test]
fn a_form() {
    check(
        b"/login",
        b"application/x-www-form-urlencoded",
        b"name=Ann+Example&city=Berlin&note=hello+there",
    );
}

#[test]
fn a_document() {
    let item = br#"{"id":17,"name":"Blue shoe","price":12.5}"#;
    let body = [b"{\"items\":[".as_slice(), &[item.as_slice(); 19].join(&b","[..]), b"]}"].concat();
    check(b"/api/orders", b"application/json", &body);
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
