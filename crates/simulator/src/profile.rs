//! The make-up of a generated project: call rates, mixes, shares, and the daily pattern.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};

use super::call::Text;
use super::phrases::{PHRASES, Topic};

/// The make-up of a generated project.
#[derive(Debug, Clone, PartialEq)]
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
    /// The topic of the calls.
    pub(crate) topic: &'static Topic,
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

impl AnomalyRates {
    /// No anomalies.
    pub const NONE: Self = Self {
        ingestion_seconds: 0.0,
        late: 0.0,
        late_finish: 0.0,
        long: 0.0,
        over_a_day: 0.0,
        amended: 0.0,
    };
}

impl Profile {
    /// Table reservations of a restaurant group: busy.
    pub fn reservations() -> Self {
        Self {
            peak_per_minute: 5.0,
            utc_offset: -5,
            channels: texts(&[(85, "VOICE-SIP"), (10, "WEBCHAT"), (5, "CHAT")]),
            variants: pairs(&[
                (5, "VARIANT-1", "Downtown"),
                (3, "VARIANT-2", "Airport"),
                (2, "VARIANT-3", "Harbor \u{201c}Pier 9\u{201d}"),
            ]),
            handoffs: pairs(&[
                (5, "large_party", "Events team"),
                (3, "customer_request", "Front desk"),
                (2, "allergy_question", "Front desk"),
                (1, "", "Front desk"),
            ]),
            handoff_share: 0.15,
            ood_share: 0.04,
            silence_share: 0.03,
            barge_in_share: 0.06,
            latency_median: 1.25,
            duration_median: 130.0,
            topic: &PHRASES.reservations,
        }
    }

    /// Bills of a utility company.
    pub fn billing() -> Self {
        Self {
            peak_per_minute: 2.0,
            utc_offset: 0,
            channels: texts(&[(1, "VOICE-SIP")]),
            variants: pairs(&[(7, "VARIANT-UK", "United Kingdom"), (2, "VARIANT-CY", "Cymru")]),
            handoffs: pairs(&[
                (6, "billing_question", "Billing queue"),
                (3, "payment_dispute", "Disputes"),
                (3, "customer_request", "Billing queue"),
                (1, "vulnerable_customer", "Care team"),
            ]),
            handoff_share: 0.24,
            ood_share: 0.05,
            latency_median: 1.4,
            duration_median: 190.0,
            topic: &PHRASES.billing,
            ..Self::reservations()
        }
    }

    /// Help with a consumer product, much of it in writing.
    pub fn support() -> Self {
        Self {
            peak_per_minute: 2.5,
            utc_offset: 1,
            channels: texts(&[(50, "VOICE-SIP"), (40, "WEBCHAT"), (10, "CHAT")]),
            variants: pairs(&[
                (4, "VARIANT-DE", "Deutsch"),
                (3, "VARIANT-FR", "Français"),
                (2, "VARIANT-EN", "English"),
            ]),
            handoffs: pairs(&[
                (5, "technical_issue", "Second line"),
                (3, "customer_request", "Second line"),
                (2, "warranty", "Returns"),
            ]),
            handoff_share: 0.18,
            latency_median: 1.3,
            duration_median: 220.0,
            topic: &PHRASES.support,
            ..Self::reservations()
        }
    }

    /// A trial with a few calls a day.
    pub fn pilot() -> Self {
        Self { peak_per_minute: 0.008, variants: Vec::new(), ..Self::reservations() }
    }

    /// Calls per minute at `moment`, in environment `live`.
    pub(crate) fn rate(&self, moment: DateTime<Utc>) -> f64 {
        self.peak_per_minute * rhythm(moment + TimeDelta::hours(self.utc_offset))
    }
}

/// How busy a local time is, 0 to 1: a quiet night, the morning's ramp, a dip at lunch, the afternoon's peak; Saturdays
/// and Sundays are calmer.
fn rhythm(local: DateTime<Utc>) -> f64 {
    const DAY: [(f64, f64); 12] = [
        (0.0, 0.10),
        (5.0, 0.08),
        (7.0, 0.25),
        (9.0, 0.85),
        (10.5, 0.95),
        (12.5, 0.70),
        (14.0, 0.90),
        (16.0, 1.00),
        (18.0, 0.70),
        (20.0, 0.40),
        (22.0, 0.20),
        (24.0, 0.10),
    ];
    let hour = f64::from(local.num_seconds_from_midnight()) / 3600.0;
    let level = DAY
        .windows(2)
        .find_map(|pair| {
            let [(from, low), (to, high)] = pair else { return None };
            (*from..*to).contains(&hour).then(|| low + (high - low) * (hour - from) / (to - from))
        })
        .unwrap_or(0.1);
    level
        * match local.weekday() {
            Weekday::Sat => 0.6,
            Weekday::Sun => 0.45,
            Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu | Weekday::Fri => 1.0,
        }
}

fn texts(list: &[(u32, &'static str)]) -> Vec<(u32, Text)> {
    list.iter().map(|(weight, text)| (*weight, Text::Borrowed(text))).collect()
}

fn pairs(list: &[(u32, &'static str, &'static str)]) -> Vec<(u32, (Text, Text))> {
    list.iter().map(|(weight, one, two)| (*weight, (Text::Borrowed(*one), Text::Borrowed(*two)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_rate_follows_the_time_of_day() {
        // 20 August 2026 is a Thursday, the 23rd a Sunday.
        let at = |day, hour| {
            rhythm(
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
