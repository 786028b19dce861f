//! How a series is written into the state: by the names of its metric and labels, so that a change of the catalogue's order
//! or of the configured dimensions is noticed when it is read back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Layout, Metric, Series, SeriesKey};
use crate::ledger::store::StoreError;

#[derive(Serialize, Deserialize)]
struct StoredKey<'a> {
    metric: &'a str,
    labels: Vec<(&'a str, &'a str)>,
}

/// The stored key and value of a series.
pub(super) fn encode(
    key: &SeriesKey,
    series: &Series,
    layout: &Layout,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let names = layout.label_names(key.metric);
    let stored = StoredKey {
        metric: key.metric.definition().name,
        labels: names.into_iter().zip(key.values.iter().map(|value| &**value)).collect(),
    };
    let unreadable = |_| StoreError::Unreadable { what: "series" };
    Ok((postcard::to_stdvec(&stored).map_err(unreadable)?, postcard::to_stdvec(series).map_err(unreadable)?))
}

/// A stored series, or nothing if its metric, its labels or its buckets are no longer what they were: then it starts anew,
/// at a new start time.
pub(super) fn decode(
    key: &[u8],
    value: &[u8],
    layout: &Layout,
) -> Result<Option<(SeriesKey, Series)>, StoreError> {
    let unreadable = |_| StoreError::Unreadable { what: "series" };
    let stored: StoredKey<'_> = postcard::from_bytes(key).map_err(unreadable)?;
    let Some(metric) = Metric::named(stored.metric) else { return Ok(None) };
    let (names, values): (Vec<&str>, Vec<Arc<str>>) =
        stored.labels.iter().map(|&(name, value)| (name, Arc::from(value))).unzip();
    let key = SeriesKey { metric, values: values.into() };
    let series: Series = postcard::from_bytes(value).map_err(unreadable)?;
    let same_shape = layout.label_names(metric) == names && layout.admits(&key, &series.value);
    Ok(same_shape.then_some((key, series)))
}
