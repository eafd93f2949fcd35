//! Parsers of bodies allocate nothing once their buffers have grown.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    ops::ControlFlow,
};

use selvedge_waf::body::{
    Base64Runs, Field, Intake, Limits, Scratch, Sink, cookies, decode_charset, graphql, json,
    multipart, urlencoded, xml,
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

/// Counts fields, so that a reading that finds nothing is told from one that costs nothing.
struct Count(usize);

impl Sink for Count {
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()> {
        black_box(field);
        self.0 += 1;
        ControlFlow::Continue(())
    }
}

/// Checks that a second reading of the same text finds `fields` and allocates nothing.
#[track_caller]
fn check(fields: usize, mut read: impl FnMut(Intake<'_>)) {
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let mut run = || {
        let (before, mut count) = (ALLOCATIONS.get(), Count(0));
        read(Intake { limits: &limits, scratch: &mut scratch, sink: &mut count });
        (count.0, ALLOCATIONS.get() - before)
    };
    assert!(run().1 > 0, "the first reading grows buffers");
    assert_eq!(run(), (fields, 0));
}

const MULTIPART: &[u8] = b"--B\r\nContent-Disposition: form-data; name=\"a\\\"\"; \
    filename=\"f\\\\\"\r\nContent-Type: text/plain\r\n\r\nx\r\n--C\r\n--B--\r\n";

#[test]
fn a_second_reading_allocates_nothing() {
    check(3, |intake| {
        assert!(urlencoded(b"a+b=%41&c=d&%42=%", b'&', intake).invalid_escapes);
    });
    check(4, |intake| {
        json(br#"{"a\n":["x\ty",{"b":{"c":1}},-2.5],"d":"e"}"#, intake).expect("it is JSON");
    });
    check(3, |intake| {
        assert_eq!(xml(b"<a b='&lt;' c='d'>x<e>&amp;</e></a>", intake).problem, None);
    });
    check(4, |intake| {
        let outcome = multipart(MULTIPART, b"multipart/form-data; boundary=B", intake);
        assert_eq!(outcome.problem, None);
    });
    check(3, |intake| {
        assert_eq!(
            graphql(b"{ a(b: \"x\\n\", c: {d: \"\"\"y\"\"\", e: 1}) { f } }", intake).problem,
            None
        );
    });
}

#[test]
fn cookies_need_no_buffer() {
    let (limits, mut scratch, mut count) = (Limits::default(), Scratch::default(), Count(0));
    let before = ALLOCATIONS.get();
    let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut count };
    cookies(b"a=1; b=2", intake).expect("they are cookies");
    assert_eq!((count.0, ALLOCATIONS.get() - before), (2, 0));
}

#[test]
fn decoders_fill_what_they_are_given() {
    let mut out = Vec::new();
    let mut run = || {
        let before = ALLOCATIONS.get();
        for label in ["utf-16le", "gbk", "utf-7", "ibm037"] {
            black_box(decode_charset(b"+ADw-\x80a\0b\0", Some(label.as_bytes()), &mut out));
        }
        let mut runs = Base64Runs::new(b"PHNjcmlwdD4xPC9zY3JpcHQ+");
        assert_eq!(runs.next(&mut out), Some(0..24));
        ALLOCATIONS.get() - before
    };
    assert!(run() > 0, "the first reading grows the buffer");
    assert_eq!(run(), 0);
}
