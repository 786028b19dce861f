//! The content of one generated call.
//!
//! Owns: how a call of a profile goes: length, turns, outcome, and when it becomes visible. Never: how many there are.

use chrono::{DateTime, TimeDelta, Utc};

use super::call::{Call, Handoff, MetricValue, Text, Turn};
use super::dice::Rng;
use super::generated::Generated;
use super::incidents::IncidentEffect;
use super::phrases;
use polyai_domain::target::ClientEnv;

/// What sort of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Over and settled within half an hour.
    Ordinary,
    /// Listed only after its end.
    Late,
    /// Shown as running after its end.
    LateFinish,
    /// Hours.
    Long,
    /// More than a day.
    OverADay,
}

impl Generated {
    /// The call that starts at `start`, drawn from `dice`.
    pub(crate) fn invent(
        &self,
        dice: &mut Rng,
        env: ClientEnv,
        start: DateTime<Utc>,
        kind: Kind,
        trouble: &IncidentEffect,
    ) -> Call {
        let profile = &self.profile;
        let channel = dice.weighted(&profile.channels).cloned().unwrap_or(Text::Borrowed("VOICE-SIP"));
        let hex = format!("{:016x}{:016x}", dice.next(), dice.next());
        let id = match channel.as_ref() {
            "VOICE-SIP" => format!("CA{hex}"),
            _ => format!(
                "AS_CHAT_{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            ),
        };
        let mut call = Call::new(id).starting(start).in_env(env);
        call.numbers = (number(dice), Text::Borrowed("+15555550100"));
        call.variant = dice.weighted(&profile.variants).cloned();
        let abandoned = dice.chance(0.08) || trouble.short;
        let seconds = match kind {
            Kind::Long => 3600.0 * (1.0 + 7.0 * dice.unit()),
            Kind::OverADay => 3600.0 * (25.0 + 12.0 * dice.unit()),
            Kind::Ordinary | Kind::Late | Kind::LateFinish if abandoned => 2.0 + 12.0 * dice.unit(),
            Kind::Ordinary | Kind::Late | Kind::LateFinish => {
                let writing = if channel == "VOICE-SIP" { 1.0 } else { 1.6 };
                dice.log_normal(profile.duration_median * writing, 0.5).clamp(15.0, 1500.0)
            }
        };
        call.lasting = Some(span(seconds));
        call.channel = Some(channel);
        self.talk(&mut call, dice, abandoned, trouble);
        let handoffs = trouble.handoffs.unwrap_or(if abandoned { 0.0 } else { profile.handoff_share });
        if dice.chance(handoffs) {
            self.hand_off(&mut call, dice, seconds, trouble);
        }
        self.measure(&mut call, dice, abandoned);
        self.time(&mut call, dice, kind);
        if kind == Kind::Ordinary && dice.chance(self.mishaps.amended) {
            call = self.amend(call, dice);
        }
        call
    }

    /// The turns.
    fn talk(&self, call: &mut Call, dice: &mut Rng, hung_up: bool, trouble: &IncidentEffect) {
        let profile = &self.profile;
        let length = call.lasting.unwrap_or_default();
        let usual = u64::try_from(length.num_seconds() / 20).unwrap_or(0).clamp(3, 11);
        let count = if hung_up { 1 + dice.below(2) } else { usual + dice.below(3) };
        call.turns.clear();
        for index in 0..count {
            let mut turn = if index == 0 {
                Turn { agent: Text::Borrowed(profile.topic.greeting), ..Turn::greeting() }
            } else if dice.chance(trouble.silence.unwrap_or(profile.silence_share)) {
                Turn {
                    user: Text::Borrowed(""),
                    agent: Text::Borrowed(phrases::SILENCE),
                    silence: true,
                    ..Turn::reply()
                }
            } else if dice.chance(trouble.ood.unwrap_or(profile.ood_share)) {
                let (user, agent) = phrases::off_topic(dice);
                Turn { user, agent, ood: true, ..Turn::reply() }
            } else {
                let (user, agent) = phrases::exchange(profile.topic, dice);
                Turn { user, agent, ..Turn::reply() }
            };
            let (median, sigma) = if index == 0 { (2.9, 0.12) } else { (profile.latency_median, 0.5) };
            turn.latency = Some(micros(dice.log_normal(median, sigma).min(30.0) + trouble.latency));
            turn.barge_in = index > 0 && dice.chance(profile.barge_in_share);
            let place = (index as f64 + 0.8 * dice.unit() * f64::from(u8::from(index > 0))) / count as f64;
            turn.at = Some(span(place * length.as_seconds_f64()));
            call.turns.push(turn);
        }
    }

    fn hand_off(&self, call: &mut Call, dice: &mut Rng, seconds: f64, trouble: &IncidentEffect) {
        let usual = dice.weighted(&self.profile.handoffs).cloned().unwrap_or_default();
        let (reason, destination) = if trouble.handoffs.is_some() && dice.chance(0.85) {
            (Text::Borrowed("system_error"), usual.1)
        } else {
            usual
        };
        if let Some(turn) = call.turns.last_mut() {
            turn.agent = Text::Borrowed(phrases::HANDOFF);
        }
        call.agent_part = Some(span(seconds * (0.7 + 0.3 * dice.unit())));
        call.handoff = Some(Handoff { reason, destination });
    }

    /// `metrics`, as the platform and the project's own functions write them.
    fn measure(&self, call: &mut Call, dice: &mut Rng, hung_up: bool) {
        let topic = self.profile.topic;
        let seconds = call.lasting.unwrap_or_default().num_seconds();
        let mut write = |name: &'static str, value| call.metrics.push((Text::Borrowed(name), value));
        write("CALL_COMPLETED", MetricValue::Flag(true));
        write("CALL_DURATION", MetricValue::Text(seconds.to_string().into()));
        write("TOTAL_AGENT_TURNS", MetricValue::Text(call.turns.len().to_string().into()));
        if let Some(handoff) = &call.handoff {
            write("HANDOFF_REASON", MetricValue::Text(handoff.reason.clone()));
            write("HANDOFF_TO", MetricValue::Text(handoff.destination.clone()));
        }
        if hung_up {
            write("USER_HANGUP", MetricValue::Flag(true));
            return;
        }
        let (name, outcomes) = topic.outcome;
        let outcome = dice.weighted(outcomes).copied().unwrap_or_default();
        write(name, MetricValue::Text(Text::Borrowed(outcome)));
        if outcome == "booked" {
            write("BASKET_VALUE", MetricValue::Number((dice.log_normal(70.0, 0.6) * 100.0).round() / 100.0));
        }
        for _ in 0..dice.below(3) {
            if let Some(question) = dice.pick(topic.questions) {
                write("QA", MetricValue::Text(Text::Borrowed(question)));
            }
        }
        if dice.chance(0.2) {
            let score =
                dice.weighted(&[(1, "1"), (1, "2"), (2, "3"), (5, "4"), (8, "5")]).copied().unwrap_or("5");
            write("CSAT_OFFERED", MetricValue::Flag(true));
            write("CSAT_SCORE", MetricValue::Text(Text::Borrowed(score)));
        }
    }

    /// When it and its end become visible.
    fn time(&self, call: &mut Call, dice: &mut Rng, kind: Kind) {
        let end = call.end().unwrap_or(call.start);
        let mut soon = || span(self.mishaps.ingestion_seconds * dice.unit());
        let (appears, ends) = (call.start + soon(), end + soon());
        // From two minutes to six hours, each order of magnitude alike.
        let mut later = || span(120.0 * 180.0_f64.powf(dice.unit()));
        (call.visible_from, call.finished_visible_from) = match kind {
            Kind::Late => (Some(end + later()), None),
            Kind::LateFinish => (Some(appears), Some(end + later())),
            Kind::Ordinary | Kind::Long | Kind::OverADay => (Some(appears), Some(ends)),
        };
    }

    /// A change after the end: the transfer or the last turn was written late.
    fn amend(&self, call: Call, dice: &mut Rng) -> Call {
        let end = call.finished_from().unwrap_or(call.start);
        let moment = end + span(30.0 + 1770.0 * dice.unit());
        let handoff = dice.weighted(&self.profile.handoffs).cloned().unwrap_or_default();
        let (user, agent) = phrases::exchange(self.profile.topic, dice);
        let at = call.lasting.map(|length| length - TimeDelta::milliseconds(200));
        if call.handoff.is_none() && dice.chance(0.5) {
            call.amended(moment, |call| call.handoff(handoff.0, handoff.1))
        } else {
            call.amended(moment, |call| call.turn(Turn { at, user, agent, ..Turn::reply() }))
        }
    }
}

/// A number from the range that is reserved for fiction, or what Agent Studio shows in its place.
fn number(dice: &mut Rng) -> Text {
    if dice.chance(0.1) {
        return Text::Borrowed("REDACTED");
    }
    Text::Owned(format!("+155555501{:02}", dice.below(100)))
}

fn span(seconds: f64) -> TimeDelta {
    let std = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    TimeDelta::from_std(std).unwrap_or_default()
}

fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
