/// A folder with these bytes as its segment is a log that can be read, and is the same when it is opened
/// again, or it is refused.
///
/// The first byte says whether the bytes are the file, or bodies of frames that get headers which are right.
pub fn event_log(bytes: &[u8]) {
    selvedge_eventlog::sim::recovers(bytes);
}
