//! See `certfleet_fuzz::store_url`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    certfleet_fuzz::store_url::read(data);
});
