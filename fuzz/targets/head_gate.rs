#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| selvedge_properties::head_gate(bytes));
