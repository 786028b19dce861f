//! Queries: selectors whose names and labels come from the catalogues, and the few shapes that the dashboards use.
//!
//! Owns: how a metric is selected by the variables, how ratios get their floor, how quantiles are taken. Never: panels.

use std::fmt;

use polyai_domain::conversation::MissingField;
use polyai_engine::aggregate::Kind;
use polyai_engine::aggregate::catalogue::{Labels, Metric};
use polyai_exporter::exporter_metrics::ExporterMetrics;

/// A metric with matchers.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    name: String,
    /// Labels that the variable of the same name chooses.
    chosen: Vec<&'static str>,
    matchers: Vec<String>,
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = self.chosen.iter().map(|label| format!("{label}=~\"${label}\""));
        let matchers: Vec<String> = chosen.chain(self.matchers.iter().cloned()).collect();
        if matchers.is_empty() {
            return out.write_str(&self.name);
        }
        write!(out, "{}{{{}}}", self.name, matchers.join(","))
    }
}

impl Selector {
    fn of(name: &str, variables: &[&'static str]) -> Self {
        Self { name: name.to_owned(), chosen: variables.to_vec(), matchers: Vec::new() }
    }

    /// Chosen by no more variables than these.
    pub(crate) fn only(mut self, labels: &[&str]) -> Self {
        self.chosen.retain(|label| labels.contains(label));
        self
    }

    /// With one more matcher, as PromQL writes it.
    pub(crate) fn and(mut self, matcher: &str) -> Self {
        self.matchers.push(matcher.to_owned());
        self
    }

    /// Only observations up to `bound`. A whole one is matched in either spelling: Prometheus 2 keeps the `2` of an exporter
    /// that prints it so, where Prometheus 3 makes it `2.0`.
    pub(crate) fn up_to(self, bound: f64) -> Self {
        let matcher = if bound.fract() == 0.0 {
            format!("le=~\"{bound}(\\\\.0)?\"")
        } else {
            format!("le=\"{bound}\"")
        };
        self.and(&matcher)
    }

    pub(crate) fn increase(&self, window: &str) -> String {
        format!("increase({self}[{window}])")
    }

    /// The same window a number of weeks ago.
    pub(crate) fn increase_weeks_ago(&self, window: &str, weeks: u32) -> String {
        format!("increase({self}[{window}] offset {weeks}w)")
    }

    /// Per second, over the shortest window that Grafana finds safe; for the exporter's internals only.
    pub(crate) fn rate(&self) -> String {
        format!("rate({self}[$__rate_interval])")
    }
}

/// Counters that do not grow while the records lack a field: what they count is unknown then, and not 0.
const NEEDED_FIELDS: [(Metric, MissingField); 3] = [
    (Metric::Handoffs, MissingField::Handoff),
    (Metric::OodTurns, MissingField::NumOod),
    (Metric::SilenceTurns, MissingField::NumSilences),
];

/// The variables that a dashboard selects by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// Whether it has a variable for the channel.
    pub(crate) channel: bool,
}

impl Scope {
    /// A counter or gauge about conversations or targets.
    pub(crate) fn of(self, metric: Metric) -> Selector {
        assert!(!matches!(metric.definition().kind, Kind::Histogram(_)), "{metric:?} is a histogram");
        self.select(metric, "")
    }

    pub(crate) fn bucket(self, metric: Metric) -> Selector {
        self.histogram(metric, "_bucket")
    }

    pub(crate) fn count(self, metric: Metric) -> Selector {
        self.histogram(metric, "_count")
    }

    pub(crate) fn sum(self, metric: Metric) -> Selector {
        self.histogram(metric, "_sum")
    }

    fn histogram(self, metric: Metric, part: &str) -> Selector {
        assert!(matches!(metric.definition().kind, Kind::Histogram(_)), "{metric:?} is no histogram");
        self.select(metric, part)
    }

    fn select(self, metric: Metric, part: &str) -> Selector {
        let definition = metric.definition();
        let mut variables = vec!["cluster", "job", "project", "region", "client_env"];
        if self.channel && matches!(definition.labels, Labels::Dimensions | Labels::DimensionsAnd(_)) {
            variables.push("channel");
        }
        Selector::of(&format!("{}{part}", definition.name), &variables)
    }

    /// Conversations that ended within `window`, by these labels.
    pub(crate) fn ended(self, by: &[&str], window: &str) -> String {
        sum_by(by, self.of(Metric::Conversations).increase(window))
    }

    /// `expr`, where enough conversations ended within `window` to judge by. Both sides must have the labels `by`.
    pub(crate) fn floored(self, expr: impl fmt::Display, by: &[&str], window: &str) -> String {
        format!("{expr} and {} >= $min_conversations", self.ended(by, window))
    }

    /// One counter's increase as a share of another's: a ratio of sums, with the floor. Targets for which the part is unknown are
    /// not in it.
    pub(crate) fn share(self, part: &Selector, whole: &Selector, by: &[&str], window: &str) -> String {
        let whole = sum_by(by, self.known(part, whole.increase(window), ""));
        let part = sum_by(by, part.increase(window));
        self.floored(format!("{part} / ({whole} > 0)"), by, window)
    }

    /// A share as it was a number of weeks ago.
    pub(crate) fn share_weeks_ago(
        self,
        part: &Selector,
        whole: &Selector,
        by: &[&str],
        weeks: u32,
    ) -> String {
        let increase = |selector: &Selector| selector.increase_weeks_ago("$window", weeks);
        let ended = sum_by(by, increase(&self.of(Metric::Conversations)));
        let known = self.known(part, increase(whole), &format!(" offset {weeks}w"));
        let (part, whole) = (sum_by(by, increase(part)), sum_by(by, known));
        format!("{part} / ({whole} > 0) and {ended} >= $min_conversations")
    }

    /// The part of `expr` that belongs to targets whose records have what `part` needs.
    fn known(self, part: &Selector, expr: String, offset: &str) -> String {
        let needed = NEEDED_FIELDS.iter().find(|(metric, _)| part.name == metric.definition().name);
        let Some((_, field)) = needed else { return expr };
        let missing = self.of(Metric::TargetMissingField).and(&format!("field=\"{}\"", field.as_str()));
        format!("{expr} unless on (project, region, client_env) {missing}{offset}")
    }

    /// A quantile of a histogram within `window`, with the floor.
    pub(crate) fn quantile(self, quantile: f64, metric: Metric, by: &[&str], window: &str) -> String {
        let quantile = self.quantile_of_few(quantile, metric, by, window);
        self.floored(&quantile, by, window)
    }

    /// A quantile without the floor.
    pub(crate) fn quantile_of_few(self, quantile: f64, metric: Metric, by: &[&str], window: &str) -> String {
        let buckets = sum_by(&[&["le"], by].concat(), self.bucket(metric).increase(window));
        format!("histogram_quantile({quantile}, {buckets})")
    }

    /// Seconds since the last good poll. A target that vanished from the scrape goes on ageing for an hour; one that was
    /// never read has no age.
    pub(crate) fn data_age(self, by: &[&str]) -> String {
        let seen = format!("max_over_time({}[1h])", self.of(Metric::TargetLastSuccess));
        format!("time() - {}", min_by(by, format!("{seen} > 0")))
    }
}

/// The exporter's own metric of this name, which must exist.
pub(crate) fn own(name: &str) -> Selector {
    let kind = own_kind(name);
    assert_ne!(kind, exporter_exposition::Kind::Histogram, "{name} is a histogram");
    Selector::of(name, &EXPORTER)
}

/// A part of one of the exporter's own histograms: `bucket`, `sum` or `count`.
pub(crate) fn own_histogram(name: &str, part: &str) -> Selector {
    assert_eq!(own_kind(name), exporter_exposition::Kind::Histogram, "{name} is no histogram");
    Selector::of(&format!("{name}_{part}"), &EXPORTER)
}

const EXPORTER: [&str; 3] = ["cluster", "job", "instance"];

fn own_kind(name: &str) -> exporter_exposition::Kind {
    let entries = ExporterMetrics::catalogue();
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.unwrap_or_else(|| panic!("the exporter has no metric {name}")).kind
}

/// A series that the rules of `alerts/` record for each target. They have no `job`.
pub(crate) fn recorded(name: &str) -> Selector {
    Selector::of(name, &["cluster", "project", "region", "client_env"])
}

/// A series that Prometheus writes about each scrape of the exporter.
pub(crate) fn scrape(name: &str) -> Selector {
    Selector::of(name, &EXPORTER)
}

pub(crate) fn sum_by(by: &[&str], expr: impl fmt::Display) -> String {
    aggregate("sum", by, expr)
}

pub(crate) fn max_by(by: &[&str], expr: impl fmt::Display) -> String {
    aggregate("max", by, expr)
}

pub(crate) fn min_by(by: &[&str], expr: impl fmt::Display) -> String {
    aggregate("min", by, expr)
}

fn aggregate(operation: &str, by: &[&str], expr: impl fmt::Display) -> String {
    match by {
        [] => format!("{operation}({expr})"),
        _ => format!("{operation} by ({}) ({expr})", by.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_leaves_out_targets_for_which_it_is_unknown() {
        let scope = Scope { channel: false };
        let missing = scope.of(Metric::TargetMissingField).and("field=\"handoff\"");
        let left_out = format!("unless on (project, region, client_env) {missing}");
        let (handoffs, turns) = (scope.of(Metric::Handoffs), scope.of(Metric::Turns));
        let all = scope.of(Metric::Conversations);
        let share = scope.share(&handoffs, &all, &["project"], "$window");
        assert!(share.contains(&format!("{} {left_out}) > 0)", all.increase("$window"))), "{share}");
        let share = scope.share_weeks_ago(&handoffs, &all, &[], 2);
        assert!(share.contains(&format!("{left_out} offset 2w) > 0)")), "{share}");
        // Turns may be 0 without any field that says so.
        let share = scope.share(&turns, &all, &[], "$window");
        assert!(!share.contains("unless"), "{share}");
    }
}
