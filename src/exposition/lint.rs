//! The naming rules of Prometheus, as `promtool check metrics` applies them, and a few of our own model.
//!
//! Owns: the rules over names, help texts, labels and shapes. Never: how an exposition is written.

use std::collections::BTreeSet;

use super::family::{Family, Kind, Value};

/// What each rule finds in `families`, as "name: what is wrong"; empty if all is well.
pub fn lint(families: &[Family]) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for family in families {
        let mut report = |complaint: String| found.push(format!("{}: {complaint}", family.head.name));
        if !names.insert(&family.head.name) {
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

fn help(family: &Family, say: Report<'_>) {
    if family.head.help.trim().is_empty() {
        say("no help text".to_owned());
    }
}

fn name(family: &Family, say: Report<'_>) {
    if family.head.name.contains(':') {
        say("names with ':' are for recording rules".to_owned());
    } else if !is_identifier(&family.head.name) {
        say("not a valid metric name".to_owned());
    }
    if is_camel_case(&family.head.name) {
        say("metric names are written in snake_case".to_owned());
    }
    for kind in ["counter", "gauge", "gauge_histogram", "histogram", "summary"] {
        if has_word(&family.head.name, kind) {
            say(format!("the type '{kind}' stands in the name"));
        }
    }
}

/// Plural base units, and those that should give way to them.
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

fn units(family: &Family, say: Report<'_>) {
    for word in family.head.name.split('_') {
        let bare = PREFIXES.iter().find_map(|prefix| word.strip_prefix(prefix)).filter(|rest| is_unit(rest));
        let other = OTHER_UNITS.iter().find(|(unit, _)| *unit == bare.unwrap_or(word));
        if let Some((_, base)) = other {
            say(format!("unit '{word}': use '{base}'"));
        } else if let Some(base) = bare {
            say(format!("unit '{word}': use '{base}'"));
        }
    }
    if let Some(short) = ABBREVIATIONS.iter().find(|short| has_word(&family.head.name, short)) {
        say(format!("abbreviated unit '{short}'"));
    }
}

fn is_unit(word: &str) -> bool {
    BASE_UNITS.contains(&word) || OTHER_UNITS.iter().any(|(unit, _)| *unit == word)
}

fn suffixes(family: &Family, say: Report<'_>) {
    let is_total = family.head.name.ends_with("_total");
    match family.head.kind {
        Kind::Counter if !is_total => say("a counter's name ends in _total".to_owned()),
        Kind::Gauge | Kind::Histogram if is_total => say("only a counter's name ends in _total".to_owned()),
        Kind::Counter | Kind::Gauge | Kind::Histogram => {}
    }
    for reserved in ["_bucket", "_count", "_sum", "_created"] {
        if family.head.name.ends_with(reserved) {
            say(format!("the suffix {reserved} is reserved"));
        }
    }
    if family.head.name.ends_with("_info") && family.head.kind != Kind::Gauge {
        say("_info is for gauges that stand at 1".to_owned());
    }
}

fn labels(family: &Family, say: Report<'_>) {
    let mut seen = BTreeSet::new();
    for series in &family.series {
        let mut names = BTreeSet::new();
        for (name, _) in series.labels.iter() {
            if !names.insert(name) {
                say(format!("label '{name}' stands twice on a series"));
            }
            if !is_identifier(name) || name.contains(':') || name.starts_with("__") {
                say(format!("'{name}' is not a valid label name"));
            }
            if is_camel_case(name) {
                say(format!("label '{name}': label names are written in snake_case"));
            }
            if matches!(name, "le" | "quantile") {
                say(format!("label '{name}' is reserved"));
            }
        }
        if !seen.insert(&series.labels) {
            say(format!("two series with the labels {:?}", series.labels.iter().collect::<Vec<_>>()));
        }
    }
}

fn values(family: &Family, say: Report<'_>) {
    for series in &family.series {
        if series.value.kind() != family.head.kind {
            say(format!(
                "a {} stands among {} series",
                series.value.kind().as_str(),
                family.head.kind.as_str()
            ));
        }
        match &series.value {
            Value::Counter(total) if !total.is_finite() || *total < 0.0 => {
                say(format!("a counter cannot be {total}"));
            }
            Value::Gauge(value) if value.is_nan() => say("NaN does not stand for missing".to_owned()),
            Value::Counter(_) | Value::Gauge(_) => {}
            Value::Histogram(histogram) => {
                if histogram.counts.len() != histogram.ladder.bounds().len() + 1 {
                    say(format!(
                        "{} buckets for {} bounds",
                        histogram.counts.len(),
                        histogram.ladder.bounds().len()
                    ));
                }
                let ascending = histogram.ladder.bounds().is_sorted_by(|low, high| low < high);
                if !ascending || histogram.ladder.bounds().iter().any(|bound| !bound.is_finite()) {
                    say("bounds are finite and ascending".to_owned());
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

/// Whether `word` stands in `name` after the first word, between underscores or at the end.
fn has_word(name: &str, word: &str) -> bool {
    let padded = format!("{}_", name.to_ascii_lowercase());
    padded.contains(&format!("_{word}_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::family::{Histogram, Labels, Series};

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
    fn each_bad_name_is_told_what_is_wrong() {
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
            ("polyai_duration_histogram", Kind::Histogram, "the type 'histogram' stands in the name"),
            ("polyai_gauge_open", Kind::Gauge, "the type 'gauge' stands in the name"),
            ("polyai_calls_count", Kind::Gauge, "the suffix _count is reserved"),
            ("polyai_calls_bucket", Kind::Gauge, "the suffix _bucket is reserved"),
            ("polyai_calls_created", Kind::Gauge, "the suffix _created is reserved"),
            ("polyai_build_info", Kind::Histogram, "_info is for gauges that stand at 1"),
            ("polyai:rate", Kind::Gauge, "names with ':' are for recording rules"),
            ("polyai-open", Kind::Gauge, "not a valid metric name"),
            ("polyaiOpen", Kind::Gauge, "metric names are written in snake_case"),
        ];
        for (name, kind, complaint) in cases {
            assert_eq!(lint(&[family(name, kind)]), [format!("{name}: {complaint}")]);
        }
    }

    #[test]
    fn help_and_uniqueness_are_required() {
        let mut mute = family("open", Kind::Gauge);
        mute.head.help = " ".into();
        let again = family("open", Kind::Gauge);
        assert_eq!(lint(&[mute, again]), ["open: no help text", "open: more than one family of this name"]);
    }

    #[test]
    fn each_bad_label_is_told_what_is_wrong() {
        let cases = [
            (vec![("le", "1")], "open: label 'le' is reserved"),
            (vec![("camelCase", "")], "open: label 'camelCase': label names are written in snake_case"),
            (vec![("__name", "")], "open: '__name' is not a valid label name"),
            (vec![("a-b", "")], "open: 'a-b' is not a valid label name"),
            (vec![("a", "1"), ("a", "2")], "open: label 'a' stands twice on a series"),
        ];
        for (labels, complaint) in cases {
            let family = with(family("open", Kind::Gauge), Labels::new(labels), Value::Gauge(1.0));
            assert_eq!(lint(&[family]), [complaint]);
        }
        let twice = with(family("open", Kind::Gauge), Labels::none(), Value::Gauge(1.0));
        let twice = with(twice, Labels::none(), Value::Gauge(1.0));
        assert_eq!(lint(&[twice]), ["open: two series with the labels []"]);
    }

    #[test]
    fn each_bad_value_is_told_what_is_wrong() {
        let histogram = |bounds: &[f64], counts: &[u64]| {
            Value::Histogram(Histogram::new(bounds.iter().copied(), counts, 0.0))
        };
        let cases = [
            (Kind::Gauge, Value::Gauge(f64::NAN), "a_total: NaN does not stand for missing"),
            (Kind::Counter, Value::Counter(-1.0), "a_total: a counter cannot be -1"),
            (Kind::Counter, Value::Gauge(1.0), "a_total: a gauge stands among counter series"),
            (Kind::Histogram, histogram(&[1.0], &[1]), "a_total: 1 buckets for 1 bounds"),
            (Kind::Histogram, histogram(&[2.0, 1.0], &[1, 1, 1]), "a_total: bounds are finite and ascending"),
            (
                Kind::Histogram,
                histogram(&[f64::INFINITY], &[1, 1]),
                "a_total: bounds are finite and ascending",
            ),
        ];
        for (kind, value, complaint) in cases {
            let found = lint(&[with(family("a_total", kind), Labels::none(), value)]);
            assert!(found.iter().any(|said| said == complaint), "{complaint}: {found:?}");
        }
    }
}
