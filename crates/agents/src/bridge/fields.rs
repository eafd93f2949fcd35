//! Fields of messages: as services get them, and as they change them.

use bytes::Bytes;
use selvedge_agent::{Operation, RequestHead, ResponseHead, Target, Verdict};

use super::{
    envoy::{HeaderAppendAction, HeaderMap, HeaderMutation, HeaderValue, HeaderValueOption},
    failure::Failure,
};

/// Whether a field belongs to a connection and not to the message (RFC 9110, section 7.6.1).
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// A request's fields as Envoy writes them: pseudo-header fields first, names in lower case.
pub(super) fn of_request(head: &RequestHead<'_>) -> HeaderMap {
    let pseudo = [
        (":method", head.method()),
        (":scheme", head.scheme()),
        (":authority", head.authority()),
        (":path", head.target()),
    ];
    let pseudo = pseudo.map(|(name, value)| header(name, value.as_bytes()));
    // `Host` is `:authority`.
    let fields = head.fields().iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let fields = fields.map(|(name, value)| header(&name.to_ascii_lowercase(), value));
    HeaderMap { headers: pseudo.into_iter().chain(fields).collect() }
}

/// A response's fields as Envoy writes them.
pub(super) fn of_response(head: &ResponseHead<'_>) -> HeaderMap {
    let status = header(":status", head.status().to_string().as_bytes());
    let fields = head.fields();
    let fields = fields.iter().map(|(name, value)| header(&name.to_ascii_lowercase(), value));
    HeaderMap { headers: std::iter::once(status).chain(fields).collect() }
}

fn header(name: &str, value: &[u8]) -> HeaderValue {
    let raw_value = Bytes::copy_from_slice(value);
    HeaderValue { key: name.to_owned(), value: String::new(), raw_value }
}

/// A message that a service changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message<'a> {
    Request(RequestHead<'a>),
    Response(ResponseHead<'a>),
    /// A response that is not there yet.
    LaterResponse,
}

impl Message<'_> {
    fn target(&self) -> Target {
        match self {
            Self::Request(_) => Target::Request,
            Self::Response(_) | Self::LaterResponse => Target::Response,
        }
    }

    /// Whether it had the field when it came; not known of one that has not come.
    fn had(&self, name: &str) -> Option<bool> {
        match self {
            Self::Request(head) => Some(head.fields().get(name).is_some()),
            Self::Response(head) => Some(head.fields().get(name).is_some()),
            Self::LaterResponse => None,
        }
    }

    /// Whether it would have the field once the changes are carried out.
    fn has(&self, name: &str, verdict: &Verdict) -> Option<bool> {
        let target = self.target();
        let mut changes = verdict.changes().iter().rev();
        let last = changes
            .find(|change| change.target == target && change.name.eq_ignore_ascii_case(name));
        last.map_or_else(|| self.had(name), |change| Some(change.operation != Operation::Remove))
    }

    /// Carries out changes as Envoy does: what is to go goes first.
    pub(super) fn change(
        &self,
        verdict: Verdict,
        mutation: &HeaderMutation,
    ) -> Result<Verdict, Failure> {
        let verdict = self.remove(verdict, &mutation.remove_headers);
        self.set(verdict, &mutation.set_headers)
    }

    /// Takes fields off; pseudo-header fields and `Host` stay.
    pub(super) fn remove(&self, verdict: Verdict, names: &[String]) -> Verdict {
        let names = names.iter().filter(|name| !is_routing(name));
        names.fold(verdict, |verdict, name| match self.target() {
            Target::Request => verdict.remove_request_header(name),
            Target::Response => verdict.remove_response_header(name),
        })
    }

    /// Sets and adds fields.
    pub(super) fn set(
        &self,
        mut verdict: Verdict,
        options: &[HeaderValueOption],
    ) -> Result<Verdict, Failure> {
        for option in options {
            let Some(field) = Field::read(option)? else { continue };
            if is_routing(field.name) {
                self.keep(&field)?;
                continue;
            }
            let has = || self.has(field.name, &verdict).ok_or(Failure::Answer(LATER));
            let is_meant = match field.action {
                HeaderAppendAction::AddIfAbsent => !has()?,
                HeaderAppendAction::OverwriteIfExists => has()?,
                _ => true,
            };
            if is_meant {
                verdict = self.put(verdict, &field);
            }
        }
        Ok(verdict)
    }

    fn put(&self, verdict: Verdict, field: &Field<'_>) -> Verdict {
        let Field { name, value, .. } = *field;
        match (self.target(), field.is_added()) {
            (Target::Request, true) => verdict.add_request_header(name, value),
            (Target::Request, false) => verdict.set_request_header(name, value),
            (Target::Response, true) => verdict.add_response_header(name, value),
            (Target::Response, false) => verdict.set_response_header(name, value),
        }
    }

    /// A field by which messages find their way: Envoy keeps most as they are, and so do we; where
    /// Envoy would change one, the service cannot have what it wants.
    fn keep(&self, field: &Field<'_>) -> Result<(), Failure> {
        let is_same = match (self, field.name) {
            (Self::Request(head), ":path") => field.value == head.target().as_bytes(),
            (Self::Response(head), ":status") => {
                field.value == head.status().to_string().as_bytes()
            }
            (_, ":path" | ":status") => false,
            _ => true,
        };
        is_same.then_some(()).ok_or(Failure::Answer(ROUTED))
    }
}

const LATER: &str = "a condition on a response that is not there yet";
const ROUTED: &str = "a change of `:path` or `:status`, which agents cannot make";
const ACTION: &str = "an append action that does not exist";

/// Whether the field says where a message goes, and not what it is.
fn is_routing(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

/// A field that a service gives.
struct Field<'a> {
    name: &'a str,
    value: &'a [u8],
    action: HeaderAppendAction,
}

impl<'a> Field<'a> {
    /// `None` where nothing is named.
    fn read(option: &'a HeaderValueOption) -> Result<Option<Self>, Failure> {
        let Some(header) = &option.header else { return Ok(None) };
        let value = match header.raw_value.is_empty() {
            true => header.value.as_bytes(),
            false => &header.raw_value,
        };
        let action = action(option)?;
        Ok(Some(Self { name: &header.key, value, action }))
    }

    fn is_added(&self) -> bool {
        matches!(
            self.action,
            HeaderAppendAction::AppendIfExistsOrAdd | HeaderAppendAction::AddIfAbsent
        )
    }
}

/// What is meant by an option. Where nothing is said, the value takes the place of others, as the
/// definitions of both protocols promise: a client's own `X-User` must not stand beside it.
fn action(option: &HeaderValueOption) -> Result<HeaderAppendAction, Failure> {
    match (option.append, HeaderAppendAction::try_from(option.append_action)) {
        (Some(true), _) => Ok(HeaderAppendAction::AppendIfExistsOrAdd),
        (Some(false), _) | (None, Ok(HeaderAppendAction::AppendIfExistsOrAdd)) => {
            Ok(HeaderAppendAction::OverwriteIfExistsOrAdd)
        }
        (None, Ok(action)) => Ok(action),
        (None, Err(_)) => Err(Failure::Answer(ACTION)),
    }
}

/// Fields of an answer that the client gets.
#[derive(Debug, Default)]
pub(super) struct AnswerFields(Vec<(String, Bytes)>);

impl AnswerFields {
    /// Adds or replaces fields, as a service says.
    pub(super) fn change(mut self, mutation: &HeaderMutation) -> Result<Self, Failure> {
        for name in &mutation.remove_headers {
            self.remove(name);
        }
        for option in &mutation.set_headers {
            let Some(field) = Field::read(option)? else { continue };
            let is_there = self.has(field.name);
            let is_meant = match field.action {
                HeaderAppendAction::AddIfAbsent => !is_there,
                HeaderAppendAction::OverwriteIfExists => is_there,
                _ => true,
            };
            if !is_meant || field.name.starts_with(':') {
                continue;
            }
            if !field.is_added() {
                self.remove(field.name);
            }
            self.add(field.name, field.value);
        }
        Ok(self)
    }

    /// One more field, unless it is of the connection or of framing.
    pub(super) fn add(&mut self, name: &str, value: &[u8]) {
        if !is_hop_by_hop(name) && !name.eq_ignore_ascii_case("content-length") {
            self.0.push((name.to_owned(), Bytes::copy_from_slice(value)));
        }
    }

    /// Whether there is a field of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    /// The verdict by which the client gets these fields with this status: a redirect where it is one.
    pub(super) fn refuse(mut self, status: u16) -> Result<Verdict, Failure> {
        if !(200..=599).contains(&status) {
            return Err(Failure::Answer("a status that answers nothing"));
        }
        let verdict = match (status, self.location()) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                self.remove("location");
                Verdict::redirect(status, location)
            }
            _ => Verdict::block(status),
        };
        Ok(self.0.into_iter().fold(verdict, |verdict, (name, value)| verdict.header(&name, value)))
    }

    /// Where it leads, if that is said once and as text.
    fn location(&self) -> Option<String> {
        let mut all = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case("location"));
        let (_, value) = all.next()?;
        let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty())?;
        all.next().is_none().then(|| text.to_owned())
    }
}

impl FromIterator<(String, Bytes)> for AnswerFields {
    fn from_iter<T: IntoIterator<Item = (String, Bytes)>>(fields: T) -> Self {
        let mut all = Self::default();
        fields.into_iter().for_each(|(name, value)| all.add(&name, &value));
        all
    }
}
