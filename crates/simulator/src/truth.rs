//! What an exporter should have counted: a plain recount of what the API holds.
//!
//! Owns: the counting rules, written down a second time and on purpose without the exporter's code. Never: JSON or HTTP.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use super::call::Call;
use super::project::Project;
use super::shown::VisibleCall;
use super::world::CallQuery;
use polyai_domain::target::ClientEnv;

/// Totals over all conversations that are listed as finished and ended at or after an anchor.
///
/// Records are taken as they are listed at the moment of the recount, amendments included; raw records are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ExpectedTotals {
    /// Conversations.
    pub conversations: u64,
    /// With a handoff.
    pub handoffs: u64,
    /// The same by reason and destination, `none` where empty, as `reason/destination`.
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
    /// Conversations by `channel`, `unknown` where it is missing.
    pub by_channel: BTreeMap<String, u64>,
    /// Listed as running at the moment of the recount, whenever they started.
    pub in_progress: u64,
    /// End of the conversation that ended last.
    #[serde(serialize_with = "moment")]
    pub last_end: Option<DateTime<Utc>>,
}

/// Recounts `env` of `project`, as a reader of version 3 with latencies would, at `now`.
pub(crate) fn recount(
    project: &Project,
    env: ClientEnv,
    anchor: DateTime<Utc>,
    now: DateTime<Utc>,
) -> ExpectedTotals {
    let mut truth = ExpectedTotals::default();
    let open_at = Some(anchor - TimeDelta::seconds(1));
    let ask = CallQuery { env, from: None, to: Some(now), newest_first: false, open_at };
    project.calls.visit(&ask, &mut |call| {
        truth.add(call, project, anchor, now);
        ControlFlow::Continue(())
    });
    truth
}

#[expect(clippy::ref_option, reason = "serde hands out a reference to the field")]
fn moment<S: Serializer>(moment: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(|moment| moment.to_rfc3339()).serialize(serializer)
}

impl ExpectedTotals {
    fn add(&mut self, call: &Call, project: &Project, anchor: DateTime<Utc>, now: DateTime<Utc>) {
        let quirks = &project.quirks;
        let Some(shown) = call.shown(now, quirks).filter(|shown| shown.call.raw.is_none()) else {
            return;
        };
        if shown.in_progress {
            self.in_progress += 1;
            return;
        }
        let end = readable_end(&shown, quirks.sparse);
        if end + TimeDelta::seconds(1) < anchor {
            return;
        }
        self.conversations += 1;
        self.last_end = self.last_end.max(Some(end));
        if quirks.sparse {
            *self.by_channel.entry("unknown".to_owned()).or_default() += 1;
            return;
        }
        let channel =
            shown.call.channel.as_deref().filter(|channel| !channel.is_empty()).unwrap_or("unknown");
        *self.by_channel.entry(channel.to_owned()).or_default() += 1;
        if let Some(handoff) = shown.handoff {
            self.handoffs += 1;
            let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
            let key = format!("{}/{}", or_none(&handoff.reason), or_none(&handoff.destination));
            *self.handoffs_by_reason.entry(key).or_default() += 1;
        }
        self.add_turns(&shown, project);
        if let Some(seconds) = shown.total_duration {
            self.durations += 1;
            self.duration_seconds += seconds.unsigned_abs();
        }
        self.agent_duration_seconds += shown.polyai_duration.unwrap_or(0).unsigned_abs();
    }

    fn add_turns(&mut self, shown: &VisibleCall<'_>, project: &Project) {
        let flags = |flagged: fn(&super::Turn) -> bool| {
            shown.turns.iter().filter(|turn| flagged(turn)).count() as u64
        };
        let ood = shown.num_ood.max(flags(|turn| turn.ood));
        let silences = shown.num_silences.max(flags(|turn| turn.silence));
        self.turns += shown.num_turns.max(shown.turns.len() as u64);
        self.ood_turns += ood;
        self.silence_turns += silences;
        self.barge_in_turns += flags(|turn| turn.barge_in);
        self.with_ood += u64::from(ood > 0);
        self.with_silence += u64::from(silences > 0);
        self.without_transcript += u64::from(shown.num_turns > 0 && shown.turns.is_empty());
        for (index, turn) in shown.turns.iter().enumerate() {
            let Some(seconds) = shown.readable_latency(index, &project.quirks) else { continue };
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

/// The end that the record itself tells: the start plus whole seconds; else the last turn; else when it was first seen
/// finished, for which the moment it turned finished is the best that can be known here.
fn readable_end(shown: &VisibleCall<'_>, sparse: bool) -> DateTime<Utc> {
    let call = shown.call;
    let turned = || call.finished_from().unwrap_or(call.start).max(call.visible_from.unwrap_or(call.start));
    match shown.total_duration {
        _ if sparse => turned(),
        Some(seconds) => call.start + TimeDelta::seconds(seconds),
        None => shown.turns.len().checked_sub(1).map_or_else(turned, |last| call.turn_at(last)),
    }
}
