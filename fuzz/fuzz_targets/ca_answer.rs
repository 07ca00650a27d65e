//! See `certfleet_fuzz::ca_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::ca_answer::read(data);
});
