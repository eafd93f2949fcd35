//! The property `websocket`, fed by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| selvedge_fuzz::websocket(bytes));
