//! A map that many threads read and one replaces: each change makes a new one, which shares nearly all
//! of its memory with the old.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Changes that are kept beside the great map, at least, before they are worked into it.
const RECENT_MIN: usize = 1024;

/// Which part of the great map they may be.
const RECENT_SHARE: usize = 256;

/// A great map, and the few changes since it was made. A change copies the changes only, and now and then
/// the whole.
#[derive(Clone, Debug)]
pub struct Layered<K, V> {
    base: Arc<Map<K, V>>,
    /// What came, or went: nothing in the place of a value.
    recent: Arc<Map<K, Option<V>>>,
    len: usize,
}

impl<K, V> Default for Layered<K, V> {
    fn default() -> Self {
        Self {
            base: Arc::default(),
            recent: Arc::default(),
            len: 0,
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Layered<K, V> {
    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        if !self.recent.is_empty()
            && let Some(changed) = self.recent.get(key)
        {
            return changed.as_ref();
        }
        self.base.get(key)
    }

    /// Whether a key is there.
    #[inline]
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The map with these keys set, or removed where there is no value. Of a key that comes twice the
    /// last counts.
    #[must_use]
    pub fn changed(&self, changes: impl IntoIterator<Item = (K, Option<V>)>) -> Self {
        let mut recent = Map::clone(&self.recent);
        let mut len = self.len;
        for (key, value) in changes {
            let was = recent
                .get(&key)
                .map_or_else(|| self.base.contains_key(&key), Option::is_some);
            len = len + usize::from(value.is_some()) - usize::from(was);
            recent.insert(key, value);
        }
        if recent.len() <= RECENT_MIN.max(self.base.len() / RECENT_SHARE) {
            let base = Arc::clone(&self.base);
            let recent = Arc::new(recent);
            return Self { base, recent, len };
        }
        let mut base = Map::clone(&self.base);
        for (key, value) in recent {
            match value {
                Some(value) => base.insert(key, value),
                None => base.remove(&key),
            };
        }
        base.into_iter().collect()
    }
}

impl<K: Eq + Hash + Clone, V: Clone> FromIterator<(K, V)> for Layered<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut base: Map<K, V> = entries.into_iter().collect();
        base.shrink_to_fit();
        Self {
            len: base.len(),
            base: Arc::new(base),
            recent: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_common_map_holds_through_random_changes() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let start: HashMap<u32, u32> = (0..500).map(|key| (key, key)).collect();
        let mut model = start.clone();
        let mut layered: Layered<u32, u32> = start.into_iter().collect();
        for _ in 0..400 {
            let changes: Vec<(u32, Option<u32>)> = (0..random.usize(..40))
                .map(|_| {
                    let value = random.bool().then(|| random.u32(..));
                    (random.u32(..3000), value)
                })
                .collect();
            let before = layered.clone();
            let (key, was) = (random.u32(..3000), before.len());
            let value = before.get(&key).copied();
            layered = layered.changed(changes.iter().copied());
            assert_eq!((before.get(&key).copied(), before.len()), (value, was));
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            assert_eq!(layered.len(), model.len());
            assert_eq!(layered.is_empty(), model.is_empty());
            for key in 0..3000 {
                assert_eq!(layered.get(&key), model.get(&key), "{key}");
            }
        }
    }
}
