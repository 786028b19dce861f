//! The content of one generated call: length, turns, outcome, and the time at which it becomes visible.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::ClientEnv;

use super::call::{Call, Handoff, MetricValue, Text, Turn};
use super::incidents::IncidentEffect;
use super::profile::{AnomalyRates, Profile, off_topic};
use super::rng::Rng;

/// The agent's response to silence.
const SILENCE: &str = "I'm sorry, I can't hear you. Are you still there?";
/// The agent's response to input that is out of domain.
const NOT_UNDERSTOOD: &str = "Sorry, I didn't quite get that. Could you say it another way?";
/// The agent's last response before a handoff.
const HANDOFF: &str = "I'll connect you with a colleague who can help. One moment, please.";

/// Whether a call is normal, or its anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// Over and listed as finished within half an hour.
    Normal,
    /// Listed only after its end.
    Late,
    /// Listed as running after its end.
    LateFinish,
    /// Hours.
    Long,
    /// More than a day.
    OverADay,
}

#[derive(Debug, Clone)]
pub(crate) struct CallGenerator {
    pub(crate) profile: Profile,
    pub(crate) anomalies: AnomalyRates,
}

impl CallGenerator {
    pub(crate) fn generate(
        &self,
        rng: &mut Rng,
        env: ClientEnv,
        start: DateTime<Utc>,
        kind: CallKind,
        effect: &IncidentEffect,
    ) -> Call {
        let profile = &self.profile;
        let channel = rng.weighted(&profile.channels).cloned().unwrap_or(Text::Borrowed("VOICE-SIP"));
        let hex = format!("{:032x}", rng.bits());
        let (id, typing_factor) = if channel == "VOICE-SIP" {
            (format!("CA{hex}"), 1.0)
        } else {
            let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            (format!("AS_CHAT_{}", groups.join("-")), 1.6)
        };
        let mut call = Call { start, env, channel: Some(channel), ..Call::new(id) };
        call.numbers = (phone_number(rng), Text::Borrowed("+15555550100"));
        call.variant = rng.weighted(&profile.variants).cloned();
        let abandoned = rng.chance(0.08) || effect.short;
        let seconds = match kind {
            CallKind::Long => 3600.0 * (1.0 + 7.0 * rng.unit()),
            CallKind::OverADay => 3600.0 * (25.0 + 12.0 * rng.unit()),
            CallKind::Normal | CallKind::Late | CallKind::LateFinish if abandoned => 2.0 + 12.0 * rng.unit(),
            CallKind::Normal | CallKind::Late | CallKind::LateFinish => {
                rng.log_normal(profile.duration_median * typing_factor, 0.5).clamp(15.0, 1500.0)
            }
        };
        call.lasting = Some(time_delta(seconds));
        call.turns = self.turns(rng, seconds, abandoned, effect);
        let handoff_share = effect.handoffs.unwrap_or(if abandoned { 0.0 } else { profile.handoff_share });
        if rng.chance(handoff_share) {
            self.hand_off(&mut call, rng, seconds, effect);
        }
        self.add_metrics(&mut call, rng, abandoned);
        self.set_visibility(&mut call, rng, kind);
        if kind == CallKind::Normal && rng.chance(self.anomalies.amended) {
            call = self.amend(call, rng);
        }
        call
    }

    fn turns(&self, rng: &mut Rng, seconds: f64, abandoned: bool, effect: &IncidentEffect) -> Vec<Turn> {
        let profile = &self.profile;
        let usual = u64::try_from(time_delta(seconds).num_seconds() / 20).unwrap_or(0).clamp(3, 11);
        let count = if abandoned { 1 + rng.below(2) } else { usual + rng.below(3) };
        let mut turns = Vec::new();
        for index in 0..count {
            let is_greeting = index == 0;
            let mut turn = if is_greeting {
                Turn { agent: profile.topic.greeting.clone(), ..Turn::greeting() }
            } else if rng.chance(effect.silence.unwrap_or(profile.silence_share)) {
                let agent = Text::Borrowed(SILENCE);
                Turn { user: Text::Borrowed(""), agent, silence: true, ..Turn::reply() }
            } else if rng.chance(effect.ood.unwrap_or(profile.ood_share)) {
                let agent = Text::Borrowed(NOT_UNDERSTOOD);
                Turn { user: off_topic(rng), agent, ood: true, ..Turn::reply() }
            } else {
                let (user, agent) = profile.exchange(rng);
                Turn { user, agent, ..Turn::reply() }
            };
            let (median, sigma) = if is_greeting { (2.9, 0.12) } else { (profile.latency_median, 0.5) };
            let latency = rng.log_normal(median, sigma).min(30.0) + effect.latency;
            turn.latency = Some((latency * 1e6).round() / 1e6);
            turn.barge_in = !is_greeting && rng.chance(profile.barge_in_share);
            let offset = if is_greeting { 0.0 } else { 0.8 * rng.unit() };
            turn.at = Some(time_delta((index as f64 + offset) / count as f64 * seconds));
            turns.push(turn);
        }
        turns
    }

    fn hand_off(&self, call: &mut Call, rng: &mut Rng, seconds: f64, effect: &IncidentEffect) {
        let (mut reason, destination) = rng.weighted(&self.profile.handoffs).cloned().unwrap_or_default();
        if effect.handoffs.is_some() && rng.chance(0.85) {
            reason = Text::Borrowed("system_error");
        }
        if let Some(turn) = call.turns.last_mut() {
            turn.agent = Text::Borrowed(HANDOFF);
        }
        call.agent_part = Some(time_delta(seconds * (0.7 + 0.3 * rng.unit())));
        call.handoff = Some(Handoff { reason, destination });
    }

    /// Adds `metrics` as the platform and the project's own functions write them.
    fn add_metrics(&self, call: &mut Call, rng: &mut Rng, abandoned: bool) {
        const SCORES: [(u32, &str); 5] = [(1, "1"), (1, "2"), (2, "3"), (5, "4"), (8, "5")];
        let topic = &self.profile.topic;
        let seconds = call.lasting.unwrap_or_default().num_seconds();
        let mut add = |name: Text, value| call.metrics.push((name, value));
        add("CALL_COMPLETED".into(), MetricValue::Flag(true));
        add("CALL_DURATION".into(), MetricValue::Text(seconds.to_string().into()));
        add("TOTAL_AGENT_TURNS".into(), MetricValue::Text(call.turns.len().to_string().into()));
        if let Some(handoff) = &call.handoff {
            add("HANDOFF_REASON".into(), MetricValue::Text(handoff.reason.clone()));
            add("HANDOFF_TO".into(), MetricValue::Text(handoff.destination.clone()));
        }
        if abandoned {
            return add("USER_HANGUP".into(), MetricValue::Flag(true));
        }
        let outcome = rng.weighted(&topic.outcomes).cloned().unwrap_or_default();
        if outcome == "booked" {
            let value = (rng.log_normal(70.0, 0.6) * 100.0).round() / 100.0;
            add("BASKET_VALUE".into(), MetricValue::Number(value));
        }
        add(topic.outcome.clone(), MetricValue::Text(outcome));
        for _ in 0..rng.below(3) {
            add("QA".into(), MetricValue::Text(rng.pick(&topic.questions).cloned().unwrap_or_default()));
        }
        if rng.chance(0.2) {
            add("CSAT_OFFERED".into(), MetricValue::Flag(true));
            let score = rng.weighted(&SCORES).copied().unwrap_or("5");
            add("CSAT_SCORE".into(), MetricValue::Text(score.into()));
        }
    }

    /// Sets the times from which on the call and its end are visible.
    fn set_visibility(&self, call: &mut Call, rng: &mut Rng, kind: CallKind) {
        let end = call.end().unwrap_or(call.start);
        let ingestion = |rng: &mut Rng| time_delta(self.anomalies.ingestion_seconds * rng.unit());
        let (start_visible, end_visible) = (call.start + ingestion(rng), end + ingestion(rng));
        // From two minutes to six hours, each order of magnitude equally likely.
        let late = end + time_delta(120.0 * 180.0_f64.powf(rng.unit()));
        (call.visible_from, call.finished_visible_from) = match kind {
            CallKind::Late => (Some(late), None),
            CallKind::LateFinish => (Some(start_visible), Some(late)),
            CallKind::Normal | CallKind::Long | CallKind::OverADay => {
                (Some(start_visible), Some(end_visible))
            }
        };
    }

    /// Adds a change after the end: the handoff or the last turn is written late.
    fn amend(&self, call: Call, rng: &mut Rng) -> Call {
        let end = call.finished_from().unwrap_or(call.start);
        let moment = end + time_delta(30.0 + 1770.0 * rng.unit());
        if call.handoff.is_none() && rng.chance(0.5) {
            let (reason, destination) = rng.weighted(&self.profile.handoffs).cloned().unwrap_or_default();
            let handoff = Some(Handoff { reason, destination });
            return call.amended(moment, |call| Call { handoff, ..call });
        }
        let (user, agent) = self.profile.exchange(rng);
        let at = call.lasting.map(|length| length - TimeDelta::milliseconds(200));
        call.amended(moment, |mut call| {
            call.turns.push(Turn { at, user, agent, ..Turn::reply() });
            call
        })
    }
}

/// A number from the range reserved for fiction, or the text that Agent Studio shows in its place.
fn phone_number(rng: &mut Rng) -> Text {
    if rng.chance(0.1) {
        return Text::Borrowed("REDACTED");
    }
    Text::Owned(format!("+155555501{:02}", rng.below(100)))
}

fn time_delta(seconds: f64) -> TimeDelta {
    TimeDelta::from_std(Duration::try_from_secs_f64(seconds).unwrap_or_default()).unwrap_or_default()
}
