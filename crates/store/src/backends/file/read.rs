//! Reading one key, and listing many.

use std::fs;
use std::path::{Path, PathBuf};

use certfleet_core::key::{KEY_BYTES_MAX, Key};

use super::Directory;
use super::names::{DirName, KEY_FILE, Place, is_shard};
use super::revisions::{Head, is_gone, look};
use super::root::{fault, read_bounded};
use crate::contract::{Listing, Stored, Unreadable};
use crate::error::StoreError;

impl Directory {
    pub(super) fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let head = look(self.calls.as_ref(), &self.key_dir(&Place::of(key)))?.head;
        if matches!(head, Head::Absent) {
            self.still_there()?;
        }
        head.answer(key)
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.still_there()?;
        let mut listing = Listing::default();
        self.each_key(prefix, &mut |place, found| match found {
            Found::Key(key) if key.is_under(prefix) => self.list_key(&key, place, &mut listing),
            Found::Foreign(path) if prefix.is_empty() => {
                listing.unreadable.push(self.foreign(&path, "nothing that certfleet wrote; remove it if nobody needs it".into()));
                Ok(())
            }
            _ => Ok(()),
        })?;
        listing.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        listing.unreadable.sort();
        Ok(listing)
    }

    fn list_key(&self, key: &Key, place: &Place, listing: &mut Listing) -> Result<(), StoreError> {
        let dir = self.key_dir(place);
        let look = look(self.calls.as_ref(), &dir)?;
        for name in look.foreign {
            let why = format!("a file that certfleet did not write, beside the revisions of `{key}`; remove it");
            listing.unreadable.push(self.foreign(&dir.join(name), why));
        }
        listing.add(key, look.head.answer(key))
    }

    /// Calls `visit` for every directory that may hold a key below `prefix`, in no order, and for what is foreign.
    pub(super) fn each_key(&self, prefix: &str, visit: &mut dyn FnMut(&Place, Found) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for shard in self.shards()? {
            self.each_key_of(&shard, prefix, visit)?;
        }
        Ok(())
    }

    /// The names in the data directory.
    pub(super) fn shards(&self) -> Result<Vec<String>, StoreError> {
        Ok(names_in(&self.data_dir())?.into_iter().map(|(name, _)| name).collect())
    }

    /// As [`Directory::each_key`], in one shard.
    pub(super) fn each_key_of(
        &self,
        shard: &str,
        prefix: &str,
        visit: &mut dyn FnMut(&Place, Found) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let dir = self.data_dir().join(shard);
        let mut place = Place { shard: shard.to_owned(), name: String::new(), hashed: false };
        if !is_shard(shard) || !dir.is_dir() {
            return visit(&place, Found::Foreign(dir));
        }
        for (name, is_dir) in names_in(&dir)? {
            // Most of a large store ends here, before anything is hashed or opened.
            if matches!(DirName::parse(&name), DirName::Key(key) if !key.is_under(prefix)) {
                continue;
            }
            place.name = name;
            match self.key_of(&place, is_dir)? {
                Some(found) => visit(&place, found)?,
                None => continue,
            }
        }
        Ok(())
    }

    /// Which key a directory is for; `None` if it is only just being made.
    pub(super) fn key_of(&self, place: &Place, is_dir: bool) -> Result<Option<Found>, StoreError> {
        let dir = self.key_dir(place);
        let key = match DirName::parse(&place.name) {
            DirName::Key(key) => Some(key),
            DirName::Foreign => None,
            DirName::Hashed => match read_bounded(&dir.join(KEY_FILE), KEY_BYTES_MAX as u64 + 1) {
                Ok(bytes) => String::from_utf8(bytes).ok().and_then(|text| text.trim_end().parse().ok()),
                Err(e) if is_gone(&e) => return Ok(None),
                Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => None,
                Err(e) => return Err(fault("read", &dir.join(KEY_FILE), &e)),
            },
        };
        let ours = key.filter(|key| {
            let right = Place::of(key);
            is_dir && right.shard == place.shard && right.name == place.name
        });
        Ok(Some(ours.map_or_else(|| Found::Foreign(dir), Found::Key)))
    }

    fn foreign(&self, path: &Path, why: String) -> Unreadable {
        Unreadable { key: self.as_key(path), why, revision: None }
    }

    /// Where something foreign is, in the form of a key.
    fn as_key(&self, path: &Path) -> Key {
        let below = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy();
        let plain: String = below.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(KEY_BYTES_MAX).collect();
        let fallback = || super::root::DATA_DIR.parse().expect("`data` is a well-formed key");
        plain.parse().unwrap_or_else(|_| fallback())
    }
}

/// What a name in a shard stands for.
#[derive(Debug)]
pub(super) enum Found {
    Key(Key),
    Foreign(PathBuf),
}

/// Names, and whether they are directories.
fn names_in(dir: &Path) -> Result<Vec<(String, bool)>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Err(e) => return Err(fault("list", dir, &e)),
        Ok(entries) => entries,
    };
    let names = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir()))
    });
    names.collect::<std::io::Result<_>>().map_err(|e| fault("list", dir, &e))
}
