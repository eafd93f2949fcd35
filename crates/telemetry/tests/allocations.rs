//! What is off costs no allocation, and what is on costs none for each request.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::{Duration, Instant, SystemTime},
};

use selvedge_telemetry::{Exchange, Hub, Labels, LogTarget, Routed, Settings, Timings};

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

/// Allocations of `requests` on this thread, after the first request has made its counters.
fn allocations(settings: &Settings, requests: u64) -> u64 {
    let hub = Hub::start(settings).unwrap();
    let names = Labels { listeners: vec!["web"], routes: vec!["api"], ..Labels::default() };
    let labels = hub.register(&names);
    let core = hub.core(0);
    let client = "127.0.0.1:5000".parse().unwrap();
    let request = || {
        let parent = &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..];
        let trace = core.trace([parent], []);
        let timings = Timings::new(Instant::now(), SystemTime::now());
        let _in_flight = core.in_flight(labels.listener(0));
        core.record(&Exchange {
            method: b"GET",
            path: b"/api/users",
            status: Some(200),
            refused_by: Some("limit/body"),
            route: Some(Routed { route: labels.route(0), cached: true, why: &"path-prefix /api" }),
            ..Exchange::new(labels.listener(0), client, &trace, &timings)
        });
    };
    request();
    let before = ALLOCATIONS.get();
    (0..requests).for_each(|_| request());
    let made = ALLOCATIONS.get() - before;
    drop(core);
    hub.shutdown(Duration::from_secs(30));
    made
}

#[test]
fn metrics_alone_allocate_nothing() {
    assert_eq!(allocations(&Settings::quiet(1), 1_000), 0);
}

#[test]
fn the_access_log_allocates_one_buffer_for_many_lines() {
    let access_log = Some(LogTarget::File("/dev/null".into()));
    let made = allocations(&Settings { access_log, ..Settings::quiet(1) }, 1_000);
    assert!((1..=100).contains(&made), "{made} allocations for 1000 lines");
}
