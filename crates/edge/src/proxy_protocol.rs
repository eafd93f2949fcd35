//! The PROXY protocol, versions 1 and 2: what a load balancer in front says about the client.
//!
//! Sans-I/O: [`parse`] looks at the bytes read so far and says whether they hold a whole header.
//! Only peers in a listener's `proxy-protocol` list are asked for one, and then it is required;
//! from everybody else the bytes go to TLS or the head gate, which refuse them.
//! Specification: <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// Most bytes [`parse`] asks for before it gives up: the caller's buffer needs no more.
pub(crate) const HEADER_MAX: usize = V2_FIXED + V2_PAYLOAD_MAX;

/// The longest version 1 header, its line end included (section 2.1).
const V1_MAX: usize = 107;
/// Signature, version, family and length of a version 2 header.
const V2_FIXED: usize = 16;
/// Addresses (216 at most) and type-length-values of version 2. Values are skipped, not read.
const V2_PAYLOAD_MAX: usize = 4096;
const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parse {
    /// A beginning of a header; read on. Never said of [`HEADER_MAX`] bytes or more.
    NeedMore,
    /// A whole header. What follows it belongs to the client.
    Done {
        /// Length of the header in bytes.
        consumed: usize,
        /// The client. `None` (LOCAL, UNKNOWN, a unix socket): the socket's own peer counts.
        source: Option<SocketAddr>,
        /// The address the client connected to.
        destination: Option<SocketAddr>,
    },
    /// No header, or one that cannot be believed: close the connection, log the reason.
    Invalid(&'static str),
}

/// Parses the header at the beginning of `buffered`.
pub(crate) fn parse(buffered: &[u8]) -> Parse {
    if begins(buffered, V2_SIGNATURE) {
        parse_v2(buffered)
    } else if begins(buffered, V1_SIGNATURE) {
        parse_v1(buffered)
    } else {
        Parse::Invalid("no PROXY protocol header, though this peer must send one")
    }
}

/// Whether `buffered` begins with `signature`, or is itself a beginning of it.
fn begins(buffered: &[u8], signature: &[u8]) -> bool {
    let len = buffered.len().min(signature.len());
    buffered[..len] == signature[..len]
}

fn parse_v1(buffered: &[u8]) -> Parse {
    let within = &buffered[..buffered.len().min(V1_MAX)];
    let Some(line) = memchr::memchr(b'\n', within).map(|end| &within[..=end]) else {
        return match within.len() < V1_MAX {
            true => Parse::NeedMore,
            false => Parse::Invalid("PROXY v1 header longer than 107 bytes"),
        };
    };
    if !line.ends_with(b"\r\n") {
        return Parse::Invalid("PROXY v1 header does not end in CR LF");
    }
    match v1::Header::try_from(line) {
        Ok(header) if header.header.len() == line.len() => v1_done(&header.addresses, line.len()),
        Ok(_) => Parse::Invalid("PROXY v1 header holds a bare CR"),
        Err(_) => Parse::Invalid("PROXY v1 header is malformed"),
    }
}

fn v1_done(addresses: &v1::Addresses, consumed: usize) -> Parse {
    match addresses {
        v1::Addresses::Unknown => local(consumed),
        v1::Addresses::Tcp4(ip) => proxied(
            consumed,
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
        v1::Addresses::Tcp6(ip) => proxied(
            consumed,
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
    }
}

fn parse_v2(buffered: &[u8]) -> Parse {
    let Some(fixed) = buffered.first_chunk::<V2_FIXED>() else {
        return Parse::NeedMore;
    };
    let payload = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if payload > V2_PAYLOAD_MAX {
        return Parse::Invalid("PROXY v2 header longer than 4,112 bytes");
    }
    match v2::Header::try_from(buffered) {
        Ok(header) => v2_done(&header),
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => Parse::NeedMore,
        Err(v2::ParseError::Version(_)) => Parse::Invalid("PROXY header of an unknown version"),
        Err(_) => Parse::Invalid("PROXY v2 header is malformed"),
    }
}

fn v2_done(header: &v2::Header<'_>) -> Parse {
    let consumed = header.len();
    match (header.command, header.protocol, &header.addresses) {
        (v2::Command::Local, _, _) => local(consumed),
        (_, v2::Protocol::Datagram, _) => {
            Parse::Invalid("PROXY v2 header speaks of datagrams on a stream")
        }
        (_, v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => proxied(
            consumed,
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
        (_, v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => proxied(
            consumed,
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
        _ => local(consumed),
    }
}

fn local(consumed: usize) -> Parse {
    Parse::Done { consumed, source: None, destination: None }
}

fn proxied<A: Into<IpAddr>>(consumed: usize, source: (A, u16), destination: (A, u16)) -> Parse {
    let address = |(ip, port): (A, u16)| Some(SocketAddr::new(ip.into().to_canonical(), port));
    Parse::Done { consumed, source: address(source), destination: address(destination) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(header: &[u8], expected: Expect) {
        expected.assert_eq(&describe(parse(header)));
        check_truncations(header);
    }

    /// Every beginning of a good header asks for more; bytes after it change nothing.
    #[track_caller]
    fn check_truncations(header: &[u8]) {
        let whole = parse(header);
        let Parse::Done { consumed, .. } = whole else { return };
        for end in 0..consumed {
            assert_eq!(parse(&header[..end]), Parse::NeedMore, "of {end} bytes");
        }
        let followed = [&header[..consumed], b"GET / HTTP/1.1\r\n\r\n\xff"].concat();
        assert_eq!(parse(&followed), whole);
    }

    fn describe(parse: Parse) -> String {
        match parse {
            Parse::NeedMore => "need more".to_owned(),
            Parse::Invalid(reason) => format!("invalid: {reason}"),
            Parse::Done { consumed, source: Some(source), destination: Some(destination) } => {
                format!("{consumed} bytes: {source} -> {destination}")
            }
            Parse::Done { consumed, .. } => format!("{consumed} bytes: the socket's peer"),
        }
    }

    fn v2_header(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[0x20 | command, family], &length, payload].concat()
    }

    const V4_PAYLOAD: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0xdc, 0x04, 0x01, 0xbb];

    #[test]
    fn version_1() {
        check(
            b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n",
            expect!["44 bytes: 203.0.113.7:56324 -> 192.0.2.1:443"],
        );
        check(
            b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\nGET /",
            expect!["46 bytes: [2001:db8::7]:56324 -> [2001:db8::1]:443"],
        );
        check(
            b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 1 2\r\n",
            expect!["52 bytes: 203.0.113.7:1 -> 192.0.2.1:2"],
        );
        check(b"PROXY UNKNOWN\r\n", expect!["15 bytes: the socket's peer"]);
        check(
            b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
            expect!["43 bytes: the socket's peer"],
        );
    }

    #[test]
    fn version_1_refused() {
        let malformed = || expect!["invalid: PROXY v1 header is malformed"];
        check(b"PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n", malformed());
        check(b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", malformed());
        check(b"PROXY TCP4 203.0.113.7 192.0.2.1 056 443\r\n", malformed());
        check(b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n", malformed());
        check(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2 3\r\n", malformed());
        check(b"PROXY TCP4  203.0.113.7 192.0.2.1 1 2\r\n", malformed());
        check(b"PROXY tcp4 203.0.113.7 192.0.2.1 1 2\r\n", malformed());
        check(b"PROXY \r\n", malformed());
        check(
            b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n",
            expect!["invalid: PROXY v1 header does not end in CR LF"],
        );
        check(
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat(),
            expect!["invalid: PROXY v1 header longer than 107 bytes"],
        );
        check(
            b"GET / HTTP/1.1\r\n",
            expect!["invalid: no PROXY protocol header, though this peer must send one"],
        );
        check(
            b"proxy TCP4",
            expect!["invalid: no PROXY protocol header, though this peer must send one"],
        );
    }

    #[test]
    fn version_1_at_its_bound() {
        let line =
            |filler: usize| [b"PROXY UNKNOWN ".as_slice(), &vec![b'x'; filler], b"\r\n"].concat();
        check(&line(V1_MAX - 16), expect!["107 bytes: the socket's peer"]);
        check(&line(V1_MAX - 15), expect!["invalid: PROXY v1 header longer than 107 bytes"]);
    }

    #[test]
    fn version_2() {
        check(
            &v2_header(1, 0x11, &V4_PAYLOAD),
            expect!["28 bytes: 203.0.113.7:56324 -> 192.0.2.1:443"],
        );
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 80, 81);
        check(&v2_header(1, 0x21, &v6), expect!["52 bytes: [::1]:80 -> [::2]:81"]);
        let with_tlv = [V4_PAYLOAD.as_slice(), &[0x02, 0, 3, b'a', b'.', b'b']].concat();
        check(
            &v2_header(1, 0x11, &with_tlv),
            expect!["34 bytes: 203.0.113.7:56324 -> 192.0.2.1:443"],
        );
        check(&v2_header(0, 0x00, &[]), expect!["16 bytes: the socket's peer"]);
        check(&v2_header(0, 0x11, &V4_PAYLOAD), expect!["28 bytes: the socket's peer"]);
        check(&v2_header(1, 0x00, &[1, 2, 3]), expect!["19 bytes: the socket's peer"]);
        check(&v2_header(1, 0x31, &[0; 216]), expect!["232 bytes: the socket's peer"]);
    }

    #[test]
    fn version_2_refused() {
        check(
            &v2_header(1, 0x12, &V4_PAYLOAD),
            expect!["invalid: PROXY v2 header speaks of datagrams on a stream"],
        );
        check(&v2_header(1, 0x11, &[0; 4]), expect!["invalid: PROXY v2 header is malformed"]);
        check(&v2_header(7, 0x11, &V4_PAYLOAD), expect!["invalid: PROXY v2 header is malformed"]);
        check(&v2_header(1, 0x51, &V4_PAYLOAD), expect!["invalid: PROXY v2 header is malformed"]);
        let mut version_3 = v2_header(1, 0x11, &V4_PAYLOAD);
        version_3[12] = 0x31;
        check(&version_3, expect!["invalid: PROXY header of an unknown version"]);
    }

    #[test]
    fn version_2_at_its_bound() {
        let header = |payload| v2_header(0, 0x00, &vec![0; payload]);
        check(&header(V2_PAYLOAD_MAX), expect!["4112 bytes: the socket's peer"]);
        check(
            &header(V2_PAYLOAD_MAX + 1)[..V2_FIXED],
            expect!["invalid: PROXY v2 header longer than 4,112 bytes"],
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end_within_the_bound(
            signature in prop::sample::select(vec![b"".as_slice(), V1_SIGNATURE, V2_SIGNATURE]),
            tail in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            let bytes = [signature, &tail].concat();
            match parse(&bytes) {
                Parse::NeedMore => prop_assert!(bytes.len() < HEADER_MAX),
                Parse::Done { consumed, .. } => prop_assert!(consumed <= bytes.len().min(HEADER_MAX)),
                Parse::Invalid(reason) => prop_assert!(!reason.is_empty()),
            }
        }

        /// A verdict stands: no further byte may change it.
        #[test]
        fn a_verdict_is_final(
            head in "PROXY (TCP4|TCP6|UNKNOWN|X)( [0-9.:a]{0,12}){0,5}(\r\n|\r|\n)?",
            tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let longer = [head.as_bytes(), &tail].concat();
            match parse(head.as_bytes()) {
                Parse::NeedMore => {}
                verdict => prop_assert_eq!(parse(&longer), verdict),
            }
        }
    }
}
