//! A parsed exposition in a form that all formats have in common.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Name and value of each label.
pub(crate) type Labels = BTreeMap<String, String>;

/// A parsed exposition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ParsedExposition {
    /// Type and help text by full name; the type as in the text formats.
    pub(crate) families: BTreeMap<String, (String, String)>,
    /// Each line of the text format, by [`key`].
    pub(crate) samples: BTreeMap<String, f64>,
    /// By sample.
    pub(crate) exemplars: BTreeMap<String, Exemplar>,
    /// Exemplars of histograms as a whole, in order.
    pub(crate) newest: BTreeMap<String, Vec<Exemplar>>,
    /// Start timestamps of counters and histograms, in milliseconds.
    pub(crate) starts: BTreeMap<String, i64>,
    /// Native histograms.
    pub(crate) natives: BTreeMap<String, Native>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    /// In milliseconds.
    pub(crate) at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Native {
    pub(crate) schema: i32,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: u64,
    /// Index and count of each bucket.
    pub(crate) buckets: Vec<(i32, u64)>,
}

impl Native {
    pub(crate) fn total(&self) -> u64 {
        self.zero_count + self.buckets.iter().map(|&(_, count)| count).sum::<u64>()
    }

    /// From spans: the distance from the end of the one before, and the length.
    pub(crate) fn lay_out(spans: impl IntoIterator<Item = (i32, u32)>, counts: &[u64]) -> Vec<(i32, u64)> {
        let mut next = 0;
        let mut indices = Vec::new();
        for (offset, length) in spans {
            next += offset;
            for _ in 0..length {
                indices.push(next);
                next += 1;
            }
        }
        assert_eq!(indices.len(), counts.len(), "spans and buckets");
        indices.into_iter().zip(counts.iter().copied()).collect()
    }
}

/// A series in a canonical form; formats differ in the spelling of `le`.
pub(crate) fn key(name: &str, labels: &Labels) -> String {
    let mut labels = labels.clone();
    if let Some(le) = labels.get_mut("le") {
        *le = format!("{:?}", le.parse::<f64>().unwrap());
    }
    format!("{name}{}", serde_json::to_string(&labels).unwrap())
}

/// The labels at the end of a [`key`].
pub(crate) fn labels_of(text: &str) -> Labels {
    serde_json::from_str(text).unwrap()
}

/// The series of a bucket.
pub(crate) fn bucket(name: &str, labels: &Labels, bound: f64) -> String {
    let mut labels = labels.clone();
    labels.insert("le".to_owned(), format!("{bound:?}"));
    key(&format!("{name}_bucket"), &labels)
}

/// Seconds as whole milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "checked")]
pub(crate) fn millis(seconds: f64) -> i64 {
    let millis = (seconds * 1000.0).round();
    assert!((millis / 1000.0 - seconds).abs() < 1e-6, "{seconds} s is not a number of milliseconds");
    millis as i64
}

/// Whether this is a conversation metric, which changes only with a commit.
pub(crate) fn is_committed(name: &str) -> bool {
    name.starts_with("polyai_") && !name.starts_with("polyai_exporter_")
}

/// Asserts that two maps are equal, and reports the first differences.
#[track_caller]
pub(crate) fn assert_same<V: PartialEq + Debug>(
    what: &str,
    left: &BTreeMap<String, V>,
    right: &BTreeMap<String, V>,
) {
    let differences: Vec<String> = left
        .keys()
        .chain(right.keys())
        .filter(|key| left.get(*key) != right.get(*key))
        .map(|key| format!("  {key}: {:?} and {:?}", left.get(key), right.get(key)))
        .take(8)
        .collect();
    assert!(differences.is_empty(), "{what} differ:\n{}", differences.join("\n"));
    assert!(!left.is_empty(), "there are no {what} to compare");
}
