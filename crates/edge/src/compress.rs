//! Compression of responses on the fly: whether, with what, and the streaming itself.
//!
//! Nothing here does I/O. The dataplane asks [`negotiate`] and [`worth`], then feeds an
//! [`Encoder`] and sends what it appends.
//!
//! **Secrets in compressed bodies** (BREACH): where a body holds both a secret (a CSRF token) and
//! text an attacker chooses (an echoed query), the length of the compressed body tells the secret
//! byte by byte, whatever TLS does. No encoder can know which bodies those are. So compression is
//! off until a route asks for it, a response opts out with `Cache-Control: no-transform`, and the
//! guide (`docs/guide/static-sites.md`) names the routes to leave alone. Tokens that are masked
//! anew in each response are safe.

use std::io::{self, Write};

use selvedge_config::Encoding;

/// The token of a coding in `Content-Encoding` and `Accept-Encoding`.
pub(crate) fn token(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Zstd => "zstd",
        Encoding::Brotli => "br",
        Encoding::Gzip => "gzip",
    }
}

/// Chooses the coding of a response (RFC 9110 §12.5.3); `None` is identity.
///
/// `accept_encoding` is the field's value, several lines joined by commas; without the field pass
/// nothing. The highest weight wins, then the earlier in `offered`; identity wins only where the
/// client weighs it higher. A client that forbids identity and everything offered gets identity
/// all the same: a body it may be able to read beats a 406.
pub(crate) fn negotiate(accept_encoding: &[u8], offered: &[Encoding]) -> Option<Encoding> {
    if accept_encoding.is_empty() {
        return None;
    }
    let weights = CodingWeights::parse(accept_encoding);
    let floor = weights.identity.unwrap_or(0).max(1);
    let mut best = None;
    for &encoding in offered {
        let weight = weights.of(encoding);
        if weight >= best.map_or(floor, |(most, _)| most + 1) {
            best = Some((weight, encoding));
        }
    }
    best.map(|(_, encoding)| encoding)
}

/// What a client said of each coding, in thousandths; `None` where it said nothing.
#[derive(Default)]
struct CodingWeights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl CodingWeights {
    fn parse(accept_encoding: &[u8]) -> Self {
        let mut weights = Self::default();
        for (name, weight) in weighted_list(accept_encoding) {
            if let Some(slot) = weights.slot(name) {
                *slot = Some(weight);
            }
        }
        weights
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<u16>> {
        let named = |token: &str| name.eq_ignore_ascii_case(token.as_bytes());
        Some(match () {
            () if named("zstd") => &mut self.zstd,
            () if named("br") => &mut self.brotli,
            () if named("gzip") || named("x-gzip") => &mut self.gzip,
            () if named("identity") => &mut self.identity,
            () if name == b"*" => &mut self.any,
            () => return None,
        })
    }

    fn of(&self, encoding: Encoding) -> u16 {
        let said = match encoding {
            Encoding::Zstd => self.zstd,
            Encoding::Brotli => self.brotli,
            Encoding::Gzip => self.gzip,
        };
        said.or(self.any).unwrap_or(0)
    }
}

/// The members of an `Accept`-like list with their weights in thousandths (RFC 9110 §12.4.2).
/// Parameters other than `q` are dropped; members with a malformed weight are passed over.
pub(crate) fn weighted_list(list: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    list.split(|&byte| byte == b',').filter_map(|member| {
        let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = match parts.find_map(weight_text) {
            Some(text) => weight(text)?,
            None => 1000,
        };
        Some((name, weight))
    })
}

fn weight_text(parameter: &[u8]) -> Option<&[u8]> {
    let (name, text) = parameter.split_at_checked(2)?;
    name.eq_ignore_ascii_case(b"q=").then_some(text)
}

/// `0.5` → 500. At most three decimals, at most 1.
fn weight(text: &[u8]) -> Option<u16> {
    let (&whole, rest) = text.split_first()?;
    let decimals = match rest {
        [] => rest,
        [b'.', decimals @ ..] if decimals.len() <= 3 => decimals,
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = decimals.iter().chain(b"000").take(3);
    let thousandths = padded.fold(u16::from(whole - b'0'), |sum, d| sum * 10 + u16::from(d - b'0'));
    (thousandths <= 1000).then_some(thousandths)
}

/// What [`worth`] looks at of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// Status code.
    pub(crate) status: u16,
    /// `Content-Type`.
    pub(crate) content_type: Option<&'a [u8]>,
    /// `Content-Length`; unknown counts as large.
    pub(crate) content_length: Option<u64>,
    /// Whether a `Content-Encoding` is there.
    pub(crate) encoded: bool,
    /// `Cache-Control`.
    pub(crate) cache_control: Option<&'a [u8]>,
}

/// Whether compressing the response pays and is allowed. `min` is the smallest body that does.
pub(crate) fn worth(candidate: &Candidate<'_>, min: u64) -> bool {
    let Candidate { status, content_type, content_length, encoded, cache_control } = *candidate;
    let has_whole_body = status >= 200 && !matches!(status, 204 | 205 | 206 | 304);
    has_whole_body
        && !encoded
        && content_length.is_none_or(|length| length >= min.max(1))
        && content_type.is_some_and(compresses_well)
        && !cache_control.is_some_and(forbids_transform)
}

/// Text and what is built like it.
fn compresses_well(content_type: &[u8]) -> bool {
    const TYPES: [&str; 15] = [
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/json-seq",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/vnd.microsoft.icon",
        "image/x-icon",
    ];
    let essence = essence(content_type).to_ascii_lowercase();
    essence.starts_with(b"text/")
        || [&b"+json"[..], b"+xml", b"+text"].iter().any(|suffix| essence.ends_with(suffix))
        || TYPES.iter().any(|kind| kind.as_bytes() == essence)
}

/// `text/html; charset=utf-8` → `text/html`.
fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

fn forbids_transform(cache_control: &[u8]) -> bool {
    let mut directives = cache_control.split(|&byte| byte == b',');
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// The `ETag` of a response compressed on the fly: its bytes may differ from run to run, so a
/// strong tag becomes a weak one (RFC 9110 §8.8.1). Such a response must lose `Content-Length`
/// and `Accept-Ranges` as well, and gain `Vary: Accept-Encoding`.
pub(crate) fn weakened_etag(etag: &[u8]) -> Vec<u8> {
    match etag.starts_with(b"W/") {
        true => etag.to_vec(),
        false => [b"W/", etag].concat(),
    }
}

/// A streaming encoder of one body. Output is appended to the vector given.
///
/// Memory held until `finish`: gzip about 256 KiB, zstd and Brotli about 1.5 MiB.
pub(crate) struct Encoder(Codec);

enum Codec {
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
}

const ZSTD_LEVEL: i32 = 3;
/// 512 KiB; RFC 9659 allows 8 MiB, each byte of it paid for by each running response.
const ZSTD_WINDOW_LOG: u32 = 19;
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_LOG: u32 = 19;
const BROTLI_BUFFER: usize = 16 * 1024;
const GZIP_LEVEL: u32 = 5;

impl Encoder {
    /// Starts a body. Fails when the codec cannot get its memory.
    pub(crate) fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(Self(match encoding {
            Encoding::Zstd => {
                let mut codec = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                codec.window_log(ZSTD_WINDOW_LOG)?;
                Codec::Zstd(Box::new(codec))
            }
            Encoding::Brotli => Codec::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER,
                BROTLI_QUALITY,
                BROTLI_WINDOW_LOG,
            ))),
            Encoding::Gzip => Codec::Gzip(Box::new(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(GZIP_LEVEL),
            ))),
        }))
    }

    /// Takes input; output may come now or later.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.lend(out, |codec| codec.write_all(input))
    }

    /// Makes everything pushed so far readable to the client.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.lend(out, |codec| codec.flush())
    }

    /// Ends the body.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        std::mem::swap(self.0.sink(), out);
        let finished = match self.0 {
            Codec::Zstd(codec) => codec.finish()?,
            Codec::Brotli(codec) => codec.into_inner(),
            Codec::Gzip(codec) => codec.finish()?,
        };
        *out = finished;
        Ok(())
    }

    /// Runs `step` while the codec writes straight into `out`.
    fn lend(
        &mut self,
        out: &mut Vec<u8>,
        step: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        std::mem::swap(self.0.sink(), out);
        let result = step(self.0.writer());
        std::mem::swap(self.0.sink(), out);
        result
    }
}

impl Codec {
    fn sink(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(codec) => codec.get_mut(),
            Self::Brotli(codec) => codec.get_mut(),
            Self::Gzip(codec) => codec.get_mut(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(codec) => codec,
            Self::Brotli(codec) => codec,
            Self::Gzip(codec) => codec,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

    #[track_caller]
    fn check_negotiate(accept_encoding: &str, expected: Option<Encoding>) {
        assert_eq!(negotiate(accept_encoding.as_bytes(), &ALL), expected, "{accept_encoding:?}");
    }

    #[test]
    fn weights_choose_the_coding() {
        use Encoding::{Brotli, Gzip, Zstd};
        check_negotiate("", None);
        check_negotiate("gzip", Some(Gzip));
        check_negotiate("x-gzip", Some(Gzip));
        check_negotiate("GZip, deflate", Some(Gzip));
        check_negotiate("deflate", None);
        check_negotiate("gzip, br", Some(Brotli));
        check_negotiate("gzip, deflate, br, zstd", Some(Zstd));
        check_negotiate("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Gzip));
        check_negotiate("gzip ; q=0.5 , br ;Q=0.501", Some(Brotli));
        check_negotiate("*", Some(Zstd));
        check_negotiate("zstd;q=0, *", Some(Brotli));
        check_negotiate("*;q=0", None);
        check_negotiate("br;q=0.001, *;q=0", Some(Brotli));
        check_negotiate("identity", None);
        check_negotiate("identity, gzip", Some(Gzip));
        check_negotiate("identity;q=1, gzip;q=0.5", None);
        check_negotiate("identity;q=0.5, gzip;q=0.5", Some(Gzip));
        check_negotiate("identity;q=0, gzip;q=0.1", Some(Gzip));
        check_negotiate("identity;q=0", None);
        check_negotiate("identity;q=0, *;q=0.5", Some(Zstd));
        check_negotiate("gzip;q=0", None);
        check_negotiate("gzip;q=0.000", None);
    }

    #[test]
    fn members_with_a_malformed_weight_are_passed_over() {
        for weight in ["2", "1.001", "0.1234", "-1", "x", "", "0,5", ".5", "01"] {
            let list = format!("br;q={weight}, gzip;q=0.2");
            assert_eq!(negotiate(list.as_bytes(), &ALL), Some(Encoding::Gzip), "{list}");
        }
    }

    #[test]
    fn only_what_is_offered_is_chosen() {
        assert_eq!(negotiate(b"br, gzip;q=0.1", &[Encoding::Gzip]), Some(Encoding::Gzip));
        assert_eq!(negotiate(b"br", &[Encoding::Gzip]), None);
        assert_eq!(negotiate(b"*", &[]), None);
    }

    fn page() -> Candidate<'static> {
        Candidate {
            status: 200,
            content_type: Some(b"text/html; charset=utf-8"),
            content_length: Some(4096),
            encoded: false,
            cache_control: None,
        }
    }

    #[track_caller]
    fn check_worth(candidate: Candidate<'_>, expected: bool) {
        assert_eq!(worth(&candidate, 1024), expected, "{candidate:?}");
    }

    #[test]
    fn text_of_some_size_is_worth_it() {
        check_worth(page(), true);
        check_worth(Candidate { status: 404, ..page() }, true);
        check_worth(Candidate { content_length: Some(1024), ..page() }, true);
        check_worth(Candidate { content_length: Some(1023), ..page() }, false);
        check_worth(Candidate { content_length: None, ..page() }, true);
        check_worth(Candidate { encoded: true, ..page() }, false);
        check_worth(Candidate { cache_control: Some(b"max-age=1, No-Transform"), ..page() }, false);
        check_worth(Candidate { cache_control: Some(b"max-age=1, public"), ..page() }, true);
        for status in [101, 204, 205, 206, 304] {
            check_worth(Candidate { status, ..page() }, false);
        }
    }

    #[test]
    fn only_types_that_shrink_are_worth_it() {
        let kind = |kind: &'static str| Candidate { content_type: Some(kind.as_bytes()), ..page() };
        for shrinks in [
            "Text/Plain",
            "application/json",
            "application/problem+json;charset=utf-8",
            "image/svg+xml",
            "text/event-stream",
            "application/wasm",
        ] {
            check_worth(kind(shrinks), true);
        }
        for does_not in
            ["image/png", "application/grpc", "application/zip", "video/mp4", "font/woff2", ""]
        {
            check_worth(kind(does_not), false);
        }
        check_worth(Candidate { content_type: None, ..page() }, false);
    }

    #[test]
    fn a_strong_tag_is_weakened_once() {
        assert_eq!(weakened_etag(b"\"a\""), b"W/\"a\"");
        assert_eq!(weakened_etag(b"W/\"a\""), b"W/\"a\"");
    }

    fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read> = match encoding {
            Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
            Encoding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        };
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).unwrap();
        plain
    }

    /// What a client can read of a stream that has not ended.
    fn decoded_so_far(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read> = match encoding {
            Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
            Encoding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Encoding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        };
        let mut plain = Vec::new();
        let mut byte = [0];
        while let Ok(1) = reader.read(&mut byte) {
            plain.push(byte[0]);
        }
        plain
    }

    #[test]
    fn an_empty_body_is_a_valid_stream() {
        for encoding in ALL {
            let mut out = Vec::new();
            Encoder::new(encoding).unwrap().finish(&mut out).unwrap();
            assert_eq!(decoded(encoding, &out), b"", "{encoding:?}");
        }
    }

    #[test]
    fn output_is_appended() {
        for encoding in ALL {
            let mut out = b"head".to_vec();
            let mut encoder = Encoder::new(encoding).unwrap();
            encoder.push(b"body", &mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            assert_eq!(&out[..4], b"head");
            assert_eq!(decoded(encoding, &out[4..]), b"body");
        }
    }

    #[test]
    fn text_becomes_smaller() {
        let text = "All that is gold does not glitter. ".repeat(2000);
        for encoding in ALL {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(encoding).unwrap();
            encoder.push(text.as_bytes(), &mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            assert!(out.len() < text.len() / 20, "{encoding:?}: {}", out.len());
        }
    }

    #[test]
    fn a_flush_makes_all_that_was_pushed_readable() {
        for encoding in ALL {
            let mut out = Vec::new();
            let mut plain = Vec::new();
            let mut encoder = Encoder::new(encoding).unwrap();
            for event in [&b"data: one\n\n"[..], b"data: two\n\n", b"data: three\n\n"] {
                plain.extend_from_slice(event);
                encoder.push(event, &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                assert_eq!(decoded_so_far(encoding, &out), plain, "{encoding:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn odd_chunks_round_trip(
            chunks in prop::collection::vec(
                (prop::collection::vec(0u8..6, 0..5000), any::<bool>()), 0..12),
        ) {
            for encoding in ALL {
                let mut encoder = Encoder::new(encoding).unwrap();
                let (mut plain, mut out) = (Vec::new(), Vec::new());
                for (chunk, flush) in &chunks {
                    plain.extend_from_slice(chunk);
                    encoder.push(chunk, &mut out).unwrap();
                    if *flush {
                        encoder.flush(&mut out).unwrap();
                    }
                }
                encoder.finish(&mut out).unwrap();
                prop_assert_eq!(decoded(encoding, &out), plain);
            }
        }

        #[test]
        fn no_list_panics(list in prop::collection::vec(any::<u8>(), 0..64)) {
            negotiate(&list, &ALL);
        }
    }
}
