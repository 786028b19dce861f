//! The generated sections of the documents.

use polyai_domain::conversation::RejectedKind;
use polyai_domain::fetch::FetchErrorKind;
use polyai_domain::problem::Problem;
use polyai_engine::aggregate::Kind;
use polyai_engine::aggregate::catalogue::{CATALOGUE, Labels};
use polyai_exporter::config::reference_markdown;
use polyai_exporter::exporter_metrics::{Event, ExporterMetrics, OUTCOMES};

use crate::repository::read;

/// `docs/metrics.md`, with the table of all metrics.
pub(crate) fn metrics() -> String {
    const HEADER: &str = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n";
    let mut table = HEADER.to_owned();
    for definition in &CATALOGUE {
        let kind = match definition.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels = match definition.labels {
            Labels::Target => String::new(),
            Labels::Dimensions => "*dimensions*".to_owned(),
            Labels::DimensionsAnd(own) => format!("*dimensions*, `{}`", own.join("`, `")),
            Labels::TargetAnd(own) => format!("`{}`", own.join("`, `")),
        };
        table.push_str(&format!("| `{}` | {kind} | {labels} | {} |\n", definition.name, definition.help));
    }
    table.push_str("\nThe exporter itself:\n\n");
    table.push_str(HEADER);
    for entry in ExporterMetrics::catalogue() {
        let kind = match entry.kind {
            exporter_exposition::Kind::Counter => "counter",
            exporter_exposition::Kind::Gauge => "gauge",
            exporter_exposition::Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{}` | {kind} | {} | {} |\n", entry.name, labels.join(", "), entry.help));
    }
    with_section(&with_section(&read("docs/metrics.md"), "metrics", &table), "values", &label_values())
}

/// The values of the labels that are closed sets.
fn label_values() -> String {
    let mut table = "| metric | label | value | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    let mut add = |metric: &str, label: &str, values: &[(&str, &str)]| {
        for (value, meaning) in values {
            table.push_str(&format!("| `{metric}` | `{label}` | `{value}` | {} |\n", meaning.trim()));
        }
    };
    add(
        "polyai_exporter_events_total",
        "event",
        &Event::ALL.iter().map(|one| (one.as_str(), one.meaning())).collect::<Vec<_>>(),
    );
    add(
        "polyai_exporter_records_rejected_total",
        "kind",
        &RejectedKind::ALL.map(|one| (one.as_str(), one.meaning())),
    );
    add("polyai_exporter_commits_total", "outcome", &OUTCOMES);
    add(
        "polyai_exporter_api_requests_total",
        "code",
        &FetchErrorKind::ALL.map(|one| (one.as_str(), one.meaning())),
    );
    table
}

/// `docs/configuration.md`, with the table of all keys.
pub(crate) fn configuration() -> String {
    with_section(&read("docs/configuration.md"), "keys", &reference_markdown())
}

/// `docs/troubleshooting.md`, where the section of each problem opens with the problem's advice.
pub(crate) fn troubleshooting() -> String {
    Problem::ALL.iter().fold(read("docs/troubleshooting.md"), |text, problem| {
        with_section(&text, problem.code(), &format!("> {}\n", problem.advice()))
    })
}

/// `text` with `content` between the two markers of the section.
pub(crate) fn with_section(text: &str, section: &str, content: &str) -> String {
    let (start, end) = (format!("<!-- {section} -->\n"), format!("<!-- /{section} -->"));
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("the marker {start:?} is missing"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the marker {end:?} is missing"));
    format!("{before}{start}{content}{end}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_has_a_section() {
        let text = read("docs/troubleshooting.md");
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let codes: Vec<&str> = Problem::ALL.iter().map(|problem| problem.code()).collect();
        assert_eq!(headings, codes, "one section for each problem, in the order of the code");
    }
}
