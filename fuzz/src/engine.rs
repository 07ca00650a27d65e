//! What engines find where their values should be: what it is on the first line (`name`, `object` or `page`), then the bytes.
//!
//! Also holds: a key has one name in a directory, and a name one key.

use certfleet_store::backends::{file, s3};

use crate::first_line;

/// Takes it for that.
pub fn read(data: &[u8]) -> bool {
    let (what, bytes) = first_line(data);
    match what {
        b"name" => std::str::from_utf8(bytes).is_ok_and(file::fuzz::name),
        b"object" => s3::fuzz::object(&"certs/example.com".parse().expect("a key"), bytes),
        b"page" => s3::fuzz::page(bytes),
        _ => false,
    }
}
