//! A request as an edge asks about it.

use selvedge_agent::{AttributesBuf, RequestHeadBuf, RequestLine};

/// What a test says of a request.
#[derive(Clone, Debug)]
pub struct Asked {
    target: String,
    attributes: AttributesBuf,
    fields: Vec<(String, String)>,
}

impl Asked {
    /// For `GET TARGET`.
    pub fn get(target: &str) -> Self {
        let (attributes, fields) = (AttributesBuf::default(), Vec::new());
        Self { target: target.to_owned(), attributes, fields }
    }

    /// With what the edge knows beside the head.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(name, value);
        self
    }

    /// With one more field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What the edge knows beside the head.
    pub fn attributes(&self) -> &AttributesBuf {
        &self.attributes
    }

    /// The head.
    pub fn head(&self) -> RequestHeadBuf {
        let mut head = RequestHeadBuf::default();
        let target = &self.target;
        let line = RequestLine { method: "GET", scheme: "https", target, ..RequestLine::default() };
        let fields = head.start(line);
        for (name, value) in &self.fields {
            fields.push(name, value.as_bytes());
        }
        head
    }

    /// The payload of its frame.
    pub fn payload(&self) -> Vec<u8> {
        self.head().payload(&self.attributes).expect("a test's request can be sent")
    }
}
