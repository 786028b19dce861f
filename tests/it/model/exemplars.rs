//! The truth about exemplars: which call each may name, and which call must be the newest.

use std::collections::BTreeMap;

use polyai_engine::aggregate::{Exemplar, Metric, TargetSeries, Value};

use super::calls::{Call, Content};
use super::recount::{
    CountingPeriod, Counts, DURATION, LATENCY, counts, is_capped, labels, or_none, own_end,
};
use super::scenario::{HOUR, SECOND, Scenario, moment};

/// Something that a call was counted for.
struct Event {
    metric: Metric,
    labels: Vec<String>,
    /// The index of a bucket of a histogram.
    bucket: usize,
    millionths: i64,
    /// None where it depends on when the call was first seen finished.
    at: Option<i64>,
}

/// Differences between the exemplars shown and the records; empty if there are none.
pub(super) fn differences(
    scenario: &Scenario,
    calls: &[Call],
    since: CountingPeriod,
    shown: &TargetSeries,
) -> Vec<String> {
    let shown = shown_by_place(shown);
    let mut wrong = Vec::new();
    for ((metric, labels, bucket), exemplar) in &shown {
        let call = calls.iter().find(|call| call.id == exemplar.id());
        let is_true = call.is_some_and(|call| {
            let counted = counts(scenario, call, since) != Counts::No;
            counted && matches_a_record(scenario, call, (*metric, labels, *bucket), exemplar)
        });
        if !is_true {
            wrong.push(format!("{} {labels:?} {bucket}: {exemplar:?} is made up", metric.definition().name));
        }
    }
    if is_capped(scenario) {
        // Which values fold depends on the schedule.
        return wrong;
    }
    // An amended call may have been counted as it was before.
    let certain =
        calls.iter().filter(|call| counts(scenario, call, since) == Counts::Yes && call.contents.len() == 1);
    for (call, event) in
        certain.flat_map(|call| events(scenario, call, &call.contents[0]).into_iter().map(move |e| (call, e)))
    {
        let Some(at) = event.at else { continue };
        let newest = shown.get(&(event.metric, event.labels.clone(), event.bucket));
        let holds = newest.is_some_and(|newest| {
            let slack = slack(scenario);
            let is = (newest.at().millis(), millionths(newest), newest.id());
            if slack == 0 { is >= (at, event.millionths, &*call.id) } else { is.0 >= at - slack }
        });
        if !holds {
            let name = event.metric.definition().name;
            wrong.push(format!(
                "{name} {:?} {}: {newest:?}, though {} at {} is newer",
                event.labels,
                event.bucket,
                call.id,
                moment(at)
            ));
        }
    }
    wrong
}

/// The time by which an exemplar may precede its event, because the clock of the exporter is behind.
pub(super) fn slack(scenario: &Scenario) -> i64 {
    scenario.clock_error + if scenario.steps_back { HOUR } else { 0 }
}

type Place = (Metric, Vec<String>, usize);

fn shown_by_place(shown: &TargetSeries) -> BTreeMap<Place, Exemplar> {
    let mut all = BTreeMap::new();
    for (key, series) in shown.iter() {
        let labels: Vec<String> = key.values.iter().map(|value| value.to_string()).collect();
        let exemplars: Vec<Option<&Exemplar>> = match &series.value {
            Value::Counter(counter) => vec![counter.exemplar()],
            Value::Histogram(histogram) => histogram.exemplars().iter().map(Option::as_ref).collect(),
            Value::Gauge(_) => Vec::new(),
        };
        for (bucket, exemplar) in exemplars.into_iter().enumerate() {
            all.extend(exemplar.map(|exemplar| ((key.metric, labels.clone(), bucket), exemplar.clone())));
        }
    }
    all
}

#[expect(clippy::cast_possible_truncation, reason = "amounts of a history are small")]
fn millionths(exemplar: &Exemplar) -> i64 {
    (exemplar.value() * 1e6).round() as i64
}

/// Whether some record of `call` contains the event of the exemplar.
fn matches_a_record(
    scenario: &Scenario,
    call: &Call,
    (metric, labels, bucket): (Metric, &[String], usize),
    exemplar: &Exemplar,
) -> bool {
    let (at, value) = (exemplar.at().millis(), millionths(exemplar));
    let slack = slack(scenario);
    let fits = |true_at: Option<i64>| true_at.is_none_or(|true_at| (true_at - slack..=true_at).contains(&at));
    let mut ends = call.contents.iter().map(|content| own_end(call, content));
    if metric == Metric::IngestLag {
        // The lag is the time from the end until now.
        return ends.any(|end| end.is_none_or(|end| (at - end).max(0) * 1000 == value));
    }
    let mut events = call.contents.iter().flat_map(|content| events(scenario, call, content));
    let may_be_at_the_end = DATED_WITH_THE_END.contains(&metric);
    events.any(|event| {
        event.metric == metric
            && (is_capped(scenario) || event.labels == labels)
            && event.bucket == bucket
            && event.millionths == value
            // Late content is dated with the end that the call was counted with.
            && (fits(event.at) || may_be_at_the_end && ends.any(fits))
    })
}

const DATED_WITH_THE_END: [Metric; 7] = [
    Metric::ConversationDuration,
    Metric::AgentDuration,
    Metric::TurnLatency,
    Metric::Handoffs,
    Metric::HandoffsByReason,
    Metric::ConversationsWithOod,
    Metric::ConversationsWithSilence,
];

/// All that a record is counted for by metrics with exemplars, but for the lag.
fn events(scenario: &Scenario, call: &Call, content: &Content) -> Vec<Event> {
    let end = own_end(call, content);
    let channel = labels(scenario, call);
    let mut all = Vec::new();
    let mut observe = |metric, millis: i64, bounds: &[f64], at: Option<i64>| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let bucket = bounds.iter().position(|bound| millis as f64 <= bound * 1000.0).unwrap_or(bounds.len());
        all.push(Event { metric, labels: channel.clone(), bucket, millionths: millis * 1000, at });
    };
    for (metric, seconds) in
        [(Metric::ConversationDuration, content.seconds), (Metric::AgentDuration, content.agent_seconds)]
    {
        if let Some(seconds) = seconds {
            observe(metric, seconds * SECOND, &DURATION, end);
        }
    }
    for turn in content.turns.iter().filter(|_| !content.is_hidden) {
        let (metric, otherwise) = match turn.is_reply {
            true => (Metric::TurnLatency, end),
            false => (Metric::GreetingLatency, Some(call.start)),
        };
        if let Some(latency) = turn.latency_ms {
            observe(metric, latency, &LATENCY, turn.at.map(|at| call.start + at).or(otherwise));
        }
    }
    let mut count = |metric, labels: &[String]| {
        all.push(Event { metric, labels: labels.to_vec(), bucket: 0, millionths: 1_000_000, at: end });
    };
    if content.turns.iter().any(|turn| turn.ood) {
        count(Metric::ConversationsWithOod, &channel);
    }
    if content.turns.iter().any(|turn| turn.silence) {
        count(Metric::ConversationsWithSilence, &channel);
    }
    if let Some((reason, destination)) = content.handoff {
        count(Metric::Handoffs, &channel);
        count(Metric::HandoffsByReason, &[&*channel, &[or_none(reason), or_none(destination)]].concat());
    }
    all
}
