//! Media types by a file's name.

use http::HeaderValue;

/// `Content-Type` of a file; text is taken to be UTF-8.
pub(super) fn content_type(name: &[u8]) -> HeaderValue {
    let media_type = extension(name)
        .and_then(|extension| mime_guess::from_ext(extension).first_raw())
        .unwrap_or("application/octet-stream");
    // The one name since RFC 9239.
    let media_type = media_type.replace("application/javascript", "text/javascript");
    match is_text(&media_type) {
        true => super::visible(format!("{media_type}; charset=utf-8")),
        false => super::visible(media_type),
    }
}

fn extension(name: &[u8]) -> Option<&str> {
    let file = name.rsplit(|&byte| byte == b'/').next()?;
    let dot = memchr::memrchr(b'.', file)?;
    std::str::from_utf8(&file[dot + 1..]).ok()
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || matches!(media_type, "application/json" | "image/svg+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_types() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("app.wasm", "application/wasm"),
            ("a.png", "image/png"),
            ("a.avif", "image/avif"),
            ("font.woff2", "font/woff2"),
            ("site.webmanifest", "application/manifest+json"),
            ("app.js.gz", "application/gzip"),
            ("v1.2/LICENSE", "application/octet-stream"),
            ("unknown.qqq", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(content_type(b"a.\xff"), "application/octet-stream");
    }
}
