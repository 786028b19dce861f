//! The samples of a scrape, and the totals of a target in the form of the simulator's recount.

use std::collections::BTreeMap;

use polyai_domain::target::TargetKey;
use polyai_simulator::ExpectedTotals;

/// The samples of one scrape, by the text before their value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scrape(pub(super) BTreeMap<String, f64>);

/// The labels of a sample.
pub(super) type Labels = BTreeMap<String, String>;

impl Scrape {
    pub(super) fn of(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            samples
                .map(|line| {
                    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
                    (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?}")))
                })
                .collect(),
        )
    }

    /// The samples called `name`, with their labels.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = (Labels, f64)> {
        self.0.iter().filter_map(move |(series, value)| {
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then(|| (labels_of(labels), *value))
        })
    }

    /// The sum over the samples of `target` called `name`.
    pub(super) fn total(&self, name: &str, target: &TargetKey) -> f64 {
        self.of_target(name, target).map(|(_, value)| value).sum()
    }

    /// Whether `target` has this problem now.
    pub(super) fn has_problem(&self, target: &TargetKey, problem: &str) -> bool {
        self.of_target("polyai_target_problem", target)
            .any(|(labels, value)| labels.get("problem").is_some_and(|code| code == problem) && value == 1.0)
    }

    fn of_target(&self, name: &str, target: &TargetKey) -> impl Iterator<Item = (Labels, f64)> {
        let is = |labels: &Labels, name: &str, value: &str| labels.get(name).is_some_and(|own| own == value);
        self.named(name).filter(move |(labels, _)| {
            is(labels, "project", &target.project)
                && is(labels, "region", target.region.as_str())
                && is(labels, "client_env", target.client_env.as_str())
        })
    }

    fn count(&self, name: &str, target: &TargetKey) -> u64 {
        whole(self.total(name, target))
    }

    /// The totals of `target`, in the form of the recount. Sums of fractions of seconds are rounded to microseconds,
    /// since the order of adding shows in their last digits.
    pub(super) fn counted(&self, target: &TargetKey) -> ExpectedTotals {
        let count = |name| self.count(name, target);
        let seconds = |name| micros(self.total(name, target));
        let mut handoffs_by_reason = BTreeMap::new();
        for (labels, value) in self.of_target("polyai_handoffs_by_reason_total", target) {
            let key = format!("{}/{}", labels["reason"], labels["destination"]);
            *handoffs_by_reason.entry(key).or_default() += whole(value);
        }
        let mut by_channel = BTreeMap::new();
        for (labels, value) in self.of_target("polyai_conversations_total", target) {
            if value > 0.0 {
                *by_channel.entry(labels["channel"].clone()).or_default() += whole(value);
            }
        }
        let turns = count("polyai_turns_total");
        assert_eq!(turns, count("polyai_conversation_turns_sum"), "{target}: the histogram of turns");
        ExpectedTotals {
            conversations: count("polyai_conversations_total"),
            handoffs: count("polyai_handoffs_total"),
            handoffs_by_reason,
            turns,
            ood_turns: count("polyai_ood_turns_total"),
            silence_turns: count("polyai_silence_turns_total"),
            barge_in_turns: count("polyai_barge_in_turns_total"),
            with_ood: count("polyai_conversations_with_ood_total"),
            with_silence: count("polyai_conversations_with_silence_total"),
            without_transcript: count("polyai_conversations_without_transcript_total"),
            durations: count("polyai_conversation_duration_seconds_count"),
            duration_seconds: count("polyai_conversation_duration_seconds_sum"),
            agent_duration_seconds: count("polyai_conversation_agent_duration_seconds_sum"),
            reply_latencies: count("polyai_turn_latency_seconds_count"),
            reply_latency_seconds: seconds("polyai_turn_latency_seconds_sum"),
            greeting_latencies: count("polyai_greeting_latency_seconds_count"),
            greeting_latency_seconds: seconds("polyai_greeting_latency_seconds_sum"),
            by_channel,
            in_progress: count("polyai_conversations_in_progress"),
            last_end: None,
        }
    }

    /// The samples that never fall: counters, and the parts of histograms.
    pub(super) fn growing(&self) -> BTreeMap<&str, f64> {
        let grows = |series: &str| {
            let name = series.split('{').next().unwrap_or(series);
            series.starts_with("polyai_")
                && !series.starts_with("polyai_exporter_")
                && ["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| name.ends_with(suffix))
        };
        self.0.iter().filter(|(series, _)| grows(series)).map(|(series, value)| (&**series, *value)).collect()
    }
}

/// `truth` in the form of [`Scrape::counted`].
pub(super) fn comparable(mut truth: ExpectedTotals) -> ExpectedTotals {
    truth.reply_latency_seconds = micros(truth.reply_latency_seconds);
    truth.greeting_latency_seconds = micros(truth.greeting_latency_seconds);
    truth.last_end = None;
    truth
}

fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked first")]
fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "{value} is not a count");
    value as u64
}

/// Reads `{a="1",b="2"}`; values in these tests have neither quotes nor commas.
fn labels_of(text: &str) -> Labels {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let pairs = inner.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}
