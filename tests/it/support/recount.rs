//! Compares the daemon's totals with a recount of the API's data.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::scenario::Scenario;
use super::scrape::Scrape;
use super::start_time;

/// Numbers by what they count.
pub(crate) type Numbers = BTreeMap<String, f64>;

impl Scenario {
    /// Requires that the totals of `project` equal the recount in everything that is counted.
    #[track_caller]
    pub(crate) fn assert_totals(&self, project: &str, scrape: &Scrape) {
        self.assert_totals_since(start_time(), project, scrape, &[]);
    }

    /// The same for another anchor; numbers whose name begins with a word of `except` are not compared.
    #[track_caller]
    pub(crate) fn assert_totals_since(
        &self,
        anchor: DateTime<Utc>,
        project: &str,
        scrape: &Scrape,
        except: &[&str],
    ) {
        let excepted = |name: &str| except.iter().any(|word| name.starts_with(word));
        let wanted = recounted(self, anchor, project);
        let counted = counted(scrape, project);
        let names: std::collections::BTreeSet<&String> = wanted.keys().chain(counted.keys()).collect();
        let differences: Vec<String> = names
            .into_iter()
            .filter(|name| !excepted(name))
            .map(|name| (name, wanted.get(name).unwrap_or(&0.0), counted.get(name).unwrap_or(&0.0)))
            .filter(|(_, wanted, counted)| (*wanted - *counted).abs() > 1e-6 * wanted.abs().max(1.0))
            .map(|(name, wanted, counted)| format!("  {name}: counted {counted}, the API holds {wanted}"))
            .collect();
        assert!(differences.is_empty(), "{project} differs from the recount:\n{}", differences.join("\n"));
        assert!(wanted["conversations"] > 0.0, "{project} had no calls: nothing was compared");
    }
}

/// The totals of the API's data.
fn recounted(scenario: &Scenario, anchor: DateTime<Utc>, project: &str) -> Numbers {
    let truth = scenario.api().expected_totals(&scenario.target(project), anchor);
    let mut numbers: Numbers = [
        ("conversations", truth.conversations),
        ("handoffs", truth.handoffs),
        ("turns", truth.turns),
        ("out-of-domain turns", truth.ood_turns),
        ("silence turns", truth.silence_turns),
        ("barge-in turns", truth.barge_in_turns),
        ("conversations with out-of-domain turns", truth.with_ood),
        ("conversations with silence", truth.with_silence),
        ("conversations without transcript", truth.without_transcript),
        ("durations", truth.durations),
        ("seconds of duration", truth.duration_seconds),
        ("seconds with the agent", truth.agent_duration_seconds),
        ("latencies of replies", truth.reply_latencies),
        ("latencies of greetings", truth.greeting_latencies),
        ("in progress", truth.in_progress),
    ]
    .map(|(name, number)| (name.to_owned(), number as f64))
    .into();
    numbers.insert("latencies of replies, summed".to_owned(), truth.reply_latency_seconds);
    numbers.insert("latencies of greetings, summed".to_owned(), truth.greeting_latency_seconds);
    numbers.extend(truth.by_channel.iter().map(|(name, count)| (format!("channel {name}"), *count as f64)));
    let reasons = truth.handoffs_by_reason.iter();
    numbers.extend(reasons.map(|(name, count)| (format!("handoffs for {name}"), *count as f64)));
    numbers
}

/// The totals of the daemon.
pub(crate) fn counted(scrape: &Scrape, project: &str) -> Numbers {
    let of = [("project", project)];
    let mut numbers: Numbers = [
        ("conversations", "polyai_conversations_total"),
        ("handoffs", "polyai_handoffs_total"),
        ("turns", "polyai_turns_total"),
        ("out-of-domain turns", "polyai_ood_turns_total"),
        ("silence turns", "polyai_silence_turns_total"),
        ("barge-in turns", "polyai_barge_in_turns_total"),
        ("conversations with out-of-domain turns", "polyai_conversations_with_ood_total"),
        ("conversations with silence", "polyai_conversations_with_silence_total"),
        ("conversations without transcript", "polyai_conversations_without_transcript_total"),
        ("durations", "polyai_conversation_duration_seconds_count"),
        ("seconds of duration", "polyai_conversation_duration_seconds_sum"),
        ("seconds with the agent", "polyai_conversation_agent_duration_seconds_sum"),
        ("latencies of replies", "polyai_turn_latency_seconds_count"),
        ("latencies of replies, summed", "polyai_turn_latency_seconds_sum"),
        ("latencies of greetings", "polyai_greeting_latency_seconds_count"),
        ("latencies of greetings, summed", "polyai_greeting_latency_seconds_sum"),
        ("in progress", "polyai_conversations_in_progress"),
    ]
    .map(|(name, metric)| (name.to_owned(), scrape.total(metric, &of)))
    .into();
    for (channel, count) in scrape.by("channel", "polyai_conversations_total", &of) {
        numbers.insert(format!("channel {channel}"), count);
    }
    for (reason, _) in scrape.by("reason", "polyai_handoffs_by_reason_total", &of) {
        let with_reason = [of[0], ("reason", reason.as_str())];
        for (destination, _) in scrape.by("destination", "polyai_handoffs_by_reason_total", &with_reason) {
            let both = [of[0], with_reason[1], ("destination", destination.as_str())];
            let count = scrape.total("polyai_handoffs_by_reason_total", &both);
            numbers.insert(format!("handoffs for {reason}/{destination}"), count);
        }
    }
    numbers
}
