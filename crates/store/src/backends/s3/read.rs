//! Reading one key, and listing many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certfleet_core::key::Key;
use tokio::task::JoinSet;

use super::Inner;
use super::fault::away;
use super::list::Listed;
use super::value::Object;
use crate::contract::{Listing, Stored, Unreadable};
use crate::error::StoreError;

/// How many objects are fetched at once.
const FETCHES_MAX: usize = 32;
/// How many pages a list may have, of a thousand objects each.
const PAGES_MAX: usize = 10_000;

impl Inner {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        match self.object(&self.names.of(key)?).await? {
            Some(object) => object.answer(key),
            None => self.marker.check().await.map(|()| None),
        }
    }

    pub(super) async fn list_under(self: &Arc<Self>, prefix: &str) -> Result<Listing, StoreError> {
        // Also where something is there: it has to be this store's.
        let (is_ours, listed) = tokio::join!(self.marker.check(), self.listed(prefix));
        is_ours?;
        let mut listing = Listing::default();
        let mut wanted = Vec::new();
        for object in listed? {
            match self.names.key(&object.name) {
                Ok(key) if key.is_under(prefix) => wanted.push((key, object)),
                Err(place) if prefix.trim_end_matches('/').is_empty() => listing.unreadable.push(foreign(place)),
                _ => {}
            }
        }
        for (key, object) in self.fetched(wanted).await? {
            listing.add(&key, object.answer(&key))?;
        }
        listing.unreadable.sort();
        Ok(listing)
    }

    /// What has a name of a key at or below `prefix`; others may have, too.
    pub(super) async fn listed(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let begin = self.names.under(prefix);
        let (mut listed, mut token) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.bucket.page(&begin, token.as_deref()).await?;
            listed.extend(page.objects);
            token = page.next;
            if token.is_none() {
                let names: BTreeSet<&str> = listed.iter().map(|object| object.name.as_str()).collect();
                self.cache.forget_others(&begin, |name| names.contains(name));
                return Ok(listed);
            }
        }
        Err(away(self.bucket.host(), &format!("its list has more than {PAGES_MAX} pages"), "give the store a prefix of its own"))
    }

    /// The object of this name, as it is now.
    pub(super) async fn object(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let object = self.bucket.get(name).await?;
        self.cache.set(name, object.clone());
        Ok(object)
    }

    /// Those that are still there, in the order of their keys. Asks for what is not known by its ETag.
    async fn fetched(self: &Arc<Self>, wanted: Vec<(Key, Listed)>) -> Result<BTreeMap<Key, Object>, StoreError> {
        let mut found = BTreeMap::new();
        let mut fetches = JoinSet::new();
        for (key, listed) in wanted {
            if let Some(object) = self.cache.get(&listed.name, &listed.etag) {
                found.insert(key, object);
                continue;
            }
            if fetches.len() == FETCHES_MAX {
                arrived(fetches.join_next().await, &mut found)?;
            }
            let store = self.clone();
            fetches.spawn(async move { (key, store.object(&listed.name).await) });
        }
        while !fetches.is_empty() {
            arrived(fetches.join_next().await, &mut found)?;
        }
        Ok(found)
    }
}

type Fetch = Result<(Key, Result<Option<Object>, StoreError>), tokio::task::JoinError>;

fn arrived(fetch: Option<Fetch>, found: &mut BTreeMap<Key, Object>) -> Result<(), StoreError> {
    let Some(fetch) = fetch else { return Ok(()) };
    let (key, object) = fetch.map_err(|e| StoreError::Away { why: format!("reading ended early: {e}") })?;
    if let Some(object) = object? {
        found.insert(key, object);
    }
    Ok(())
}

/// Something below the prefix that is no key of any version.
fn foreign(key: Key) -> Unreadable {
    Unreadable { key, why: "nothing that certfleet wrote; remove it if nobody needs it".into(), revision: None }
}
