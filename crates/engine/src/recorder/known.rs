//! Which conversations of a target may have a row, so that new ones, which are nearly all when catching up, need no look-up.
//!
//! Owns: a hash of each id that was ever put since the last clean-up. It says "certainly not" or "perhaps", never "yes": identity
//! is the full id, and the ledger decides. So two ids with one hash cost a look-up and nothing else, and nothing is taken out
//! singly, because that could take out another one's hash.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The ids that may be in the ledger.
#[derive(Debug, Default)]
pub(super) struct IdFilter {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl IdFilter {
    /// Nothing but these.
    pub(super) fn from_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known = Self::default();
        ids.into_iter().for_each(|id| known.add(id));
        known
    }

    /// `id` has a row from now on.
    pub(super) fn add(&mut self, id: &str) {
        self.hashes.insert(self.hasher.hash_one(id));
    }

    /// Whether `id` certainly has no row.
    pub(super) fn definitely_absent(&self, id: &str) -> bool {
        !self.hashes.contains(&self.hasher.hash_one(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_never_called_lacking() {
        let mut known = IdFilter::from_ids(["CA1", "CA2"]);
        known.add("CA3");
        assert!(["CA1", "CA2", "CA3"].iter().all(|id| !known.definitely_absent(id)));
        assert!(known.definitely_absent("CA4"));
    }
}
