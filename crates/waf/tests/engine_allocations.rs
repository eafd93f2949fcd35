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
    policy::Policy,
};
thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be told of otherwise")]
// SAFETY: every call goes to the system's allocator unchanged; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
