//! What a bucket answers, for the fuzzing workspace alone (`--cfg fuzzing`).

use bytes::Bytes;
use certfleet_core::key::Key;

use super::list::Page;
use super::value::{OBJECT_BYTES_MAX, Object};
use crate::error::StoreError;

/// Takes bytes for an object. True: there is a value or a tombstone; else it is unreadable, and named all the same.
pub fn object(key: &Key, bytes: &[u8]) -> bool {
    let kept = Bytes::copy_from_slice(&bytes[..bytes.len().min(OBJECT_BYTES_MAX)]);
    let object = Object { etag: "0f".into(), length: bytes.len() as u64, bytes: kept };
    match object.answer(key) {
        Ok(Some(_)) => true,
        Ok(None) => object.tombstone().is_some(),
        Err(StoreError::Corrupt { .. }) => false,
        Err(other) => panic!("an object that was read is never {other:?}"),
    }
}

/// Takes bytes for a page of a list.
pub fn page(bytes: &[u8]) -> bool {
    Page::parse(bytes).is_ok()
}
