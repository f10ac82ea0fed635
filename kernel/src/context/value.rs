//! A key and a value of any types, as a context carries them.

use alloc::boxed::Box;
use core::any::Any;

/// A pair whose types are forgotten.
pub(super) trait Pair: Send + Sync {
    /// The value, if this is the pair of that key: the same type, and equal.
    fn get(&self, key: &dyn Any) -> Option<&dyn Any>;
}

struct Typed<K, V> {
    key: K,
    value: V,
}

impl<K, V> Pair for Typed<K, V>
where
    K: Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn get(&self, key: &dyn Any) -> Option<&dyn Any> {
        (key.downcast_ref::<K>()? == &self.key).then_some(&self.value)
    }
}

/// A pair of these.
pub(super) fn pair<K, V>(key: K, value: V) -> Box<dyn Pair>
where
    K: Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Box::new(Typed { key, value })
}
