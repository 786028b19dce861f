//! The samples of a scrape. A lookup that finds nothing lists similar series.

use std::fmt;

/// The samples of one scrape.
pub(crate) struct Scrape(Vec<Sample>);

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Labels that a series must have. It may have others.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Scrape {
    /// Reads the text format.
    pub(crate) fn read(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(sample).collect())
    }

    /// Requires exactly one series of this name with these labels, at this value.
    #[track_caller]
    pub(crate) fn assert_metric(&self, name: &str, labels: Labels<'_>, value: f64) {
        let found = self.value(name, labels);
        let is_near = (found - value).abs() <= 1e-9 * value.abs().max(1.0);
        assert!(is_near, "{} is {found}, not {value}", Wanted(name, labels));
    }

    /// Requires that there is no such series.
    #[track_caller]
    pub(crate) fn assert_absent(&self, name: &str, labels: Labels<'_>) {
        let found: Vec<String> = self.matching(name, labels).map(ToString::to_string).collect();
        assert!(found.is_empty(), "there should be no {}, but:\n{}", Wanted(name, labels), found.join("\n"));
    }

    /// The value of the one series of this name with these labels.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: Labels<'_>) -> f64 {
        let found: Vec<&Sample> = self.matching(name, labels).collect();
        match found[..] {
            [sample] => sample.value,
            [] => panic!("no series {}; near misses:\n{}", Wanted(name, labels), self.near_misses(name)),
            _ => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                panic!("more than one series {}:\n{}", Wanted(name, labels), found.join("\n"))
            }
        }
    }

    /// The sum over all series of this name with these labels; 0 if there are none.
    pub(crate) fn total(&self, name: &str, labels: Labels<'_>) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The values of `label` on such series, with the series' value.
    pub(crate) fn by(&self, label: &str, name: &str, labels: Labels<'_>) -> Vec<(String, f64)> {
        let samples = self.matching(name, labels);
        samples.filter_map(|sample| Some((sample.label(label)?.to_owned(), sample.value))).collect()
    }

    /// The problems that a target has.
    pub(crate) fn problems(&self, project: &str) -> Vec<String> {
        let active = self.by("problem", "polyai_target_problem", &[("project", project)]);
        active.into_iter().filter(|(_, value)| *value == 1.0).map(|(problem, _)| problem).collect()
    }

    fn matching<'a>(&'a self, name: &'a str, labels: Labels<'a>) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.label(label).unwrap_or("") == *value)
        })
    }

    /// The same name with other labels; else names that share most of their words.
    fn near_misses(&self, name: &str) -> String {
        let words = |name: &str| name.split('_').map(str::to_owned).collect::<Vec<_>>();
        let wanted = words(name);
        let shared = |other: &str| words(other).iter().filter(|word| wanted.contains(word)).count();
        let same = self.0.iter().filter(|sample| sample.name == name);
        let mut lines: Vec<String> = same.map(|sample| format!("  {sample}")).collect();
        if lines.is_empty() {
            let most = self.0.iter().map(|sample| shared(&sample.name)).max().unwrap_or(0);
            let similar = self.0.iter().filter(|sample| shared(&sample.name) == most);
            lines = similar.take(12).map(|sample| format!("  {sample}")).collect();
        }
        lines.join("\n")
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<(&str, &str)> = self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        write!(f, "{} {}", Wanted(&self.name, &labels), self.value)
    }
}

/// A name with labels, formatted as in a scrape.
struct Wanted<'a>(&'a str, Labels<'a>);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.1.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.0, labels.join(","))
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    Sample { name: name.to_owned(), labels: labels_in(labels), value: value.parse().unwrap() }
}

/// `a="b",c="d"}`, with `\"`, `\\` and `\n` within values.
fn labels_in(text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.chars();
        while let Some(character) = characters.next().filter(|&character| character != '"') {
            value.push(match character {
                '\\' => match characters.next().unwrap() {
                    'n' => '\n',
                    escaped => escaped,
                },
                plain => plain,
            });
        }
        labels.push((name.trim_start_matches(',').to_owned(), value));
        rest = characters.as_str();
    }
    labels
}

#[test]
fn missing_series_lists_similar_ones() {
    let scrape =
        Scrape::read("# HELP a_total x\na_total{channel=\"CH\\\"AT\",region=\"us-1\"} 3\na_sum 1.5\n");
    scrape.assert_metric("a_total", &[("channel", "CH\"AT")], 3.0);
    scrape.assert_metric("a_sum", &[], 1.5);
    let failure = std::panic::catch_unwind(|| scrape.value("a_total", &[("channel", "FAX")])).unwrap_err();
    let failure = failure.downcast::<String>().unwrap();
    assert!(failure.contains("no series a_total{channel=\"FAX\"}"), "{failure}");
    assert!(failure.contains("a_total{channel=\"CH\\\"AT\",region=\"us-1\"} 3"), "{failure}");
}
