//! See `certfleet_fuzz::private_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::private_key::read(data);
});
