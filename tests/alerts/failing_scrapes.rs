//! Alerts hold whatever share of the scrapes fails: none is lost or flaps while some succeed, and few successes page.
//!
//! A failed scrape ends every series of the exporter until the next one succeeds (`stale`), and `up` is 0.

use std::fmt::Write as _;
use std::process::Command;

use polyai_exporter::alert_rules::Format;

use super::promtool::{said, tool};
use super::rules::rendered;

/// Minutes of each world; trouble begins at `TROUBLE`.
const MINUTES: usize = 150;
const TROUBLE: usize = 60;

/// Whether the scrape of a minute fails.
type Fails = fn(minute: usize) -> bool;

/// The worlds, and whether the exporter counts as down.
const WORLDS: [(&str, Fails, bool); 6] = [
    ("none", |_| false, false),
    ("a third", |minute| minute % 3 == 2, false),
    ("half, in turn", |minute| minute % 2 == 1, false),
    ("half, in bursts", |minute| minute % 8 >= 4, false),
    ("nine of ten", |minute| minute % 10 != 0, true),
    ("all, but for a minute now and then", |minute| minute > TROUBLE && minute % 15 != 0, true),
];

/// The alerts under test, each caused in a separate project or exporter.
const TROUBLES: [&str; 9] = [
    "PolyAIConversationsStuck",
    "PolyAIFreshnessBudgetBurn",
    "PolyAIHandoffRateHigh",
    "PolyAIKeyRefused",
    "PolyAISilenceHigh",
    "PolyAIStateNotWritable",
    "PolyAITargetLabelsOverwritten",
    "PolyAITargetNotFound",
    "PolyAITargetStale",
];

fn input(fails: Fails) -> String {
    let mut text = String::new();
    let mut series = |name: &str, labels: &str, value: &dyn Fn(usize) -> Option<usize>| {
        write!(
            text,
            "      - series: '{name}{{job=\"polyai\",instance=\"a:9890\"{labels}}}'\n        values: '"
        )
        .unwrap();
        for minute in 0..MINUTES {
            match value(minute) {
                _ if name == "up" => write!(text, "{} ", usize::from(!fails(minute))).unwrap(),
                Some(value) if !fails(minute) => write!(text, "{value} ").unwrap(),
                _ => text.push_str("stale "),
            }
        }
        text.push_str("'\n");
    };
    let late = |minute: usize| minute.saturating_sub(TROUBLE);
    series("up", "", &|_| None);
    series("polyai_exporter_commits_total", ",outcome=\"committed\"", &|minute| {
        Some(2 * minute.min(TROUBLE))
    });
    series("polyai_exporter_commits_total", ",outcome=\"failed\"", &|minute| Some(2 * late(minute)));
    for (project, problem) in [("stale", "server_error"), ("key", "unauthorized"), ("gone", "not_found")] {
        let target = format!(",project=\"{project}\",region=\"us-1\",client_env=\"live\"");
        series("polyai_target_up", &target, &|minute| Some(usize::from(minute < TROUBLE)));
        for name in ["last_success", "watermark"] {
            let name = format!("polyai_target_{name}_timestamp_seconds");
            series(&name, &target, &|minute| Some(1 + 60 * minute.min(TROUBLE)));
        }
        let problem = format!("{target},problem=\"{problem}\"");
        series("polyai_target_problem", &problem, &|minute| (minute >= TROUBLE).then_some(1));
    }
    for project in ["handoffs", "silence", "stuck"] {
        let target = format!(",project=\"{project}\",region=\"us-1\",client_env=\"live\"");
        series("polyai_target_up", &target, &|_| Some(1));
        for name in ["last_success", "watermark"] {
            let name = format!("polyai_target_{name}_timestamp_seconds");
            series(&name, &target, &|minute| Some(1 + 60 * minute));
        }
        let call = format!("{target},channel=\"VOICE-SIP\"");
        let share = |of: &str, minute: usize| {
            if project == of { minute + 7 * late(minute) } else { minute }
        };
        series("polyai_conversations_total", &call, &|minute| Some(10 * minute));
        series("polyai_handoffs_total", &call, &|minute| Some(share("handoffs", minute)));
        series("polyai_turns_total", &call, &|minute| Some(20 * minute));
        series("polyai_silence_turns_total", &call, &|minute| Some(share("silence", minute)));
        if project == "stuck" {
            series("polyai_oldest_in_progress_start_timestamp_seconds", &target, &|_| Some(0));
        }
    }
    let overwritten = ",project=\"p\",region=\"eu-west-1\",exported_region=\"us-1\",client_env=\"live\"";
    series("polyai_target_up", overwritten, &|_| Some(1));
    text
}

#[test]
fn alerts_hold_with_any_share_of_failing_scrapes() {
    let Some(promtool) = tool("promtool") else { return };
    let mut text = String::from("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n");
    for (name, fails, is_down) in WORLDS {
        let alerts: Vec<&str> = if is_down { vec!["PolyAIExporterDown"] } else { TROUBLES.to_vec() };
        let firing = |scope: &str, compare: &str| -> String {
            let labels = |alert: &&str| format!("{{labels: '{{alertname=\"{alert}\"}}', value: 1}}");
            let samples: Vec<String> = alerts.iter().map(labels).collect();
            format!(
                "      - expr: '(max by (alertname) (count_over_time(ALERTS{{alertstate=\"firing\"{scope}}}[30m])) {compare}) > bool 0'\n        \
                 eval_time: 145m\n        exp_samples: [{}]\n",
                samples.join(", ")
            )
        };
        // The pages that go out without a break, and none else: agents may still be judged.
        let scope = if is_down { ",severity=\"critical\",component=~\"exporter|data\"" } else { "" };
        write!(
            text,
            "  - name: {name}\n    interval: 1m\n    input_series:\n{}    promql_expr_test:\n{}{}",
            input(fails),
            // These fire, and at each of the last thirty evaluations.
            firing(scope, "> 0"),
            firing(scope, ">= 30")
        )
        .unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    // A world has two hours.
    let rules = rendered(&["alerts.PolyAIConversationsStuck.age=1h"], Format::Prometheus);
    std::fs::write(dir.path().join("rules.yml"), rules).unwrap();
    std::fs::write(dir.path().join("scrapes.yml"), text).unwrap();
    let output = Command::new(promtool)
        .args(["test", "rules", "scrapes.yml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
