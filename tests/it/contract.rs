//! The documents say what the code declares.
//!
//! `POLYAI_UPDATE_DOCS=1` writes the generated tables into the README instead of comparing them.

use polyai_exporter::aggregate::Kind;
use polyai_exporter::aggregate::catalogue::{CATALOGUE, Labels};
use polyai_exporter::exposition;
use polyai_exporter::problem::Problem;
use polyai_exporter::selfstats::SelfStats;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

#[test]
fn the_readme_lists_every_metric_of_the_catalogue() {
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
    for entry in SelfStats::catalogue() {
        let kind = match entry.kind {
            exposition::Kind::Counter => "counter",
            exposition::Kind::Gauge => "gauge",
            exposition::Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{}` | {kind} | {} | {} |\n", entry.name, labels.join(", "), entry.help));
    }
    section("metrics", &table);
}

#[test]
fn the_readme_explains_every_problem() {
    let mut table = String::from("| problem | meaning, and what to do |\n| --- | --- |\n");
    for problem in Problem::ALL {
        table.push_str(&format!("| `{}` | {} |\n", problem.code(), problem.advice()));
    }
    section("problems", &table);
}

/// Compares the part of the README between two marks, or writes it.
#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn section(name: &str, expected: &str) {
    // Several tests of this file may write at the same time.
    let _one_at_a_time = WRITING.lock().unwrap();
    let readme = std::fs::read_to_string(README).unwrap();
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = readme.split_once(&start).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
        std::fs::write(README, format!("{before}{start}{expected}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, expected, "README.md is not current; run with POLYAI_UPDATE_DOCS=1 to write it");
}

static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
