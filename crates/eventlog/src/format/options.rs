//! Options of a stream, as creation, configuration and the catalogue hold them.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Bites, put_counted};
use crate::{Retention, StreamOptions};

/// Writes options; a bound that is absent is the largest number.
pub(crate) fn put_options(out: &mut BytesMut, options: &StreamOptions) {
    let StreamOptions { retention: Retention { age_ms_max, bytes_max }, metadata } = options;
    out.put_u64_le(age_ms_max.unwrap_or(u64::MAX));
    out.put_u64_le(bytes_max.unwrap_or(u64::MAX));
    put_counted(out, metadata);
}

/// Reads options.
pub(crate) fn take_options(bites: &mut Bites) -> Option<StreamOptions> {
    let bound = |number| (number != u64::MAX).then_some(number);
    let retention = Retention { age_ms_max: bound(bites.u64()?), bytes_max: bound(bites.u64()?) };
    Some(StreamOptions { retention, metadata: Bytes::copy_from_slice(bites.counted()?) })
}
