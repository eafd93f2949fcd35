//! Who the client is when proxies stand in between, and what we tell the upstream about it.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-*` are written by whoever sends a request, so they count
//! only as far as trusted proxies vouch for them: [`client`] walks from the nearest hop outwards,
//! passes over trusted proxies, and stops at the first address that is none. What stands further
//! out was written by that stranger and is never looked at. An entry that is no address
//! (`unknown`, `_hidden`, garbage) ends the walk: the client is then the last hop vouched for.
//!
//! Where both `Forwarded` and `X-Forwarded-For` are present and lead to different clients, neither
//! is believed. Most proxies write one of the two and let the other pass, so a client could
//! otherwise choose its own address in the one its proxy does not know.
//!
//! [`Forwarding`] writes the fields for the upstream. What an untrusted peer sent is dropped, and with
//! it every other field that says where a request comes from ([`claim`]).

use std::{borrow::Cow, io::Write, net::IpAddr};

use selvedge_config::Cidr;

/// Hops a walk follows at most; an address further out is not looked for.
pub(crate) const HOPS_MAX: usize = 64;

/// The values of the fields, in the order received; a list is empty when the field is absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Incoming<'a> {
    /// `Forwarded`.
    pub(crate) forwarded: &'a [&'a [u8]],
    /// `X-Forwarded-For`.
    pub(crate) x_forwarded_for: &'a [&'a [u8]],
    /// `X-Forwarded-Proto`.
    pub(crate) x_forwarded_proto: &'a [&'a [u8]],
    /// `X-Forwarded-Host`.
    pub(crate) x_forwarded_host: &'a [&'a [u8]],
}

/// The client of a request, as far as it can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client<'a> {
    /// Its address; the peer's own unless trusted proxies name another.
    pub(crate) ip: IpAddr,
    /// How it spoke to the outermost trusted proxy, if that said so.
    pub(crate) scheme: Option<Scheme>,
    /// The host it asked the outermost trusted proxy for, port included, if that said so.
    pub(crate) host: Option<Cow<'a, str>>,
    /// What became of the incoming fields.
    pub(crate) belief: Belief,
}

/// What became of the incoming fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// The peer is no trusted proxy: dropped.
    Stranger,
    /// The peer is trusted: followed and passed on.
    Trusted,
    /// The peer is trusted but `Forwarded` and `X-Forwarded-For` disagree: dropped. Worth a
    /// warning that names the proxy, which should remove the field it does not write.
    Contradiction,
}

/// A URI scheme of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// Lower case, without colon.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("https") => Some(Self::Https),
            _ if text.eq_ignore_ascii_case("http") => Some(Self::Http),
            _ => None,
        }
    }
}

/// A field that says where a request comes from, beside those that [`Forwarding`] writes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A trusted proxy may say it: `X-Forwarded-Port`, `X-Forwarded-Prefix`, `X-Real-IP` and the like.
    OfProxy,
    /// Nobody may. `Proxy` becomes `HTTP_PROXY` under CGI, which libraries take for their own proxy
    /// (CVE-2016-5385). A name with `_` in place of `-` becomes the same variable as the one it
    /// mimics, and so would speak in its place.
    OfNobody,
}

/// What the field called `name` claims about where a request comes from; `None`: nothing.
pub(crate) fn claim(name: &[u8]) -> Option<Claim> {
    if !matches!(name.first(), Some(b'x' | b'X' | b'p' | b'P')) {
        return None;
    }
    let says = if begins_like(name, b"x-forwarded-") || is_like(name, b"x-real-ip") {
        Claim::OfProxy
    } else if is_like(name, b"proxy") {
        Claim::OfNobody
    } else {
        return None;
    };
    Some(if name.contains(&b'_') { Claim::OfNobody } else { says })
}

fn begins_like(name: &[u8], start: &[u8]) -> bool {
    name.get(..start.len()).is_some_and(|begin| is_like(begin, start))
}

/// Whether CGI makes one variable of both names; `plain` is in lower case, with `-`.
fn is_like(name: &[u8], plain: &[u8]) -> bool {
    let variable = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == plain.len() && name.iter().map(variable).eq(plain.iter().copied())
}

/// Returns the client behind `peer`. An untrusted peer costs no look at its fields.
pub(crate) fn client<'a>(peer: IpAddr, trusted: &[Cidr], incoming: &Incoming<'a>) -> Client<'a> {
    let peer = peer.to_canonical();
    if !is_trusted(trusted, peer) {
        return Client { ip: peer, scheme: None, host: None, belief: Belief::Stranger };
    }
    let by_x = Walk::along(x_forwarded_for(incoming), peer, trusted);
    let elements = forwarded_elements(incoming.forwarded);
    let by_forwarded = Walk::along(elements.iter().rev().map(Element::address), peer, trusted);
    if by_x.seen > 0 && by_forwarded.seen > 0 && by_x.ip != by_forwarded.ip {
        return Client { ip: peer, scheme: None, host: None, belief: Belief::Contradiction };
    }
    let walk = if by_x.seen > 0 { by_x } else { by_forwarded };
    let outermost = elements.iter().rev().take(by_forwarded.seen).next_back();
    Client {
        ip: walk.ip,
        scheme: last(incoming.x_forwarded_proto)
            .and_then(Scheme::parse)
            .or_else(|| outermost.and_then(Element::scheme)),
        host: last(incoming.x_forwarded_host)
            .filter(|host| is_authority(host))
            .map(Cow::Borrowed)
            .or_else(|| outermost.and_then(Element::host)),
        belief: Belief::Trusted,
    }
}

/// What is written into a request on its way to an upstream.
///
/// Set these fields, remove all of their names that came in: the values already hold what is to
/// be kept of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarding<'a> {
    /// What [`client`] found.
    pub(crate) client: &'a Client<'a>,
    /// What it found it in.
    pub(crate) incoming: &'a Incoming<'a>,
    /// Our side of the request.
    pub(crate) hop: Hop<'a>,
}

/// The connection on which a request reached us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop<'a> {
    /// The peer, as the socket or its PROXY header says.
    pub(crate) peer: IpAddr,
    /// Whether the listener speaks TLS.
    pub(crate) scheme: Scheme,
    /// The request's authority, port included.
    pub(crate) host: &'a str,
}

impl Forwarding<'_> {
    /// Appends the value of `X-Forwarded-For`: what trusted proxies sent, then the peer.
    pub(crate) fn write_x_forwarded_for(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let kept = match self.client.belief {
            Belief::Trusted => self.incoming.x_forwarded_for,
            Belief::Stranger | Belief::Contradiction => &[],
        };
        kept.iter().for_each(|value| push_item(value.trim_ascii(), start, out));
        let peer = self.hop.peer.to_canonical();
        if out.len() == start && self.client.ip != peer {
            push_item(self.client.ip.to_string().as_bytes(), start, out);
        }
        push_item(peer.to_string().as_bytes(), start, out);
    }

    /// Returns the value of `X-Forwarded-Proto`: how the client spoke to the first trusted hop.
    pub(crate) fn x_forwarded_proto(&self) -> &'static str {
        self.client.scheme.unwrap_or(self.hop.scheme).as_str()
    }

    /// Returns the value of `X-Forwarded-Host`: what the client asked the first trusted hop for.
    pub(crate) fn x_forwarded_host(&self) -> &str {
        self.client.host.as_deref().unwrap_or(self.hop.host)
    }

    /// Appends the value of `Forwarded`: well-formed elements of trusted proxies, then our own.
    pub(crate) fn write_forwarded(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let kept = match self.client.belief {
            Belief::Trusted => well_formed_tail(self.incoming.forwarded),
            Belief::Stranger | Belief::Contradiction => &[],
        };
        kept.iter().for_each(|value| push_item(value.trim_ascii(), start, out));
        let peer = self.hop.peer.to_canonical();
        if out.len() == start && self.client.ip != peer {
            push_item(node(self.client.ip).as_bytes(), start, out);
        }
        push_item(node(peer).as_bytes(), start, out);
        write_host(self.hop.host, out);
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(self.hop.scheme.as_str().as_bytes());
    }
}

fn push_item(item: &[u8], start: usize, out: &mut Vec<u8>) {
    if item.is_empty() {
        return;
    }
    if out.len() > start {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(item);
}

/// A `for` parameter; IPv6 is bracketed and therefore quoted (RFC 7239, section 6).
fn node(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    }
}

/// A `host` parameter; left out where the host holds what no quoted string may.
fn write_host(host: &str, out: &mut Vec<u8>) {
    if host.is_empty() || host.bytes().any(|b| b.is_ascii_control() || b"\"\\".contains(&b)) {
        return;
    }
    let quote = if host.bytes().all(is_token) { "" } else { "\"" };
    write!(out, ";host={quote}{host}{quote}").expect("a vector takes every write");
}

/// Where a walk ended.
#[derive(Clone, Copy)]
struct Walk {
    ip: IpAddr,
    /// Entries looked at, the one that ended the walk included.
    seen: usize,
}

impl Walk {
    /// Follows `entries`, nearest first, as long as trusted proxies vouch for the next one.
    fn along(
        entries: impl Iterator<Item = Option<IpAddr>>,
        peer: IpAddr,
        trusted: &[Cidr],
    ) -> Self {
        let mut walk = Self { ip: peer, seen: 0 };
        for entry in entries.take(HOPS_MAX) {
            walk.seen += 1;
            let Some(ip) = entry else { break };
            walk.ip = ip;
            if !is_trusted(trusted, ip) {
                break;
            }
        }
        walk
    }
}

fn is_trusted(trusted: &[Cidr], ip: IpAddr) -> bool {
    trusted.iter().any(|block| block.contains(ip))
}

/// The addresses of `X-Forwarded-For`, nearest first; empty list items do not count (RFC 9110, 5.6.1).
fn x_forwarded_for<'a>(incoming: &Incoming<'a>) -> impl Iterator<Item = Option<IpAddr>> + 'a {
    let items = incoming.x_forwarded_for.iter().rev().flat_map(|value| {
        value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
    });
    items.map(|item| std::str::from_utf8(item).ok().and_then(parse_node))
}

/// The last item of a list field: the one our peer wrote.
fn last<'a>(values: &[&'a [u8]]) -> Option<&'a str> {
    let item = values.last()?.rsplit(|byte| *byte == b',').next()?;
    std::str::from_utf8(item.trim_ascii()).ok()
}

/// An address with or without port; IPv6 with or without brackets.
fn parse_node(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, port)) if port.is_empty() || is_port(port) => IpAddr::V6(v6.parse().ok()?),
        Some(_) => return None,
        None => match text.split_once(':') {
            Some((v4, port)) if !port.contains(':') && is_port(&text[v4.len()..]) => {
                IpAddr::V4(v4.parse().ok()?)
            }
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// `:` and digits, or an obfuscated port (RFC 7239, section 6.3).
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    })
}

fn is_authority(text: &str) -> bool {
    text.parse::<http::uri::Authority>().is_ok() && !text.contains('@')
}

/// One element of `Forwarded`: what one proxy said.
#[derive(Default)]
struct Element<'a> {
    node: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
}

impl<'a> Element<'a> {
    fn address(&self) -> Option<IpAddr> {
        self.node.as_deref().and_then(parse_node)
    }

    fn scheme(&self) -> Option<Scheme> {
        self.proto.as_deref().and_then(Scheme::parse)
    }

    fn host(&self) -> Option<Cow<'a, str>> {
        self.host.clone().filter(|host| is_authority(host))
    }

    /// Sets a parameter; `None` if it is there already, which no honest proxy does.
    fn set(&mut self, name: &str, value: Cow<'a, str>) -> Option<()> {
        let slot = match name {
            _ if name.eq_ignore_ascii_case("for") => &mut self.node,
            _ if name.eq_ignore_ascii_case("host") => &mut self.host,
            _ if name.eq_ignore_ascii_case("proto") => &mut self.proto,
            _ => return Some(()),
        };
        slot.replace(value).is_none().then_some(())
    }
}

/// The elements of all fields, outermost first. A field that does not parse counts as one element
/// that says nothing: where a quote is left open, nobody can tell who wrote what.
fn forwarded_elements<'a>(values: &[&'a [u8]]) -> Vec<Element<'a>> {
    let parsed = values.iter().map(|value| parse_forwarded(value));
    parsed.flat_map(|elements| elements.unwrap_or_else(|| vec![Element::default()])).collect()
}

/// The fields after the last one that does not parse.
fn well_formed_tail<'a, 'b>(values: &'b [&'a [u8]]) -> &'b [&'a [u8]] {
    let bad = values.iter().rposition(|value| parse_forwarded(value).is_none());
    &values[bad.map_or(0, |index| index + 1)..]
}

/// Parses one field value by the grammar of RFC 7239, section 4.
fn parse_forwarded(value: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut rest = std::str::from_utf8(value).ok()?.trim_matches(is_blank);
    let mut elements = Vec::new();
    let mut element = None::<Element<'_>>;
    while !rest.is_empty() {
        let at = rest.bytes().position(|byte| !is_token(byte))?;
        if at > 0 {
            let (name, after) = (&rest[..at], rest[at..].strip_prefix('=')?);
            let (value, after) = parse_value(after)?;
            element.get_or_insert_default().set(name, value)?;
            rest = after.trim_start_matches(is_blank);
        }
        rest = match rest.as_bytes().first() {
            None => rest,
            Some(b';') => rest[1..].trim_start_matches(is_blank),
            Some(b',') => {
                elements.extend(element.take());
                rest[1..].trim_start_matches(is_blank)
            }
            Some(_) => return None,
        };
    }
    elements.extend(element);
    Some(elements)
}

/// A token or quoted string, and what follows it.
fn parse_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
        return (end > 0).then(|| (Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let end = quoted.find(['"', '\\'])?;
    if quoted.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&quoted[..end]), &quoted[end + 1..]));
    }
    parse_escaped(quoted)
}

/// A quoted string with escapes, its opening quote already gone.
fn parse_escaped(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((Cow::Owned(text), &quoted[at + 1..])),
            '\\' => text.push(chars.next()?.1),
            _ => text.push(char),
        }
    }
    None
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t')
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> Vec<Cidr> {
        ["10.0.0.0/8", "2001:db8:f::/48"].map(cidr).to_vec()
    }

    fn cidr(text: &str) -> Cidr {
        let (network, prefix) = text.split_once('/').unwrap();
        Cidr { network: network.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    /// `fields`: one `name: value` a line; `f`, `xff`, `xfp`, `xfh` for short.
    fn with_incoming<T>(fields: &str, f: impl FnOnce(&Incoming<'_>) -> T) -> T {
        let values = |name: &str| -> Vec<&[u8]> {
            let lines = fields.lines().filter_map(|line| line.trim().split_once(':'));
            lines.filter(|(n, _)| *n == name).map(|(_, v)| v.trim().as_bytes()).collect()
        };
        f(&Incoming {
            forwarded: &values("f"),
            x_forwarded_for: &values("xff"),
            x_forwarded_proto: &values("xfp"),
            x_forwarded_host: &values("xfh"),
        })
    }

    #[track_caller]
    fn check(peer: &str, fields: &str, expected: Expect) {
        expected.assert_eq(&with_incoming(fields, |incoming| {
            let client = client(peer.parse().unwrap(), &trusted(), incoming);
            let scheme = client.scheme.map_or("-", Scheme::as_str);
            let host = client.host.as_deref().unwrap_or("-");
            format!("{} {:?} {scheme} {host}", client.ip, client.belief)
        }));
    }

    #[track_caller]
    fn check_egress(peer: &str, fields: &str, expected: Expect) {
        expected.assert_eq(&egress(peer, "example.com:8443", fields));
    }

    fn egress(peer: &str, host: &str, fields: &str) -> String {
        with_incoming(fields, |incoming| {
            let peer = peer.parse().unwrap();
            let client = client(peer, &trusted(), incoming);
            let hop = Hop { peer, scheme: Scheme::Https, host };
            let forwarding = Forwarding { client: &client, incoming, hop };
            let (mut x_for, mut forwarded) = (Vec::new(), Vec::new());
            forwarding.write_x_forwarded_for(&mut x_for);
            forwarding.write_forwarded(&mut forwarded);
            format!(
                "{}\n{} {}\n{}",
                String::from_utf8(x_for).unwrap(),
                forwarding.x_forwarded_proto(),
                forwarding.x_forwarded_host(),
                String::from_utf8(forwarded).unwrap(),
            )
        })
    }

    #[test]
    fn strangers_are_not_believed() {
        check("203.0.113.9", "", expect!["203.0.113.9 Stranger - -"]);
        check(
            "203.0.113.9",
            "xff: 127.0.0.1\nxfp: https\nxfh: admin\nf: for=127.0.0.1;host=admin",
            expect!["203.0.113.9 Stranger - -"],
        );
        check("::ffff:203.0.113.9", "xff: 1.1.1.1", expect!["203.0.113.9 Stranger - -"]);
        check("11.0.0.1", "xff: 1.1.1.1", expect!["11.0.0.1 Stranger - -"]);
        check("2001:db8:e::1", "xff: 1.1.1.1", expect!["2001:db8:e::1 Stranger - -"]);
    }

    #[test]
    fn walk_passes_trusted_proxies_and_stops_at_the_first_stranger() {
        check("10.0.0.1", "", expect!["10.0.0.1 Trusted - -"]);
        check("10.0.0.1", "xff: 203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
        check("::ffff:10.0.0.1", "xff: ::ffff:203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "xff: 203.0.113.9, 10.0.0.2", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "xff: 203.0.113.9\nxff: 10.0.0.2", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "xff: 10.0.0.3,10.0.0.2", expect!["10.0.0.3 Trusted - -"]);
        check("2001:db8:f::1", "xff: 203.0.113.9:4711", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "xff: [2001:db8::7]:80", expect!["2001:db8::7 Trusted - -"]);
        check("10.0.0.1", "xff: 2001:db8::7", expect!["2001:db8::7 Trusted - -"]);
        check("10.0.0.1", "xff: , 203.0.113.9 ,", expect!["203.0.113.9 Trusted - -"]);
    }

    #[test]
    fn spoofed_entries_are_never_reached() {
        check("10.0.0.1", "xff: 127.0.0.1, 203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "xff: 10.9.9.9, 203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "xff: 127.0.0.1\nxff: 203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "f: for=127.0.0.1, for=203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
        // The client opens a quote so as to swallow what its proxy appends.
        check(
            "10.0.0.1",
            "f: for=127.0.0.1;x=\", for=203.0.113.9",
            expect!["10.0.0.1 Trusted - -"],
        );
        check(
            "10.0.0.1",
            "f: for=127.0.0.1, for=\"x, for=\"[2001:db8::7]\"",
            expect!["10.0.0.1 Trusted - -"],
        );
        check(
            "10.0.0.1",
            "f: for=127.0.0.1;x=\"\nf: for=203.0.113.9",
            expect!["203.0.113.9 Trusted - -"],
        );
        check("10.0.0.1", "f: for=203.0.113.9;for=127.0.0.1", expect!["10.0.0.1 Trusted - -"]);
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        for entry in [
            "unknown",
            "_hidden",
            "localhost",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4:",
            "[::1",
            "[::1]x",
            "1.2.3.4 5",
        ] {
            let fields = format!("xff: 203.0.113.9, {entry}, 10.0.0.2");
            check("10.0.0.1", &fields, expect!["10.0.0.2 Trusted - -"]);
        }
        check(
            "10.0.0.1",
            "f: for=203.0.113.9, for=_a, for=10.0.0.2",
            expect!["10.0.0.2 Trusted - -"],
        );
        check("10.0.0.1", "f: for=203.0.113.9, by=10.0.0.7", expect!["10.0.0.1 Trusted - -"]);
        check("10.0.0.1", "f: for=[2001:db8::7]", expect!["10.0.0.1 Trusted - -"]);
    }

    #[test]
    fn forwarded_grammar() {
        check(
            "10.0.0.1",
            r#"f: FOR="[2001:db8::7]:4711" ; Proto=HTTPS;host="example.com:8443";by=_x, for=10.0.0.2;proto=http"#,
            expect!["2001:db8::7 Trusted https example.com:8443"],
        );
        check("10.0.0.1", r#"f: for="203.0.113.9:_port""#, expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", r#"f: for="203\.0.113.9""#, expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "f: for=_hidden;proto=https", expect!["10.0.0.1 Trusted https -"]);
        check("10.0.0.1", "f: for=203.0.113.9;host=\"a b\"", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "f: for=203.0.113.9;host=\"u@a\"", expect!["203.0.113.9 Trusted - -"]);
        check("10.0.0.1", "f: for = 203.0.113.9", expect!["10.0.0.1 Trusted - -"]);
        check("10.0.0.1", "f: for", expect!["10.0.0.1 Trusted - -"]);
    }

    #[test]
    fn x_forwarded_proto_and_host() {
        check(
            "10.0.0.1",
            "xff: 203.0.113.9\nxfp: http, https\nxfh: evil, example.com",
            expect!["203.0.113.9 Trusted https example.com"],
        );
        check("10.0.0.1", "xfp: gopher\nxfh: a/b", expect!["10.0.0.1 Trusted - -"]);
    }

    #[test]
    fn disagreement_is_not_resolved_by_guessing() {
        check(
            "10.0.0.1",
            "xff: 203.0.113.9\nf: for=127.0.0.1;proto=https",
            expect!["10.0.0.1 Contradiction - -"],
        );
        check(
            "10.0.0.1",
            "xff: 203.0.113.9\nf: for=203.0.113.9;proto=https",
            expect!["203.0.113.9 Trusted https -"],
        );
        check("10.0.0.1", "xff: \nf: for=203.0.113.9", expect!["203.0.113.9 Trusted - -"]);
    }

    #[test]
    fn walk_is_bounded() {
        let hops = vec!["10.0.0.2"; HOPS_MAX].join(", ");
        check("10.0.0.1", &format!("xff: 203.0.113.9, {hops}"), expect!["10.0.0.2 Trusted - -"]);
        check(
            "10.0.0.1",
            &format!("xff: 203.0.113.9, {}", &hops[10..]),
            expect!["203.0.113.9 Trusted - -"],
        );
    }

    #[test]
    fn egress_drops_what_strangers_sent() {
        check_egress(
            "203.0.113.9",
            "xff: 127.0.0.1\nxfp: http\nxfh: admin\nf: for=127.0.0.1",
            expect![[r#"
                203.0.113.9
                https example.com:8443
                for=203.0.113.9;host="example.com:8443";proto=https"#]],
        );
        check_egress(
            "10.0.0.1",
            "xff: 203.0.113.9\nf: for=127.0.0.1",
            expect![[r#"
                10.0.0.1
                https example.com:8443
                for=10.0.0.1;host="example.com:8443";proto=https"#]],
        );
    }

    #[test]
    fn egress_appends_to_what_trusted_proxies_sent() {
        check_egress(
            "2001:db8:f::1",
            "xff: 198.51.100.1, 203.0.113.9\nxff: 10.0.0.2\nxfp: http\nxfh: example.org",
            expect![[r#"
                198.51.100.1, 203.0.113.9, 10.0.0.2, 2001:db8:f::1
                http example.org
                for=203.0.113.9, for="[2001:db8:f::1]";host="example.com:8443";proto=https"#]],
        );
        check_egress(
            "10.0.0.1",
            "f: for=\"\nf: for=\"[2001:db8::7]\";proto=http",
            expect![[r#"
                2001:db8::7, 10.0.0.1
                http example.com:8443
                for="[2001:db8::7]";proto=http, for=10.0.0.1;host="example.com:8443";proto=https"#]],
        );
    }

    #[test]
    fn egress_host_is_quoted_or_left_out() {
        let forwarded = |host| egress("203.0.113.9", host, "").lines().last().unwrap().to_owned();
        assert_eq!(forwarded("a.example"), "for=203.0.113.9;host=a.example;proto=https");
        assert_eq!(forwarded("[::1]:80"), r#"for=203.0.113.9;host="[::1]:80";proto=https"#);
        assert_eq!(forwarded(r#"a";for=1.1.1.1;x=""#), "for=203.0.113.9;proto=https");
        assert_eq!(forwarded(""), "for=203.0.113.9;proto=https");
    }

    #[test]
    fn blocks() {
        let holds = |block: &str, ip: &str| cidr(block).contains(ip.parse().unwrap());
        assert!(holds("0.0.0.0/0", "255.1.2.3"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("::/0", "::ffff:10.0.0.1"), "a mapped address is IPv4");
        assert!(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!holds("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(holds("10.0.0.1/32", "10.0.0.1") && !holds("10.0.0.1/32", "10.0.0.0"));
        assert!(holds("10.0.0.0/31", "10.0.0.1") && !holds("10.0.0.0/31", "10.0.0.2"));
        assert!(
            holds("2001:db8::/33", "2001:db8:7fff::") && !holds("2001:db8::/33", "2001:db8:8000::")
        );
        assert!(holds("::1/128", "::1") && !holds("::1/128", "::2"));
    }

    proptest! {
        /// Whatever a client writes in front, an honest proxy's own entry decides.
        #[test]
        fn the_nearest_entry_decides(spoof in "[ -~]{0,60}") {
            let joined = format!("{spoof}, 203.0.113.9");
            let fields = [joined.as_bytes()];
            let x = Incoming { x_forwarded_for: &fields, ..Incoming::default() };
            let peer = "10.0.0.1".parse().unwrap();
            prop_assert_eq!(client(peer, &trusted(), &x).ip.to_string(), "203.0.113.9");
            let joined = format!("{spoof}, for=203.0.113.9");
            let fields = [joined.as_bytes()];
            let forwarded = Incoming { forwarded: &fields, ..Incoming::default() };
            let ip = client(peer, &trusted(), &forwarded).ip.to_string();
            prop_assert!(["203.0.113.9", "10.0.0.1"].contains(&ip.as_str()), "{}", ip);
        }

        /// What we write, we read back as written.
        #[test]
        fn own_elements_parse(incoming in "[ -~]{0,60}", host in "[ -~]{0,20}") {
            let fields = [incoming.as_bytes()];
            let incoming = Incoming { forwarded: &fields, ..Incoming::default() };
            let peer = "2001:db8:f::1".parse().unwrap();
            let client = client(peer, &trusted(), &incoming);
            let hop = Hop { peer, scheme: Scheme::Http, host: &host };
            let mut out = Vec::new();
            Forwarding { client: &client, incoming: &incoming, hop }.write_forwarded(&mut out);
            let elements = parse_forwarded(&out).unwrap();
            prop_assert_eq!(elements.last().unwrap().address(), Some(peer));
        }
    }
}
