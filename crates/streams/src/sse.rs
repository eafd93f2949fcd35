//! Server-sent events (Durable Streams, section 5.8; WHATWG HTML, section 9.2).

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::BASE64;
use serde::Serialize;

use crate::{content::Kind, json};

/// What follows each event of data.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Control {
    pub(crate) stream_next_offset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) up_to_date: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stream_closed: bool,
}

/// Writes records as one event `data`; nothing if there are none.
pub(crate) fn data(records: &[Bytes], kind: Kind, out: &mut BytesMut) {
    if records.is_empty() {
        return;
    }
    out.put_slice(b"event: data\n");
    match kind {
        Kind::Json => lines(&json::array(records.iter()), out),
        Kind::Text => lines(&String::from_utf8_lossy(&records.concat()).into_owned().into(), out),
        Kind::Binary => lines(&BASE64.encode(&records.concat()).into(), out),
    }
    out.put_u8(b'\n');
}

/// Writes an event `control`.
pub(crate) fn control(control: &Control, out: &mut BytesMut) {
    out.put_slice(b"event: control\ndata:");
    let json = serde_json::to_vec(control).expect("strings and flags have a spelling in JSON");
    out.put_slice(&json);
    out.put_slice(b"\n\n");
}

/// Each line of `text` becomes a field, so that no text can end an event or begin another: lines end as readers see them,
/// with CR LF, LF or CR.
fn lines(text: &Bytes, out: &mut BytesMut) {
    let mut rest = &text[..];
    while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
        field(&rest[..end], out);
        let pair = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(pair)..];
    }
    field(rest, out);
}

/// A reader drops one space after the colon: a line that begins with one gets a second.
fn field(line: &[u8], out: &mut BytesMut) {
    out.put_slice(b"data:");
    if line.first() == Some(&b' ') {
        out.put_u8(b' ');
    }
    out.put_slice(line);
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(records: &[&'static [u8]], kind: Kind, expected: &str) {
        let records: Vec<Bytes> = records.iter().map(|record| Bytes::from_static(record)).collect();
        let mut out = BytesMut::new();
        data(&records, kind, &mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn records_are_one_event() {
        check(&[], Kind::Text, "");
        check(&[b"a", b"b"], Kind::Text, "event: data\ndata:ab\n\n");
        check(&[b"{\"a\":1}", b"2"], Kind::Json, "event: data\ndata:[{\"a\":1},2]\n\n");
        check(&[&[0, 1], &[255]], Kind::Binary, "event: data\ndata:AAH/\n\n");
    }

    #[test]
    fn no_text_ends_its_event() {
        check(
            &[b"x\n\nevent: control\n"],
            Kind::Text,
            "event: data\ndata:x\ndata:\ndata:event: control\ndata:\n\n",
        );
        check(&[b"x\r\n\r\ry"], Kind::Text, "event: data\ndata:x\ndata:\ndata:\ndata:y\n\n");
        check(&[b" kept\n two"], Kind::Text, "event: data\ndata:  kept\ndata:  two\n\n");
        check(&[b"\xff"], Kind::Text, "event: data\ndata:\u{fffd}\n\n");
        check(&[b"[\n1\r]"], Kind::Json, "event: data\ndata:[[\ndata:1\ndata:]]\n\n");
    }

    #[test]
    fn controls_say_what_is_so() {
        let mut out = BytesMut::new();
        control(
            &Control { stream_next_offset: "01".into(), stream_closed: true, ..Control::default() },
            &mut out,
        );
        assert_eq!(
            &out[..],
            b"event: control\ndata:{\"streamNextOffset\":\"01\",\"streamClosed\":true}\n\n"
        );
    }
}
