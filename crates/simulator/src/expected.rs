//! The totals that an exporter should have counted.
//!
//! The counting rules are implemented here a second time, deliberately without the exporter's code.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::ClientEnv;
use serde::{Serialize, Serializer};

use super::call::{Call, CallQuery, Turn};
use super::project::Project;
use super::quirks::LatencyShape;
use super::visibility::VisibleCall;

/// Totals over all conversations that are listed as finished and ended at or after an anchor.
///
/// Records count as they are listed at the time of the recount, amendments included; raw records do not count.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ExpectedTotals {
    /// Conversations.
    pub conversations: u64,
    /// With a handoff.
    pub handoffs: u64,
    /// The same by reason and destination, `none` if empty, as `reason/destination`.
    pub handoffs_by_reason: BTreeMap<String, u64>,
    /// The larger of `num_turns` and the length of `turns`, summed.
    pub turns: u64,
    /// The larger of `num_ood` and the flags, summed.
    pub ood_turns: u64,
    /// The larger of `num_silences` and the flags, summed.
    pub silence_turns: u64,
    /// Flags.
    pub barge_in_turns: u64,
    /// Conversations with at least one out-of-domain turn.
    pub with_ood: u64,
    /// Conversations with at least one silent turn.
    pub with_silence: u64,
    /// With `num_turns` above 0 and no `turns`.
    pub without_transcript: u64,
    /// Conversations with a `total_duration`.
    pub durations: u64,
    /// `total_duration`, summed, in seconds.
    pub duration_seconds: u64,
    /// `polyai_duration`, summed, in seconds.
    pub agent_duration_seconds: u64,
    /// Reply turns with a latency.
    pub reply_latencies: u64,
    /// Their sum, in seconds.
    pub reply_latency_seconds: f64,
    /// First turns without input and with a latency.
    pub greeting_latencies: u64,
    /// Their sum, in seconds.
    pub greeting_latency_seconds: f64,
    /// Conversations by `channel`, `unknown` if it is missing.
    pub by_channel: BTreeMap<String, u64>,
    /// Conversations listed as running at the time of the recount, whenever they started.
    pub in_progress: u64,
    /// End of the conversation that ended last.
    #[serde(serialize_with = "moment")]
    pub last_end: Option<DateTime<Utc>>,
}

/// Recounts `env` of `project` at `now`, as a reader of version 3 with latencies does.
pub(crate) fn recount(
    project: &Project,
    env: ClientEnv,
    anchor: DateTime<Utc>,
    now: DateTime<Utc>,
) -> ExpectedTotals {
    let mut totals = ExpectedTotals::default();
    let open_at = Some(anchor - TimeDelta::seconds(1));
    let query = CallQuery { env, from: None, to: Some(now), newest_first: false, open_at };
    project.calls.visit(&query, &mut |call| {
        totals.add(call, project, anchor, now);
        ControlFlow::Continue(())
    });
    totals
}

#[expect(clippy::ref_option, reason = "serde hands out a reference to the field")]
fn moment<S: Serializer>(moment: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(|moment| moment.to_rfc3339()).serialize(serializer)
}

impl ExpectedTotals {
    fn add(&mut self, call: &Call, project: &Project, anchor: DateTime<Utc>, now: DateTime<Utc>) {
        let quirks = &project.quirks;
        let Some(visible) = call.at(now, quirks).filter(|visible| visible.call.raw.is_none()) else {
            return;
        };
        if visible.in_progress {
            self.in_progress += 1;
            return;
        }
        let end = readable_end(&visible, quirks.sparse);
        if end + TimeDelta::seconds(1) < anchor {
            return;
        }
        self.conversations += 1;
        self.last_end = self.last_end.max(Some(end));
        let channel = visible.call.channel.as_deref().filter(|channel| !channel.is_empty() && !quirks.sparse);
        *self.by_channel.entry(channel.unwrap_or("unknown").to_owned()).or_default() += 1;
        if quirks.sparse {
            return;
        }
        if let Some(handoff) = visible.handoff {
            self.handoffs += 1;
            let or_none = |text: &str| if text.is_empty() { "none" } else { text }.to_owned();
            let key = or_none(&handoff.reason) + "/" + &or_none(&handoff.destination);
            *self.handoffs_by_reason.entry(key).or_default() += 1;
        }
        self.add_turns(&visible, project);
        if let Some(seconds) = visible.total_duration {
            self.durations += 1;
            self.duration_seconds += seconds.unsigned_abs();
        }
        self.agent_duration_seconds += visible.polyai_duration.unwrap_or(0).unsigned_abs();
    }

    fn add_turns(&mut self, visible: &VisibleCall<'_>, project: &Project) {
        let flags = |flag: fn(&Turn) -> bool| visible.turns.iter().filter(|turn| flag(turn)).count() as u64;
        let ood = visible.num_ood.max(flags(|turn| turn.ood));
        let silences = visible.num_silences.max(flags(|turn| turn.silence));
        self.turns += visible.num_turns.max(visible.turns.len() as u64);
        self.ood_turns += ood;
        self.silence_turns += silences;
        self.barge_in_turns += flags(|turn| turn.barge_in);
        self.with_ood += u64::from(ood > 0);
        self.with_silence += u64::from(silences > 0);
        self.without_transcript += u64::from(visible.num_turns > 0 && visible.turns.is_empty());
        // Whether the response shows latencies.
        let readable = matches!(project.quirks.latency, LatencyShape::Number | LatencyShape::Object);
        for (index, turn) in visible.turns.iter().enumerate() {
            let Some(seconds) = turn.latency.filter(|_| readable) else { continue };
            if index == 0 && turn.user.is_empty() {
                self.greeting_latencies += 1;
                self.greeting_latency_seconds += seconds;
            } else {
                self.reply_latencies += 1;
                self.reply_latency_seconds += seconds;
            }
        }
    }
}

/// The end according to the record, or else the last turn, or else the first time at which it was listed as finished.
fn readable_end(visible: &VisibleCall<'_>, sparse: bool) -> DateTime<Utc> {
    let call = visible.call;
    let listed = || call.finished_from().unwrap_or(call.start).max(call.visible_from.unwrap_or(call.start));
    match visible.total_duration {
        _ if sparse => listed(),
        Some(seconds) => call.start + TimeDelta::seconds(seconds),
        None => visible.turns.len().checked_sub(1).map_or_else(listed, |last| call.turn_at(last)),
    }
}
