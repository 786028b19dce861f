//! Exemplars: the conversation behind a dot of a graph.
//!
//! Owns: which ids may be shown, and which of two exemplars stays. Never: a sample; what has no exemplar counts all the same.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use polyai_domain::conversation::{Amount, ConversationId};
use polyai_domain::phone_number;
use polyai_domain::timestamp::Timestamp;

/// The name of an exemplar's only label.
pub const EXEMPLAR_LABEL: &str = "conversation_id";

/// OpenMetrics allows 128 characters for the names and values of an exemplar's labels together.
const MAX_ID_LEN: usize = 128 - EXEMPLAR_LABEL.len();

/// The id of a conversation that may be shown to everybody who can see the graphs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExemplarId(Arc<str>);

impl ExemplarId {
    /// Admits an id of 1 to 113 ASCII letters, digits, `_`, `-`, `.` and `:`, which all known forms are made of.
    ///
    /// One that could be a telephone number is refused: one without any letter and of 7 to 15 digits, whatever stands between
    /// them. A bare number of that length is refused with it, since nothing tells the two apart.
    pub fn new(id: &str) -> Option<Self> {
        is_safe(id).then(|| Self(Arc::from(id)))
    }

    /// The same for the id of a conversation, without a copy of its text.
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
    (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(is_plain) && !phone_number::is_phone_number(id)
}

/// The conversation that stands behind a change of a series.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarSource<'a> {
    /// Which conversation.
    pub id: &'a ExemplarId,
    /// When what changes the series happened.
    pub at: Timestamp,
}

/// One conversation of those that a value is made of. The greatest one stays: the newest; of two of the same moment, the one with
/// the larger value, then with the greater id. So the order in which conversations are counted does not show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exemplar {
    // The derived order is the order that the introduction tells.
    at: Timestamp,
    value: Amount,
    id: ExemplarId,
}

impl Exemplar {
    /// Puts `source` of an observation of `value` in `place`, if it is greater than what stands there.
    pub(super) fn update(place: &mut Option<Self>, value: Amount, source: ExemplarSource<'_>) {
        let stays = place.as_ref().is_some_and(|exemplar| {
            (exemplar.at, exemplar.value, &exemplar.id) >= (source.at, value, source.id)
        });
        if !stays {
            *place = Some(Self { at: source.at, value, id: source.id.clone() });
        }
    }

    /// The value of the label [`EXEMPLAR_LABEL`].
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// What was observed, in the unit of the metric; 1 for a counter.
    pub fn value(&self) -> f64 {
        self.value.units()
    }

    /// The same, exactly.
    pub(super) fn amount(&self) -> Amount {
        self.value
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether a stored exemplar may be shown.
    pub(super) fn is_valid(&self) -> bool {
        is_safe(self.id())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_known_form_of_an_id_is_admitted() {
        for id in [
            "CA7f3d8a52c1e94b06a7d2f0c4b8e615f9",
            "KA0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "OUT-0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "LOCAL-0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "AS_CHAT_0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "TESTING_CHAT_0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "0b8c6c52-5e2f-4b1e-9d40-3c1f3a8a7d11",
            "CONV-1234567890",
            "a",
            "42",
            "1234567890123456",
            &"x".repeat(113),
        ] {
            assert_eq!(ExemplarId::new(id).as_ref().map(ExemplarId::as_str), Some(id));
        }
    }

    #[test]
    fn an_id_that_is_no_plain_word_or_may_be_a_telephone_number_is_not() {
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
    fn the_id_of_a_conversation_is_not_copied() {
        let id = ConversationId::new("CA01").unwrap();
        assert!(Arc::ptr_eq(&ExemplarId::of(&id).unwrap().0, &id.shared()));
        assert_eq!(ExemplarId::of(&ConversationId::new("+442079460000").unwrap()), None);
    }

    proptest! {
        /// Few values each, so that all ties occur.
        #[test]
        fn the_newest_stays_in_whatever_order_they_come(
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
