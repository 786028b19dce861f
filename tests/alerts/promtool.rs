//! Runs `promtool check rules` and the cases in `alerts/tests`.
//!
//! promtool is part of Prometheus (`tests/run` installs it). Without it these tests are skipped, except in CI, where they fail.
//! `POLYAI_PROMTOOL` and `POLYAI_AMTOOL` name other builds, such as those of Prometheus 3.

use std::path::PathBuf;
use std::process::{Command, Output};

use polyai_exporter::alert_rules::Format;
use tempfile::TempDir;

use super::rules::{ALL, project, rendered};

/// The program of this name, or why there is none: then the test is to be left out.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test reads its own switches, and says what it leaves out"
)]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let variable = format!("POLYAI_{}", name.to_ascii_uppercase());
    let path = std::env::var(variable).map_or_else(|_| PathBuf::from(name), PathBuf::from);
    let found = Command::new(&path).arg("--version").output().is_ok_and(|output| output.status.success());
    let is_ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty());
    assert!(found || !is_ci, "{name} is needed in CI: apt-get install prometheus prometheus-alertmanager");
    if !found {
        eprintln!("skipped: {name} is not installed; tests/run installs it");
    }
    found.then_some(path)
}

/// The output of a program, from both streams.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Writes the default rules and the rules with every alert into a directory laid out as in the repository.
pub(crate) fn rules_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("tests/optional")).unwrap();
    std::fs::write(dir.path().join("polyai-rules.yml"), rendered(&[], Format::Prometheus)).unwrap();
    std::fs::write(dir.path().join("polyai-rules-all.yml"), rendered(&ALL, Format::Prometheus)).unwrap();
    dir
}

/// The files with cases, relative to `alerts`.
pub(crate) fn cases() -> Vec<String> {
    let mut files = Vec::new();
    for dir in ["tests", "tests/optional"] {
        for entry in std::fs::read_dir(project().join("alerts").join(dir)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".yml") {
                files.push(format!("{dir}/{name}"));
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn case(file: &str) -> String {
    std::fs::read_to_string(project().join("alerts").join(file)).unwrap()
}

#[test]
fn promtool_accepts_the_rules() {
    let Some(promtool) = tool("promtool") else { return };
    let variants: [&[&str]; 4] = [
        &[],
        &ALL,
        &["common.by=[cluster]", r#"common.selector=tenant="a",replica!~"b|c""#, "common.target_selector="],
        &[
            "projects.billing.PolyAIHandoffRateHigh={ratio: 0.7, window: 1h}",
            "common.alert_labels={team: voice}",
            "common.annotations={vendor: 'support@example.com \"24/7\"'}",
            "projects.billing.annotations={number: '+1 555 0100', vendor: ''}",
        ],
    ];
    for (index, assignments) in variants.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.yml");
        std::fs::write(&file, rendered(assignments, Format::Prometheus)).unwrap();
        let checked =
            Command::new(&promtool).args(["check", "rules", "--lint=all"]).arg(&file).output().unwrap();
        assert!(checked.status.success() && !said(&checked).contains("rror"), "{index}: {}", said(&checked));
    }
}

#[test]
fn annotations_of_projects_are_filled_in() {
    let Some(promtool) = tool("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let rules = rendered(
        &[
            "common.annotations={vendor: support@example.com}",
            "projects.billing.annotations={number: '+1 555 0100', owner: 'O''Neil \"ops\"'}",
            "projects.orders.annotations={number: '+44 20 7946 0000', vendor: orders@example.com}",
        ],
        Format::Prometheus,
    );
    std::fs::write(dir.path().join("rules.yml"), rules).unwrap();
    let series: String = ["billing", "orders", "other"]
        .into_iter()
        .flat_map(|project| [("up", "0x40"), ("last_success_timestamp_seconds", "1x40"), ("watermark_timestamp_seconds", "1x40")].map(|(name, values)| {
            format!("      - {{series: 'polyai_target_{name}{{project=\"{project}\",region=\"us-1\",client_env=\"live\"}}', values: '{values}'}}\n")
        }))
        .collect();
    let text = format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{series}    \
         alert_rule_test:\n      - {{eval_time: 35m, alertname: PolyAITargetStale, exp_alerts: []}}\n"
    );
    std::fs::write(dir.path().join("case.yml"), text).unwrap();
    let output = Command::new(promtool).args(["test", "rules", "case.yml"]).current_dir(dir.path()).output();
    // promtool shows what fires unexpectedly.
    let said = said(&output.unwrap());
    for (expected, times) in [
        ("number=\"+1 555 0100\"", 1),
        ("number=\"+44 20 7946 0000\"", 1),
        ("number=\"\"", 1),
        (r#"owner="O'Neil \"ops\"""#, 1),
        ("vendor=\"support@example.com\"", 2),
        ("vendor=\"orders@example.com\"", 1),
    ] {
        assert_eq!(said.matches(expected).count(), times, "{expected}: {said}");
    }
}

/// One test per file of cases, so that they run side by side and each has its own time.
macro_rules! held {
    ($($test:ident: $file:literal,)+) => {
        const HELD: &[&str] = &[$($file),+];
        $(
            #[test]
            fn $test() {
                hold($file);
            }
        )+
    };
}

held! {
    agent_alerts_hold: "tests/agent.yml",
    data_alerts_hold: "tests/data.yml",
    exporter_alerts_hold: "tests/exporter.yml",
    comparisons_with_former_weeks_hold: "tests/former-weeks.yml",
    optional_alerts_hold: "tests/optional/handled.yml",
    recorded_series_hold: "tests/recording.yml",
    fast_burns_hold: "tests/slo-fast.yml",
    slow_burns_hold: "tests/slo-slow.yml",
}

#[test]
fn every_case_file_is_run() {
    assert_eq!(cases(), HELD);
}

/// Runs the cases of `file`, and looks at the words of each alert that fires.
///
/// The words are a template that only Prometheus fills, and promtool shows them when it expected no alert. So each firing case
/// is asked a second time as if nothing were to fire: these, and nothing else, must fail.
fn hold(file: &str) {
    let Some(promtool) = tool("promtool") else { return };
    let dir = rules_dir();
    let (text, firing) = asked_twice(&case(file));
    std::fs::write(dir.path().join(file), text).unwrap();
    let output =
        Command::new(promtool).args(["test", "rules", file]).current_dir(dir.path()).output().unwrap();
    let said = said(&output);
    if firing.is_empty() {
        assert!(output.status.success(), "{file}: {said}");
    }
    for fault in ["expr: ", "err: ", "error expanding", "<no value>", "%!", "{{"] {
        assert!(!said.contains(fault), "{file}: {fault}: {said}");
    }
    // promtool reformats times, so the cases of an alert are counted.
    for alert in &firing {
        let expected = firing.iter().filter(|other| *other == alert).count();
        let fired = said.matches(&format!("alertname: {alert}, time: ")).count();
        assert_eq!(fired, expected, "{file}: {alert}: {said}");
        assert!(said.contains(&format!("/{alert}.md\"")), "{file}: {alert}: {said}");
    }
}

/// The file `text` with each firing case followed by one that expects the alert not to fire; and the alert of each.
fn asked_twice(text: &str) -> (String, Vec<String>) {
    let (mut twice, mut firing, mut open) = (String::new(), Vec::new(), Vec::new());
    let mut lines = text.lines().peekable();
    let close = |twice: &mut String, open: &mut Vec<(String, String)>| {
        if !open.is_empty() {
            twice.push_str("    alert_rule_test:\n");
        }
        for (alert, at) in open.drain(..) {
            twice.push_str(&format!(
                "      - alertname: {alert}\n        eval_time: {at}\n        exp_alerts: []\n"
            ));
        }
    };
    while let Some(line) = lines.next() {
        if line.starts_with("  - name: ") {
            close(&mut twice, &mut open);
        }
        twice.push_str(line);
        twice.push('\n');
        if let Some(rest) = line.strip_prefix("      - expr: 'ALERTS{alertname=\"") {
            let at = lines.next().unwrap();
            twice.push_str(at);
            twice.push('\n');
            if lines.peek().is_some_and(|samples| samples.ends_with("exp_samples:")) {
                let case = (
                    rest.split('"').next().unwrap().to_owned(),
                    at.trim().split(' ').nth(1).unwrap().to_owned(),
                );
                // Cases that look at some projects only ask for the same alert at the same time.
                if !open.contains(&case) {
                    firing.push(case.0.clone());
                    open.push(case);
                }
            }
        }
    }
    close(&mut twice, &mut open);
    (twice, firing)
}
