//! Verdicts as they lie in a frame.

use bytes::{BufMut, Bytes};

use super::{Answer, Change, Decision, Finding, Operation, Target, Verdict, is_value_name};
use crate::{
    event::Event,
    fields::{is_name, is_value},
    setup::read_event,
    wire::{Malformed, Reader, TooLong, put_bytes8, put_bytes16, put_bytes32},
};

const ALLOW: u8 = 0;
const BLOCK: u8 = 1;
const REDIRECT: u8 = 2;
const CHALLENGE: u8 = 3;

impl Verdict {
    pub(crate) fn write(&self, event: Event, out: &mut impl BufMut) -> Result<(), TooLong> {
        out.put_u8(event.number());
        write_decision(&self.decision, out)?;
        put_count16(out, self.changes.len())?;
        self.changes.iter().try_for_each(|change| write_change(change, out))?;
        put_count16(out, self.findings.len())?;
        self.findings.iter().try_for_each(|finding| write_finding(finding, out))?;
        put_count8(out, self.values.len())?;
        write_pairs(&self.values, out)?;
        put_bytes16(out, self.reason.as_bytes())
    }

    /// Reads the payload of a `VERDICT` frame; `done` if the frame ends the stream.
    pub(crate) fn read(payload: &[u8], done: bool) -> Result<(Event, Self), Malformed> {
        let mut reader = Reader::new(payload);
        let event = read_event(&mut reader)?;
        let mut verdict = Self::new(read_decision(&mut reader)?);
        if !verdict.is_allow() && !done {
            return Err(Malformed("a refusal that does not end its stream"));
        }
        verdict.done = done;
        verdict.changes = list(reader.u16()?, || read_change(&mut reader))?;
        verdict.findings = list(reader.u16()?, || read_finding(&mut reader))?;
        verdict.values = list(reader.u8()?.into(), || read_value(&mut reader))?;
        verdict.reason = reader.text16()?.to_owned();
        reader.end()?;
        Ok((event, verdict))
    }
}

fn list<T>(
    count: u16,
    mut read: impl FnMut() -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    (0..count).map(|_| read()).collect()
}

fn put_count8(out: &mut impl BufMut, count: usize) -> Result<(), TooLong> {
    out.put_u8(u8::try_from(count).map_err(|_| TooLong)?);
    Ok(())
}

fn put_count16(out: &mut impl BufMut, count: usize) -> Result<(), TooLong> {
    out.put_u16(u16::try_from(count).map_err(|_| TooLong)?);
    Ok(())
}

fn write_decision(decision: &Decision, out: &mut impl BufMut) -> Result<(), TooLong> {
    match decision {
        Decision::Allow => {
            out.put_u8(ALLOW);
            Ok(())
        }
        Decision::Block(answer) => {
            out.put_u8(BLOCK);
            write_answer(answer, out)
        }
        Decision::Redirect { location, answer } => {
            out.put_u8(REDIRECT);
            write_answer(answer, out)?;
            put_bytes16(out, location.as_bytes())
        }
        Decision::Challenge { scheme, parameters, answer } => {
            out.put_u8(CHALLENGE);
            write_answer(answer, out)?;
            put_bytes8(out, scheme.as_bytes())?;
            put_count8(out, parameters.len())?;
            write_pairs(parameters, out)
        }
    }
}

fn read_decision(reader: &mut Reader<'_>) -> Result<Decision, Malformed> {
    match reader.u8()? {
        ALLOW => Ok(Decision::Allow),
        BLOCK => read_answer(reader).map(Decision::Block),
        REDIRECT => {
            let answer = read_answer(reader)?;
            let location = reader.text16()?.to_owned();
            let fits = is_value(location.as_bytes()) && !location.is_empty();
            expect(fits, "a location that is not a field value")?;
            Ok(Decision::Redirect { location, answer })
        }
        CHALLENGE => {
            let answer = read_answer(reader)?;
            let scheme = reader.text8()?.to_owned();
            expect(is_name(&scheme), "a scheme that is not a token")?;
            let parameters = list(reader.u8()?.into(), || {
                let (name, value) = read_pair(reader)?;
                let fits = is_name(&name) && is_value(value.as_bytes());
                expect(fits, "a parameter that cannot be quoted")?;
                Ok((name, value))
            })?;
            Ok(Decision::Challenge { scheme, parameters, answer })
        }
        _ => Err(Malformed("a decision that does not exist")),
    }
}

fn expect(fits: bool, otherwise: &'static str) -> Result<(), Malformed> {
    if fits { Ok(()) } else { Err(Malformed(otherwise)) }
}

fn write_answer(answer: &Answer, out: &mut impl BufMut) -> Result<(), TooLong> {
    let Answer { status, fields, body } = answer;
    out.put_u16(*status);
    put_count16(out, fields.len())?;
    for (name, value) in fields {
        put_bytes16(out, name.as_bytes())?;
        put_bytes16(out, value)?;
    }
    put_bytes32(out, body)
}

fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, Malformed> {
    let status = reader.u16()?;
    expect((200..=599).contains(&status), "a status that answers nothing")?;
    let fields = list(reader.u16()?, || read_field(reader))?;
    Ok(Answer { status, fields, body: Bytes::copy_from_slice(reader.bytes32()?) })
}

fn read_field(reader: &mut Reader<'_>) -> Result<(String, Bytes), Malformed> {
    let (name, value) = (reader.text16()?, reader.bytes16()?);
    expect(is_name(name) && is_value(value), "a field that HTTP does not allow")?;
    Ok((name.to_owned(), Bytes::copy_from_slice(value)))
}

fn write_change(change: &Change, out: &mut impl BufMut) -> Result<(), TooLong> {
    let Change { target, operation, name, value } = change;
    out.put_u8(*target as u8);
    out.put_u8(*operation as u8);
    put_bytes16(out, name.as_bytes())?;
    put_bytes16(out, value)
}

fn read_change(reader: &mut Reader<'_>) -> Result<Change, Malformed> {
    let target = match reader.u8()? {
        0 => Target::Request,
        1 => Target::Response,
        _ => return Err(Malformed("a change of neither request nor response")),
    };
    let operation = match reader.u8()? {
        0 => Operation::Set,
        1 => Operation::Add,
        2 => Operation::Remove,
        _ => return Err(Malformed("a change that does not exist")),
    };
    let (name, value) = read_field(reader)?;
    expect(operation != Operation::Remove || value.is_empty(), "a removal with a value")?;
    Ok(Change { target, operation, name, value })
}

fn write_finding(finding: &Finding, out: &mut impl BufMut) -> Result<(), TooLong> {
    let Finding { rule, score, tags, detail } = finding;
    put_bytes16(out, rule.as_bytes())?;
    out.put_u16(*score);
    put_count8(out, tags.len())?;
    tags.iter().try_for_each(|tag| put_bytes8(out, tag.as_bytes()))?;
    put_bytes16(out, detail.as_bytes())
}

fn read_finding(reader: &mut Reader<'_>) -> Result<Finding, Malformed> {
    Ok(Finding {
        rule: reader.text16()?.to_owned(),
        score: reader.u16()?,
        tags: list(reader.u8()?.into(), || reader.text8().map(str::to_owned))?,
        detail: reader.text16()?.to_owned(),
    })
}

fn write_pairs(pairs: &[(String, String)], out: &mut impl BufMut) -> Result<(), TooLong> {
    pairs.iter().try_for_each(|(name, value)| {
        put_bytes8(out, name.as_bytes())?;
        put_bytes16(out, value.as_bytes())
    })
}

fn read_value(reader: &mut Reader<'_>) -> Result<(String, String), Malformed> {
    let (name, value) = read_pair(reader)?;
    expect(is_value_name(&name), "a value without a name, or with one that is too long")?;
    Ok((name, value))
}

fn read_pair(reader: &mut Reader<'_>) -> Result<(String, String), Malformed> {
    Ok((reader.text8()?.to_owned(), reader.text16()?.to_owned()))
}
