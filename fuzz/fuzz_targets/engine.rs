//! See `certfleet_fuzz::engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::engine::read(data);
});
