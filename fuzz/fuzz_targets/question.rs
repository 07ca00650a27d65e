//! See `certfleet_fuzz::question`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::question::read(data);
});
