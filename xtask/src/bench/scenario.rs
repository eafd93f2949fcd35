//! What is measured, as a table.

use super::peer::{Contestant, Flavour, Kind};

/// Routes of the scenario that has many.
pub const ROUTES: usize = 10_000;

/// Bytes of the request body that is posted.
pub const POST_BYTES: usize = 10 << 10;

/// Bytes of the file that is served.
pub const SITE_BYTES: usize = 1 << 10;

/// One thing that users do, done to every contestant alike.
#[derive(Debug)]
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// What happens, for the report.
    pub about: &'static str,
    /// What the proxies are configured for.
    pub setup: Setup,
    /// What is asked for.
    pub path: &'static str,
    /// How it is asked.
    pub load: Load,
    /// What each answer holds.
    pub answer: Answer,
    /// Who takes part.
    pub contestants: &'static [Contestant],
}

/// What the proxies are configured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// HTTP/1.1 to the origin.
    Plain,
    /// TLS 1.3 in front, HTTP/1.1 by ALPN.
    Tls,
    /// TLS 1.3 in front, HTTP/2 by ALPN.
    Http2,
    /// [`ROUTES`] prefixes: even ones to one listener of the origin, odd ones to the other.
    Routes,
    /// A folder of files, no origin.
    Static,
    /// As `Plain`, with a line in a file for each request.
    AccessLog,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 12 bytes that name the listener of the origin.
    Greeting,
    /// So many of the digits 0 to 9.
    Digits(usize),
    /// Length and checksum of what was posted.
    Digest,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// wrk, 64 connections that stay open.
    Get,
    /// wrk, [`POST_BYTES`] in each request.
    Post,
    /// wrk, another route with each request.
    Routes,
    /// h2load, 8 connections with 16 streams each.
    Multiplexed,
    /// A connection for each request, 64 at once, without resumption.
    Handshakes,
}

impl Answer {
    /// Bytes of the body.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Greeting => 12,
            Self::Digits(count) => count as u64,
            Self::Digest => "10240 00000000".len() as u64,
        }
    }
}

/// Everything that `bench edge` measures.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "small",
        about: "GET, 12 bytes, HTTP/1.1 keep-alive, 64 connections",
        setup: Setup::Plain,
        path: "/small",
        load: Load::Get,
        answer: Answer::Greeting,
        contestants: WITH_YARDSTICKS,
    },
    Scenario {
        name: "16k",
        about: "GET, 16 KiB, HTTP/1.1 keep-alive, 64 connections",
        setup: Setup::Plain,
        path: "/16k",
        load: Load::Get,
        answer: Answer::Digits(16 << 10),
        contestants: WITH_YARDSTICKS,
    },
    Scenario {
        name: "post-10k",
        about: "POST of 10 KiB, answered with length and checksum, 64 connections",
        setup: Setup::Plain,
        path: "/echo-length",
        load: Load::Post,
        answer: Answer::Digest,
        contestants: WITH_YARDSTICKS,
    },
    Scenario {
        name: "tls",
        about: "GET, 12 bytes, HTTP/1.1 over TLS 1.3, 64 connections kept alive",
        setup: Setup::Tls,
        path: "/small",
        load: Load::Get,
        answer: Answer::Greeting,
        contestants: PROXIES,
    },
    Scenario {
        name: "handshakes",
        about: "full TLS 1.3 handshake (X25519, ECDSA P-256), one GET, close; 64 at once",
        setup: Setup::Tls,
        path: "/small",
        load: Load::Handshakes,
        answer: Answer::Greeting,
        contestants: PROXIES,
    },
    Scenario {
        name: "http2",
        about: "GET, 12 bytes, HTTP/2 over TLS 1.3, 8 connections with 16 streams each",
        setup: Setup::Http2,
        path: "/small",
        load: Load::Multiplexed,
        answer: Answer::Greeting,
        contestants: PROXIES,
    },
    Scenario {
        name: "routes-10k",
        about: "as small, 10,000 path prefixes, another one with each request",
        setup: Setup::Routes,
        path: "/r0000/small",
        load: Load::Routes,
        answer: Answer::Greeting,
        contestants: PROXIES,
    },
    Scenario {
        name: "static",
        about: "GET of a file of 1 KiB, HTTP/1.1 keep-alive, 64 connections",
        setup: Setup::Static,
        path: "/file.txt",
        load: Load::Get,
        answer: Answer::Digits(SITE_BYTES),
        contestants: &[
            Contestant::new(Kind::Nginx, Flavour::Usual),
            Contestant::new(Kind::Nginx, Flavour::FileCache),
            Contestant::new(Kind::Selvedge, Flavour::Usual),
        ],
    },
    Scenario {
        name: "access-log",
        about: "as small, with a JSON line for each request in a file",
        setup: Setup::AccessLog,
        path: "/small",
        load: Load::Get,
        answer: Answer::Greeting,
        contestants: &[
            Contestant::new(Kind::Nginx, Flavour::Usual),
            Contestant::new(Kind::Nginx, Flavour::Buffered),
            Contestant::new(Kind::Selvedge, Flavour::Usual),
        ],
    },
];

const PROXIES: &[Contestant] = &[
    Contestant::new(Kind::Nginx, Flavour::Usual),
    Contestant::new(Kind::Haproxy, Flavour::Usual),
    Contestant::new(Kind::Selvedge, Flavour::Usual),
];

const WITH_YARDSTICKS: &[Contestant] = &[
    Contestant::new(Kind::Direct, Flavour::Usual),
    Contestant::new(Kind::Nginx, Flavour::Usual),
    Contestant::new(Kind::Haproxy, Flavour::Usual),
    Contestant::new(Kind::Hyper, Flavour::Usual),
    Contestant::new(Kind::Selvedge, Flavour::Usual),
];
