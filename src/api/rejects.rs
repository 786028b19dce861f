//! The records of a walk that cannot be counted.
//!
//! Owns: how many there are, and the first of them by name. An API whose records are all unreadable must not fill the memory
//! with their names.

use crate::conversation::RejectedRecord;

/// How many are kept by name; the log names ten in ten minutes.
const MAX_NAMED: usize = 300;

/// All that a walk met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejects {
    named: Vec<RejectedRecord>,
    count: usize,
}

impl Rejects {
    /// Takes those of a page, and hands back the ones that are not kept by name.
    pub fn take(&mut self, mut rejected: Vec<RejectedRecord>) -> Vec<RejectedRecord> {
        self.count += rejected.len();
        let room = MAX_NAMED.saturating_sub(self.named.len()).min(rejected.len());
        let beyond = rejected.split_off(room);
        self.named.append(&mut rejected);
        beyond
    }

    /// How many there were.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The first of them, in the order in which they came.
impl<'a> IntoIterator for &'a Rejects {
    type Item = &'a RejectedRecord;
    type IntoIter = std::slice::Iter<'a, RejectedRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.named.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::RejectedKind;

    #[test]
    fn all_are_counted_and_the_first_are_kept_by_name() {
        let page = |from: usize| -> Vec<RejectedRecord> {
            let ids = (from..from + 200).map(|n| Some(n.to_string()));
            ids.map(|id| RejectedRecord { id, kind: RejectedKind::BadStart }).collect()
        };
        let mut rejects = Rejects::default();
        let beyond: Vec<usize> = [0, 200, 400].map(|from| rejects.take(page(from)).len()).to_vec();
        assert_eq!(beyond, [0, 100, 200]);
        assert_eq!(rejects.len(), 600);
        let named: Vec<_> = rejects.into_iter().filter_map(|rejected| rejected.id.clone()).collect();
        assert_eq!(named, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
