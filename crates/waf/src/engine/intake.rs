//! What was received → values.

use std::{ops::ControlFlow, str};

use super::{
    Decision, Profile, RequestHead, ResponseHead, Rules, Transaction,
    arena::{self, Span},
    data::Data,
    template::Key,
};
use crate::{
    body::{self, Charset, Fault, Field, Intake, Kind, Problem, Sink, Text},
    policy::{Policy, Unreadable},
    rule::{Processor, Variable},
};

pub(super) use crate::body::Multipart;

/// What the GraphQL documents of a request ask for.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    pub documents: usize,
    pub total: body::GraphQl,
}

/// Enters the fields that a parser finds.
struct Entering<'a> {
    rules: &'a Rules,
    data: &'a mut Data,
    /// What the parser reads, which was taken out of `data` meanwhile …
    input: &'a [u8],
    /// … and where among received bytes it lay.
    start: usize,
    /// What arguments are here, and their names.
    argument: (Variable, Variable),
}

impl Sink for Entering<'_> {
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()> {
        let name_bytes = field.name.bytes(self.input);
        match field.kind {
            Kind::Argument => self.named(self.argument, &field, name_bytes),
            Kind::Cookie => self.named(
                (Variable::RequestCookies, Variable::RequestCookiesNames),
                &field,
                name_bytes,
            ),
            Kind::File => {
                self.named((Variable::Files, Variable::FilesNames), &field, name_bytes);
                self.one(Variable::MultipartFilename, &field, name_bytes);
                self.name(Variable::MultipartName, &field, name_bytes);
            }
            Kind::FileContent => self.one(Variable::FilesTmpContent, &field, name_bytes),
            Kind::PartHeader => self.one(Variable::MultipartPartHeaders, &field, name_bytes),
            Kind::XmlText => self.xml(b"/*", &field),
            Kind::XmlAttribute => self.xml(b"//@*", &field),
        }
        ControlFlow::Continue(())
    }
}

impl Entering<'_> {
    /// A value, and its name as another.
    fn named(
        &mut self,
        (class, names): (Variable, Variable),
        field: &Field<'_>,
        name_bytes: &[u8],
    ) {
        let (name, value) = (self.span(&field.name), self.span(&field.value));
        self.data.push(class, name, self.rules.key(class, name_bytes), value);
        self.data.push(names, name, self.rules.key(names, name_bytes), name);
    }

    fn one(&mut self, class: Variable, field: &Field<'_>, name_bytes: &[u8]) {
        let (name, value) = (self.span(&field.name), self.span(&field.value));
        self.data.push(class, name, self.rules.key(class, name_bytes), value);
    }

    /// The name itself, as a value.
    fn name(&mut self, class: Variable, field: &Field<'_>, name_bytes: &[u8]) {
        let name = self.span(&field.name);
        self.data.push(class, name, self.rules.key(class, name_bytes), name);
    }

    fn xml(&mut self, path: &[u8], field: &Field<'_>) {
        let (name, value) = (self.data.arena.derive(path), self.span(&field.value));
        self.data.push(Variable::Xml, name, self.rules.key(Variable::Xml, path), value);
    }

    fn span(&mut self, text: &Text<'_>) -> Span {
        match text {
            Text::At(range) => arena::received(self.start + range.start, range.len()),
            Text::Decoded(bytes) => self.data.arena.derive(bytes),
        }
    }
}

impl Transaction {
    pub(super) fn take_request_head(
        &mut self,
        rules: &Rules,
        policy: &Policy,
        head: &RequestHead<'_>,
    ) {
        let arena = &mut self.data.arena;
        let method = arena.receive(head.method);
        arena.receive(b" ");
        let target = arena.receive(head.target);
        arena.receive(b" ");
        let version = arena.receive(head.version.as_bytes());
        let line = arena::received(0, arena.received.len());
        self.plain(Variable::RequestMethod, method);
        self.plain(Variable::RequestLine, line);
        self.plain(Variable::RequestUriRaw, target);
        self.plain(Variable::RequestProtocol, version);
        let query = self.take_target(head.target, target);
        for (name, value) in head.fields {
            self.take_field(
                rules,
                (Variable::RequestHeaders, Variable::RequestHeadersNames),
                name,
                value,
            );
        }
        self.head_bytes = self.data.arena.received.len();
        self.processor =
            self.content_type().and_then(|span| body::processor_for(self.data.arena.get(span)));
        for at in 0..head.fields.len() {
            let Some(cookie) = self.header(at, b"cookie") else { continue };
            self.parse(
                rules,
                policy,
                cookie,
                (Variable::ArgsGet, Variable::ArgsGetNames),
                |input, intake| body::cookies(input, intake).err(),
            );
        }
        if let Some(query) = query {
            self.parse(
                rules,
                policy,
                query,
                (Variable::ArgsGet, Variable::ArgsGetNames),
                |input, intake| body::urlencoded(input, separator(rules), intake).problem,
            );
            self.read_queries(rules, policy, Variable::ArgsGet, |name| name == b"query");
        }
    }

    /// The path, decoded, its last part and the query; returns where the query lies, if there is one.
    fn take_target(&mut self, bytes: &[u8], target: Span) -> Option<Span> {
        let raw_end = memchr::memchr(b'?', bytes).unwrap_or(bytes.len());
        let decoded = self.decoded(target);
        let text = self.data.arena.get(decoded);
        let path_end = memchr::memchr(b'?', text).unwrap_or(text.len());
        let (path, uri) = (decoded.part(0, path_end), local(text));
        let base = memchr::memrchr2(b'/', b'\\', &text[..path_end])
            .map(|slash| decoded.part(slash + 1, path_end));
        let uri = decoded.part(uri, text.len());
        self.plain(Variable::RequestUri, uri);
        self.plain(Variable::RequestFilename, path);
        self.plain(Variable::PathInfo, path);
        if let Some(base) = base {
            self.plain(Variable::RequestBasename, base);
        }
        let query = target.part((raw_end + 1).min(bytes.len()), bytes.len());
        self.plain(Variable::QueryString, query);
        (query.len() > 0).then_some(query)
    }

    fn decoded(&mut self, text: Span) -> Span {
        let mut out = std::mem::take(&mut self.swap);
        out.clear();
        let bytes = self.data.arena.get(text);
        let span = if memchr::memchr(b'%', bytes).is_none() {
            text
        } else {
            percent_decode(bytes, &mut out);
            self.data.arena.derive(&out)
        };
        self.swap = out;
        span
    }

    fn plain(&mut self, class: Variable, value: Span) {
        self.data.push(class, Span::default(), Key::NONE, value);
    }

    fn take_field(
        &mut self,
        rules: &Rules,
        (class, names): (Variable, Variable),
        name: &[u8],
        value: &[u8],
    ) {
        let key = rules.key(class, name);
        let name_span = self.data.arena.receive(name);
        let value_span = self.data.arena.receive(value);
        self.data.push(class, name_span, key, value_span);
        self.data.push(names, name_span, rules.key(names, name), name_span);
    }

    /// The value of a header by its place among all, if it has this name.
    fn header(&self, at: usize, name: &[u8]) -> Option<Span> {
        let field = self.data.values[self.data.of_class(Variable::RequestHeaders)[at] as usize];
        self.data.arena.get(field.name).eq_ignore_ascii_case(name).then_some(field.value)
    }

    /// The content type that the request says first.
    fn content_type(&self) -> Option<Span> {
        let len = self.data.of_class(Variable::RequestHeaders).len();
        (0..len).find_map(|at| self.header(at, b"content-type"))
    }

    /// Runs a parser over received bytes and returns what it found wrong.
    fn parse<P>(
        &mut self,
        rules: &Rules,
        policy: &Policy,
        text: Span,
        argument: (Variable, Variable),
        parser: impl FnOnce(&[u8], Intake<'_>) -> P,
    ) -> P {
        let received = std::mem::take(&mut self.data.arena.received);
        let start = text.start();
        let input = &received[start..start + text.len()];
        let limits = body::Limits {
            fields_max: policy.limits.arguments,
            depth_max: policy.limits.depth,
            ..body::Limits::default()
        };
        let mut sink = Entering { rules, data: &mut self.data, input, start, argument };
        let outcome =
            parser(input, Intake { limits: &limits, scratch: &mut self.parsers, sink: &mut sink });
        self.data.arena.received = received;
        outcome
    }

    /// Adds what arguments and cookies are Base64 of, as further values of theirs. `from`: the first that is new.
    pub(super) fn look_inside(&mut self, policy: &Policy, from: usize) {
        if !policy.inside_base64 {
            return;
        }
        let (end, mut decoded) = (self.data.values.len(), std::mem::take(&mut self.swap));
        for at in from..end.min(from + policy.limits.arguments) {
            let value = self.data.values[at];
            let looks = [
                Variable::ArgsGet,
                Variable::ArgsPost,
                Variable::RequestCookies,
                Variable::UnreadBody,
            ];
            if !looks.contains(&value.class) {
                continue;
            }
            let mut place = 0;
            // Each run is decoded out of the value and then into the same buffers: one at a time.
            while let Some(end) = next_run(&self.data, value.value, place, &mut decoded) {
                place = end;
                let inside = self.data.arena.derive(&decoded);
                self.data.push(value.class, value.name, value.key, inside);
            }
        }
        self.swap = decoded;
    }

    /// Reads the request's body. `Some`: that alone decides.
    pub(super) fn take_request_body(&mut self, profile: &Profile) -> Option<Decision> {
        let policy = profile.policy();
        if self.request_body.len() == 0 {
            self.processor = self.state.processor.or(self.processor);
            return None;
        }
        if self.oversize {
            let reason = format!(
                "the body is larger than the {} bytes that are inspected: see `selvedge explain waf/size`",
                policy.limits.request_body_bytes
            );
            if let Some(decision) = self.unreadable(profile, policy.oversize, 413, reason) {
                return Some(decision);
            }
            if policy.oversize == Unreadable::Pass {
                return None;
            }
        }
        if let Some(decision) = self.check_type(profile) {
            return Some(decision);
        }
        self.plain(Variable::RequestBody, self.request_body);
        self.read_body(profile);
        let problem = self.body_problem.clone().filter(|_| !self.oversize)?;
        if policy.undecodable == Unreadable::Pass {
            self.body_problem = None;
            self.pass_over();
            return None;
        }
        self.unreadable(
            profile,
            policy.undecodable,
            400,
            format!("the body cannot be read: {problem}"),
        )
    }

    /// Whether the policy takes a body of this type.
    fn check_type(&mut self, profile: &Profile) -> Option<Decision> {
        let types = profile.policy().content_types.as_ref()?;
        let field = self.data.named(Variable::RequestHeaders, b"content-type").unwrap_or_default();
        let name = field
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or(field)
            .trim_ascii()
            .to_ascii_lowercase();
        let accepts = |wanted: &String| match wanted.strip_suffix("/*") {
            Some(kind) => {
                name.strip_prefix(kind.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
                    || kind == "*"
            }
            None => wanted.as_bytes() == name,
        };
        if types.iter().any(accepts) {
            return None;
        }
        let reason =
            format!("bodies of the type `{}` are not taken here", String::from_utf8_lossy(&name));
        self.conclude(profile, super::transaction::refusal(415, reason))
    }

    /// Reads the body as what it says it is; in another charset, as it stands too: a server may not know that charset.
    fn read_body(&mut self, profile: &Profile) {
        self.processor = self.state.processor.or(self.processor);
        let content_type = self.content_type().unwrap_or_default();
        let body = self.request_body;
        self.body_problem = self.read_or_keep(profile, content_type, body);
        if self.processor == Some(Processor::Multipart) {
            return;
        }
        // A charset that nobody here knows is a matter of rules: what is judged is the body as it stands.
        if !matches!(self.decode(content_type), Charset::Decoded { .. }) {
            return;
        }
        let decoded = self.data.arena.received.len() - self.swap.len();
        let decoded = arena::received(decoded, self.swap.len());
        if self.data.arena.get(decoded) != self.data.arena.get(body) {
            self.body_problem = self.read_or_keep(profile, content_type, decoded);
        }
    }

    /// Reads the body; what no parser takes, or not to its end, is looked at as it stands.
    fn read_or_keep(
        &mut self,
        profile: &Profile,
        content_type: Span,
        text: Span,
    ) -> Option<String> {
        let problem = self.read_as(profile, content_type, text);
        if self.processor.is_none() || problem.is_some() {
            self.plain(Variable::UnreadBody, text);
        }
        problem.map(|problem| problem.to_string())
    }

    /// Decodes the body's charset behind what was received.
    fn decode(&mut self, content_type: Span) -> Charset {
        let mut out = std::mem::take(&mut self.swap);
        let declared = body::parameter(self.data.arena.get(content_type), "charset");
        let charset =
            body::decode_charset(self.data.arena.get(self.request_body), declared, &mut out);
        if matches!(charset, Charset::Decoded { .. }) {
            self.data.arena.receive(&out);
        }
        self.swap = out;
        charset
    }

    fn read_as(&mut self, profile: &Profile, content_type: Span, text: Span) -> Option<Problem> {
        let (rules, policy) = (&**profile.rules(), profile.policy());
        let post = (Variable::ArgsPost, Variable::ArgsPostNames);
        match self.processor? {
            Processor::UrlEncoded => self.parse(rules, policy, text, post, |input, intake| {
                body::urlencoded(input, separator(rules), intake).problem
            }),
            Processor::Json => {
                let problem = self.parse(rules, policy, text, post, |input, intake| {
                    body::json(input, intake).err()
                });
                self.read_queries(rules, policy, Variable::ArgsPost, is_query).or(problem)
            }
            Processor::Xml => self
                .parse(rules, policy, text, post, |input, intake| body::xml(input, intake).problem),
            Processor::GraphQl => self.read_document(rules, policy, text, post),
            Processor::Multipart => {
                // The parser borrows all that was received; this is a line.
                let mut line = std::mem::take(&mut self.expanded);
                line.clear();
                line.extend_from_slice(self.data.arena.get(content_type));
                let outcome = self.parse(rules, policy, text, post, |input, intake| {
                    body::multipart(input, &line, intake)
                });
                self.expanded = line;
                let problem = outcome.problem;
                self.multipart = Some(outcome);
                problem
            }
        }
    }

    /// Reads the GraphQL documents among arguments: those of such names that look like one.
    fn read_queries(
        &mut self,
        rules: &Rules,
        policy: &Policy,
        class: Variable,
        is_query: impl Fn(&[u8]) -> bool,
    ) -> Option<Problem> {
        let names = match class {
            Variable::ArgsGet => Variable::ArgsGetNames,
            _ => Variable::ArgsPostNames,
        };
        let mut first = None;
        // What they hold joins the arguments behind them.
        for at in 0..self.data.of_class(class).len() {
            let value = self.data.values[self.data.of_class(class)[at] as usize];
            let text = self.data.arena.get(value.value);
            if !is_query(self.data.arena.get(value.name)) || !looks_like_graphql(text) {
                continue;
            }
            let mut document = std::mem::take(&mut self.swap);
            document.clear();
            document.extend_from_slice(text);
            let span = self.data.arena.receive(&document);
            self.swap = document;
            let problem = self.read_document(rules, policy, span, (class, names));
            // What is no GraphQL after all was read as what it is, and is no problem.
            let is_bound =
                |problem: &Problem| matches!(problem.kind, Fault::TooDeep | Fault::TooMany);
            first = first.or(problem.filter(is_bound));
        }
        first
    }

    fn read_document(
        &mut self,
        rules: &Rules,
        policy: &Policy,
        text: Span,
        argument: (Variable, Variable),
    ) -> Option<Problem> {
        let found = self.parse(rules, policy, text, argument, body::graphql);
        let asked = self.graphql.get_or_insert_default();
        asked.documents += 1;
        asked.total = asked.total.and(found);
        found.problem
    }

    pub(super) fn take_response_head(&mut self, rules: &Rules, head: &ResponseHead<'_>) {
        self.response_status = Some(head.status);
        self.response_protocol = Some(self.data.arena.receive(head.version.as_bytes()));
        for (name, value) in head.fields {
            self.take_field(
                rules,
                (Variable::ResponseHeaders, Variable::ResponseHeadersNames),
                name,
                value,
            );
        }
    }
}

/// Decodes the first run of Base64 in a value from a place on, and returns where it ends.
fn next_run(data: &Data, value: Span, place: usize, decoded: &mut Vec<u8>) -> Option<usize> {
    let rest = &data.arena.get(value)[place..];
    body::Base64Runs::new(rest).next(decoded).map(|run| place + run.end)
}

/// Whether JSON of this name is a question: `{"query": …}`, or one of `[{"query": …}, …]`.
fn is_query(name: &[u8]) -> bool {
    let Some(path) = name.strip_suffix(b".query").and_then(|path| path.strip_prefix(b"json"))
    else {
        return false;
    };
    let index = path.strip_prefix(b".array_");
    path.is_empty() || index.is_some_and(|index| index.iter().all(u8::is_ascii_digit))
}

fn looks_like_graphql(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let begins = [b"{".as_slice(), b"query", b"mutation", b"subscription", b"fragment", b"#"];
    begins.iter().any(|begin| text.starts_with(begin))
}

fn separator(rules: &Rules) -> u8 {
    rules.settings.argument_separator.unwrap_or(b'&')
}

/// Where the path begins in a target that may be an absolute URI.
fn local(target: &[u8]) -> usize {
    if target.first() == Some(&b'/') {
        return 0;
    }
    let authority = memchr::memmem::find(target, b"://").map(|at| at + 3);
    let path = authority.and_then(|at| memchr::memchr(b'/', &target[at..]).map(|slash| at + slash));
    path.unwrap_or(0)
}

/// Percent escapes and nothing else; broken ones stay.
fn percent_decode(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let [byte, behind @ ..] = rest {
        let escaped =
            behind.get(..2).filter(|_| *byte == b'%').and_then(|pair| str::from_utf8(pair).ok());
        let escaped = escaped.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escaped.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = &behind[2..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc, time::SystemTime};

    use super::*;
    use crate::{
        engine::{Connection, RequestHead},
        native,
    };

    fn decision(target: &[u8], inside_base64: bool) -> Decision {
        let policy = Policy { inside_base64, ..Policy::default() };
        let profile = Arc::new(Profile::new(Arc::new(Rules::compile(&native::bundled())), policy));
        let local = Ipv4Addr::LOCALHOST.into();
        let connection =
            Connection { client: local, client_port: 1, server: local, server_port: 80 };
        let mut transaction = Transaction::new();
        transaction.begin(&profile, &connection, SystemTime::UNIX_EPOCH);
        let fields: &[(&[u8], &[u8])] =
            &[(b"host", b"example.com"), (b"user-agent", b"Mozilla/5.0")];
        transaction.request_head(&RequestHead {
            method: b"GET",
            target,
            version: "HTTP/1.1",
            fields,
        });
        transaction.request()
    }

    #[test]
    fn what_hides_in_base64_is_found_where_the_policy_looks_inside() {
        let hidden = b"/?q=PHNjcmlwdD5hbGVydChkb2N1bWVudC5jb29raWUpPC9zY3JpcHQ%2B";
        assert_eq!(decision(hidden, false), Decision::Pass);
        assert!(matches!(decision(hidden, true), Decision::Refuse(_)));
        assert_eq!(decision(b"/?q=dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcw", true), Decision::Pass);
    }
}
