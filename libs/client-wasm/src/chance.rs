//! Random bytes.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Fills bytes, of which there are at most 65,536.
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill(bytes: &mut [u8]);
}

/// Fills a slice with random bytes, never the same again.
pub fn draw_into(bytes: &mut [u8]) {
    fill(bytes);
}

/// Random bytes, never the same again.
pub fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}
