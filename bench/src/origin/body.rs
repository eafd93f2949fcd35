//! A request body, skipped over in pieces of any size.

use super::head::Framing;

/// Bytes of one chunk-size or trailer line; a longer one breaks the body.
const LINE_BYTES_MAX: usize = 4 << 10;

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    stage: Stage,
    digest: Option<(u64, crc32fast::Hasher)>,
}

/// What the next bytes of a body were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes; the body goes on. None: the rest of a line is needed.
    Part(usize),
    /// The last bytes.
    Last(usize),
    /// Not a chunked body.
    Broken,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Plain { left: u64 },
    ChunkSize,
    Chunk { left: u64 },
    ChunkEnd,
    Trailers,
}

impl Body {
    /// A body that begins, with a digest if the answer needs one.
    pub fn new(framing: Framing, digested: bool) -> Self {
        let stage = match framing {
            Framing::Length(left) => Stage::Plain { left },
            Framing::Chunked => Stage::ChunkSize,
        };
        Self { stage, digest: digested.then(|| (0, crc32fast::Hasher::new())) }
    }

    /// Takes what it can of `input` in one step.
    pub fn take(&mut self, input: &[u8]) -> Piece {
        match self.stage {
            Stage::Plain { left } => self.take_plain(input, left),
            Stage::Chunk { left } => self.take_chunk(input, left),
            Stage::ChunkSize => self.take_line(input, Self::take_size),
            Stage::ChunkEnd => self.take_line(input, Self::take_chunk_end),
            Stage::Trailers => self.take_line(input, Self::take_trailer),
        }
    }

    /// Length and CRC-32 of what was taken, if asked for.
    pub fn digest(&self) -> Option<(u64, u32)> {
        self.digest.as_ref().map(|(length, crc)| (*length, crc.clone().finalize()))
    }

    fn take_plain(&mut self, input: &[u8], left: u64) -> Piece {
        let taken = self.take_bytes(input, left);
        let left = left - taken as u64;
        self.stage = Stage::Plain { left };
        if left == 0 { Piece::Last(taken) } else { Piece::Part(taken) }
    }

    fn take_chunk(&mut self, input: &[u8], left: u64) -> Piece {
        let taken = self.take_bytes(input, left);
        let left = left - taken as u64;
        self.stage = if left == 0 { Stage::ChunkEnd } else { Stage::Chunk { left } };
        Piece::Part(taken)
    }

    fn take_bytes(&mut self, input: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        if let Some((length, crc)) = &mut self.digest {
            *length += taken as u64;
            crc.update(&input[..taken]);
        }
        taken
    }

    /// Waits for a whole line, then gives it to `step` without its CRLF; `step` says whether the body has ended.
    fn take_line(
        &mut self,
        input: &[u8],
        step: fn(&mut Self, &[u8]) -> Result<bool, NotALine>,
    ) -> Piece {
        match memchr::memchr(b'\n', input) {
            None if input.len() > LINE_BYTES_MAX => Piece::Broken,
            None => Piece::Part(0),
            Some(end) => {
                let line = input[..end].strip_suffix(b"\r").ok_or(NotALine);
                match line.and_then(|line| step(self, line)) {
                    Ok(false) => Piece::Part(end + 1),
                    Ok(true) => Piece::Last(end + 1),
                    Err(NotALine) => Piece::Broken,
                }
            }
        }
    }

    fn take_size(&mut self, line: &[u8]) -> Result<bool, NotALine> {
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        let hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
        let text = str::from_utf8(digits).ok().filter(|_| hex).ok_or(NotALine)?;
        let left = u64::from_str_radix(text, 16).map_err(|_| NotALine)?;
        self.stage = if left == 0 { Stage::Trailers } else { Stage::Chunk { left } };
        Ok(false)
    }

    fn take_chunk_end(&mut self, line: &[u8]) -> Result<bool, NotALine> {
        self.stage = Stage::ChunkSize;
        if line.is_empty() { Ok(false) } else { Err(NotALine) }
    }

    fn take_trailer(&mut self, line: &[u8]) -> Result<bool, NotALine> {
        Ok(line.is_empty())
    }
}

/// The line is not what chunked coding has in this place.
struct NotALine;
