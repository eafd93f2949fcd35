//! `selvedge sync token` and `revoke`: the core that runs here is asked, and its audit log has it.

use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use selvedge_base::parse_duration;
use serde_json::{Value as Json, json};

use crate::{
    cli::Outcome,
    core::Operator,
    doc::{block_on, document},
    exit::{Exit, Failure},
    site::{Question, Reply, Site},
    terminal::Terminal,
    token::CoreOf,
};

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

const DAY: u64 = 86_400;

/// Options of `selvedge sync token`.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    core: CoreOf,
    /// NAME or TENANT:NAME; a prefix that ends in `/`, or `*`, for all documents below
    document: String,
    /// The device it is for, as `selvedge doc device` prints it there
    #[arg(long, value_name = "DEVICE")]
    device: String,
    /// What it may do: read, write, snapshot, admin, join; may be repeated
    #[arg(long, value_name = "RIGHT", default_values = ["read", "write", "snapshot"])]
    right: Vec<String>,
    /// How long it counts, such as 12h or 30d; 90 days at most
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = lifetime)]
    expires: Duration,
    /// For whom it is, as the audit log tells it
    #[arg(long, value_name = "WHO", default_value = "")]
    subject: String,
}

/// Options of `selvedge sync revoke`.
#[derive(Args, Debug)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    core: CoreOf,
    /// The token, or its id (`jti`)
    token: String,
}

/// Makes a token.
pub(super) fn make(args: &TokenArgs, terminal: &mut Terminal) -> Outcome {
    let (tenant, name) = place(&args.document)?;
    let wanted = json!({
        "tenant": tenant,
        "document": name,
        "rights": args.right,
        "device": args.device,
        "subject": args.subject,
        "ttl": args.expires.as_secs(),
    });
    let answer = ask(&args.core, Question::json("/tokens", &wanted, ANSWER_BYTES_MAX))?;
    let token = answer["token"].as_str().unwrap_or_default();
    terminal.write(&format!("{token}\n"))?;
    Ok(Exit::Success)
}

/// Revokes one: its channels end at once.
pub(super) fn revoke(args: &RevokeArgs, terminal: &mut Terminal) -> Outcome {
    let (id, ends) = named(&args.token)?;
    ask(&args.core, Question::delete(path(&id, ends), ANSWER_BYTES_MAX))?;
    terminal.write(&format!("revoked: {id}\n"))?;
    Ok(Exit::Success)
}

/// Tenant and pattern: what ends in `/` or is `*` names many documents.
fn place(text: &str) -> Result<(String, String), Failure> {
    let (_, name) = text.split_once(':').unwrap_or(("", text));
    let probe = match name {
        "*" => text.replace('*', "x"),
        name if name.ends_with('/') => format!("{text}x"),
        _ => text.to_owned(),
    };
    Ok((document(&probe)?.tenant().to_owned(), name.to_owned()))
}

/// The id in a token and when it ends, or what is an id.
fn named(text: &str) -> Result<(String, Option<u64>), Failure> {
    let parts: Vec<&str> = text.split('.').collect();
    let claims = match parts[..] {
        [_, claims, _] => data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).ok(),
        _ => return Ok((text.to_owned(), None)),
    };
    let claims: Option<Json> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let named = claims.and_then(|claims| {
        let id = claims["jti"].as_str()?.to_owned();
        // Fractions of a second are rounded up.
        Some((id, claims["exp"].as_f64().map(|seconds| seconds.ceil() as u64)))
    });
    named.ok_or_else(|| Failure::new(Exit::Usage, "this is neither a token nor the id of one"))
}

/// Where a token is revoked. Issuers write into ids what they like.
fn path(id: &str, ends: Option<u64>) -> String {
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    match ends {
        Some(ends) => format!("/tokens/{id}?expires={ends}"),
        None => format!("/tokens/{id}"),
    }
}

fn ask(core: &CoreOf, question: Question) -> Result<Json, Failure> {
    let data_dir = core.data_dir()?;
    let found = Operator::of(&data_dir)?;
    let Operator { secret, socket, path } = found.ok_or_else(|| {
        let text = format!("no core has run in {}", data_dir.display());
        Failure::new(Exit::Unavailable, text)
    })?;
    let mut site = Site::behind(&socket, format!("{path}/sync")).with_token(secret);
    let Reply { status, body } = block_on(async {
        let asked = site.ask(&question).await;
        asked.map_err(|error| {
            let text = format!("the core cannot be asked: {error}\nhelp: is it running?");
            Failure::new(Exit::Unavailable, text)
        })
    })?;
    let answer: Json = serde_json::from_slice(&body).unwrap_or_default();
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    let why = answer["detail"].as_str().map_or(format!("the core answers {status}"), str::to_owned);
    Err(Failure::new(Exit::Failure, why))
}

pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let lifetime = match days {
        Some(days) => Some(Duration::from_secs(days.saturating_mul(DAY))),
        None => parse_duration(text).ok(),
    };
    let most = Duration::from_secs(90 * DAY);
    let lifetime = lifetime.filter(|it| (Duration::from_secs(1)..=most).contains(it));
    lifetime.ok_or_else(|| "write it like 12h or 30d; 90 days at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let found = place(text).ok();
        let expected = expected.map(|(tenant, name)| (tenant.to_owned(), name.to_owned()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn documents_and_many_of_them() {
        check("notes/ann", Some(("default", "notes/ann")));
        check("acme:notes/ann", Some(("acme", "notes/ann")));
        check("acme:notes/", Some(("acme", "notes/")));
        check("acme:*", Some(("acme", "*")));
        check("*", Some(("default", "*")));
        for wrong in ["", "a b", "acme:", "acme:/", "a/*", "*a"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_token_has_an_id_and_an_end() {
        let token =
            |claims: &[u8]| format!("h.{}.s", data_encoding::BASE64URL_NOPAD.encode(claims));
        let of = |text: &str| named(text).ok();
        assert_eq!(of(&token(br#"{"jti":"abc"}"#)), Some(("abc".to_owned(), None)));
        assert_eq!(of(&token(br#"{"jti":"a/b","exp":7.5}"#)), Some(("a/b".to_owned(), Some(8))));
        assert_eq!(of("abc"), Some(("abc".to_owned(), None)));
        assert_eq!(of("founder.abc"), Some(("founder.abc".to_owned(), None)));
        assert_eq!(of("a.b.c"), None);
    }

    #[test]
    fn no_id_names_another() {
        assert_eq!(path("abc", None), "/tokens/abc");
        assert_eq!(path("a?b/c#d%20", Some(7)), "/tokens/a%3Fb%2Fc%23d%2520?expires=7");
    }
}
