//! The property `text`, fed by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // `yrs` may give up on an update: that panic is caught, and is no finding. What is not caught still ends the run.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| selvedge_fuzz::text(bytes)
);
