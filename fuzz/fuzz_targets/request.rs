//! See `certfleet_fuzz::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::request::read(data);
});
