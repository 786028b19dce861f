//! The documents say what the code declares.
//!
//! `POLYAI_UPDATE_DOCS=1` writes the generated parts into the documents instead of comparing them.

use polyai_exporter::aggregate::Kind;
use polyai_exporter::aggregate::catalogue::{CATALOGUE, Labels};
use polyai_exporter::config::reference_markdown;
use polyai_exporter::exporter_metrics::ExporterMetrics;
use polyai_exporter::exposition;
use polyai_exporter::problem::Problem;

const METRICS: &str = "docs/metrics.md";
const CONFIGURATION: &str = "docs/configuration.md";
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

#[test]
fn the_page_of_metrics_lists_every_metric_of_the_catalogue() {
    let mut table = String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
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
    table.push_str(
        "\nThe exporter itself:\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for entry in ExporterMetrics::catalogue() {
        let kind = match entry.kind {
            exposition::Kind::Counter => "counter",
            exposition::Kind::Gauge => "gauge",
            exposition::Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{}` | {kind} | {} | {} |\n", entry.name, labels.join(", "), entry.help));
    }
    section(METRICS, "metrics", &table);
}

#[test]
fn the_configuration_page_has_every_key() {
    section(CONFIGURATION, "keys", &reference_markdown());
}

#[test]
fn every_problem_has_a_section_that_begins_with_its_advice() {
    for problem in Problem::ALL {
        section(TROUBLESHOOTING, problem.code(), &format!("> {}\n", problem.advice()));
    }
    let text = std::fs::read_to_string(path(TROUBLESHOOTING)).unwrap();
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let codes: Vec<&str> = Problem::ALL.iter().map(|problem| problem.code()).collect();
    assert_eq!(headings, codes, "a section for each problem, in the order of the code, and no other");
}

fn path(file: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Compares the part of `file` between two marks, or writes it.
#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn section(file: &str, name: &str, expected: &str) {
    // Several tests of this file may write at the same time.
    let _one_at_a_time = WRITING.lock().unwrap();
    let text = std::fs::read_to_string(path(file)).unwrap();
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{file} has no mark {start}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has no mark {end}"));
    if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
        std::fs::write(path(file), format!("{before}{start}{expected}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, expected, "{file} is not current; run with POLYAI_UPDATE_DOCS=1 to write it");
}

static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
