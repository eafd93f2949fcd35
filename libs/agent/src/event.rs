/// What an agent can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Event {
    /// The head of a request; it opens the stream.
    RequestHeaders = 1,
    /// The body of the request.
    RequestBody = 2,
    /// The head of the response.
    ResponseHeaders = 3,
    /// The body of the response.
    ResponseBody = 4,
    /// A frame of a WebSocket tunnel, from either end.
    WebsocketFrame = 5,
    /// How an exchange ended; nobody waits for an answer.
    Log = 6,
}

impl Event {
    /// Every event, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::RequestHeaders,
        Self::RequestBody,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::WebsocketFrame,
        Self::Log,
    ];

    /// The event with this number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).wrapping_sub(1)).copied()
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name in configs, logs and metrics: `request_headers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::WebsocketFrame => "websocket_frame",
            Self::Log => "log",
        }
    }

    /// The event of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for event in Event::ALL {
            assert_eq!(Event::from_number(event.number()), Some(event));
            assert_eq!(Event::from_name(event.name()), Some(event));
        }
        assert_eq!((Event::from_number(0), Event::from_number(7)), (None, None));
    }
}
