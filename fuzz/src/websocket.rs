/// What a client sends is messages within their bound, or a reason to close, the same however it is cut.
pub fn websocket(bytes: &[u8]) {
    selvedge_sync::messages(bytes);
}
