//! Where in a JSON document something is (RFC 6901).

use std::fmt::{self, Write};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// A JSON pointer in its plain form: `/items/0/name`, or nothing for the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pointer(String);

/// What a fragment of a URI cannot hold as it is (RFC 3986 §3.5).
const FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

impl Pointer {
    /// The whole document.
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// The pointer with this text, escaped already.
    pub(super) fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pointer in a URI's fragment, which may be percent-encoded.
    pub(super) fn from_fragment(fragment: &str) -> Option<Self> {
        let text = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        (text.is_empty() || text.starts_with('/')).then(|| Self(text.into_owned()))
    }

    /// Steps into the member of this name.
    pub(super) fn push(&mut self, name: &str) {
        self.0.push('/');
        for char in name.chars() {
            match char {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                char => self.0.push(char),
            }
        }
    }

    /// Steps into the item at `index`.
    pub(super) fn push_index(&mut self, index: usize) {
        write!(self.0, "/{index}").expect("a String takes any text");
    }

    /// The member `name` of what this points to.
    pub(super) fn join(&self, name: &str) -> Self {
        let mut joined = self.clone();
        joined.push(name);
        joined
    }

    /// The item at `index` of what this points to.
    pub(super) fn join_index(&self, index: usize) -> Self {
        let mut joined = self.clone();
        joined.push_index(index);
        joined
    }

    /// The plain form.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The steps, unescaped.
    pub(super) fn steps(&self) -> impl Iterator<Item = String> {
        self.0.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
    }

    /// The form for a URI's fragment, with its `#`.
    pub(super) fn to_fragment(&self) -> String {
        format!("#{}", utf8_percent_encode(&self.0, FRAGMENT))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(steps: &[&str], text: &str, fragment: &str) {
        let mut pointer = Pointer::root();
        steps.iter().for_each(|step| pointer.push(step));
        assert_eq!((pointer.as_str(), pointer.to_fragment().as_str()), (text, fragment));
        assert_eq!(pointer.steps().collect::<Vec<_>>(), steps);
        assert_eq!(Pointer::from_fragment(&fragment[1..]), Some(pointer));
    }

    #[test]
    fn texts_and_fragments() {
        check(&[], "", "#");
        check(&[""], "/", "#/");
        check(&["a", "0", "b"], "/a/0/b", "#/a/0/b");
        check(&["/pets/{id}", "~1"], "/~1pets~1{id}/~01", "#/~1pets~1%7Bid%7D/~01");
        check(&["é %"], "/é %", "#/%C3%A9%20%25");
        assert_eq!(Pointer::from_fragment("anchor"), None);
        assert_eq!(Pointer::from_fragment("/%ff"), None);
    }
}
