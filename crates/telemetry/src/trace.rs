//! W3C Trace Context, level 2: who called, which trace this is, and what goes upstream.

use fastrand::Rng;

/// Longest `tracestate` passed on, in characters.
const STATE_CHARS_MAX: usize = 512;
/// Most members of a `tracestate`.
const STATE_MEMBERS_MAX: usize = 32;
/// Flag: the caller records this trace.
const SAMPLED: u8 = 0b01;
/// Flag: the trace id's last seven bytes are random.
const RANDOM: u8 = 0b10;

/// The trace that one exchange belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent: Option<[u8; 8]>,
    server: [u8; 8],
    upstream: [u8; 8],
    flags: u8,
    recorded: bool,
    state: Option<Box<str>>,
}

/// Whether this process records spans, and of how many requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// It records none: a caller's `traceparent` goes on unchanged, so that its tree has no hole.
    Off,
    /// This share, from 0.0 to 1.0, of the requests whose caller did not decide.
    Share(f64),
}

/// What a valid `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) flags: u8,
}

impl TraceContext {
    /// A trace that begins here.
    pub fn new(random: &mut Rng, sampling: Sampling) -> Self {
        let sampled = match sampling {
            Sampling::Off => false,
            Sampling::Share(share) => random.f64() < share,
        };
        Self {
            trace_id: nonzero(|| random.u128(..).to_be_bytes()),
            parent: None,
            server: span_id(random),
            upstream: span_id(random),
            flags: RANDOM | u8::from(sampled),
            recorded: sampled,
            state: None,
        }
    }

    /// The trace that the caller's headers name, or a new one when they name none validly.
    ///
    /// A `traceparent` that is invalid or repeated begins a new trace and discards `tracestate`;
    /// an invalid `tracestate` is discarded alone.
    pub fn from_headers<'h>(
        parents: impl IntoIterator<Item = &'h [u8]>,
        states: impl IntoIterator<Item = &'h [u8]>,
        random: &mut Rng,
        sampling: Sampling,
    ) -> Self {
        match single(parents).and_then(parse_parent) {
            Some(parent) => Self::continued(parent, combine_states(states), random, sampling),
            None => Self::new(random, sampling),
        }
    }

    fn continued(
        parent: Parent,
        state: Option<Box<str>>,
        random: &mut Rng,
        sampling: Sampling,
    ) -> Self {
        let (server, upstream) = match sampling {
            Sampling::Off => (parent.span_id, parent.span_id),
            Sampling::Share(_) => (span_id(random), span_id(random)),
        };
        Self {
            trace_id: parent.trace_id,
            parent: Some(parent.span_id),
            server,
            upstream,
            flags: parent.flags & (SAMPLED | RANDOM),
            recorded: sampling != Sampling::Off && parent.flags & SAMPLED != 0,
            state,
        }
    }

    /// `traceparent` for the upstream; ASCII.
    pub fn child_header(&self) -> [u8; 55] {
        let mut header = [b'-'; 55];
        push_hex(&mut header[..2], &[0]);
        push_hex(&mut header[3..35], &self.trace_id);
        push_hex(&mut header[36..52], &self.upstream);
        push_hex(&mut header[53..], &[self.flags]);
        header
    }

    /// `tracestate` for the upstream, combined from all that came; `None`: send none.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// 16 bytes, never all zero.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span of this exchange; 8 bytes, never all zero.
    pub fn span_id(&self) -> [u8; 8] {
        self.server
    }

    /// The caller's span, when there was a valid one.
    pub fn parent_id(&self) -> Option<[u8; 8]> {
        self.parent
    }

    /// Whether the trace is recorded somewhere.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether this process exports spans of it.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    pub(crate) fn upstream_id(&self) -> [u8; 8] {
        self.upstream
    }

    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }
}

/// A span id: random, never all zero.
pub(crate) fn span_id(random: &mut Rng) -> [u8; 8] {
    nonzero(|| random.u64(..).to_be_bytes())
}

fn nonzero<const N: usize>(mut draw: impl FnMut() -> [u8; N]) -> [u8; N] {
    loop {
        let id = draw();
        if id != [0; N] {
            return id;
        }
    }
}

fn single<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Option<&'h [u8]> {
    let mut values = values.into_iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Reads `version-traceid-parentid-flags`. A later version may carry more behind another `-`.
pub(crate) fn parse_parent(header: &[u8]) -> Option<Parent> {
    let header = trim(header);
    let (known, rest) = header.split_at_checked(55)?;
    let [version] = read_hex(&known[..2])?;
    let rest_is_valid = match version {
        0xFF => false,
        0 => rest.is_empty(),
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
    let trace_id = read_hex(&known[3..35])?;
    let span_id = read_hex(&known[36..52])?;
    let [flags] = read_hex(&known[53..])?;
    let valid = rest_is_valid && dashes && trace_id != [0; 16] && span_id != [0; 8];
    valid.then_some(Parent { trace_id, span_id, flags })
}

/// Joins the members of all `tracestate` headers, or `None` when any is invalid or there are too many.
///
/// Of members with the same key the first one stays: the one added last (level 2, 3.3.1.1).
fn combine_states<'h>(headers: impl IntoIterator<Item = &'h [u8]>) -> Option<Box<str>> {
    let mut combined = String::new();
    let mut count = 0;
    for header in headers {
        for member in header.split(|byte| *byte == b',').map(trim).filter(|one| !one.is_empty()) {
            count += 1;
            push_member(&mut combined, member)?;
            if count > STATE_MEMBERS_MAX || combined.len() > STATE_CHARS_MAX {
                return None;
            }
        }
    }
    (!combined.is_empty()).then(|| combined.into_boxed_str())
}

fn push_member(combined: &mut String, member: &[u8]) -> Option<()> {
    let member = std::str::from_utf8(member).ok()?;
    let (key, value) = member.split_once('=')?;
    if !is_key(key) || !is_value(value) {
        return None;
    }
    if has_key(combined, key) {
        return Some(());
    }
    if !combined.is_empty() {
        combined.push(',');
    }
    combined.push_str(member);
    Some(())
}

fn has_key(combined: &str, key: &str) -> bool {
    combined.split(',').filter_map(|member| member.split_once('=')).any(|(other, _)| other == key)
}

/// Level 2 gives `@` no meaning: any character but the first may be one.
fn is_key(key: &str) -> bool {
    let allowed =
        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    (1..=256).contains(&key.len())
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(allowed)
}

/// The end was trimmed, so that it is no space; an empty value is none.
fn is_value(value: &str) -> bool {
    let allowed = |byte| matches!(byte, 0x20..=0x2B | 0x2D..=0x3C | 0x3E..=0x7E);
    (1..=256).contains(&value.len()) && value.bytes().all(allowed)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Lower case only, as the specification wants it.
fn read_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Writes two lower-case digits for each byte.
pub(crate) fn push_hex(out: &mut [u8], bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

    fn from(parents: &[&str], states: &[&str], sampling: Sampling) -> TraceContext {
        TraceContext::from_headers(
            parents.iter().map(|header| header.as_bytes()),
            states.iter().map(|header| header.as_bytes()),
            &mut Rng::with_seed(7),
            sampling,
        )
    }

    fn child(trace: &TraceContext) -> String {
        String::from_utf8(trace.child_header().to_vec()).unwrap()
    }

    #[track_caller]
    fn check_parent(header: &str, valid: bool) {
        let trace = from(&[header], &["foo=1"], Sampling::Share(1.0));
        let taken = child(&trace).starts_with("00-12345678901234567890123456789012-");
        assert_eq!(taken, valid, "{header:?}");
        assert_eq!(trace.state().is_some(), valid, "{header:?}");
        assert!(!child(&trace).contains("-1234567890123456-"), "our own span goes upstream");
    }

    #[track_caller]
    fn check_state(headers: &[&str], expected: Option<&str>) {
        let trace = from(&[PARENT], headers, Sampling::Share(1.0));
        assert_eq!(trace.state(), expected, "{headers:?}");
        assert_eq!(trace.parent_id(), Some([0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56]));
    }

    #[test]
    fn parents_are_taken_or_replaced() {
        check_parent(PARENT, true);
        check_parent(&format!("\t {PARENT} \t"), true);
        check_parent(&format!("{PARENT}."), false);
        check_parent(&format!("{PARENT}-more"), false);
        check_parent("", false);
        let id = "12345678901234567890123456789012";
        check_parent(&format!("cc-{id}-1234567890123456-01"), true);
        check_parent(&format!("cc-{id}-1234567890123456-01-what-the-future-will-be-like"), true);
        check_parent(&format!("cc-{id}-1234567890123456-01.what"), false);
        check_parent(&format!("ff-{id}-1234567890123456-01"), false);
        check_parent(&format!(".0-{id}-1234567890123456-01"), false);
        check_parent(&format!("000-{id}-1234567890123456-01"), false);
        check_parent(&format!("00-{id}3-1234567890123456-01"), false);
        check_parent(&format!("00-{id}-0000000000000000-01"), false);
        check_parent(&format!("00-{id}-12345678901234567-01"), false);
        check_parent(&format!("00-{id}-1234567890123456-0."), false);
        check_parent(&format!("00-{id}-1234567890123456-1"), false);
        check_parent(&format!("00-{id}-123456789012345A-01"), false);
        check_parent(&format!("00-{}-1234567890123456-01", "0".repeat(32)), false);
    }

    #[test]
    fn repeated_parents_begin_a_new_trace() {
        let trace = from(&[PARENT, PARENT], &["foo=1"], Sampling::Share(1.0));
        assert_eq!((trace.parent_id(), trace.state()), (None, None));
    }

    #[test]
    fn states_are_combined_or_dropped() {
        check_state(&["foo=1,bar=2", "rojo=1", "", "baz=3"], Some("foo=1,bar=2,rojo=1,baz=3"));
        check_state(&["foo=1 \t , \t bar=2,,baz= 3"], Some("foo=1,bar=2,baz= 3"));
        check_state(&["tenant@system=1", "0a/_-*=~"], Some("tenant@system=1,0a/_-*=~"));
        check_state(&[], None);
        check_state(&[""], None);
        check_state(&["foo@=1,a@@b=1", "a@b@c=1"], Some("foo@=1,a@@b=1,a@b@c=1"));
        check_state(&["ok=1,ok=2,b=1", "ok=3"], Some("ok=1,b=1"));
        for invalid in ["foo =1", "FOO=1", "foo.bar=1", "@foo=1", "_foo=1", "ok="] {
            check_state(&["ok=1", invalid], None);
        }
        for invalid in ["foo", "foo=", "foo=a=b", "foo=ü", "=1"] {
            check_state(&["ok=1", invalid], None);
        }
    }

    #[test]
    fn states_are_bounded() {
        let members = |count: usize| (0..count).map(|n| format!("k{n}=1,")).collect::<String>();
        check_state(&[&members(32)], Some(members(32).trim_end_matches(',')));
        check_state(&[&members(33)], None);
        check_state(&[&format!("{}=1", "z".repeat(256))], Some(&format!("{}=1", "z".repeat(256))));
        check_state(&[&format!("{}=1", "z".repeat(257))], None);
        let vendor = format!("{}@v=1", "t".repeat(254));
        check_state(&[&vendor], Some(&vendor));
        check_state(&[&format!("t{vendor}")], None);
        let half = |key: &str, length: usize| format!("{key}={}", "x".repeat(length));
        let fits = [half("a", 253), half("b", 254)].join(",");
        assert_eq!(fits.len(), 512);
        check_state(&[&fits], Some(&fits));
        check_state(&[&half("a", 254), &half("b", 254)], None);
    }

    #[test]
    fn the_caller_decides_what_is_sampled() {
        let unsampled = PARENT.replace("-01", "-00");
        assert!(!from(&[&unsampled], &[], Sampling::Share(1.0)).is_recorded());
        assert!(from(&[PARENT], &[], Sampling::Share(0.0)).is_recorded());
        assert!(from(&[], &[], Sampling::Share(1.0)).is_recorded());
        assert!(!from(&[], &[], Sampling::Share(0.0)).is_sampled());
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let trace = from(&[&PARENT.replace("-01", "-ff")], &[], Sampling::Share(1.0));
        assert!(child(&trace).ends_with("-03"));
    }

    #[test]
    fn without_export_the_caller_s_header_goes_on_unchanged() {
        let trace = from(&[PARENT], &["foo=1"], Sampling::Off);
        assert_eq!(child(&trace), PARENT);
        assert!(trace.is_sampled() && !trace.is_recorded());
        assert!(child(&from(&[], &[], Sampling::Off)).ends_with("-02"));
    }

    proptest! {
        #[test]
        fn any_headers_make_a_valid_child(
            parents: Vec<Vec<u8>>, states: Vec<Vec<u8>>, seed: u64,
        ) {
            let trace = TraceContext::from_headers(
                parents.iter().map(Vec::as_slice),
                states.iter().map(Vec::as_slice),
                &mut Rng::with_seed(seed),
                Sampling::Share(0.5),
            );
            prop_assert!(parse_parent(&trace.child_header()).is_some());
        }

        #[test]
        fn near_misses_never_panic(header in "[0-9a-f]{0,3}-[0-9a-fA-F]{30,33}-[0-9a-f]{15,17}-[0-9a-g]{1,3}[-.]?.{0,9}") {
            if let Some(parent) = parse_parent(header.as_bytes()) {
                prop_assert!(parent.trace_id != [0; 16] && parent.span_id != [0; 8]);
            }
        }

        #[test]
        fn a_child_reads_back(trace_id: [u8; 16], span: [u8; 8], flags in 0_u8..4) {
            let mut header = [b'-'; 55];
            push_hex(&mut header[..2], &[0]);
            push_hex(&mut header[3..35], &trace_id);
            push_hex(&mut header[36..52], &span);
            push_hex(&mut header[53..], &[flags]);
            let parent = parse_parent(&header);
            let valid = trace_id != [0; 16] && span != [0; 8];
            prop_assert_eq!(parent.is_some(), valid);
            if let Some(parent) = parent {
                let random = &mut Rng::with_seed(1);
                let trace = TraceContext::continued(parent, None, random, Sampling::Share(0.0));
                let child = parse_parent(&trace.child_header()).expect("made by us");
                prop_assert_eq!(child.trace_id, trace_id);
                prop_assert_eq!(child.flags, flags);
                prop_assert_eq!(child.span_id, trace.upstream_id());
            }
        }
    }
}
