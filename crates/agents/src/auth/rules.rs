//! What a token of an issuer must say of itself to be believed (RFC 7519, RFC 8725, RFC 9068).

use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::claims::Claims;

/// Types that a token may have where none is set: RFC 7519 and RFC 9068. Others are for purposes of
/// their own, such as proofs and log-outs.
const TYPES: [&str; 2] = ["JWT", "at+jwt"];

/// What an issuer's tokens must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// `aud` holds one of these. Empty: any.
    pub(super) audiences: Vec<String>,
    /// `typ` is this. `None`: one of [`TYPES`], or none at all.
    pub(super) kind: Option<String>,
    /// How far clocks may differ.
    pub(super) leeway: Duration,
}

/// Which rule a token breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Of another type.
    Kind,
    /// For somebody else.
    Audience,
    /// Not one of the numbers of RFC 7519, section 2.
    NotATime,
    /// No `exp`.
    Endless,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    TooEarly,
    /// `iat` has not come.
    FromTheFuture,
    /// A `sub` that is not text.
    Subject,
}

impl Rules {
    /// Checks what is said beside the signature and the issuer, and returns when it ends to be true.
    pub(super) fn check(
        &self,
        kind: Option<&str>,
        claims: &Claims,
        now: SystemTime,
    ) -> Result<SystemTime, Broken> {
        self.is_kind(kind).then_some(()).ok_or(Broken::Kind)?;
        self.is_meant(claims.get("aud")).then_some(()).ok_or(Broken::Audience)?;
        if claims.get("sub").is_some_and(|subject| !subject.is_string()) {
            return Err(Broken::Subject);
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        let expiry = time(claims, "exp")?.ok_or(Broken::Endless)?;
        if now >= expiry + leeway {
            return Err(Broken::Expired);
        }
        if time(claims, "nbf")?.is_some_and(|start| now + leeway < start) {
            return Err(Broken::TooEarly);
        }
        if time(claims, "iat")?.is_some_and(|issue| now + leeway < issue) {
            return Err(Broken::FromTheFuture);
        }
        Ok(UNIX_EPOCH + Duration::from_secs_f64(expiry))
    }

    /// Compares `typ`, which leaves out `application/` and has no case (RFC 7515, section 4.1.9).
    fn is_kind(&self, kind: Option<&str>) -> bool {
        let bare = kind.map(|kind| match kind.split_at_checked("application/".len()) {
            Some((media, bare)) if media.eq_ignore_ascii_case("application/") => bare,
            _ => kind,
        });
        match (&self.kind, bare) {
            (Some(wanted), bare) => bare.is_some_and(|bare| bare.eq_ignore_ascii_case(wanted)),
            (None, Some(bare)) => TYPES.iter().any(|known| bare.eq_ignore_ascii_case(known)),
            (None, None) => true,
        }
    }

    fn is_meant(&self, audience: Option<&Value>) -> bool {
        let is_ours = |one: &Value| {
            one.as_str().is_some_and(|one| self.audiences.iter().any(|ours| ours == one))
        };
        self.audiences.is_empty()
            || audience.is_some_and(|audience| match audience {
                Value::Array(all) => all.iter().any(is_ours),
                one => is_ours(one),
            })
    }
}

/// Latest time that a claim may name: the year 9999.
const TIME_MAX: f64 = 253_402_300_799.0;

/// Seconds since the epoch; fractions are allowed.
fn time(claims: &Claims, name: &str) -> Result<Option<f64>, Broken> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().ok_or(Broken::NotATime)?;
    (0.0..=TIME_MAX).contains(&seconds).then_some(Some(seconds)).ok_or(Broken::NotATime)
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "the token is of another type",
            Self::Audience => "the token is for another audience",
            Self::NotATime => "a time in the token is malformed",
            Self::Endless => "the token does not say when it expires",
            Self::Expired => "the token has expired",
            Self::TooEarly => "the token is not valid yet",
            Self::FromTheFuture => "the token was issued in the future",
            Self::Subject => "the subject of the token is malformed",
        })
    }
}

impl Error for Broken {}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules { audiences: vec!["api".into()], kind: None, leeway: Duration::from_secs(30) }
    }

    #[track_caller]
    fn check(kind: Option<&str>, claims: &str, expected: Result<u64, Broken>) {
        check_by(&rules(), kind, claims, expected);
    }

    #[track_caller]
    fn check_by(rules: &Rules, kind: Option<&str>, claims: &str, expected: Result<u64, Broken>) {
        let claims = Claims::parse(claims.as_bytes()).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let found = rules.check(kind, &claims, now);
        assert_eq!(found, expected.map(|end| UNIX_EPOCH + Duration::from_secs(end)));
    }

    fn claims(more: &str) -> String {
        format!(r#"{{"aud": "api", "exp": {}{more}}}"#, NOW + 60)
    }

    #[test]
    fn a_token_is_believed_until_it_expires() {
        check(Some("JWT"), &claims(""), Ok(NOW + 60));
        let expiring = |at: u64| format!(r#"{{"aud": "api", "exp": {at}}}"#);
        check(None, &expiring(NOW - 29), Ok(NOW - 29));
        check(None, &expiring(NOW - 30), Err(Broken::Expired));
        check(None, r#"{"aud": "api"}"#, Err(Broken::Endless));
        for wrong in ["\"1\"", "-1", "null", "1e300", "[1]", "true"] {
            check(None, &format!(r#"{{"aud": "api", "exp": {wrong}}}"#), Err(Broken::NotATime));
        }
    }

    #[test]
    fn a_token_is_not_believed_before_its_time() {
        check(None, &claims(&format!(r#", "nbf": {}"#, NOW + 30)), Ok(NOW + 60));
        check(None, &claims(&format!(r#", "nbf": {}.5"#, NOW + 30)), Err(Broken::TooEarly));
        check(None, &claims(&format!(r#", "iat": {}"#, NOW + 30)), Ok(NOW + 60));
        check(None, &claims(&format!(r#", "iat": {}"#, NOW + 31)), Err(Broken::FromTheFuture));
        check(None, &claims(r#", "nbf": "soon""#), Err(Broken::NotATime));
        check(None, &claims(r#", "iat": {}"#), Err(Broken::NotATime));
    }

    #[test]
    fn a_token_is_for_us() {
        let meant = |audience: &str| format!(r#"{{"exp": {}{audience}}}"#, NOW + 60);
        check(None, &meant(r#", "aud": ["web", "api"]"#), Ok(NOW + 60));
        for other in ["", r#", "aud": "API""#, r#", "aud": []"#, r#", "aud": {"api": 1}"#] {
            check(None, &meant(other), Err(Broken::Audience));
        }
        let anybody = Rules { audiences: Vec::new(), ..rules() };
        check_by(&anybody, None, &meant(""), Ok(NOW + 60));
    }

    #[test]
    fn a_token_is_of_the_type_asked_for() {
        for kind in ["jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
            check(Some(kind), &claims(""), Ok(NOW + 60));
        }
        for kind in ["", "dpop+jwt", "logout+jwt", "text/jwt", "application/", "applicatioñ/"] {
            check(Some(kind), &claims(""), Err(Broken::Kind));
        }
        let strict = Rules { kind: Some("at+jwt".into()), ..rules() };
        check_by(&strict, Some("at+JWT"), &claims(""), Ok(NOW + 60));
        check_by(&strict, Some("JWT"), &claims(""), Err(Broken::Kind));
        check_by(&strict, None, &claims(""), Err(Broken::Kind));
    }

    #[test]
    fn a_subject_is_text() {
        check(None, &claims(r#", "sub": "u-1""#), Ok(NOW + 60));
        check(None, &claims(r#", "sub": 1"#), Err(Broken::Subject));
    }
}
