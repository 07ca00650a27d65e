//! Values of the size of the fleet that hardly ever change: whoever keeps a copy shares them, and sees at once that they are the same.
//!
//! Always holds: it reads and changes like the value itself; a copy stays what it was.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value that copies share until one of them is changed.
#[derive(Debug, Clone, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// The value, for those who keep it on their own.
    pub fn arc(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: Eq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_what_it_was() {
        let mut one: Shared<Vec<u8>> = vec![1].into();
        let before = one.clone();
        assert!(Arc::ptr_eq(one.arc(), before.arc()) && one == before);
        one.push(2);
        assert_eq!((one.as_slice(), before.as_slice()), (&[1, 2][..], &[1][..]));
        assert!(one != before && one == Shared::from(vec![1, 2]));
    }
}
