use std::ops::Range;

use memchr::{memchr, memmem::Finder};

use super::{
    Fault, Field, Intake, Kind, Limits, Problem, Scratch, Text,
    ascii::{is_space, trim},
    charset::{Charset, decode_charset},
    media::parameter,
    output::{Output, Step},
};

mod boundary;
mod coding;
mod disposition;

use coding::Transfer;
pub(super) use disposition::Disposition;
use disposition::Stored;

/// How a multipart body was read, and on what readers of this world may disagree. The flags are those
/// that ModSecurity has variables for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multipart {
    /// What is wrong first.
    pub problem: Option<Problem>,
    /// The boundary is in quotes in the content type.
    pub boundary_quoted: bool,
    /// White space is around the boundary in the content type.
    pub boundary_whitespace: bool,
    /// No semicolon is before the boundary in the content type.
    pub missing_semicolon: bool,
    /// Something is before the first boundary.
    pub data_before: bool,
    /// Something is after the last boundary.
    pub data_after: bool,
    /// A header goes on in the next line.
    pub header_folding: bool,
    /// It does so with other white space than a space or a tab.
    pub invalid_header_folding: bool,
    /// A line of a header or a boundary, or that before one, ends in CR LF.
    pub crlf_line: bool,
    /// One ends in LF alone.
    pub lf_line: bool,
    /// A name is in single quotes, or has one in it outside of double quotes.
    pub invalid_quoting: bool,
    /// A part has no name, or ends before its content.
    pub invalid_part: bool,
    /// Whether a line looks like a boundary.
    pub unmatched_boundary: Unmatched,
    /// There are more files than the bound says.
    pub file_limit_exceeded: bool,
    /// A part says how its content is encoded, which RFC 7578 ended; it is put as it stands, too.
    pub transfer_encoding: bool,
    /// Where the value of the first part `_charset_` is: the charset of the parts that say none (RFC 7578, section 4.6).
    pub charset: Option<Range<usize>>,
    /// Files.
    pub files: usize,
}

impl Multipart {
    /// Returns whether anything is as it should not be: ModSecurity's `MULTIPART_STRICT_ERROR`.
    pub fn is_strict_error(&self) -> bool {
        self.problem.is_some()
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.missing_semicolon
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.invalid_header_folding
            || self.lf_line
            || self.invalid_quoting
            || self.invalid_part
            || self.file_limit_exceeded
    }
}

/// Whether a line looks like a boundary and is none: it begins with two dashes, or the boundary is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// No line does; ModSecurity's 0.
    #[default]
    No,
    /// One does, and no boundary follows: the boundary that was meant may be another. 1.
    Open,
    /// One does, but a boundary follows: it is content. 2.
    Closed,
}

/// Reads a `multipart/form-data` body (RFC 7578), given its content type.
///
/// A part without a file name is an argument; one with a file name (`filename*`, RFC 8187, and `filename*0`, RFC 2231, count as
/// ones too) is a file and its content. Header lines of a part come before it. Where a part is not as it should be, what it has is
/// put all the same: another reader may take it. So a part with two names is put under both, and each of several file names is put.
///
/// A content that says it is Base64 or quoted-printable, or in another charset (its own, that of the content type or that of the
/// part `_charset_`), is put as it stands and then decoded: some servers decode it, most do not.
pub fn multipart(input: &[u8], content_type: &[u8], intake: Intake<'_>) -> Multipart {
    let Intake { limits, scratch, sink } = intake;
    let mut outcome = Multipart::default();
    let Some(boundary) = boundary::find(content_type, &mut outcome) else { return outcome };
    scratch.headers.clear();
    let output = Output::new(sink, limits);
    let inside = Finder::new(boundary);
    let charset = parameter(content_type, "charset");
    let pass = Pass::First;
    let mut reader =
        Reader { input, limits, output, scratch, boundary, inside, outcome, charset, pass };
    if let Err(end) = reader.body() {
        reader.outcome.problem.get_or_insert(end);
    }
    reader.again_in_charset();
    reader.outcome
}

/// Header lines of one part; who needs more is not a browser.
const HEADERS_MAX: usize = 64;

const UNKNOWN_CHARSET: &str = "a part is in a charset that nobody here knows";

/// Longer names are compared with no other.
const HEADER_NAME_BYTES_MAX: usize = 64;

/// A header of a part.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// With folded lines, without its line's end.
    line: Range<usize>,
    /// Where its name ends.
    colon: usize,
}

struct Reader<'a> {
    input: &'a [u8],
    limits: &'a Limits,
    output: Output<'a>,
    scratch: &'a mut Scratch,
    /// Without the dashes before it.
    boundary: &'a [u8],
    inside: Finder<'a>,
    outcome: Multipart,
    /// The charset of parts that say none.
    charset: Option<&'a [u8]>,
    pass: Pass,
}

/// What is put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// What is there.
    First,
    /// What parts that say no charset are in that of the part `_charset_`, which may come behind them.
    InCharset,
}

/// What is being read.
enum State {
    Before,
    Headers,
    Data { start: usize, content: Content },
    After,
}

/// What lies on a part's content.
#[derive(Clone, Debug, Default)]
struct Content {
    transfer: Transfer,
    /// Where its charset is named.
    charset: Option<Range<usize>>,
}

/// What a line is.
enum Line {
    Content,
    Boundary { is_last: bool },
}

impl Reader<'_> {
    /// Reads once more, if a part names a charset in which the others read otherwise.
    fn again_in_charset(&mut self) {
        let Some(range) = self.outcome.charset.clone() else { return };
        let charset = &self.input[range.clone()];
        match decode_charset(b"", Some(charset), &mut self.scratch.text) {
            Charset::Plain => return,
            Charset::Unknown => {
                return self.note(range.start, Fault::Encoding, UNKNOWN_CHARSET);
            }
            Charset::Decoded { .. } => {}
        }
        let outcome = self.outcome.clone();
        (self.charset, self.pass) = (Some(charset), Pass::InCharset);
        self.scratch.headers.clear();
        let end = self.body();
        self.outcome = outcome;
        if let Err(end) = end {
            self.outcome.problem.get_or_insert(end);
        }
    }

    fn body(&mut self) -> Step {
        let mut state = State::Before;
        let mut start = 0;
        while start < self.input.len() {
            let rest = &self.input[start..];
            let end = start + memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            state = match self.line(start..end) {
                Line::Content => self.content(state, start..end)?,
                Line::Boundary { is_last } => self.next_part(state, start..end, is_last)?,
            };
            start = end;
            if matches!(state, State::After) {
                self.outcome.data_after = start < self.input.len();
                return Ok(());
            }
        }
        self.end_early(state)
    }

    fn end_early(&mut self, state: State) -> Step {
        let end = self.input.len();
        let message = match &state {
            State::Before => "no boundary is in the body",
            _ => "the last boundary is missing",
        };
        self.note(end, Fault::Malformed, message);
        self.finish_part(state, end)
    }

    /// Says what a line is, and notes where another reader may think otherwise.
    fn line(&mut self, at: Range<usize>) -> Line {
        let line = &self.input[at.clone()];
        let Some(dashed) = line.strip_prefix(b"--") else {
            self.look_inside(line);
            return Line::Content;
        };
        let Some(tail) = dashed.strip_prefix(self.boundary) else {
            if self.is_nearly_boundary(dashed) {
                self.note(at.start, Fault::Malformed, "a boundary is not as announced");
            } else {
                self.outcome.unmatched_boundary = Unmatched::Open;
            }
            return Line::Content;
        };
        let (is_last, tail) = match tail.strip_prefix(b"--") {
            Some(tail) => (true, tail),
            None => (false, tail),
        };
        if !tail.trim_ascii().is_empty() {
            self.note(at.start, Fault::Malformed, "something follows a boundary in its line");
            return Line::Content;
        }
        if without_line_end(tail) != b"" {
            self.note(at.start, Fault::Malformed, "white space follows a boundary");
        }
        self.note_line_end(line);
        self.note_line_end(&self.input[..at.start]);
        if self.outcome.unmatched_boundary == Unmatched::Open {
            self.outcome.unmatched_boundary = Unmatched::Closed;
        }
        Line::Boundary { is_last }
    }

    /// Looks for the boundary behind two dashes within a line.
    fn look_inside(&mut self, line: &[u8]) {
        if line.len() < self.boundary.len() + 2 {
            return;
        }
        let is_dashed = |at: usize| line[..at].ends_with(b"--");
        if self.inside.find_iter(line).any(is_dashed) {
            self.outcome.unmatched_boundary = Unmatched::Open;
        }
    }

    fn is_nearly_boundary(&self, dashed: &[u8]) -> bool {
        let text = dashed.trim_ascii_start();
        let is_shifted = text.len() < dashed.len() && text.starts_with(self.boundary);
        let quoted = dashed.strip_prefix(b"\"");
        is_shifted || quoted.is_some_and(|text| text.starts_with(self.boundary))
    }

    fn content(&mut self, state: State, line: Range<usize>) -> Step<State> {
        Ok(match state {
            State::Before => {
                self.outcome.data_before = true;
                State::Before
            }
            State::Headers => self.header_line(line)?,
            State::Data { .. } | State::After => state,
        })
    }

    fn next_part(&mut self, state: State, line: Range<usize>, is_last: bool) -> Step<State> {
        let before = &self.input[..line.start];
        self.finish_part(state, without_line_end(before).len())?;
        Ok(if is_last { State::After } else { State::Headers })
    }

    /// Takes a line of a part's head; an empty one ends it.
    fn header_line(&mut self, at: Range<usize>) -> Step<State> {
        let line = &self.input[at.clone()];
        self.note_line_end(line);
        let text = without_line_end(line);
        if text.is_empty() {
            let content = self.end_headers(at.start)?;
            return Ok(State::Data { start: at.end, content });
        }
        if text.contains(&0) {
            self.note(at.start, Fault::Malformed, "a header has a null byte");
        }
        let at = at.start..at.start + text.len();
        if is_space(text[0]) {
            self.folded(at);
        } else {
            self.header(at)?;
        }
        Ok(State::Headers)
    }

    fn folded(&mut self, at: Range<usize>) {
        let text = &self.input[at.clone()];
        let mut blank = text.iter().take_while(|byte| is_space(**byte));
        self.outcome.header_folding = true;
        self.outcome.invalid_header_folding |= blank.any(|byte| !matches!(byte, b'\t' | b' '));
        match self.scratch.headers.last_mut() {
            Some(header) => header.line.end = at.end,
            None => self.note(at.start, Fault::Malformed, "a header goes on that never began"),
        }
    }

    fn header(&mut self, at: Range<usize>) -> Step {
        if self.scratch.headers.len() >= HEADERS_MAX {
            return Err(Problem::new(at.start, Fault::TooMany, "a part has too many headers"));
        }
        let text = &self.input[at.clone()];
        let colon = memchr(b':', text);
        let name = &text[..colon.unwrap_or(text.len())];
        if let Some(message) = self.header_fault(name, colon.is_some()) {
            self.note(at.start, Fault::Malformed, message);
        }
        if trim(name).eq_ignore_ascii_case(b"content-transfer-encoding") {
            self.outcome.transfer_encoding = true;
        }
        let colon = at.start + name.len();
        self.scratch.headers.push(Header { line: at, colon });
        Ok(())
    }

    fn header_fault(&self, name: &[u8], has_colon: bool) -> Option<&'static str> {
        if !has_colon {
            Some("a header has no colon")
        } else if name.len() > HEADER_NAME_BYTES_MAX {
            Some("a header's name is too long")
        } else if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            Some("a header's name has a character that no name has")
        } else if self.find_header(name).is_some() {
            Some("a header is said twice")
        } else {
            None
        }
    }

    /// Finds the first header of this name.
    fn find_header(&self, name: &[u8]) -> Option<&Header> {
        let is_same = |header: &&Header| {
            let known = trim(&self.input[header.line.start..header.colon]);
            known.eq_ignore_ascii_case(trim(name))
        };
        self.scratch.headers.iter().find(is_same)
    }

    /// Reads what a part says it is once all headers are there, and puts them.
    fn end_headers(&mut self, at: usize) -> Step<Content> {
        self.scratch.disposition.clear();
        let mut content = Content::default();
        let mut is_said = false;
        for index in 0..self.scratch.headers.len() {
            let header = &self.scratch.headers[index];
            let name = trim(&self.input[header.line.start..header.colon]);
            let value = (header.colon + 1).min(header.line.end)..header.line.end;
            if name.eq_ignore_ascii_case(b"content-disposition") {
                is_said = true;
                disposition::read(self.input, value, self.scratch, &mut self.outcome);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                content.charset = content.charset.or_else(|| self.charset_of(value));
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                let said = Transfer::named(&self.input[value]);
                content.transfer = content.transfer.or(said);
            }
        }
        if !is_said {
            self.note(at, Fault::Malformed, "a part does not say what it is");
        }
        if self.scratch.disposition.names.is_empty() {
            self.outcome.invalid_part = true;
            self.note(at, Fault::Malformed, "a part has no name");
        }
        self.put_headers()?;
        Ok(content)
    }

    /// Where a part's content type names its charset.
    fn charset_of(&self, value: Range<usize>) -> Option<Range<usize>> {
        let text = &self.input[value.clone()];
        let charset = parameter(text, "charset")?;
        let start = value.start + (charset.as_ptr().addr() - text.as_ptr().addr());
        Some(start..start + charset.len())
    }

    fn put_headers(&mut self) -> Step {
        for header in self.scratch.headers.iter().filter(|_| self.pass == Pass::First) {
            let disposition = &self.scratch.disposition;
            let field = Field {
                kind: Kind::PartHeader,
                name: stored(disposition.names.first(), &disposition.text),
                value: Text::At(header.line.clone()),
            };
            self.output.put_shared(header.line.start, field)?;
        }
        self.scratch.headers.clear();
        Ok(())
    }

    fn finish_part(&mut self, state: State, end: usize) -> Step {
        match state {
            State::Before | State::After => Ok(()),
            State::Headers => {
                self.outcome.invalid_part = true;
                self.note(end, Fault::Malformed, "a part ends before its content");
                let content = self.end_headers(end)?;
                self.put_part(&content, end..end)
            }
            State::Data { start, content } => self.put_part(&content, start..end.max(start)),
        }
    }

    fn put_part(&mut self, content: &Content, data: Range<usize>) -> Step {
        let is_file = self.scratch.disposition.is_file();
        if self.pass == Pass::First {
            if is_file {
                self.put_file_names(data.start)?;
                self.outcome.files += 1;
                self.outcome.file_limit_exceeded |= self.outcome.files > self.limits.files_max;
            } else {
                self.look_for_charset(&data);
            }
            self.put_content(data.start, Text::At(data.clone()))?;
        }
        self.put_decoded(content, data)
    }

    fn put_file_names(&mut self, at: usize) -> Step {
        let disposition = &self.scratch.disposition;
        for file_name in &disposition.file_names {
            let field = Field {
                kind: Kind::File,
                name: stored(disposition.names.first(), &disposition.text),
                value: stored(Some(file_name), &disposition.text),
            };
            self.output.put_shared(at, field)?;
        }
        Ok(())
    }

    /// Keeps what the part `_charset_` says.
    fn look_for_charset(&mut self, data: &Range<usize>) {
        let disposition = &self.scratch.disposition;
        let mut names = disposition.names.iter();
        if !names
            .any(|name| stored(Some(name), &disposition.text).bytes(self.input) == b"_charset_")
        {
            return;
        }
        if self.outcome.charset.is_some() {
            self.note(data.start, Fault::Encoding, "the charset of all parts is said twice");
        }
        self.outcome.charset.get_or_insert(data.clone());
    }

    /// Puts a content under each name of its part.
    fn put_content(&mut self, at: usize, value: Text<'_>) -> Step {
        let Disposition { names, text, .. } = &self.scratch.disposition;
        let is_file = self.scratch.disposition.is_file();
        let kind = if is_file { Kind::FileContent } else { Kind::Argument };
        let nameless = names.is_empty().then_some(Text::At(0..0));
        let names = names.iter().map(|name| stored(Some(name), text));
        for name in names.chain(nameless) {
            self.output.put_shared(at, Field { kind, name, value: value.clone() })?;
        }
        Ok(())
    }

    /// Puts what a content is in words, where it says that they are written otherwise.
    fn put_decoded(&mut self, content: &Content, data: Range<usize>) -> Step {
        if self.pass == Pass::InCharset && content.charset.is_some() {
            return Ok(());
        }
        let (mut plain, mut text) =
            (std::mem::take(&mut self.scratch.value), std::mem::take(&mut self.scratch.text));
        let outcome = self.put_decoded_into(content, data, (&mut plain, &mut text));
        (self.scratch.value, self.scratch.text) = (plain, text);
        outcome
    }

    fn put_decoded_into(
        &mut self,
        content: &Content,
        data: Range<usize>,
        (plain, text): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Step {
        let mut bytes = &self.input[data.clone()];
        if content.transfer != Transfer::Identity {
            if !content.transfer.decode(bytes, plain) {
                let message =
                    "a part's content is not encoded as it says, or as nobody here can read";
                self.note(data.start, Fault::Encoding, message);
            }
            if bytes != *plain && !plain.is_empty() && self.pass == Pass::First {
                self.put_content(data.start, Text::Decoded(plain))?;
            }
            bytes = plain;
        }
        let charset = content.charset.clone().map(|range| &self.input[range]).or(self.charset);
        match decode_charset(bytes, charset, text) {
            Charset::Decoded { .. } if *text != bytes => {
                self.put_content(data.start, Text::Decoded(text))
            }
            Charset::Unknown if !self.scratch.disposition.is_file() => {
                self.note(data.start, Fault::Encoding, UNKNOWN_CHARSET);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_line_end(&mut self, line: &[u8]) {
        self.outcome.crlf_line |= line.ends_with(b"\r\n");
        self.outcome.lf_line |= line.ends_with(b"\n") && !line.ends_with(b"\r\n");
    }

    fn note(&mut self, offset: usize, kind: Fault, message: &'static str) {
        self.outcome.problem.get_or_insert(Problem::new(offset, kind, message));
    }
}

fn stored<'a>(text: Option<&Stored>, buffer: &'a [u8]) -> Text<'a> {
    match text {
        None => Text::At(0..0),
        Some(Stored::At(range)) => Text::At(range.clone()),
        Some(Stored::Buffer(range)) => Text::Decoded(&buffer[range.clone()]),
    }
}

/// Cuts one CR LF or LF.
fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
