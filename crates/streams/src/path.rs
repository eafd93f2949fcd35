//! Paths of streams, and their names in the log.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// How names of streams begin in the log that they share with others.
pub(crate) const ROOT: &str = "streams/";
/// First segment of paths that the protocol keeps for itself.
const RESERVED: &str = "__ds";
/// The tenant of callers who have none.
const NOBODY: &str = "_";

/// Why a path names no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathError {
    Unfit(&'static str),
    Reserved,
}

/// How names of a tenant's streams begin. No tenant's is the beginning of another's.
pub(crate) fn prefix(tenant: Option<&str>) -> String {
    match tenant {
        // What is encoded holds no underscore.
        Some(tenant) => format!("{ROOT}{}/", utf8_percent_encode(tenant, NON_ALPHANUMERIC)),
        None => format!("{ROOT}{NOBODY}/"),
    }
}

/// The tenant in a name, as it is spelled there.
pub(crate) fn tenant(name: &str) -> &str {
    name.strip_prefix(ROOT).and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// The tenant in a name, as it is called.
pub(crate) fn owner(name: &str) -> Option<String> {
    let spelled = Some(tenant(name)).filter(|tenant| *tenant != NOBODY)?;
    Some(percent_decode_str(spelled).decode_utf8_lossy().into_owned())
}

/// The path in a name.
pub(crate) fn of(name: &str) -> &str {
    name.strip_prefix(ROOT).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path)
}

/// Returns the name of a tenant's stream.
///
/// # Errors
/// If the path is empty, too long, reserved, or has segments or characters that others would read differently.
pub(crate) fn name(
    tenant: Option<&str>,
    path: &str,
    bytes_max: usize,
) -> Result<String, PathError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.split('/').next() == Some(RESERVED) {
        return Err(PathError::Reserved);
    }
    if path.len() > bytes_max {
        return Err(PathError::Unfit("The path is too long"));
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::Unfit("The path holds control characters"));
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(PathError::Unfit("The path has a segment that is empty, `.` or `..`"));
    }
    Ok(prefix(tenant) + path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for (asked, expected) in
            [(None, "_"), (Some("acme"), "acme"), (Some("a/b_"), "a%2Fb%5F"), (Some("_"), "%5F")]
        {
            let name = name(asked, "/orders/eu", 99).unwrap();
            assert_eq!((tenant(&name), of(&name)), (expected, "orders/eu"));
            assert_eq!(owner(&name).as_deref(), asked);
            assert!(name.starts_with(&prefix(asked)));
        }
    }

    #[test]
    fn paths_have_one_reading() {
        for path in ["", "/", "a//b", "a/", "./a", "a/..", "a\nb", "a\0", "//a", "123456789x"] {
            assert!(matches!(name(None, path, 9), Err(PathError::Unfit(_))), "{path:?}");
        }
        assert_eq!(name(None, "__ds/subscriptions/1", 99), Err(PathError::Reserved));
        assert!(name(None, "__dsx", 99).is_ok());
    }
}
