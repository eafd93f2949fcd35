//! `tls { … }` of a listener.

use std::path::PathBuf;

use crate::{
    Certificate, ClientAuth, Code, ListenerTls, TlsVersion,
    address::certificate_name,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Span, Spanned},
};

/// TLS of a listener as written.
pub(crate) struct TlsPart {
    span: Span,
    /// `cert` and `key` nodes: one pair.
    cert: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    has_cert: bool,
    has_key: bool,
    certificates: Vec<Spanned<Option<Certificate>>>,
    min_version: Option<Spanned<TlsVersion>>,
    max_version: Option<Spanned<TlsVersion>>,
    client_auth: Option<Option<ClientAuth>>,
    resumption: Option<Spanned<bool>>,
}

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

impl TlsPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            span: cursor.span(),
            has_cert: cursor.has("cert"),
            has_key: cursor.has("key"),
            cert: cursor.setting("cert", |value| value.file()),
            key: cursor.setting("key", |value| value.file()),
            certificates: cursor.children(&["certificate", "self-signed"], read_certificate),
            min_version: cursor.setting("min-version", |value| value.word(&VERSIONS)),
            max_version: cursor.setting("max-version", |value| value.word(&VERSIONS)),
            client_auth: cursor.child("client-auth", read_client_auth),
            resumption: cursor.setting("resumption", |value| value.boolean()),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Option<ListenerTls> {
        let Self {
            span,
            cert,
            key,
            has_cert,
            has_key,
            mut certificates,
            min_version,
            max_version,
            client_auth,
            resumption,
        } = self;
        check_pair(reading, span, (has_cert, has_key));
        if !has_cert && !has_key && certificates.is_empty() {
            let problem = Problem::new(Code::Missing, "`tls` has no certificate").help(
                "add `cert \"site.pem\"; key \"site.key\"`, or `self-signed \"localhost\"` for development",
            );
            reading.error(span, problem);
        }
        if let (Some(cert), Some(key)) = (cert, key) {
            let files = Certificate::Files { cert: cert.value, key: key.value };
            certificates.push(Spanned::new(Some(files), cert.span));
            certificates.sort_by_key(|certificate| certificate.span);
        }
        check_versions(reading, min_version.as_ref(), max_version.as_ref());
        Some(ListenerTls {
            certificates: certificates
                .into_iter()
                .map(|certificate| certificate.value)
                .collect::<Option<_>>()?,
            min_version: min_version.map_or(TlsVersion::Tls12, |version| version.value),
            max_version: max_version.map_or(TlsVersion::Tls13, |version| version.value),
            client_auth: client_auth.unwrap_or(Some(ClientAuth::Off))?,
            resumption: resumption.is_none_or(|resumption| resumption.value),
        })
    }
}

fn check_pair(reading: &Reading<'_>, span: Span, pair: (bool, bool)) {
    let (lone, missing) = match pair {
        (true, false) => ("cert", "key"),
        (false, true) => ("key", "cert"),
        _ => return,
    };
    let message = format!("`{lone}` stands without `{missing}`");
    let help = format!("add `{missing} \"site.{}\"`", if missing == "key" { "key" } else { "pem" });
    reading.error(span, Problem::new(Code::Missing, message).help(help));
}

fn check_versions(
    reading: &Reading<'_>,
    min: Option<&Spanned<TlsVersion>>,
    max: Option<&Spanned<TlsVersion>>,
) {
    if let (Some(min), Some(max)) = (min, max)
        && min.value > max.value
    {
        let problem = Problem::new(Code::Conflict, "`max-version` is older than `min-version`")
            .note("the oldest allowed is written here", min.span)
            .help("exchange them or remove one");
        reading.error(max.span, problem);
    }
}

fn read_certificate(cursor: &mut Cursor<'_>) -> Spanned<Option<Certificate>> {
    let span = cursor.span();
    let certificate = match cursor.name() {
        "self-signed" => read_self_signed(cursor),
        _ => read_files(cursor),
    };
    Spanned::new(certificate, span)
}

fn read_self_signed(cursor: &mut Cursor<'_>) -> Option<Certificate> {
    let arguments = cursor.arguments("names such as \"localhost\"");
    let names = arguments.into_iter().map(|value| value.parse(certificate_name));
    let names: Vec<_> = names.collect::<Option<_>>()?;
    (!names.is_empty()).then_some(Certificate::SelfSigned {
        names: names.into_iter().map(|name: Spanned<String>| name.value).collect(),
    })
}

fn read_files(cursor: &mut Cursor<'_>) -> Option<Certificate> {
    let (cert, key) = (cursor.property("cert"), cursor.property("key"));
    if cert.is_none() || key.is_none() {
        cursor.error(
            Problem::new(Code::Missing, "`certificate` needs both `cert` and `key`")
                .help("write `certificate cert=\"site.pem\" key=\"site.key\"`"),
        );
    }
    let (cert, key) = (cert.and_then(|cert| cert.file()), key.and_then(|key| key.file()));
    Some(Certificate::Files { cert: cert?.value, key: key?.value })
}

fn read_client_auth(cursor: &mut Cursor<'_>) -> Option<ClientAuth> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mode {
        Off,
        Optional,
        Required,
    }
    let choices = [("off", Mode::Off), ("optional", Mode::Optional), ("required", Mode::Required)];
    let mode = cursor.argument("\"off\", \"optional\" or \"required\"");
    let mode = mode.and_then(|value| value.word(&choices));
    let ca = cursor.property("ca");
    let has_ca = ca.is_some();
    let ca = ca.and_then(|ca| ca.file()).map(|ca| ca.value);
    let mode = mode?.value;
    match mode {
        Mode::Off if has_ca => cursor.error(
            Problem::new(Code::Conflict, "`ca` has no effect when clients are asked for nothing")
                .help("remove it, or write \"required\""),
        ),
        Mode::Optional | Mode::Required if !has_ca => cursor.error(
            Problem::new(Code::Missing, "`client-auth` does not say whom it trusts")
                .help("add `ca=\"clients.pem\"`"),
        ),
        _ => {}
    }
    Some(match mode {
        Mode::Off => ClientAuth::Off,
        Mode::Optional => ClientAuth::Optional { ca: ca? },
        Mode::Required => ClientAuth::Required { ca: ca? },
    })
}
