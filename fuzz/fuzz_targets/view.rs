//! See `certfleet_fuzz::view`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::view::read(data);
});
