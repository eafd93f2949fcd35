//! A tunnel whose WebSocket frames agents look at (RFC 6455): each frame is held until it was judged.
//!
//! Extensions are not negotiated in such a tunnel, so frames are what they seem. Pings and pongs pass
//! unjudged.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use crate::{
    deadline::Deadline,
    transport::{Read, Transport},
    tunnel::{End, Moved},
};

/// Longest payload of one frame; a longer one ends the tunnel with 1009.
pub(crate) const PAYLOAD_MAX: usize = 1 << 20;

/// Close codes (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;
/// Codes that a tunnel ended by an agent that cannot be asked ends with.
const TRY_LATER: u16 = 1013;

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) is_last: bool,
    /// Unmasked.
    pub(crate) payload: Bytes,
    mask: Option<[u8; 4]>,
}

/// What becomes of a frame.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// It goes on.
    Pass,
    /// It goes on with another payload.
    Replace(Bytes),
    /// The tunnel ends.
    Refuse,
    /// Nobody can say, so the tunnel ends.
    Unanswered,
}

/// Whoever judges frames.
pub(crate) trait Judge {
    /// Judges one frame; the other direction goes on meanwhile.
    fn judge(&self, frame: &Frame, from_upstream: bool) -> impl Future<Output = Judgement>;
}

/// Moves frames both ways until both ends are done, one fails, an agent ends it, or nothing moves
/// for `idle`.
pub(crate) async fn run(
    (client, upstream): (&mut End, &mut End),
    judge: &impl Judge,
    deadline: &Deadline,
    idle: Duration,
) -> Moved {
    let (to_client, to_upstream) = (client.transport.clone(), upstream.transport.clone());
    let mut moved = Moved::default();
    let way =
        |from_upstream| Way { judge, from_upstream, deadline, idle, within: Cell::new(false) };
    let (forth, back) = (way(false), way(true));
    let stopped = {
        let mut forth_run = pin!(forth.run(client, &to_upstream, &mut moved.forth));
        let mut back_run = pin!(back.run(upstream, &to_client, &mut moved.back));
        let (mut forth_over, mut back_over) = (false, false);
        deadline.arm(idle);
        poll_fn(|context| {
            if !forth_over {
                match forth_run.as_mut().poll(context) {
                    Poll::Ready(Err(stop)) => return Poll::Ready(Some(stop)),
                    polled => forth_over = polled.is_ready(),
                }
            }
            if !back_over {
                match back_run.as_mut().poll(context) {
                    Poll::Ready(Err(stop)) => return Poll::Ready(Some(stop)),
                    polled => back_over = polled.is_ready(),
                }
            }
            if forth_over && back_over {
                return Poll::Ready(None);
            }
            deadline.poll_expired(context).map(|()| None)
        })
        .await
    };
    if let Some(Stop::Close(code)) = stopped {
        let told = async {
            // Whoever does not read, or is in the middle of a frame, does not hear why.
            if !back.within.get() {
                let _ = write_all(&to_client, &close_frame(code, None)).await;
            }
            if !forth.within.get() {
                let _ = write_all(&to_upstream, &close_frame(code, Some([0; 4]))).await;
            }
        };
        let mut told = pin!(told);
        deadline.arm(CLOSE_WITHIN);
        let _ = deadline.within(|context| told.as_mut().poll(context)).await;
    }
    moved
}

/// Time to tell both ends why a tunnel ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Why a direction stopped before its end.
enum Stop {
    Io,
    Close(u16),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

/// One direction of a tunnel.
struct Way<'a, J> {
    judge: &'a J,
    from_upstream: bool,
    deadline: &'a Deadline,
    idle: Duration,
    /// Part of a frame has gone out, and the rest has not.
    within: Cell<bool>,
}

impl<J: Judge> Way<'_, J> {
    async fn run(&self, from: &mut End, to: &Transport, moved: &mut u64) -> Result<(), Stop> {
        let mut reader = FrameReader::new(!self.from_upstream);
        loop {
            while !from.input.is_empty() {
                let (used, frame) = reader.take(from.input.bytes()).map_err(Stop::Close)?;
                from.input.consume(used);
                if let Some(frame) = frame {
                    let bytes = self.judged(frame).await?;
                    self.within.set(true);
                    write_all(to, &bytes).await?;
                    self.within.set(false);
                    *moved += bytes.len() as u64;
                    self.deadline.arm(self.idle);
                }
            }
            let read = poll_fn(|context| from.input.poll_read(&from.transport, context)).await?;
            if read == Read::Closed {
                poll_fn(|context| to.poll_shutdown(context)).await?;
                return Ok(());
            }
        }
    }

    /// The frame as it goes on.
    async fn judged(&self, frame: Frame) -> Result<Bytes, Stop> {
        if matches!(frame.opcode, PING | PONG) {
            return Ok(frame.encode(&frame.payload));
        }
        match self.judge.judge(&frame, self.from_upstream).await {
            Judgement::Pass => Ok(frame.encode(&frame.payload)),
            Judgement::Replace(payload) => Ok(frame.encode(&payload)),
            Judgement::Refuse => Err(Stop::Close(POLICY)),
            Judgement::Unanswered => Err(Stop::Close(TRY_LATER)),
        }
    }
}

async fn write_all(to: &Transport, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|context| {
        while !bytes.is_empty() {
            let count = ready!(to.poll_write(context, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes = &bytes[count..];
        }
        to.poll_flush(context)
    })
    .await
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

fn close_frame(code: u16, mask: Option<[u8; 4]>) -> Bytes {
    let payload = Bytes::copy_from_slice(&code.to_be_bytes());
    let frame = Frame { opcode: CLOSE, is_last: true, payload, mask };
    frame.encode(&frame.payload)
}

impl Frame {
    /// The frame with this payload, masked as it came (RFC 6455 §5.2).
    fn encode(&self, payload: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(payload.len() + HEAD_MAX);
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let first = if self.is_last { 0x80 } else { 0 } | self.opcode;
        match payload.len() {
            length @ 0..=125 => out.extend_from_slice(&[first, masked | length as u8]),
            length @ 126..=0xffff => {
                out.extend_from_slice(&[first, masked | 126]);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.extend_from_slice(&[first, masked | 127]);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let start = out.len();
        if let Some(mask) = self.mask {
            out.extend_from_slice(&mask);
            out.extend_from_slice(payload);
            unmask(mask, &mut out[start + 4..]);
        } else {
            out.extend_from_slice(payload);
        }
        out.freeze()
    }
}

/// Masking is its own inverse (RFC 6455 §5.3).
fn unmask(mask: [u8; 4], bytes: &mut [u8]) {
    for (byte, key) in bytes.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Longest head of a frame, in bytes.
const HEAD_MAX: usize = 14;

/// Collects one frame after the other.
struct FrameReader {
    /// Frames of clients are masked, those of servers are not.
    is_masked: bool,
    /// A message has begun, and its last frame is still to come.
    is_within_message: bool,
    buffer: BytesMut,
}

impl FrameReader {
    fn new(is_masked: bool) -> Self {
        Self { is_masked, is_within_message: false, buffer: BytesMut::new() }
    }

    /// Takes bytes up to the end of a frame; says how many were used. The error is a close code.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Frame>), u16> {
        let mut used = 0;
        loop {
            let wanted = self.wanted()?;
            let missing = wanted - self.buffer.len();
            if missing == 0 {
                return Ok((used, Some(self.frame())));
            }
            let now = missing.min(bytes.len() - used);
            self.buffer.extend_from_slice(&bytes[used..used + now]);
            used += now;
            if now < missing {
                return Ok((used, None));
            }
        }
    }

    /// Bytes to have before anything more can be said: of the head first, then of the whole frame.
    fn wanted(&self) -> Result<usize, u16> {
        let [first, second, rest @ ..] = &self.buffer[..] else { return Ok(2) };
        let (opcode, is_last) = (first & 0x0f, first & 0x80 != 0);
        let is_control = opcode >= CLOSE;
        let short = second & 0x7f;
        let known = match opcode {
            // Receivers that take them in another order would see messages that nobody judged (§5.4).
            CONTINUATION => self.is_within_message,
            TEXT | BINARY => !self.is_within_message,
            CLOSE | PING | PONG => true,
            _ => false,
        };
        if first & 0x70 != 0
            || !known
            || (second & 0x80 != 0) != self.is_masked
            || is_control && (!is_last || short > 125)
        {
            return Err(PROTOCOL_ERROR);
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(length) = rest.get(..extended) else { return Ok(2 + extended) };
        let length = match extended {
            0 => u64::from(short),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if length > PAYLOAD_MAX as u64 {
            return Err(TOO_BIG);
        }
        let mask = if self.is_masked { 4 } else { 0 };
        Ok(2 + extended + mask + length as usize)
    }

    /// The frame that is here whole.
    fn frame(&mut self) -> Frame {
        let bytes = self.buffer.split();
        let extended = match bytes[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let start = 2 + extended;
        let mask = self.is_masked.then(|| [0, 1, 2, 3].map(|place| bytes[start + place]));
        let (opcode, is_last) = (bytes[0] & 0x0f, bytes[0] & 0x80 != 0);
        if opcode < CLOSE {
            self.is_within_message = !is_last;
        }
        let mut payload = bytes;
        let _ = payload.split_to(start + mask.map_or(0, |mask| mask.len()));
        if let Some(mask) = mask {
            unmask(mask, &mut payload);
        }
        Frame { opcode, is_last, payload: payload.freeze(), mask }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(is_masked: bool, bytes: &[u8], piece: usize) -> Result<Vec<Frame>, u16> {
        let mut reader = FrameReader::new(is_masked);
        let mut frames = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let (used, frame) = reader.take(piece)?;
                piece = &piece[used..];
                frames.extend(frame);
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70_000), 1..4),
            mask in any::<Option<[u8; 4]>>(),
            piece in 1_usize..9000,
        ) {
            let frames: Vec<_> = payloads
                .into_iter()
                .map(|payload| Frame { opcode: 2, is_last: true, payload: payload.into(), mask })
                .collect();
            let bytes: Vec<u8> =
                frames.iter().flat_map(|frame| frame.encode(&frame.payload)).collect();
            prop_assert_eq!(read(mask.is_some(), &bytes, piece).unwrap(), frames);
        }

        #[test]
        fn anything_else_is_refused_or_waited_for(bytes in any::<Vec<u8>>(), masked in any::<bool>()) {
            let _ = read(masked, &bytes, 7);
        }
    }

    #[track_caller]
    fn check(is_masked: bool, bytes: &[u8], expected: u16) {
        assert_eq!(read(is_masked, bytes, bytes.len()), Err(expected));
    }

    #[test]
    fn what_breaks_the_rules_ends_the_tunnel() {
        check(false, &[0xc1, 0x00], PROTOCOL_ERROR);
        check(false, &[0x83, 0x00], PROTOCOL_ERROR);
        check(false, &[0x81, 0x80], PROTOCOL_ERROR);
        check(true, &[0x81, 0x00], PROTOCOL_ERROR);
        check(false, &[0x09, 0x00], PROTOCOL_ERROR);
        check(false, &[0x89, 126, 0, 126], PROTOCOL_ERROR);
        check(false, &[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], TOO_BIG);
        check(false, &[0x80, 0x00], PROTOCOL_ERROR);
        check(false, &[0x01, 0x00, 0x81, 0x00], PROTOCOL_ERROR);
        check(false, &[0x01, 0x00, 0x89, 0x00, 0x80, 0x00, 0x80, 0x00], PROTOCOL_ERROR);
    }
}
