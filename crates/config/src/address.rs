//! Addresses, networks, names of hosts and ids.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use crate::{Cidr, Code, Id, TargetAddress, reading::Problem, value::Checked};

/// Letters, digits, `-`, `_`, `.`; at most 64 bytes.
pub(crate) fn id(text: &str) -> Checked<Id> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(Arc::from(text));
    }
    Err(Problem::new(Code::Id, format!("{:?} cannot be an id", shortened(text)))
        .help("1 to 64 letters, digits, `-`, `_` or `.`"))
}

/// `127.0.0.1:8080`, `[::1]:8080`.
pub(crate) fn socket(text: &str) -> Checked<SocketAddr> {
    text.parse().map_err(|_| {
        let problem =
            Problem::new(Code::Address, format!("{text:?} is not an address to listen on"));
        problem.help(socket_remedy(text))
    })
}

fn socket_remedy(text: &str) -> String {
    if let Some(port) = text.strip_prefix("localhost:") {
        return format!("write \"127.0.0.1:{port}\"");
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:")) {
        return format!("write \"0.0.0.0:{port}\" for IPv4 or \"[::]:{port}\" for IPv6");
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("add a port: \"{ip}:8080\""),
        Ok(IpAddr::V6(ip)) => format!("add a port: \"[{ip}]:8080\""),
        Err(_) => "write an IP address and a port, such as \"127.0.0.1:8080\"".to_owned(),
    }
}

/// `10.0.0.0/8`, or one address.
pub(crate) fn cidr(text: &str) -> Checked<Cidr> {
    let problem = || Problem::new(Code::Address, format!("{text:?} is not a network"));
    let example = "write it like \"10.0.0.0/8\" or \"fd00::/8\"";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let network: IpAddr = address.parse().map_err(|_| problem().help(example))?;
    let bits_max: u8 = if network.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits_max,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| problem().help(example))?
        }
        Some(_) => return Err(problem().help(example)),
    };
    if prefix > bits_max {
        return Err(problem().help(format!("the part behind `/` is at most {bits_max}")));
    }
    let masked = masked(network, prefix);
    if masked != network {
        return Err(
            problem().help(format!("bits behind the prefix are set; write \"{masked}/{prefix}\""))
        );
    }
    Ok(Cidr { network, prefix })
}

fn masked(network: IpAddr, prefix: u8) -> IpAddr {
    match network {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

/// `127.0.0.1:9000`, `backend.internal:9000`, `unix:/run/app.sock`.
pub(crate) fn target(text: &str, resolve: impl FnOnce(&str) -> PathBuf) -> Checked<TargetAddress> {
    let problem = || Problem::new(Code::Address, format!("{text:?} is not a target"));
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || path.contains('\0') {
            return Err(
                problem().help("write a path behind `unix:`, such as \"unix:/run/app.sock\"")
            );
        }
        return Ok(TargetAddress::Unix(resolve(path)));
    }
    if text.contains("://") {
        return Err(
            problem().help("leave the scheme out: \"127.0.0.1:9000\"; `tls { }` switches TLS on")
        );
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err(problem().help("a target's port cannot be 0")),
            _ => Ok(TargetAddress::Socket(address)),
        };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(problem().help(format!("add a port: \"{text}:80\"")));
    };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 && text.ends_with(&format!(":{port}")) => port,
        _ => return Err(problem().help("the port is a number from 1 to 65535")),
    };
    if !is_dns_name(host) {
        return Err(
            problem().help("write an address or a name and a port, such as \"backend:9000\"")
        );
    }
    Ok(TargetAddress::Name { host: host.to_ascii_lowercase(), port })
}

/// A DNS name or an IP address, as certificates name servers.
pub(crate) fn server_name(text: &str) -> Checked<String> {
    if text.parse::<IpAddr>().is_ok() || is_dns_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new(Code::Host, format!("{text:?} is not the name of a server"))
        .help("write a DNS name or an IP address without port, such as \"api.example.com\""))
}

/// As [`server_name`], or `*.example.com`.
pub(crate) fn certificate_name(text: &str) -> Checked<String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    server_name(name)?;
    Ok(text.to_ascii_lowercase())
}

/// Letters, digits, `-` and `_` in labels of 1 to 63 bytes; not all digits and dots.
pub(crate) fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number =
        text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(is_label) && !last_is_number
}

/// The first 64 characters, for messages.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_no_host_bits() {
        let check = |text: &str, ok: bool| assert_eq!(cidr(text).is_ok(), ok, "{text}");
        check("10.0.0.0/8", true);
        check("0.0.0.0/0", true);
        check("::/0", true);
        check("fd00::/8", true);
        check("192.168.1.7", true);
        check("10.0.0.1/8", false);
        check("10.0.0.0/33", false);
        check("10.0.0.0/+8", false);
        check("10.0.0.0/", false);
        check("10.0.0/8", false);
        check("fd00::1/64", false);
    }

    #[test]
    fn targets_are_addresses_names_or_sockets() {
        let check = |text: &str, ok: bool| {
            assert_eq!(target(text, |path| PathBuf::from(path)).is_ok(), ok, "{text}");
        };
        check("127.0.0.1:9000", true);
        check("[::1]:9000", true);
        check("backend:9000", true);
        check("Back_end.internal:1", true);
        check("unix:/run/x.sock", true);
        check("unix:", false);
        check("backend", false);
        check("backend:0", false);
        check("backend:+80", false);
        check("backend:65536", false);
        check("1.2.3:80", false);
        check("http://backend:80", false);
        check("-x:80", false);
        check("a b:80", false);
    }
}
