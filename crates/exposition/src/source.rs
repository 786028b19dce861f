//! Where the series of an exposition come from.

use crate::family::{FamilyMeta, HistogramView, Sample};

/// Groups of series, such as one per monitored target. Each group has series of several families.
///
/// The renderer keeps the last source that it has seen and encodes only groups for which [`same_series`](Self::same_series)
/// returns `false`, so clones should be cheap and comparisons should be by identity, such as [`std::sync::Arc::ptr_eq`].
pub trait Source: Clone {
    /// Families, and what else the samples of all groups borrow, such as label names and bucket bounds.
    type Layout;

    /// A histogram of [`samples`](Self::samples).
    type Histogram<'a>: HistogramView
    where
        Self: 'a;

    /// Increases with every change.
    fn version(&self) -> u64;

    /// Builds the layout. Called only if [`same_layout`](Self::same_layout) returns `false` for the source before.
    fn layout(&self) -> Self::Layout;

    /// The families in order of exposition.
    fn families(layout: &Self::Layout) -> &[FamilyMeta];

    /// Whether this source has the same layout as `other`, and the same groups with the same labels in the same order.
    fn same_layout(&self, other: &Self) -> bool;

    /// The number of groups.
    fn groups(&self) -> usize;

    /// Name and value of the labels that all series of a group share.
    fn group_labels(&self, group: usize) -> impl Iterator<Item = (&str, &str)>;

    /// Whether the series of a group are unchanged from `other`, which has the same layout.
    fn same_series(&self, other: &Self, group: usize) -> bool;

    /// The series of a group without the labels of the group: index of the family and sample, ordered by family.
    fn samples<'a>(
        &'a self,
        layout: &'a Self::Layout,
        group: usize,
    ) -> impl Iterator<Item = (usize, Sample<'a, Self::Histogram<'a>>)>;
}
