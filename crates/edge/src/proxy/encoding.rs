//! Whether a response is compressed on its way out.

use selvedge_config::{Encoding, Route};
use selvedge_http1::{Fields, Known, RequestHead, ResponseHead};

use crate::compress::{self, Candidate};

/// Which encoding a response gets, if any; its fields are changed accordingly. The answer to HEAD gets
/// the fields that GET would bring (RFC 9110 §9.3.2); its body is left out by the caller.
///
/// `length` is that of the body at hand, which for HEAD is none.
pub(super) fn choose_encoding(
    route: &Route,
    request: &RequestHead,
    response: &mut ResponseHead,
    length: Option<u64>,
) -> Option<Encoding> {
    let settings = route.compress.as_ref()?;
    let fields = response.fields();
    let is_head = request.method() == "HEAD";
    let length = if is_head { content_length(fields) } else { length };
    let cache_control = fields.joined(Known::CacheControl);
    let candidate = Candidate {
        status: response.status(),
        content_type: fields.first(Known::ContentType),
        content_length: length,
        encoded: fields.first(Known::ContentEncoding).is_some(),
        cache_control: cache_control.as_deref(),
    };
    if !compress::worth(&candidate, settings.min.0) {
        return None;
    }
    let varies = fields.all(Known::Vary).any(names_accept_encoding);
    let etag = fields.first(Known::Etag).map(compress::weakened_etag);
    let accepted = request.fields().joined(Known::AcceptEncoding);
    let encoding =
        accepted.and_then(|accepted| compress::negotiate(&accepted, &settings.encodings));
    let fields = response.fields_mut();
    if !varies {
        fields.push(b"vary", b"accept-encoding");
    }
    let encoding = encoding?;
    fields.push(b"content-encoding", compress::token(encoding).as_bytes());
    fields.remove("accept-ranges");
    // That of the body before it is compressed.
    fields.remove_known(Known::ContentLength);
    if let Some(etag) = etag {
        fields.remove_known(Known::Etag);
        fields.push(b"etag", &etag);
    }
    Some(encoding)
}

/// What a field says of a body that does not come.
fn content_length(fields: &Fields) -> Option<u64> {
    std::str::from_utf8(fields.first(Known::ContentLength)?).ok()?.parse().ok()
}

fn names_accept_encoding(vary: &[u8]) -> bool {
    vary.split(|&byte| byte == b',')
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"accept-encoding"))
}
