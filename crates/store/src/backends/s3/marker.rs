//! By what a store is known: one object, made once, that is asked for whenever something is absent.
//!
//! So a bucket that was emptied or made anew, or another one at the same address, is never taken for an empty store, whenever that happens.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Condition, Written};
use super::fault::away;
use super::names::Names;
use super::url::S3Url;
use crate::error::{OpenError, StoreError};
use crate::nonce::fresh_nonce;

/// The layout that this version reads and writes.
const LAYOUT: u32 = 1;
const ABOUT: &str = "certfleet keeps its fleet's state here: one object per key, below data/";

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    layout: u32,
    id: String,
    about: String,
}

/// The store's identity, as its bytes are.
#[derive(Debug)]
pub(super) struct Marker {
    bucket: Arc<Bucket>,
    name: String,
    place: String,
    bytes: Bytes,
}

impl Marker {
    /// Recognises the store.
    pub(super) async fn open(bucket: &Arc<Bucket>, names: &Names, url: &S3Url) -> Result<Self, OpenError> {
        let Some(found) = bucket.get(&names.marker()).await? else {
            let why = "there is nothing at this prefix; check bucket and prefix, or run `certfleet init` to make a new fleet";
            return Err(missing(url, why));
        };
        let content: Content = serde_json::from_slice(&found.bytes)
            .map_err(|e| missing(url, &format!("the object `{}` is not certfleet's ({e}); give another prefix", names.marker())))?;
        if content.layout > LAYOUT {
            return Err(OpenError::TooNew { path: url.to_string().into(), found: content.layout, known: LAYOUT });
        }
        Ok(Self { bucket: bucket.clone(), name: names.marker(), place: url.to_string(), bytes: found.bytes })
    }

    /// Makes the store unless there is one. Several may do so at once; one store comes of it.
    pub(super) async fn open_or_create(bucket: &Arc<Bucket>, names: &Names, url: &S3Url) -> Result<Self, OpenError> {
        if bucket.get(&names.marker()).await?.is_none() {
            refuse_other_contents(bucket, names, url).await?;
            let content = Content { layout: LAYOUT, id: fresh_nonce()?.as_str().to_owned(), about: ABOUT.to_owned() };
            let mut bytes = serde_json::to_vec(&content).map_err(|e| StoreError::Away { why: e.to_string() })?;
            bytes.push(b'\n');
            // Whether it took place is seen by reading.
            if let Written::Unknown(why) = bucket.put(&names.marker(), &bytes.into(), Condition::Absent).await? {
                tracing::debug!(why, "whether the store was made is not known");
            }
        }
        Self::open(bucket, names, url).await
    }

    /// Fails unless the store is the one that was opened.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        match self.bucket.get(&self.name).await? {
            Some(found) if found.bytes == self.bytes => Ok(()),
            Some(_) => Err(StoreError::NeedsOperator {
                what: format!("{} is another store than the one that was opened", self.place),
                remedy: "check endpoint, bucket and prefix, or restart certfleet if this is intended".into(),
            }),
            None => Err(away(
                self.bucket.host(),
                &format!("the store {} is not there any more (`{}` is gone)", self.place, self.name),
                "see why it lost its data and restore it, or run `certfleet store recover`",
            )),
        }
    }
}

/// A prefix below which others keep things is not taken.
async fn refuse_other_contents(bucket: &Bucket, names: &Names, url: &S3Url) -> Result<(), OpenError> {
    let found = bucket.page(&names.all(), None).await?;
    // Another node may have been quicker. A console makes an object of this name for a folder.
    match found.objects.iter().find(|object| object.name != names.marker() && object.name != names.all()) {
        Some(_) if found.objects.iter().any(|object| object.name == names.marker()) => Ok(()),
        None => Ok(()),
        Some(other) => {
            let name = other.name.escape_default();
            Err(missing(url, &format!("there are other things at this prefix (`{name}`); give another one")))
        }
    }
}

fn missing(url: &S3Url, why: &str) -> OpenError {
    OpenError::Missing { path: url.to_string().into(), why: why.to_owned() }
}
