//! Reads lines `request HEX` or `response HEX`; prints, as one line of JSON each, the messages that
//! Selvedge's parser sees in those bytes.
#![expect(clippy::print_stdout, reason = "a filter between two pipes")]

use std::io::{self, BufRead as _};

use selvedge_fuzz::{
    framing::{End, Framed, Message, requests, responses},
    from_hex, to_hex,
};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not `request|response HEX`");
        let (kind, hex) = line.split_once(' ').ok_or_else(invalid)?;
        let bytes = from_hex(hex).ok_or_else(invalid)?;
        let framed = match kind {
            "request" => requests(&bytes),
            "response" => responses(&bytes),
            _ => return Err(invalid()),
        };
        println!("{}", describe(&framed));
    }
    Ok(())
}

fn describe(framed: &Framed) -> Value {
    let Framed { messages, end } = framed;
    let (end, code) = match end {
        End::Clean => ("clean", ""),
        End::Partial => ("partial", ""),
        End::Close => ("close", ""),
        End::Upgrade => ("upgrade", ""),
        End::Refused(code) => ("refused", code.as_str()),
    };
    let messages: Vec<Value> = messages.iter().map(message).collect();
    json!({ "messages": messages, "end": end, "code": code })
}

fn message(message: &Message) -> Value {
    let Message { start: (first, second), fields, body, complete } = message;
    let fields: Vec<Value> =
        fields.iter().map(|(name, value)| json!([name, to_hex(value)])).collect();
    json!({ "start": [first, second], "fields": fields, "body": to_hex(body), "complete": complete })
}
