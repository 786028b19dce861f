//! No alert fires in a normal week and the day after.
//!
//! Calls follow a formula: a rate that depends on the hour, and counts that scatter around it. One project is busy by day and nearly idle
//! at night; one has a few calls a day, with extreme ratios among them.

use std::fmt::Write as _;
use std::process::Command;

use super::promtool::{rules_dir, said, tool};

/// Minutes between samples, fewer than the five after which Prometheus forgets one; and how many there are in eight days.
const STEP: usize = 4;
const SAMPLES: usize = 8 * 24 * 60 / STEP;

/// Chance that is the same in every run.
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        // The multiplier and increment of Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
    }

    /// How many of `of` happen, each with this chance.
    fn some(&mut self, of: u32, chance: f64) -> u32 {
        (0..of).map(|_| u32::from(self.roll() < chance)).sum()
    }

    /// How many events come where `mean` are expected.
    fn count(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.roll(), 0);
        while product > limit {
            product *= self.roll();
            count += 1;
        }
        count
    }
}

/// How busy an hour of the day is: quiet from 22 to 6, a peak in the afternoon.
fn busy(minute: usize) -> f64 {
    let hour = f64::from(u32::try_from(minute % 1440).unwrap()) / 60.0;
    if (6.0..22.0).contains(&hour) {
        0.15 + 0.85 * (std::f64::consts::PI * (hour - 6.0) / 16.0).sin()
    } else {
        0.08
    }
}

/// A series that grows by `parts` of what happens.
struct Sums {
    name: String,
    values: Vec<u64>,
}

#[derive(Default)]
struct Week {
    sums: Vec<Sums>,
    text: String,
}

impl Week {
    fn add(&mut self, name: &str, more: u32) {
        let place = match self.sums.iter().position(|sums| sums.name == name) {
            Some(place) => place,
            None => {
                self.sums.push(Sums { name: name.to_owned(), values: vec![0] });
                self.sums.len() - 1
            }
        };
        let values = &mut self.sums[place].values;
        values.push(values.last().unwrap() + u64::from(more));
    }

    fn series(&mut self, name: &str, values: &str) {
        writeln!(self.text, "      - series: '{name}'\n        values: '{values}'").unwrap();
    }

    /// Calls of a project: its rate at peak per minute, the share that is handed off.
    fn project(&mut self, name: &str, peak: f64, handoffs: f64, dice: &mut Dice) {
        let target = format!("project=\"{name}\",region=\"us-1\",client_env=\"live\"");
        let call = format!("{target},channel=\"VOICE-SIP\"");
        let mut open = String::from("0");
        for sample in 1..=SAMPLES {
            let rate = peak * busy(sample * STEP);
            let calls = dice.count(rate * 4.0);
            let turns = dice.some(calls * 14, 0.6);
            let mut add =
                |metric: &str, more: &str, count: u32| self.add(&format!("{metric}{{{call}{more}}}"), count);
            add("polyai_conversations_total", "", calls);
            add("polyai_handoffs_total", "", dice.some(calls, handoffs));
            add("polyai_turns_total", "", turns);
            add("polyai_ood_turns_total", "", dice.some(turns, 0.05));
            add("polyai_silence_turns_total", "", dice.some(turns, 0.03));
            // 3 % of replies are slower than 3.5 s, one in a hundred slower than 5 s.
            let slow = dice.some(turns, 0.03);
            let very = dice.some(slow, 0.33);
            for (le, count) in
                [("3.5", turns - slow), ("5.0", turns - very), ("15.0", turns), ("+Inf", turns)]
            {
                add("polyai_turn_latency_seconds_bucket", &format!(",le=\"{le}\""), count);
            }
            add("polyai_turn_latency_seconds_count", "", turns);
            let late = dice.some(calls, 0.05);
            for (le, count) in [("3.5", calls - late), ("5.0", calls), ("15.0", calls), ("+Inf", calls)] {
                add("polyai_greeting_latency_seconds_bucket", &format!(",le=\"{le}\""), count);
            }
            add("polyai_greeting_latency_seconds_count", "", calls);
            let short = dice.some(calls, 0.06);
            for (le, count) in [("15.0", short), ("300.0", calls), ("+Inf", calls)] {
                add("polyai_conversation_duration_seconds_bucket", &format!(",le=\"{le}\""), count);
            }
            add("polyai_conversation_duration_seconds_count", "", calls);
            self.add(&format!("polyai_late_conversations_total{{{target}}}"), dice.some(calls, 0.002));
            write!(open, " {}", dice.count(rate * 2.5)).unwrap();
        }
        self.series(&format!("polyai_conversations_in_progress{{{call}}}"), &open);
        self.series(&format!("polyai_target_up{{{target}}}"), &format!("1x{SAMPLES}"));
        for metric in ["last_success", "watermark"] {
            let name = format!("polyai_target_{metric}_timestamp_seconds{{{target}}}");
            self.series(&name, &format!("1+240x{SAMPLES}"));
        }
    }

    /// An exporter that is well: a restart in the middle of the week, a failed poll now and then.
    fn exporter(&mut self, dice: &mut Dice) {
        let own = "job=\"polyai\",instance=\"a:9890\"";
        for _ in 0..SAMPLES {
            self.add(
                &format!(
                    "polyai_exporter_api_requests_total{{{own},endpoint=\"conversations\",code=\"200\"}}"
                ),
                40,
            );
            let failed = dice.some(40, 0.01);
            self.add(
                &format!(
                    "polyai_exporter_api_requests_total{{{own},endpoint=\"conversations\",code=\"503\"}}"
                ),
                failed,
            );
            self.add(&format!("polyai_exporter_commits_total{{{own},outcome=\"committed\"}}"), 20);
            self.add(&format!("polyai_exporter_commits_total{{{own},outcome=\"failed\"}}"), 0);
            self.add(&format!("polyai_exporter_poll_duration_seconds_count{{{own}}}"), 20);
            self.add(&format!("polyai_exporter_polls_skipped_total{{{own}}}"), dice.some(1, 0.02));
        }
        self.series(&format!("up{{{own}}}"), &format!("1x{SAMPLES}"));
        let half = SAMPLES / 2;
        let starts = format!("1x{half} {}x{}", half * STEP * 60, SAMPLES - half - 1);
        self.series(&format!("process_start_time_seconds{{{own}}}"), &starts);
        self.series(
            &format!("polyai_exporter_config_last_reload_successful{{{own}}}"),
            &format!("1x{SAMPLES}"),
        );
        self.series(
            &format!("polyai_exporter_web_config_last_reload_successful{{{own}}}"),
            &format!("1x{SAMPLES}"),
        );
        for event in ["record_rejected", "poller_panicked"] {
            self.series(
                &format!("polyai_exporter_events_total{{{own},event=\"{event}\"}}"),
                &format!("0x{SAMPLES}"),
            );
        }
        // Good for a year.
        self.series(
            &format!("polyai_exporter_web_certificate_expiry_timestamp_seconds{{{own}}}"),
            &format!("31536000x{SAMPLES}"),
        );
    }

    fn input(mut self) -> String {
        for Sums { name, values } in std::mem::take(&mut self.sums) {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            self.series(&name, &values.join(" "));
        }
        self.text
    }
}

#[test]
fn no_alert_fires_in_a_normal_week() {
    let Some(promtool) = tool("promtool") else { return };
    let mut dice = Dice(1);
    let mut week = Week::default();
    week.project("busy", 3.0, 0.24, &mut dice);
    week.project("pilot", 0.02, 0.4, &mut dice);
    week.exporter(&mut dice);
    let target = |name: &str| format!("'{{project=\"{name}\",region=\"us-1\",client_env=\"live\"}}'");
    let (busy, pilot) = (target("busy"), target("pilot"));
    let expectations = format!(
        r#"    promql_expr_test:
      - expr: count by (alertname, project) (count_over_time(ALERTS{{alertstate="firing"}}[8d]))
        eval_time: 8d
        exp_samples: []
      # That this says something: by day there is enough to judge by, at night there is not (even the busy project then hands
      # off more than half of a few calls), and there is a week to compare with.
      - expr: max_over_time(target:polyai_conversations:increase1h[1d]) > bool 100
        eval_time: 8d
        exp_samples: [{{labels: {busy}, value: 1}}, {{labels: {pilot}, value: 0}}]
      - expr: min_over_time(target:polyai_conversations:increase1h[1d]) < bool 20
        eval_time: 8d
        exp_samples: [{{labels: {busy}, value: 1}}, {{labels: {pilot}, value: 1}}]
      - expr: max_over_time(target:polyai_handoffs_per_conversation:ratio30m[1d]) > bool 0.5
        eval_time: 8d
        exp_samples: [{{labels: {busy}, value: 1}}, {{labels: {pilot}, value: 1}}]
      - expr: max_over_time(target:polyai_conversations:increase15m_former_weeks{{project="busy"}}[1d]) > bool 20
        eval_time: 8d
        exp_samples: [{{labels: {busy}, value: 1}}]
"#
    );
    let text = format!(
        "rule_files: [polyai-rules-all.yml]\nevaluation_interval: {STEP}m\ntests:\n  - interval: {STEP}m\n    input_series:\n{}{expectations}",
        week.input()
    );
    let dir = rules_dir();
    std::fs::write(dir.path().join("day.yml"), text).unwrap();
    let output =
        Command::new(promtool).args(["test", "rules", "day.yml"]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
