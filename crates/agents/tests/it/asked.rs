//! A request as an edge asks about it.

/// A head that is written down as the agent protocol says (docs/reference/agent-protocol.md).
#[derive(Clone, Debug)]
pub struct Asked {
    target: String,
    attributes: Vec<(String, String)>,
    fields: Vec<(String, Vec<u8>)>,
}

impl Asked {
    /// For `GET TARGET` over HTTP/1.1.
    pub fn get(target: &str) -> Self {
        Self { target: target.to_owned(), attributes: Vec::new(), fields: Vec::new() }
    }

    /// With what the edge knows beside the head.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more field.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The payload of its frame.
    pub fn payload(&self) -> Vec<u8> {
        let mut out = count(self.attributes.len());
        for (name, value) in &self.attributes {
            out.extend(text8(name));
            out.extend(text16(value.as_bytes()));
        }
        out.extend([text8("GET"), text8("https"), text16(b"example.com")].concat());
        out.extend(text16(self.target.as_bytes()));
        out.push(11);
        out.extend(count(self.fields.len()));
        for (name, value) in &self.fields {
            out.extend([text16(name.as_bytes()), text16(value)].concat());
        }
        out
    }
}

fn text8(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a test's text is short");
    [&[length], text.as_bytes()].concat()
}

fn text16(text: &[u8]) -> Vec<u8> {
    [count(text.len()), text.to_vec()].concat()
}

fn count(count: usize) -> Vec<u8> {
    u16::try_from(count).expect("a test's lists are short").to_be_bytes().to_vec()
}
