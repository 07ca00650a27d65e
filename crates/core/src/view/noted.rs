//! Maps and sets that note which of their keys were touched, so that a decision costs what changed.
//!
//! Always holds: nothing can be changed in them unnoted; whoever changes many at once has all noted. What was never asked for notes nothing
//! but that everything is new, so that a view that nobody follows keeps no list.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Deref;

/// Beyond so many touched keys it is cheaper to look at everything.
const TOUCHED_MAX: usize = 4096;

/// Which keys were touched since that was asked last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Touched<K> {
    /// All may have been.
    #[default]
    All,
    /// These.
    Some(BTreeSet<K>),
}

impl<K: Ord> Touched<K> {
    fn note(&mut self, key: K) {
        if let Self::Some(keys) = self {
            keys.insert(key);
            if keys.len() > TOUCHED_MAX {
                *self = Self::All;
            }
        }
    }

    /// What was noted so far; from now on it is noted anew.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Some(BTreeSet::new()))
    }
}

/// A map that notes what is touched. It reads like a `BTreeMap`; two are equal if they hold the same.
#[derive(Debug, Clone)]
pub struct Noted<K, V> {
    map: BTreeMap<K, V>,
    touched: Touched<K>,
}

impl<K: Ord + Clone, V> Noted<K, V> {
    /// Puts a value under a key.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.touched.note(key.clone());
        self.map.insert(key, value)
    }

    /// Takes it away.
    pub fn remove<Q: Ord + ToOwned<Owned = K>>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let gone = self.map.remove(key);
        if gone.is_some() {
            self.touched.note(key.to_owned());
        }
        gone
    }

    /// To be changed where it is.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let value = self.map.get_mut(key);
        if value.is_some() {
            self.touched.note(key.clone());
        }
        value
    }

    /// The place of a key.
    pub fn entry(&mut self, key: K) -> btree_map::Entry<'_, K, V> {
        self.touched.note(key.clone());
        self.map.entry(key)
    }

    /// All of them, to be changed.
    pub fn values_mut(&mut self) -> btree_map::ValuesMut<'_, K, V> {
        self.touched = Touched::All;
        self.map.values_mut()
    }

    /// Keeps those that are to stay.
    pub fn retain(&mut self, stays: impl FnMut(&K, &mut V) -> bool) {
        self.touched = Touched::All;
        self.map.retain(stays);
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What was touched since this was asked last.
    pub fn take_touched(&mut self) -> Touched<K> {
        self.touched.take()
    }
}

impl<K, V> Default for Noted<K, V> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), touched: Touched::All }
    }
}

impl<K, V> From<BTreeMap<K, V>> for Noted<K, V> {
    fn from(map: BTreeMap<K, V>) -> Self {
        Self { map, touched: Touched::All }
    }
}

impl<K, V> Deref for Noted<K, V> {
    type Target = BTreeMap<K, V>;
    fn deref(&self) -> &BTreeMap<K, V> {
        &self.map
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Noted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

impl<'a, K, V> IntoIterator for &'a Noted<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = btree_map::Iter<'a, K, V>;
    fn into_iter(self) -> Self::IntoIter {
        self.map.iter()
    }
}

/// A set that notes what comes and goes.
#[derive(Debug, Clone)]
pub struct NotedSet<K> {
    set: BTreeSet<K>,
    touched: Touched<K>,
}

impl<K: Ord + Clone> NotedSet<K> {
    /// Puts it in.
    pub fn insert(&mut self, key: K) -> bool {
        self.touched.note(key.clone());
        self.set.insert(key)
    }

    /// Takes it out.
    pub fn remove(&mut self, key: &K) -> bool {
        self.touched.note(key.clone());
        self.set.remove(key)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What was touched since this was asked last.
    pub fn take_touched(&mut self) -> Touched<K> {
        self.touched.take()
    }
}

impl<K> Default for NotedSet<K> {
    fn default() -> Self {
        Self { set: BTreeSet::new(), touched: Touched::All }
    }
}

impl<K> Deref for NotedSet<K> {
    type Target = BTreeSet<K>;
    fn deref(&self) -> &BTreeSet<K> {
        &self.set
    }
}

impl<K: PartialEq> PartialEq for NotedSet<K> {
    fn eq(&self, other: &Self) -> bool {
        self.set == other.set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_noted_once_it_was_asked_for() {
        let mut map: Noted<u8, u8> = Noted::default();
        map.insert(1, 1);
        assert_eq!(map.take_touched(), Touched::All, "all is new");
        map.insert(2, 2);
        map.get_mut(&1);
        map.get_mut(&9);
        map.remove(&8);
        assert_eq!(map.take_touched(), Touched::Some([1, 2].into()));
        map.remove(&2);
        map.entry(3).or_default();
        assert_eq!(map.take_touched(), Touched::Some([2, 3].into()));
        assert_eq!(map.take_touched(), Touched::Some([].into()));
        map.values_mut().for_each(|value| *value += 1);
        assert_eq!((map.take_touched(), map[&1]), (Touched::All, 2));
    }

    #[test]
    fn a_long_list_is_as_good_as_all() {
        let mut set: NotedSet<usize> = NotedSet::default();
        set.take_touched();
        assert!((0..=TOUCHED_MAX).all(|n| set.insert(n)));
        assert_eq!(set.take_touched(), Touched::All);
    }
}
