//! A counter and the newest conversation that it counted.
//!
//! Owns: both. Never: a gauge or a histogram.

use serde::{Deserialize, Serialize};

use super::exemplar::{Exemplar, ExemplarSource};
use polyai_domain::conversation::Amount;

/// The value of a counter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    count: u64,
    exemplar: Option<Exemplar>,
}

impl Counter {
    /// Adds `amount`; `witness` is the conversation that it comes from, where the metric has exemplars.
    pub(super) fn add(&mut self, amount: u64, witness: Option<ExemplarSource<'_>>) {
        self.count = self.count.saturating_add(amount);
        if let Some(witness) = witness {
            Exemplar::update(&mut self.exemplar, Amount::from_count(1), witness);
        }
    }

    /// How much has been counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The newest conversation that was counted.
    pub fn exemplar(&self) -> Option<&Exemplar> {
        self.exemplar.as_ref()
    }

    /// Whether a stored counter is one that this program could have written.
    pub(super) fn is_sound(&self) -> bool {
        let is_of_one = |exemplar: &Exemplar| {
            self.count > 0 && exemplar.amount() == Amount::from_count(1) && exemplar.is_valid()
        };
        self.exemplar.as_ref().is_none_or(is_of_one)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exemplar::ExemplarId;
    use super::*;
    use polyai_domain::timestamp::Timestamp;

    #[test]
    fn it_counts_everything_and_keeps_the_newest() {
        let mut counter = Counter::default();
        counter.add(1, None);
        assert_eq!((counter.count(), counter.exemplar()), (1, None));
        for (id, at) in [("CA1", 10), ("CA2", 30), ("CA3", 20)] {
            let id = ExemplarId::new(id).unwrap();
            counter.add(1, Some(ExemplarSource { id: &id, at: Timestamp::from_millis(at) }));
        }
        counter.add(2, None);
        let exemplar = counter.exemplar().unwrap();
        assert_eq!((counter.count(), exemplar.id(), exemplar.at().millis()), (6, "CA2", 30));
        assert!((exemplar.value() - 1.0).abs() < f64::EPSILON);
        assert!(counter.is_sound());
        assert!(!Counter { count: 0, ..counter }.is_sound());
    }
}
