//! What the two sides tell each other before and beside streams.

use std::fmt;

use bytes::BufMut;

use crate::{
    event::Event,
    fault::{Fault, FaultCode},
    subscriptions::{Mode, Subscription, Subscriptions},
    wire::{Malformed, Reader, TooLong, put_bytes8, put_bytes16, put_bytes32},
};

/// The newest version that this crate speaks.
pub const VERSION: u16 = 2;

/// The oldest version that this crate speaks.
pub const VERSION_MIN: u16 = 1;

/// The first version in which an edge may ask what an agent measured.
pub(crate) const VERSION_OF_METRICS: u16 = 2;

/// No side may allow less than this in a frame, in bytes.
pub const FRAME_MAX_MIN: u32 = 16 << 10;

/// No side may give less room than this for a body, in bytes.
pub const WINDOW_MIN: u32 = 1 << 10;

const MAGIC: [u8; 4] = *b"SLVA";

/// How the edge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The newest version that both sides speak.
    pub version: u16,
    /// The longest payload that the edge takes, in bytes.
    pub frame_max: u32,
    /// Bytes that an agent may send in place of a body before the edge gives more room.
    pub window: u32,
    /// Name and version of the edge, for the agent's log.
    pub edge: &'a str,
    /// The agent's id in the edge's config.
    pub agent: &'a str,
    /// Which config the settings are of.
    pub generation: u64,
    /// The agent's settings.
    pub settings: Settings<'a>,
}

/// The settings of an agent, as JSON. They may hold secrets, so `Debug` shows their length alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Settings<'a>(&'a str);

impl<'a> Settings<'a> {
    /// Settings from JSON, which nobody checks.
    pub fn new(json: &'a str) -> Self {
        Self(json)
    }

    /// The JSON.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<'a> Hello<'a> {
    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        out.put_slice(&MAGIC);
        out.put_u16(VERSION_MIN);
        out.put_u16(self.version);
        out.put_u32(self.frame_max);
        out.put_u32(self.window);
        put_bytes16(out, self.edge.as_bytes())?;
        put_bytes16(out, self.agent.as_bytes())?;
        out.put_u64(self.generation);
        put_bytes32(out, self.settings.as_str().as_bytes())
    }

    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(payload);
        if reader.bytes(MAGIC.len())? != MAGIC {
            return Err(Fault::new(FaultCode::Malformed, "this is not the agent protocol"));
        }
        let (min, max) = (reader.u16()?, reader.u16()?);
        let version = max.min(VERSION);
        if version < min.max(VERSION_MIN) {
            let text =
                format!("the edge speaks {min} to {max}, the agent {VERSION_MIN} to {VERSION}");
            return Err(Fault::new(FaultCode::Version, text));
        }
        let (frame_max, window) = bounds(&mut reader)?;
        let hello = Self {
            version,
            frame_max,
            window,
            edge: reader.text16()?,
            agent: reader.text16()?,
            generation: reader.u64()?,
            settings: Settings::new(reader.text32()?),
        };
        reader.end()?;
        Ok(hello)
    }
}

/// How the agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The version of the protocol.
    pub(crate) protocol: u16,
    pub(crate) bounds: Bounds,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) subscriptions: Subscriptions,
}

/// What an agent takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest payload that it takes, in bytes.
    pub frame_max: u32,
    /// Bytes of each body that it has room for before it says more.
    pub window: u32,
    /// Streams that may be open at once.
    pub streams_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { frame_max: 256 << 10, window: 64 << 10, streams_max: 1024 }
    }
}

impl Ready {
    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        out.put_u16(self.protocol);
        out.put_u32(self.bounds.frame_max);
        out.put_u32(self.bounds.window);
        out.put_u32(self.bounds.streams_max);
        put_bytes16(out, self.name.as_bytes())?;
        put_bytes16(out, self.version.as_bytes())?;
        write_subscriptions(&self.subscriptions, out)
    }

    pub(crate) fn read(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(payload);
        let protocol = reader.u16()?;
        if !(VERSION_MIN..=VERSION).contains(&protocol) {
            let offered = format!("{VERSION_MIN} to {VERSION}");
            let text = format!("the agent chose version {protocol}, the edge offered {offered}");
            return Err(Fault::new(FaultCode::Version, text));
        }
        let (frame_max, window) = bounds(&mut reader)?;
        let streams_max = reader.u32()?;
        if streams_max == 0 {
            return Err(Fault::new(FaultCode::Malformed, "an agent that serves no stream"));
        }
        let ready = Self {
            protocol,
            bounds: Bounds { frame_max, window, streams_max },
            name: reader.text16()?.to_owned(),
            version: reader.text16()?.to_owned(),
            subscriptions: read_subscriptions(&mut reader)?,
        };
        reader.end()?;
        Ok(ready)
    }
}

fn bounds(reader: &mut Reader<'_>) -> Result<(u32, u32), Malformed> {
    let (frame_max, window) = (reader.u32()?, reader.u32()?);
    if frame_max < FRAME_MAX_MIN || window < WINDOW_MIN {
        return Err(Malformed("bounds below the least that the protocol allows"));
    }
    Ok((frame_max, window))
}

/// The agent's answer to new settings.
pub(crate) struct Configured<'a> {
    pub(crate) generation: u64,
    pub(crate) result: Result<Subscriptions, &'a str>,
}

impl<'a> Configured<'a> {
    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        out.put_u64(self.generation);
        out.put_u8(self.result.is_ok().into());
        match &self.result {
            Ok(subscriptions) => write_subscriptions(subscriptions, out),
            Err(text) => put_bytes16(out, text.as_bytes()),
        }
    }

    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let generation = reader.u64()?;
        let result = match reader.u8()? {
            0 => Err(reader.text16()?),
            1 => Ok(read_subscriptions(&mut reader)?),
            _ => return Err(Malformed("neither accepted nor refused")),
        };
        reader.end()?;
        Ok(Self { generation, result })
    }
}

fn write_subscriptions(all: &Subscriptions, out: &mut impl BufMut) -> Result<(), TooLong> {
    put_count(out, all.iter().len())?;
    for Subscription { event, mode, body_max, methods, content_types } in all.iter() {
        out.put_u8(event.number());
        out.put_u8(*mode as u8);
        out.put_u32(*body_max);
        for names in [methods, content_types] {
            put_count(out, names.len())?;
            names.iter().try_for_each(|name| put_bytes8(out, name.as_bytes()))?;
        }
    }
    Ok(())
}

fn put_count(out: &mut impl BufMut, count: usize) -> Result<(), TooLong> {
    out.put_u8(u8::try_from(count).map_err(|_| TooLong)?);
    Ok(())
}

fn read_subscriptions(reader: &mut Reader<'_>) -> Result<Subscriptions, Malformed> {
    let mut all = Subscriptions::none();
    for _ in 0..reader.u8()? {
        let one = read_subscription(reader)?;
        if all.get(one.event).is_some() {
            return Err(Malformed("an event that is wanted twice"));
        }
        all.push(one);
    }
    Ok(all)
}

fn read_subscription(reader: &mut Reader<'_>) -> Result<Subscription, Malformed> {
    let event = read_event(reader)?;
    let is_body = matches!(event, Event::RequestBody | Event::ResponseBody);
    let mode = match (reader.u8()?, is_body) {
        (0, false) => Mode::Whole,
        (1, true) => Mode::Inspect,
        (2, true) => Mode::Stream,
        _ => return Err(Malformed("a mode that the event does not have")),
    };
    let body_max = reader.u32()?;
    if body_max != 0 && !is_body && event != Event::WebsocketFrame {
        return Err(Malformed("a number of bytes for an event that has none"));
    }
    let (methods, content_types) = (read_names(reader)?, read_names(reader)?);
    Ok(Subscription { event, mode, body_max, methods, content_types })
}

fn read_names(reader: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    let count = reader.u8()?;
    (0..count).map(|_| reader.text8().map(str::to_owned)).collect()
}

pub(crate) fn read_event(reader: &mut Reader<'_>) -> Result<Event, Malformed> {
    Event::from_number(reader.u8()?).ok_or(Malformed("an event that does not exist"))
}
