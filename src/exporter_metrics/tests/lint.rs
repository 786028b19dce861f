//! The naming rules of `promtool check metrics`, and some of our own.

use std::collections::BTreeSet;

use exporter_exposition::{Family, Kind, Value};

/// Violations of the rules, as "name: problem".
pub(super) fn lint(families: &[Family]) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for family in families {
        let mut report = |problem: String| found.push(format!("{}: {problem}", family.meta.name));
        if !names.insert(&family.meta.name) {
            report("more than one family of this name".to_owned());
        }
        help(family, &mut report);
        name(family, &mut report);
        units(family, &mut report);
        suffixes(family, &mut report);
        labels(family, &mut report);
        values(family, &mut report);
    }
    found
}

type Report<'a> = &'a mut dyn FnMut(String);

fn help(family: &Family, report: Report<'_>) {
    if family.meta.help.trim().is_empty() {
        report("no help text".to_owned());
    }
}

fn name(family: &Family, report: Report<'_>) {
    if family.meta.name.contains(':') {
        report("names with ':' are for recording rules".to_owned());
    } else if !is_identifier(&family.meta.name) {
        report("not a valid metric name".to_owned());
    }
    if is_camel_case(&family.meta.name) {
        report("metric names are written in snake_case".to_owned());
    }
    for kind in ["counter", "gauge", "gauge_histogram", "histogram", "summary"] {
        if has_word(&family.meta.name, kind) {
            report(format!("the name contains the type '{kind}'"));
        }
    }
}

/// Base units, in the plural.
const BASE_UNITS: [&str; 10] =
    ["amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "metres", "seconds", "volts"];
const OTHER_UNITS: [(&str, &str); 16] = [
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
    ("percent", "ratio"),
    ("percentage", "ratio"),
];
const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mebi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];
const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

fn units(family: &Family, report: Report<'_>) {
    for word in family.meta.name.split('_') {
        let bare = PREFIXES.iter().find_map(|prefix| word.strip_prefix(prefix)).filter(|rest| is_unit(rest));
        let other = OTHER_UNITS.iter().find(|(unit, _)| *unit == bare.unwrap_or(word));
        if let Some((_, base)) = other {
            report(format!("unit '{word}': use '{base}'"));
        } else if let Some(base) = bare {
            report(format!("unit '{word}': use '{base}'"));
        }
    }
    if let Some(short) = ABBREVIATIONS.iter().find(|short| has_word(&family.meta.name, short)) {
        report(format!("abbreviated unit '{short}'"));
    }
}

fn is_unit(word: &str) -> bool {
    BASE_UNITS.contains(&word) || OTHER_UNITS.iter().any(|(unit, _)| *unit == word)
}

fn suffixes(family: &Family, report: Report<'_>) {
    let is_total = family.meta.name.ends_with("_total");
    match family.meta.kind {
        Kind::Counter if !is_total => report("a counter's name ends in _total".to_owned()),
        Kind::Gauge | Kind::Histogram if is_total => {
            report("only a counter's name ends in _total".to_owned())
        }
        Kind::Counter | Kind::Gauge | Kind::Histogram => {}
    }
    for reserved in ["_bucket", "_count", "_sum", "_created"] {
        if family.meta.name.ends_with(reserved) {
            report(format!("the suffix {reserved} is reserved"));
        }
    }
    if family.meta.name.ends_with("_info") && family.meta.kind != Kind::Gauge {
        report("_info is for gauges that are always 1".to_owned());
    }
}

fn labels(family: &Family, report: Report<'_>) {
    let mut seen = BTreeSet::new();
    for series in &family.series {
        let mut names = BTreeSet::new();
        for (name, _) in series.labels.iter() {
            if !names.insert(name) {
                report(format!("label '{name}' is duplicated on a series"));
            }
            if !is_identifier(name) || name.contains(':') || name.starts_with("__") {
                report(format!("'{name}' is not a valid label name"));
            }
            if is_camel_case(name) {
                report(format!("label '{name}': label names are written in snake_case"));
            }
            if matches!(name, "le" | "quantile") {
                report(format!("label '{name}' is reserved"));
            }
        }
        if !seen.insert(&series.labels) {
            report(format!("two series with the labels {:?}", series.labels.iter().collect::<Vec<_>>()));
        }
    }
}

fn values(family: &Family, report: Report<'_>) {
    for series in &family.series {
        let kind = match series.value {
            Value::Counter(..) => Kind::Counter,
            Value::Gauge(_) => Kind::Gauge,
            Value::Histogram(_) => Kind::Histogram,
        };
        if kind != family.meta.kind {
            report(format!("a {} among {} series", kind.as_str(), family.meta.kind.as_str()));
        }
        match &series.value {
            Value::Counter(total, _) if !total.is_finite() || *total < 0.0 => {
                report(format!("a counter cannot be {total}"));
            }
            Value::Gauge(value) if value.is_nan() => report("NaN does not mean missing".to_owned()),
            Value::Counter(..) | Value::Gauge(_) => {}
            Value::Histogram(histogram) => {
                if histogram.counts.len() != histogram.bounds.bounds().len() + 1 {
                    report(format!(
                        "{} buckets for {} bounds",
                        histogram.counts.len(),
                        histogram.bounds.bounds().len()
                    ));
                }
                let ascending = histogram.bounds.bounds().is_sorted_by(|low, high| low < high);
                if !ascending || histogram.bounds.bounds().iter().any(|bound| !bound.is_finite()) {
                    report("bounds are finite and ascending".to_owned());
                }
            }
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    name.starts_with(letters) && name.chars().all(|c| letters(c) || c.is_ascii_digit())
}

fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Whether `name` contains `word` after its first word, between underscores or at the end.
fn has_word(name: &str, word: &str) -> bool {
    let padded = format!("{}_", name.to_ascii_lowercase());
    padded.contains(&format!("_{word}_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use exporter_exposition::{Histogram, Labels, Series};

    fn family(name: &'static str, kind: Kind) -> Family {
        Family::new(name, "Help.", kind)
    }

    fn with(mut family: Family, labels: Labels, value: Value) -> Family {
        family.series.push(Series::new(labels, value));
        family
    }

    #[test]
    fn good_names_pass() {
        let families = [
            family("polyai_conversations_total", Kind::Counter),
            family("polyai_turn_latency_seconds", Kind::Histogram),
            family("polyai_exporter_api_response_bytes_total", Kind::Counter),
            family("polyai_recent_handoff_ratio", Kind::Gauge),
            family("polyai_target_info", Kind::Gauge),
            family("process_cpu_seconds_total", Kind::Counter),
            family("polyai_decided_by_people", Kind::Gauge),
        ];
        assert_eq!(lint(&families), Vec::<String>::new());
    }

    #[test]
    fn bad_names_are_reported() {
        let cases = [
            ("polyai_handoffs", Kind::Counter, "a counter's name ends in _total"),
            ("polyai_open_total", Kind::Gauge, "only a counter's name ends in _total"),
            ("polyai_duration_minutes", Kind::Histogram, "unit 'minutes': use 'seconds'"),
            ("polyai_duration_milliseconds", Kind::Histogram, "unit 'milliseconds': use 'seconds'"),
            ("polyai_state_kibibytes", Kind::Gauge, "unit 'kibibytes': use 'bytes'"),
            ("polyai_megabits_total", Kind::Counter, "unit 'megabits': use 'bytes'"),
            ("polyai_handoff_percent", Kind::Gauge, "unit 'percent': use 'ratio'"),
            ("polyai_latency_ms", Kind::Histogram, "abbreviated unit 'ms'"),
            ("polyai_s_total", Kind::Counter, "abbreviated unit 's'"),
            ("polyai_duration_histogram", Kind::Histogram, "the name contains the type 'histogram'"),
            ("polyai_gauge_open", Kind::Gauge, "the name contains the type 'gauge'"),
            ("polyai_calls_count", Kind::Gauge, "the suffix _count is reserved"),
            ("polyai_calls_bucket", Kind::Gauge, "the suffix _bucket is reserved"),
            ("polyai_calls_created", Kind::Gauge, "the suffix _created is reserved"),
            ("polyai_build_info", Kind::Histogram, "_info is for gauges that are always 1"),
            ("polyai:rate", Kind::Gauge, "names with ':' are for recording rules"),
            ("polyai-open", Kind::Gauge, "not a valid metric name"),
            ("polyaiOpen", Kind::Gauge, "metric names are written in snake_case"),
        ];
        for (name, kind, problem) in cases {
            assert_eq!(lint(&[family(name, kind)]), [format!("{name}: {problem}")]);
        }
    }

    #[test]
    fn help_and_unique_name_are_required() {
        let mut without_help = family("open", Kind::Gauge);
        without_help.meta.help = " ".into();
        let again = family("open", Kind::Gauge);
        assert_eq!(
            lint(&[without_help, again]),
            ["open: no help text", "open: more than one family of this name"]
        );
    }

    #[test]
    fn bad_labels_are_reported() {
        let cases = [
            (vec![("le", "1")], "open: label 'le' is reserved"),
            (vec![("camelCase", "")], "open: label 'camelCase': label names are written in snake_case"),
            (vec![("__name", "")], "open: '__name' is not a valid label name"),
            (vec![("a-b", "")], "open: 'a-b' is not a valid label name"),
            (vec![("a", "1"), ("a", "2")], "open: label 'a' is duplicated on a series"),
        ];
        for (labels, problem) in cases {
            let family = with(family("open", Kind::Gauge), Labels::new(labels), Value::Gauge(1.0));
            assert_eq!(lint(&[family]), [problem]);
        }
        let twice = with(family("open", Kind::Gauge), Labels::default(), Value::Gauge(1.0));
        let twice = with(twice, Labels::default(), Value::Gauge(1.0));
        assert_eq!(lint(&[twice]), ["open: two series with the labels []"]);
    }

    #[test]
    fn bad_values_are_reported() {
        let histogram = |bounds: &[f64], counts: &[u64]| {
            Value::Histogram(Histogram::new(bounds.iter().copied(), counts, 0.0))
        };
        let cases = [
            (Kind::Gauge, Value::Gauge(f64::NAN), "a_total: NaN does not mean missing"),
            (Kind::Counter, Value::Counter(-1.0, None), "a_total: a counter cannot be -1"),
            (Kind::Counter, Value::Gauge(1.0), "a_total: a gauge among counter series"),
            (Kind::Histogram, histogram(&[1.0], &[1]), "a_total: 1 buckets for 1 bounds"),
            (Kind::Histogram, histogram(&[2.0, 1.0], &[1, 1, 1]), "a_total: bounds are finite and ascending"),
            (
                Kind::Histogram,
                histogram(&[f64::INFINITY], &[1, 1]),
                "a_total: bounds are finite and ascending",
            ),
        ];
        for (kind, value, problem) in cases {
            let found = lint(&[with(family("a_total", kind), Labels::default(), value)]);
            assert!(found.iter().any(|reported| reported == problem), "{problem}: {found:?}");
        }
    }
}
