/// A host and, where given, a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// As received; an IPv6 literal keeps its brackets.
    pub host: &'a str,
    /// As a number; `None` when absent or empty.
    pub port: Option<u16>,
}

/// Why an authority was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// No host.
    Empty,
    /// User information before an `@`.
    UserInfo,
    /// A byte that no host may contain.
    HostByte,
    /// Not digits, or more than 65535.
    Port,
    /// An IPv6 literal that is none.
    Ipv6,
}

/// Parses `host[:port]` (RFC 3986 §3.2, RFC 9110 §4.2): registered name, IPv4 or bracketed IPv6.
pub fn parse_authority(text: &[u8]) -> Result<Authority<'_>, AuthorityError> {
    if text.contains(&b'@') {
        return Err(AuthorityError::UserInfo);
    }
    let (host, port) = if text.first() == Some(&b'[') {
        let end = memchr::memchr(b']', text).ok_or(AuthorityError::Ipv6)?;
        let inner = std::str::from_utf8(&text[1..end]).map_err(|_| AuthorityError::Ipv6)?;
        inner.parse::<std::net::Ipv6Addr>().map_err(|_| AuthorityError::Ipv6)?;
        (&text[..=end], port_part(&text[end + 1..])?)
    } else {
        let end = memchr::memchr(b':', text).unwrap_or(text.len());
        if !text[..end].iter().all(|&b| is_host_byte(b)) {
            return Err(AuthorityError::HostByte);
        }
        (&text[..end], port_part(&text[end..])?)
    };
    if host.is_empty() {
        return Err(AuthorityError::Empty);
    }
    let host = std::str::from_utf8(host).map_err(|_| AuthorityError::HostByte)?;
    Ok(Authority { host, port })
}

/// Letters, digits, `-`, `.`, `_`: what DNS names and service names are made of. Percent-encoding
/// and sub-delimiters are legal in RFC 3986 and read differently by different servers: refused.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn port_part(text: &[u8]) -> Result<Option<u16>, AuthorityError> {
    match text {
        [] | [b':'] => Ok(None),
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            let number = digits.iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
            u16::try_from(number).map(Some).map_err(|_| AuthorityError::Port)
        }
        _ => Err(AuthorityError::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, Option<u16>), AuthorityError>) {
        let got = parse_authority(text.as_bytes()).map(|a| (a.host, a.port));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn authorities() {
        check("example.com", Ok(("example.com", None)));
        check("example.com:8080", Ok(("example.com", Some(8080))));
        check("example.com:", Ok(("example.com", None)));
        check("[::1]:80", Ok(("[::1]", Some(80))));
        check("", Err(AuthorityError::Empty));
        check(":80", Err(AuthorityError::Empty));
        check("a@b", Err(AuthorityError::UserInfo));
        check("a b", Err(AuthorityError::HostByte));
        check("a/b", Err(AuthorityError::HostByte));
        check("a:b", Err(AuthorityError::Port));
        check("a:65536", Err(AuthorityError::Port));
        check("a:80:80", Err(AuthorityError::Port));
        check("[::1", Err(AuthorityError::Ipv6));
        check("[evil]", Err(AuthorityError::Ipv6));
    }
}
