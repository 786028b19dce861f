//! The make-up of a generated project: call rates, mixes, shares, the daily pattern, and phrases.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use serde::Deserialize;

use super::call::Text;
use super::rng::Rng;

/// The make-up of a generated project.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Profile {
    /// Calls per minute at the busiest time of a weekday, in environment `live`.
    pub peak_per_minute: f64,
    /// Hours that local time is ahead of UTC.
    pub utc_offset: i64,
    /// Channels by weight.
    pub channels: Vec<(u32, Text)>,
    /// `variant_id` and `variant_name` by weight.
    pub variants: Vec<(u32, (Text, Text))>,
    /// `handoff_reason` and `handoff_destination` by weight.
    pub handoffs: Vec<(u32, (Text, Text))>,
    /// Share of calls that are handed off.
    pub handoff_share: f64,
    /// Share of turns that are out of domain.
    pub ood_share: f64,
    /// Share of turns that are silent.
    pub silence_share: f64,
    /// Share of turns in which the caller interrupts the agent.
    pub barge_in_share: f64,
    /// Half of all replies are faster, in seconds.
    pub latency_median: f64,
    /// Half of all calls are shorter, in seconds.
    pub duration_median: f64,
    pub(crate) topic: Arc<Topic>,
}

/// Shares of all calls that arrive late, last long or change afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnomalyRates {
    /// A call and its end are each visible up to this many seconds late.
    pub ingestion_seconds: f64,
    /// Listed only minutes to hours after the end.
    pub late: f64,
    /// Listed as running until minutes to hours after the end.
    pub late_finish: f64,
    /// Last for hours.
    pub long: f64,
    /// Last for more than a day.
    pub over_a_day: f64,
    /// Change within half an hour after the end: one more handoff or turn.
    pub amended: f64,
}

impl Default for AnomalyRates {
    fn default() -> Self {
        Self {
            ingestion_seconds: 3.0,
            late: 0.002,
            late_finish: 0.001,
            long: 0.001,
            over_a_day: 0.000_05,
            amended: 0.005,
        }
    }
}

/// Phrases on one topic; none is from a real call. `{n}`, `{day}`, `{time}` and `{ref}` are placeholders.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Topic {
    pub(crate) greeting: Text,
    /// User inputs with the agent's responses.
    exchanges: Vec<(String, String)>,
    pub(crate) questions: Vec<Text>,
    /// The name of a project-defined metric.
    pub(crate) outcome: Text,
    /// Its values by weight.
    pub(crate) outcomes: Vec<(u32, Text)>,
}

#[derive(Deserialize)]
struct Profiles {
    reservations: Profile,
    billing: Profile,
    support: Profile,
    /// User input that is out of domain for every agent.
    off_topic: Vec<Text>,
}

static PROFILES: LazyLock<Profiles> =
    LazyLock::new(|| serde_json::from_str(include_str!("profiles.json")).expect("a test parses it"));

impl Profile {
    /// Table reservations of a restaurant group: busy.
    pub fn reservations() -> Self {
        PROFILES.reservations.clone()
    }

    /// Bills of a utility company.
    pub fn billing() -> Self {
        PROFILES.billing.clone()
    }

    /// Help with a consumer product, much of it in writing.
    pub fn support() -> Self {
        PROFILES.support.clone()
    }

    /// A trial with a few calls a day.
    pub fn pilot() -> Self {
        Self { peak_per_minute: 0.008, variants: Vec::new(), ..Self::reservations() }
    }

    /// Calls per minute at `moment`, in environment `live`.
    pub(crate) fn rate(&self, moment: DateTime<Utc>) -> f64 {
        self.peak_per_minute * activity(moment + TimeDelta::hours(self.utc_offset))
    }

    pub(crate) fn exchange(&self, rng: &mut Rng) -> (Text, Text) {
        const DAYS: [&str; 7] =
            ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        const TIMES: [&str; 5] = ["half past six", "seven", "7:15", "8 pm", "noon"];
        let Some((user, agent)) = rng.pick(&self.topic.exchanges) else { return Default::default() };
        let number = (2 + rng.below(7)).to_string();
        let (day, time) = (rng.pick(&DAYS).unwrap_or(&"Monday"), rng.pick(&TIMES).unwrap_or(&"noon"));
        let reference = (100_000 + rng.below(900_000)).to_string();
        let fill = |template: &str| {
            let filled = template.replace("{n}", &number).replace("{day}", day).replace("{time}", time);
            Text::Owned(filled.replace("{ref}", &reference))
        };
        (fill(user), fill(agent))
    }
}

pub(crate) fn off_topic(rng: &mut Rng) -> Text {
    rng.pick(&PROFILES.off_topic).cloned().unwrap_or_default()
}

/// The call rate at a local time, 0 to 1: low at night, a dip at lunch, a peak in the afternoon, less at the weekend.
fn activity(local: DateTime<Utc>) -> f64 {
    const BY_HOUR: [f64; 25] = [
        0.10, 0.10, 0.09, 0.09, 0.08, 0.08, 0.16, 0.25, 0.55, 0.85, 0.93, 0.90, 0.76, 0.77, 0.90, 0.95, 1.00,
        0.85, 0.70, 0.55, 0.40, 0.30, 0.20, 0.15, 0.10,
    ];
    let day = match local.weekday() {
        Weekday::Sat => 0.6,
        Weekday::Sun => 0.45,
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu | Weekday::Fri => 1.0,
    };
    let hour = local.hour() as usize;
    let fraction = f64::from(local.minute()) / 60.0;
    day * (BY_HOUR[hour] * (1.0 - fraction) + BY_HOUR[hour + 1] * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_have_no_unfilled_placeholder() {
        let mut rng = Rng::new(&[1]);
        for profile in [Profile::reservations(), Profile::billing(), Profile::support()] {
            for _ in 0..200 {
                let (user, agent) = profile.exchange(&mut rng);
                assert!(!user.is_empty() && !format!("{user}{agent}").contains(['{', '}']), "{user} {agent}");
            }
        }
        assert!(!off_topic(&mut rng).is_empty());
    }

    #[test]
    fn call_rate_follows_the_time_of_day() {
        // 20 August 2026 is a Thursday, the 23rd a Sunday.
        let at = |day, hour| {
            activity(
                chrono::NaiveDate::from_ymd_opt(2026, 8, day)
                    .unwrap()
                    .and_hms_opt(hour, 0, 0)
                    .unwrap()
                    .and_utc(),
            )
        };
        assert!(at(20, 3) < 0.15, "quiet nights");
        assert!(at(20, 10) > at(20, 12), "a dip at lunch");
        assert!(at(20, 16) > 0.99, "the peak in the afternoon");
        assert!(at(23, 16) < at(20, 16) / 2.0, "quiet Sundays");
    }
}
