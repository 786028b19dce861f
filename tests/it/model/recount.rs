//! The plain recount: what the counters must say, from the truth alone.
//!
//! Written from the counting rules and not from the code that it checks. Where the rules leave room (a record that was
//! amended counts as it was seen first; a call that nobody could see running), it answers with the least and the most.

use std::collections::{BTreeMap, BTreeSet};

use polyai_engine::aggregate::{Metric, TargetSeries, Value};

use super::calls::{Call, CallState, Content};
use super::scenario::{MINUTE, Running, SECOND, Scenario};

/// A metric, its label values as far as they are compared, and which part of it.
type Key = (Metric, Vec<String>, Part);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Value,
    Bucket(usize),
    /// In millionths.
    Sum,
}

type Amounts = BTreeMap<Key, u64>;

/// Differences between the recount and the series of an instance; empty if there are none.
pub(super) fn differences(
    scenario: &Scenario,
    calls: &[Call],
    since: CountingPeriod,
    shown: &TargetSeries,
) -> Vec<String> {
    let (least, most) = expected(scenario, calls, since);
    let actual = actual(scenario, shown);
    let mut keys: Vec<&Key> = most.keys().chain(actual.keys()).collect();
    keys.sort();
    keys.dedup();
    let of = |amounts: &Amounts, key| amounts.get(key).copied().unwrap_or(0);
    keys.into_iter()
        .filter(|key| !(of(&least, key)..=of(&most, key)).contains(&of(&actual, key)))
        .map(|key| {
            let (metric, labels, part) = key;
            format!(
                "{} {labels:?} {part:?}: expected {} to {}, shown {}",
                metric.definition().name,
                of(&least, key),
                of(&most, key),
                of(&actual, key)
            )
        })
        .collect()
}

/// Bounds of the time in which an instance counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountingPeriod {
    /// Conversations that ended from here on count.
    pub(super) anchor: i64,
    /// From here on no poll of it fails.
    pub(super) calm_from: i64,
}

/// Whether a call counts: certainly, perhaps, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Yes,
    Perhaps,
    No,
}

pub(super) fn counts(scenario: &Scenario, call: &Call, since: CountingPeriod) -> Counts {
    let CountingPeriod { anchor, calm_from } = since;
    let after_anchor: Vec<Option<bool>> = call
        .contents
        .iter()
        .map(|content| own_end(call, content).map(|end| end + SECOND >= anchor))
        .collect();
    let earliest_read = anchor - scenario.last_age();
    if after_anchor.iter().all(|after| *after == Some(false)) {
        return Counts::No;
    }
    // A clock that is off by up to two seconds may put the first sight of a call without an end before the anchor.
    let seen_after_anchor = call.final_from() > anchor + scenario.last_age() / 10;
    let all = |sign| after_anchor.iter().all(|after| *after == sign);
    let certain = match (all(Some(true)), all(None)) {
        (true, _) => true,
        (_, false) => false,
        (_, true) if call.start >= anchor => true,
        (_, true) if scenario.steps_back || scenario.steps_ahead => false,
        (_, true) => seen_after_anchor || scenario.anchor.is_none_or(|anchor| anchor <= scenario.start),
    };
    // From before what the first start reads only what is seen running can be known.
    // The first poll of the last target may come a while after that of the first one.
    let runs_at = |time| call.state_at(time) == CallState::Running;
    let runs_into_the_calm = scenario.running == Running::Listed
        && runs_at(calm_from)
        && runs_at(calm_from.saturating_add(2 * MINUTE));
    if certain && (call.start >= earliest_read || runs_into_the_calm) { Counts::Yes } else { Counts::Perhaps }
}

pub(super) fn own_end(call: &Call, content: &Content) -> Option<i64> {
    match content.seconds {
        Some(seconds) => Some(call.start + seconds * SECOND),
        None if content.is_hidden => None,
        None => content.turns.iter().filter_map(|turn| turn.at).next_back().map(|at| call.start + at),
    }
}

fn expected(scenario: &Scenario, calls: &[Call], since: CountingPeriod) -> (Amounts, Amounts) {
    let (mut least, mut most) = (Amounts::new(), Amounts::new());
    for call in calls {
        let certainty = counts(scenario, call, since);
        if certainty == Counts::No {
            continue;
        }
        let labels = labels(scenario, call);
        let shown: Vec<Amounts> =
            call.contents.iter().map(|content| amounts(scenario, content, &labels)).collect();
        let keys: BTreeSet<&Key> = shown.iter().flat_map(|amounts| amounts.keys()).collect();
        for key in keys {
            let of_each = || shown.iter().map(|amounts| amounts.get(key).copied().unwrap_or(0));
            // A later change that shows more is added, and what arrives late is observed; the transcript counts as it was first.
            let is_complete = grows(key.0) || observations_grow(call, key.0);
            let low = if is_complete { of_each().next_back() } else { of_each().min() };
            if certainty == Counts::Yes {
                *least.entry(key.clone()).or_default() += low.unwrap_or(0);
            }
            // Where latencies are corrected, those that were observed depend on what was seen first.
            let high = if is_latency(key.0) && !is_complete {
                of_each().sum()
            } else {
                of_each().max().unwrap_or(0)
            };
            *most.entry(key.clone()).or_default() += high;
        }
    }
    (least, most)
}

fn is_latency(metric: Metric) -> bool {
    matches!(metric, Metric::TurnLatency | Metric::GreetingLatency)
}

/// Whether of any two contents of `call`, one holds all that the other adds to a histogram.
fn observations_grow(call: &Call, metric: Metric) -> bool {
    let contents: Option<Vec<Vec<i64>>> =
        call.contents.iter().map(|content| observed(content, metric)).collect();
    let Some(contents) = contents else { return false };
    let holds = |large: &[i64], small: &[i64]| {
        let mut rest = large.to_vec();
        small.iter().all(|one| rest.iter().position(|other| other == one).map(|at| rest.remove(at)).is_some())
    };
    contents.iter().all(|one| contents.iter().all(|other| holds(one, other) || holds(other, one)))
}

/// What a record adds to a histogram; absent for what is none.
fn observed(content: &Content, metric: Metric) -> Option<Vec<i64>> {
    let latencies = |of_reply: bool| {
        let visible = content.turns.iter().filter(|turn| !content.is_hidden && turn.is_reply == of_reply);
        visible.filter_map(|turn| turn.latency_ms).collect()
    };
    let parts = [
        (Metric::ConversationDuration, content.seconds.into_iter().collect()),
        (Metric::AgentDuration, content.agent_seconds.into_iter().collect()),
        (Metric::TurnLatency, latencies(true)),
        (Metric::GreetingLatency, latencies(false)),
        (Metric::ConversationTurns, vec![i64::try_from(content.turns.len()).unwrap()]),
    ];
    parts.into_iter().find(|(of, _)| *of == metric).map(|(_, observed)| observed)
}

fn grows(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Turns
            | Metric::OodTurns
            | Metric::SilenceTurns
            | Metric::BargeInTurns
            | Metric::ConversationsWithOod
            | Metric::ConversationsWithSilence
            | Metric::Handoffs
            | Metric::HandoffsByReason
    )
}

pub(super) fn is_capped(scenario: &Scenario) -> bool {
    scenario.max_label_values < 50
}

pub(super) fn labels(scenario: &Scenario, call: &Call) -> Vec<String> {
    let channel = if call.channel.is_empty() { "unknown" } else { call.channel };
    if scenario.by_channel && !is_capped(scenario) { vec![channel.to_owned()] } else { Vec::new() }
}

pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

pub(super) const DURATION: [f64; 11] =
    [5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
pub(super) const LATENCY: [f64; 13] = [0.25, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 5.0, 8.0, 10.0, 15.0];

/// All that one record amounts to.
fn amounts(scenario: &Scenario, content: &Content, labels: &[String]) -> Amounts {
    let mut all = Amounts::new();
    let mut add = |metric, amount: usize| {
        *all.entry((metric, labels.to_vec(), Part::Value)).or_default() += u64::try_from(amount).unwrap();
    };
    let of = |flag: fn(&super::calls::Turn) -> bool| content.turns.iter().filter(|turn| flag(turn)).count();
    let (ood, silence) = (of(|turn| turn.ood), of(|turn| turn.silence));
    add(Metric::Conversations, 1);
    add(Metric::Turns, content.turns.len());
    add(Metric::OodTurns, ood);
    add(Metric::SilenceTurns, silence);
    add(Metric::ConversationsWithOod, usize::from(ood > 0));
    add(Metric::ConversationsWithSilence, usize::from(silence > 0));
    add(Metric::Handoffs, usize::from(content.handoff.is_some()));
    if content.is_hidden {
        add(Metric::WithoutTranscript, usize::from(!content.turns.is_empty()));
    } else {
        add(Metric::BargeInTurns, of(|turn| turn.barge_in));
    }
    if let Some((reason, destination)) = content.handoff {
        let mut by_reason = labels.to_vec();
        if !is_capped(scenario) {
            by_reason.extend([or_none(reason), or_none(destination)]);
        }
        *all.entry((Metric::HandoffsByReason, by_reason, Part::Value)).or_default() += 1;
    }
    let mut observe = |metric, millis: i64, bounds: &[f64]| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let bucket = bounds.iter().position(|bound| millis as f64 <= bound * 1000.0).unwrap_or(bounds.len());
        *all.entry((metric, labels.to_vec(), Part::Bucket(bucket))).or_default() += 1;
        *all.entry((metric, labels.to_vec(), Part::Sum)).or_default() +=
            u64::try_from(millis * 1000).unwrap();
    };
    for (metric, seconds) in
        [(Metric::ConversationDuration, content.seconds), (Metric::AgentDuration, content.agent_seconds)]
    {
        if let Some(seconds) = seconds {
            observe(metric, seconds * 1000, &DURATION);
        }
    }
    let turns = i64::try_from(content.turns.len()).unwrap();
    observe(Metric::ConversationTurns, turns * 1000, &[1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0]);
    for turn in content.turns.iter().filter(|_| !content.is_hidden) {
        let metric = if turn.is_reply { Metric::TurnLatency } else { Metric::GreetingLatency };
        if let Some(latency) = turn.latency_ms {
            observe(metric, latency, &LATENCY);
        }
    }
    all
}

/// The same of what is shown, for the metrics that the truth decides.
fn actual(scenario: &Scenario, shown: &TargetSeries) -> Amounts {
    let mut all = Amounts::new();
    let depends_on_the_schedule =
        [Metric::Late, Metric::IngestLag, Metric::Amendments, Metric::LabelValuesFolded];
    for (key, series) in shown.iter().filter(|(key, _)| !depends_on_the_schedule.contains(&key.metric)) {
        let labels: Vec<String> = match is_capped(scenario) {
            true => Vec::new(),
            false => key.values.iter().map(|value| value.to_string()).collect(),
        };
        let mut add = |part, amount| {
            *all.entry((key.metric, labels.clone(), part)).or_default() += amount;
        };
        match &series.value {
            Value::Counter(counter) => add(Part::Value, counter.count()),
            Value::Histogram(histogram) => {
                for (bucket, &count) in histogram.counts().iter().enumerate() {
                    add(Part::Bucket(bucket), count);
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a sum of seconds"
                )]
                let micros = (histogram.sum() * 1e6).round() as u64;
                add(Part::Sum, micros);
            }
            Value::Gauge(_) => {}
        }
    }
    all
}
