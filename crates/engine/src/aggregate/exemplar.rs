//! Exemplars: single conversations that a value is made of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use polyai_domain::conversation::{Amount, ConversationId};
use polyai_domain::phone_number;
use polyai_domain::timestamp::Timestamp;

/// The name of an exemplar's only label.
pub const EXEMPLAR_LABEL: &str = "conversation_id";

/// OpenMetrics allows 128 characters for the names and values of an exemplar's labels together.
const MAX_ID_LEN: usize = 128 - EXEMPLAR_LABEL.len();

/// The id of a conversation that is safe to show to everybody who can see the graphs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExemplarId(Arc<str>);

impl ExemplarId {
    /// An id of 1 to 113 ASCII letters, digits, `_`, `-`, `.` and `:`, which all known forms consist of.
    ///
    /// `None` for an id that may contain a phone number, or that replaces one.
    pub fn new(id: &str) -> Option<Self> {
        is_safe(id).then(|| Self(Arc::from(id)))
    }

    /// The same for the id of a conversation, without copying its text.
    pub fn of(id: &ConversationId) -> Option<Self> {
        is_safe(id.as_str()).then(|| Self(id.shared()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_safe(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=MAX_ID_LEN).contains(&id.len())
        && id.bytes().all(is_plain)
        && !id.starts_with(phone_number::REDACTED)
        && !phone_number::contains_phone_number(id)
}

/// The conversation that updates a series.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarSource<'a> {
    /// Its id.
    pub id: &'a ExemplarId,
    /// When what it counts happened.
    pub at: Timestamp,
}

/// One conversation of those that a value is made of: the newest; of two at the same time, the one with the larger value,
/// then with the greater id. So it does not depend on the order in which conversations are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exemplar {
    // The fields are in the order of comparison.
    at: Timestamp,
    value: Amount,
    id: ExemplarId,
}

impl Exemplar {
    /// Replaces the exemplar in `slot` by an observation of `value`, if that is greater.
    pub(super) fn update(slot: &mut Option<Self>, value: Amount, source: ExemplarSource<'_>) {
        let new = (source.at, value, source.id);
        if slot.as_ref().is_none_or(|old| (old.at, old.value, &old.id) < new) {
            *slot = Some(Self { at: source.at, value, id: source.id.clone() });
        }
    }

    /// The value of the label [`EXEMPLAR_LABEL`].
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The observed value, in the unit of the metric; 1 for a counter.
    pub fn value(&self) -> f64 {
        self.value.units()
    }

    pub(super) fn amount(&self) -> Amount {
        self.value
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether a stored exemplar is safe to show.
    pub(super) fn is_valid(&self) -> bool {
        is_safe(self.id())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_forms_of_ids_are_safe() {
        for id in [
            "CA7f3d8a52c1e94b06a7d2f0c4b8e615f9",
            "KA0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "OUT-0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "LOCAL-0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "AS_CHAT_0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "TESTING_CHAT_0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "CONV-0000001234",
            "a",
            "42",
            "1234567890123456",
            &"x".repeat(113),
        ] {
            assert_eq!(ExemplarId::new(id).as_ref().map(ExemplarId::as_str), Some(id));
        }
    }

    #[test]
    fn other_texts_and_phone_numbers_are_not_safe() {
        for id in [
            "",
            &"x".repeat(114),
            "CA 01",
            "CA\"01",
            "CA\n01",
            "CA/01",
            "é",
            "me@example.com",
            "+442079460000",
            "442079460000",
            "020-7946-0000",
            "020.7946.0000",
            "2079460",
            "123456789012345",
        ] {
            assert_eq!(ExemplarId::new(id), None, "{id}");
        }
    }

    #[test]
    fn conversation_id_is_not_copied() {
        let id = ConversationId::new("CA01").unwrap();
        assert!(Arc::ptr_eq(&ExemplarId::of(&id).unwrap().0, &id.shared()));
        assert_eq!(ExemplarId::of(&ConversationId::new("+442079460000").unwrap()), None);
    }

    proptest! {
        /// Few values each, so that all ties occur.
        #[test]
        fn newest_exemplar_stays_in_any_order(
            offers in prop::collection::vec((0i64..3, 0u64..3, "[ab]{1,2}"), 1..30),
            turned in any::<prop::sample::Index>(),
        ) {
            let stays = |offers: &[(i64, u64, String)]| {
                let mut place = None;
                for (at, value, id) in offers {
                    let id = ExemplarId::new(id).unwrap();
                    let source = ExemplarSource { id: &id, at: Timestamp::from_millis(*at) };
                    Exemplar::update(&mut place, Amount(*value), source);
                }
                place.unwrap()
            };
            let one = stays(&offers);
            let newest = offers.iter().max().unwrap();
            prop_assert_eq!((one.at().millis(), one.amount().0, one.id()), (newest.0, newest.1, &*newest.2));
            let mut others = offers.clone();
            others.rotate_left(turned.index(offers.len()));
            prop_assert_eq!(&stays(&others), &one);
            others.reverse();
            prop_assert_eq!(&stays(&others), &one);
        }
    }
}
