//! How series are stored: by the names of their metric and labels, so that a change of the catalogue or of the configured
//! dimensions is noticed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Metric, Series, SeriesKey, SeriesSchema};
use crate::ledger::store::StoreError;

#[derive(Serialize, Deserialize)]
struct StoredKey<'a> {
    metric: &'a str,
    labels: Vec<(&'a str, &'a str)>,
}

const INVALID: fn(postcard::Error) -> StoreError = |_| StoreError::Unreadable("series");

pub(super) fn encode(
    key: &SeriesKey,
    series: &Series,
    schema: &SeriesSchema,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let names = schema.label_names(key.metric);
    let stored = StoredKey {
        metric: key.metric.definition().name,
        labels: names.into_iter().zip(key.values.iter().map(|value| &**value)).collect(),
    };
    Ok((postcard::to_stdvec(&stored).map_err(INVALID)?, postcard::to_stdvec(series).map_err(INVALID)?))
}

/// A stored series; `None` if its metric, labels or buckets differ from the schema. Then it is deleted and starts over, with
/// a new start time.
pub(super) fn decode(
    key: &[u8],
    value: &[u8],
    schema: &SeriesSchema,
) -> Result<Option<(SeriesKey, Series)>, StoreError> {
    let stored: StoredKey<'_> = postcard::from_bytes(key).map_err(INVALID)?;
    let Some(metric) = Metric::by_name(stored.metric) else { return Ok(None) };
    let (names, values): (Vec<&str>, Vec<Arc<str>>) =
        stored.labels.iter().map(|&(name, value)| (name, Arc::from(value))).unzip();
    let key = SeriesKey { metric, values: values.into() };
    let series: Series = postcard::from_bytes(value).map_err(INVALID)?;
    let compatible = schema.label_names(metric) == names && schema.is_compatible(&key, &series.value);
    Ok(compatible.then_some((key, series)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::{ExemplarId, ExemplarSource, SeriesOp, TargetSeries};
    use crate::dimension::Dimension;
    use polyai_domain::conversation::Amount;
    use polyai_domain::timestamp::Timestamp;

    fn phone(metric: Metric) -> SeriesKey {
        SeriesKey { metric, values: Arc::from([Arc::from("VOICE-SIP")]) }
    }

    fn handoff_of(id: &str) -> (SeriesKey, Arc<Series>, SeriesSchema) {
        let schema = SeriesSchema::new(vec![Dimension::Channel], &[0.5, 1.0], &[60.0]);
        let (key, at, id) =
            (phone(Metric::Handoffs), Timestamp::from_millis(7), ExemplarId::new(id).unwrap());
        let mut series = TargetSeries::default();
        series.apply(&key, SeriesOp::Add(1), Some(ExemplarSource { id: &id, at }), &schema, at);
        (key.clone(), series.get(&key).unwrap().clone(), schema)
    }

    #[test]
    fn series_with_unsafe_exemplar_is_incompatible() {
        let (key, series, schema) = handoff_of("CA0000000001");
        let (name, mut value) = encode(&key, &series, &schema).unwrap();
        assert_eq!(decode(&name, &value, &schema).unwrap(), Some((key, (*series).clone())));
        let id = value.windows(2).position(|bytes| bytes == b"CA").unwrap();
        value[id..id + 2].copy_from_slice(b"--");
        assert_eq!(decode(&name, &value, &schema).unwrap(), None);
    }

    proptest! {
        #[test]
        fn encoded_series_decodes_to_itself(
            observations in prop::collection::vec((0u64..4_000_000_000, 0i64..50, prop::option::of("[a-c]{1,2}")), 0..60),
        ) {
            let schema = SeriesSchema::new(vec![Dimension::Channel], &[0.5, 1.0], &[60.0]);
            let mut all = TargetSeries::default();
            for (amount, at, id) in observations {
                let id = id.as_deref().and_then(ExemplarId::new);
                let source = id.as_ref().map(|id| ExemplarSource { id, at: Timestamp::from_millis(at) });
                let observe = SeriesOp::Observe(Amount(amount));
                for (metric, change) in [
                    (Metric::TurnLatency, observe),
                    (Metric::ConversationTurns, observe),
                    (Metric::Handoffs, SeriesOp::Add(1)),
                    (Metric::Turns, SeriesOp::Add(amount)),
                ] {
                    all.apply(&phone(metric), change, source, &schema, Timestamp::from_millis(at));
                }
            }
            for (key, series) in all.iter() {
                let (name, value) = encode(key, series, &schema).unwrap();
                prop_assert_eq!(decode(&name, &value, &schema).unwrap(), Some((key.clone(), (**series).clone())));
            }
        }
    }
}
