use crate::Event;

/// How an agent sees a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Not a body: a head, a frame or an outcome, whole.
    #[default]
    Whole = 0,
    /// The message is held until the verdict; the agent sees up to `body_max` bytes.
    Inspect = 1,
    /// The head goes on, and each piece of the body when the agent releases it.
    Stream = 2,
}

/// What an agent wants to be asked about; it is called for nothing else.
///
/// ```
/// use selvedge_agent::{Event, Subscriptions};
///
/// let wants = Subscriptions::none()
///     .request_headers()
///     .inspect_request_body(64 << 10)
///     .of_types(["application/json", "*+json"]);
/// assert_eq!(wants.get(Event::RequestBody).map(|body| body.body_max), Some(64 << 10));
/// assert_eq!(wants.get(Event::Log), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    all: Vec<Subscription>,
}

/// One event that an agent wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which.
    pub event: Event,
    /// How, if it is a body.
    pub mode: Mode,
    /// How much of a body or frame the agent sees, in bytes.
    pub body_max: u32,
    /// Only requests with one of these methods; all if empty.
    pub methods: Vec<String>,
    /// Only bodies of one of these types (`application/json`, `text/*`, `*+json`), without parameters; all if empty.
    pub content_types: Vec<String>,
}

impl Subscription {
    /// Whether a request with this method is meant.
    pub fn wants_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|own| own == method)
    }

    /// Whether a message with this `Content-Type` is meant; one without a type is only if all are.
    pub fn wants_content_type(&self, content_type: Option<&str>) -> bool {
        if self.content_types.is_empty() {
            return true;
        }
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        !essence.is_empty() && self.content_types.iter().any(|own| matches_type(own, essence))
    }
}

/// Whether `essence` is of the type or range `pattern`, in any case.
fn matches_type(pattern: &str, essence: &str) -> bool {
    let ends = |suffix: &str| {
        let start = essence.len().checked_sub(suffix.len());
        start
            .and_then(|start| essence.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    let begins = |prefix: &str| {
        essence.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some("/*" | ""), _) => true,
        (Some(suffix), _) => essence.len() > suffix.len() && ends(suffix),
        (None, Some(prefix)) => essence.len() > prefix.len() && begins(prefix),
        (None, None) => pattern.eq_ignore_ascii_case(essence),
    }
}

impl Subscriptions {
    /// Nothing: the agent is never asked.
    pub fn none() -> Self {
        Self::default()
    }

    /// Heads of requests.
    pub fn request_headers(self) -> Self {
        self.with(Event::RequestHeaders, Mode::Whole, 0)
    }

    /// Up to `body_max` bytes of requests' bodies, held until the verdict.
    pub fn inspect_request_body(self, body_max: u32) -> Self {
        self.with(Event::RequestBody, Mode::Inspect, body_max)
    }

    /// Up to `body_max` bytes of requests' bodies, piece by piece.
    pub fn stream_request_body(self, body_max: u32) -> Self {
        self.with(Event::RequestBody, Mode::Stream, body_max)
    }

    /// Heads of responses.
    pub fn response_headers(self) -> Self {
        self.with(Event::ResponseHeaders, Mode::Whole, 0)
    }

    /// Up to `body_max` bytes of responses' bodies, held until the verdict.
    pub fn inspect_response_body(self, body_max: u32) -> Self {
        self.with(Event::ResponseBody, Mode::Inspect, body_max)
    }

    /// Up to `body_max` bytes of responses' bodies, piece by piece.
    pub fn stream_response_body(self, body_max: u32) -> Self {
        self.with(Event::ResponseBody, Mode::Stream, body_max)
    }

    /// Frames of WebSocket tunnels, up to `payload_max` bytes of each.
    pub fn websocket_frames(self, payload_max: u32) -> Self {
        self.with(Event::WebsocketFrame, Mode::Whole, payload_max)
    }

    /// How exchanges ended.
    pub fn log(self) -> Self {
        self.with(Event::Log, Mode::Whole, 0)
    }

    fn with(mut self, event: Event, mode: Mode, body_max: u32) -> Self {
        self.all.retain(|own| own.event != event);
        let (methods, content_types) = (Vec::new(), Vec::new());
        self.all.push(Subscription { event, mode, body_max, methods, content_types });
        self
    }

    /// Narrows what was added last to these methods.
    pub fn of_methods<T: Into<String>>(mut self, methods: impl IntoIterator<Item = T>) -> Self {
        if let Some(last) = self.all.last_mut() {
            last.methods.extend(methods.into_iter().map(Into::into));
        }
        self
    }

    /// Narrows what was added last to messages of these types: `application/json`, `text/*`, `*+json`.
    pub fn of_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        if let Some(last) = self.all.last_mut() {
            last.content_types.extend(types.into_iter().map(Into::into));
        }
        self
    }

    /// How the agent wants this event, if it does.
    pub fn get(&self, event: Event) -> Option<&Subscription> {
        self.all.iter().find(|own| own.event == event)
    }

    /// Every event that the agent wants.
    pub fn iter(&self) -> std::slice::Iter<'_, Subscription> {
        self.all.iter()
    }

    /// Adds one that was read.
    pub(crate) fn push(&mut self, one: Subscription) {
        self.all.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, content_type: Option<&str>, expected: bool) {
        let wants = Subscriptions::none().inspect_request_body(1).of_types([pattern]);
        let body = wants.get(Event::RequestBody).expect("it was just added");
        assert_eq!(body.wants_content_type(content_type), expected);
    }

    #[test]
    fn types_and_their_ranges() {
        check("application/json", Some("Application/JSON; charset=utf-8"), true);
        check("application/json", Some("application/jsonp"), false);
        check("application/json", None, false);
        check("text/*", Some("text/plain"), true);
        check("text/*", Some("text/"), false);
        check("*+json", Some("application/problem+json"), true);
        check("*+json", Some("application/json"), false);
        check("*/*", Some("a/b"), true);
        check("*/*", None, false);
    }
}
