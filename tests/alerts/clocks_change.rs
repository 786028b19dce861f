//! No alert that compares with former weeks fires because clocks were changed, and real trouble after a change still does.
//!
//! Lines open at a local time, so that a change moves their hours in UTC: an hour later in autumn, an hour earlier in spring.

use std::fmt::Write as _;
use std::process::Command;

use polyai_exporter::alert_rules::Format;

use super::promtool::{said, tool};
use super::rules::rendered;

/// Minutes between samples.
const STEP: usize = 4;
/// A week until the Sunday of the change, and the working days after it until Wednesday.
const DAYS: usize = 10;
const CHANGE: usize = 7;
/// Of the rules, those that these alerts depend on; the others cost most of the time.
const GROUPS: [&str; 7] = [
    "polyai-freshness",
    "polyai-counts-15m",
    "polyai-counts-1h",
    "polyai-former-weeks-15m",
    "polyai-former-weeks-1h",
    "polyai-open",
    "polyai-agent",
];

/// The load in the four minutes from a minute on: conversations that end, handoffs among them, and conversations in progress.
type Load = fn(day: usize, minute: usize) -> (u32, u32, u32);

/// Whether a line that is open for eight hours on working days is open, if it opens at this hour of UTC.
fn is_open(day: usize, minute: usize, from: usize) -> bool {
    day % 7 < 5 && (from * 60..(from + 8) * 60).contains(&minute)
}

fn autumn(day: usize, minute: usize) -> (u32, u32, u32) {
    if is_open(day, minute, if day < CHANGE { 8 } else { 9 }) { (8, 1, 4) } else { (0, 0, 0) }
}

fn spring(day: usize, minute: usize) -> (u32, u32, u32) {
    if is_open(day, minute, if day < CHANGE { 9 } else { 8 }) { (8, 1, 4) } else { (0, 0, 0) }
}

/// Ten times as busy, so that thirds of an hour are above every minimum.
fn busy(load: Load, day: usize, minute: usize) -> (u32, u32, u32) {
    let (calls, handoffs, open) = load(day, minute);
    (10 * calls, 10 * handoffs, 10 * open)
}

/// Open day and night; humans, to whom a third is handed off, keep office hours.
fn transfers(day: usize, minute: usize, from: usize) -> (u32, u32, u32) {
    (9, if is_open(day, minute, from) { 3 } else { 0 }, 4)
}

const LINES: [(&str, Load); 12] = [
    ("autumn", autumn),
    ("spring", spring),
    ("autumn-busy", |day, minute| busy(autumn, day, minute)),
    ("spring-busy", |day, minute| busy(spring, day, minute)),
    ("autumn-transfers", |day, minute| transfers(day, minute, if day < CHANGE { 8 } else { 9 })),
    ("spring-transfers", |day, minute| transfers(day, minute, if day < CHANGE { 9 } else { 8 })),
    // From noon on the Monday after the change.
    ("stops", |day, minute| if (day, minute) >= (CHANGE, 12 * 60) { (0, 0, 0) } else { autumn(day, minute) }),
    // Never opens on that Monday.
    ("closed", |day, minute| if day >= CHANGE { (0, 0, 0) } else { autumn(day, minute) }),
    // The same without a change, where people do not change their clocks.
    (
        "closed-steady",
        |day, minute| {
            if day < CHANGE && is_open(day, minute, 8) { (8, 1, 4) } else { (0, 0, 0) }
        },
    ),
    ("drops", |day, minute| {
        let (calls, handoffs, open) = autumn(day, minute);
        if day == CHANGE { (calls / 4, handoffs / 4, open) } else { (calls, handoffs, open) }
    }),
    ("jumps", |day, minute| {
        let (calls, handoffs, open) = transfers(day, minute, 8);
        (calls, if day == CHANGE && minute > 12 * 60 { 7 } else { handoffs }, open)
    }),
    ("piles", |day, minute| {
        let (calls, handoffs, open) = autumn(day, minute);
        (calls, handoffs, if day == CHANGE && minute > 12 * 60 { 40 } else { open })
    }),
];

fn input() -> String {
    let mut text = String::new();
    let mut series = |name: &str, labels: &str, values: &str| {
        writeln!(text, "      - series: 'polyai_{name}{{{labels}}}'\n        values: '{values}'").unwrap();
    };
    let samples = DAYS * 1440 / STEP;
    for (project, load) in LINES {
        let target = format!("project=\"{project}\",region=\"uk-1\",client_env=\"live\"");
        let call = format!("{target},channel=\"VOICE-SIP\"");
        let (mut calls, mut handoffs, mut open) = (String::from("0"), String::from("0"), String::from("0"));
        let mut sums = (0, 0);
        for minutes in (0..samples).map(|sample| sample * STEP) {
            let (more, of_them, now) = load(minutes / 1440, minutes % 1440);
            sums = (sums.0 + more, sums.1 + of_them);
            write!(calls, " {}", sums.0).unwrap();
            write!(handoffs, " {}", sums.1).unwrap();
            write!(open, " {now}").unwrap();
        }
        series("conversations_total", &call, &calls);
        series("handoffs_total", &call, &handoffs);
        series("conversations_in_progress", &call, &open);
        series("target_up", &target, &format!("1x{samples}"));
        for name in ["target_last_success_timestamp_seconds", "target_watermark_timestamp_seconds"] {
            series(name, &target, &format!("1+240x{samples}"));
        }
    }
    text
}

/// `rules` with the groups in `GROUPS` alone.
fn needed(rules: &str) -> String {
    let (_, groups) = rules.split_once("groups:\n").unwrap();
    let mut text = String::from("groups:\n");
    let mut is_needed = false;
    for line in groups.lines() {
        if let Some(name) = line.strip_prefix("  - name: ") {
            is_needed = GROUPS.contains(&name);
        }
        if is_needed {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

#[test]
fn changed_clocks_page_nobody_and_hide_no_stop() {
    let Some(promtool) = tool("promtool") else { return };
    let fired = |alert: &str, project: &str, at: &str, expected: usize| {
        let samples = if expected > 0 { "[{labels: '{}', value: 1}]" } else { "[]" };
        format!(
            "      - expr: 'count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",project=\"{project}\"}})'\n        \
             eval_time: {at}\n        exp_samples: {samples}\n"
        )
    };
    let all: String = [
        ("PolyAIConversationsPilingUp", "piles"),
        ("PolyAIHandoffRateJump", "jumps"),
        ("PolyAITrafficDropped", "closed"),
        ("PolyAITrafficDropped", "closed-steady"),
        ("PolyAITrafficDropped", "drops"),
        ("PolyAITrafficDropped", "stops"),
        ("PolyAITrafficStopped", "closed"),
        ("PolyAITrafficStopped", "closed-steady"),
        ("PolyAITrafficStopped", "stops"),
    ]
    .map(|(alert, project)| {
        format!("          - {{labels: '{{alertname=\"{alert}\",project=\"{project}\"}}', value: 1}}\n")
    })
    .concat();
    // Times are hours and minutes since the first Monday; that after the change begins at hour 168.
    let text = format!(
        "rule_files: [rules.yml]\nevaluation_interval: {STEP}m\ntests:\n  - interval: {STEP}m\n    input_series:\n{}    \
         promql_expr_test:\n      \
         - expr: 'count by (alertname, project) (count by (alertname, project) (count_over_time(ALERTS{{alertstate=\"firing\"}}[{DAYS}d])))'\n        \
         eval_time: {DAYS}d\n        exp_samples:\n{all}{}",
        input(),
        [
            fired("PolyAITrafficStopped", "stops", "180h12m", 0),
            fired("PolyAITrafficStopped", "stops", "180h32m", 1),
            fired("PolyAITrafficStopped", "closed", "177h8m", 0),
            fired("PolyAITrafficStopped", "closed", "177h24m", 1),
            fired("PolyAITrafficStopped", "closed-steady", "177h24m", 1),
            fired("PolyAITrafficDropped", "drops", "181h", 1),
        ]
        .concat()
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yml"), needed(&rendered(&[], Format::Prometheus))).unwrap();
    std::fs::write(dir.path().join("clocks.yml"), text).unwrap();
    let output = Command::new(promtool)
        .args(["test", "rules", "clocks.yml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
