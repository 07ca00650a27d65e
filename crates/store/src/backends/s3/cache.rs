//! Objects that were read, by name and ETag: what a list says to be unchanged is not fetched again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::value::Object;

/// How many bytes are kept. What does not fit is fetched each time.
const CACHE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    objects: HashMap<String, Object>,
    bytes: usize,
}

impl Cache {
    /// The object of this name, if it is the one with this ETag.
    pub(super) fn get(&self, name: &str, etag: &str) -> Option<Object> {
        self.kept().objects.get(name).filter(|object| object.etag == etag).cloned()
    }

    /// What was last seen there, which may be long ago.
    pub(super) fn last_seen(&self, name: &str) -> Option<Object> {
        self.kept().objects.get(name).cloned()
    }

    /// Takes the place of what was there.
    pub(super) fn set(&self, name: &str, object: Option<Object>) {
        let mut kept = self.kept();
        let before = kept.objects.remove(name).map_or(0, |object| size(name, &object));
        kept.bytes -= before;
        if let Some(object) = object.filter(|object| kept.bytes + size(name, object) <= CACHE_BYTES_MAX) {
            kept.bytes += size(name, &object);
            kept.objects.insert(name.to_owned(), object);
        }
    }

    /// Forgets those with names that begin so and are not among the ones that are there.
    pub(super) fn forget_others(&self, prefix: &str, is_there: impl Fn(&str) -> bool) {
        let mut kept = self.kept();
        let gone: Vec<String> = kept.objects.keys().filter(|name| name.starts_with(prefix) && !is_there(name)).cloned().collect();
        for name in gone {
            let freed = kept.objects.remove(&name).map_or(0, |object| size(&name, &object));
            kept.bytes -= freed;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(name: &str, object: &Object) -> usize {
    name.len() + object.etag.len() + object.bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(etag: &str, bytes: usize) -> Object {
        Object { etag: etag.into(), length: bytes as u64, bytes: vec![0; bytes].into() }
    }

    #[test]
    fn what_changed_is_not_given() {
        let cache = Cache::default();
        cache.set("a", Some(object("1", 3)));
        assert_eq!((cache.get("a", "1"), cache.get("a", "2"), cache.get("b", "1")), (Some(object("1", 3)), None, None));
        cache.set("a", Some(object("2", 3)));
        assert_eq!((cache.get("a", "1"), cache.last_seen("a")), (None, Some(object("2", 3))));
        cache.set("a", None);
        assert_eq!(cache.last_seen("a"), None);
    }

    #[test]
    fn it_is_bounded_and_forgets() {
        let cache = Cache::default();
        cache.set("p/a", Some(object("1", CACHE_BYTES_MAX / 2)));
        cache.set("p/b", Some(object("1", CACHE_BYTES_MAX)));
        cache.set("q", Some(object("1", 1)));
        assert!(cache.last_seen("p/a").is_some() && cache.last_seen("p/b").is_none() && cache.last_seen("q").is_some());
        cache.forget_others("p/", |name| name != "p/a");
        assert!(cache.last_seen("p/a").is_none() && cache.last_seen("q").is_some());
        cache.set("p/b", Some(object("1", CACHE_BYTES_MAX / 2)));
        assert!(cache.last_seen("p/b").is_some(), "there is room again");
    }
}
