//! `core { log { … } }`: where the event log is kept beside the disk.

use std::path::PathBuf;

use selvedge_base::Secret;

use crate::{
    Code, CoreNats, CoreNatsLogin,
    cursor::Cursor,
    reading::Problem,
    source::{Span, Spanned, sound},
    value::Checked,
};

const SERVERS_MAX: usize = 16;
const MONITORS_MAX: usize = 16;
/// Bytes of a stream's name, which stands in file names of the server.
const STREAM_BYTES_MAX: usize = 64;
const SECRET_BYTES_MAX: usize = 512;

/// Reads the block; without `nats`, the log is on the disk alone.
pub(crate) fn read(cursor: &mut Cursor<'_>) -> Option<Option<CoreNats>> {
    sound(cursor.child("nats", read_nats))
}

fn read_nats(cursor: &mut Cursor<'_>) -> Option<CoreNats> {
    let span = cursor.span();
    let servers = cursor.arguments("servers such as \"nats://10.0.0.5:4222\"");
    let servers: Option<Vec<_>> = servers.into_iter().map(|value| value.literal(server)).collect();
    let stream = cursor.child("stream", |c| c.argument("a name").and_then(|v| v.literal(stream)));
    let replicas =
        cursor.child("replicas", |c| c.argument("a number").and_then(|value| value.count(1..=5)));
    let login = read_login(cursor, span);
    let ca = cursor.child("ca", |c| c.argument("a file").and_then(|value| value.file()));
    let identity = read_identity(cursor, span);
    let sync = cursor.child("sync", |c| c.argument("\"always\"").and_then(|v| v.literal(sync)));
    let monitors = cursor.child("monitor", |cursor| {
        let monitors = cursor.arguments("addresses such as \"10.0.0.5:8222\"");
        monitors.into_iter().map(|value| value.literal(monitor)).collect::<Option<Vec<_>>>()
    });
    let replicas = odd(cursor, sound(replicas)?)?;
    let (servers, monitors) = (servers?, sound(monitors)?.unwrap_or_default());
    within(cursor, span, ("servers", servers.len(), SERVERS_MAX))?;
    within(cursor, span, ("monitors", monitors.len(), MONITORS_MAX))?;
    Some(CoreNats {
        servers: values(servers),
        stream: sound(stream)?.map_or_else(|| "SELVEDGE".to_owned(), |stream| stream.value),
        replicas,
        login: login?,
        ca: sound(ca)?.map(|ca| ca.value),
        identity: identity?,
        sync_always: sound(sync)?.is_some(),
        monitors: values(monitors),
    })
}

fn values<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(|spanned| spanned.value).collect()
}

/// `user` and `password`, or `token`, or none.
fn read_login(cursor: &mut Cursor<'_>, span: Span) -> Option<CoreNatsLogin> {
    let text = |text: &str| Ok(text.to_owned());
    let user = cursor.child("user", |c| c.argument("a name").and_then(|v| v.parse(text)));
    let password =
        cursor.child("password", |c| c.argument("a secret").and_then(|v| v.secret(secret)));
    let token = cursor.child("token", |c| c.argument("a secret").and_then(|v| v.secret(secret)));
    match (sound(user)?, sound(password)?, sound(token)?) {
        (None, None, None) => Some(CoreNatsLogin::Anonymous),
        (None, None, Some(token)) => Some(CoreNatsLogin::Token(token.value)),
        (Some(user), Some(password), None) => {
            Some(CoreNatsLogin::Password { user: user.value, password: password.value })
        }
        _ => {
            let problem = Problem::new(Code::Conflict, "this is no way to log in");
            let help = "write `user` and `password`, or `token`, or none of them";
            cursor.reading().error(span, problem.help(help));
            None
        }
    }
}

/// `cert` and `key`, or neither.
fn read_identity(cursor: &mut Cursor<'_>, span: Span) -> Option<Option<(PathBuf, PathBuf)>> {
    let cert = cursor.child("cert", |c| c.argument("a file").and_then(|value| value.file()));
    let key = cursor.child("key", |c| c.argument("a file").and_then(|value| value.file()));
    match (sound(cert)?, sound(key)?) {
        (None, None) => Some(None),
        (Some(cert), Some(key)) => Some(Some((cert.value, key.value))),
        _ => {
            let problem = Problem::new(Code::Conflict, "a certificate comes with its key");
            cursor.reading().error(span, problem.help("write `cert` and `key`, or neither"));
            None
        }
    }
}

/// A majority decides: an even number of replicas costs more and survives no more.
fn odd(cursor: &Cursor<'_>, replicas: Option<Spanned<usize>>) -> Option<usize> {
    let Some(Spanned { value, span }) = replicas else { return Some(1) };
    if value % 2 == 1 {
        return Some(value);
    }
    let problem = Problem::new(Code::OutOfRange, "a stream has 1, 3 or 5 replicas");
    cursor.reading().error(span, problem.help("write 3 to survive the loss of one server"));
    None
}

fn within(cursor: &Cursor<'_>, span: Span, (what, count, max): (&str, usize, usize)) -> Option<()> {
    if count <= max {
        return Some(());
    }
    let problem = Problem::new(Code::TooLarge, format!("at most {max} {what} may be named"));
    cursor.reading().error(span, problem);
    None
}

fn server(text: &str) -> Checked<String> {
    let rest = text.strip_prefix("nats://").or_else(|| text.strip_prefix("tls://"));
    if rest.is_some_and(is_address) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Address, format!("{text:?} is no server of NATS")).help(
        "write it like \"nats://10.0.0.5:4222\" or \"tls://nats.internal:4222\"; who we are is said by `user` or `token`",
    ))
}

fn monitor(text: &str) -> Checked<String> {
    if is_address(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Address, format!("{text:?} is no address and port"))
        .help("write it like \"10.0.0.5:8222\""))
}

/// `host:port`
fn is_address(text: &str) -> bool {
    let is_host = |host: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
        !host.is_empty() && host.bytes().all(allowed)
    };
    let split = text.rsplit_once(':');
    split.is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

fn stream(text: &str) -> Checked<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !text.is_empty() && text.len() <= STREAM_BYTES_MAX && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} cannot be the name of a stream"))
        .help("write letters, digits, `-` and `_`, such as \"SELVEDGE\""))
}

fn sync(text: &str) -> Checked<()> {
    if text == "always" {
        return Ok(());
    }
    Err(Problem::new(Code::Text, format!("{text:?} is no promise")).help(
        "write `sync \"always\"` when each server's config has `sync_interval: always`, or nothing",
    ))
}

fn secret(text: &str) -> Checked<Secret> {
    if (1..=SECRET_BYTES_MAX).contains(&text.len()) {
        return Ok(Secret::new(text));
    }
    Err(Problem::new(Code::Text, format!("a secret has 1 to {SECRET_BYTES_MAX} bytes")))
}
