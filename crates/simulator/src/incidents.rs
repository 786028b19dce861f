//! Incidents of the contact centre itself, as opposed to faults of the API.

use std::mem::discriminant;

use chrono::{DateTime, Utc};

use super::faults::Scope;
use polyai_domain::target::{ClientEnv, TargetKey};

/// A change to the calls that start while it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// The change.
    pub kind: IncidentKind,
    /// The targets it affects.
    pub scope: Scope,
    /// The first start time that is affected.
    pub from: DateTime<Utc>,
    /// The first start time that is not affected any more; `None` lasts until it is ended.
    pub until: Option<DateTime<Utc>>,
}

/// The effect of an incident.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum IncidentKind {
    /// Replies and greetings take this many seconds more.
    Latency(f64),
    /// This share of calls, 0 to 1, is handed off, for `system_error`.
    Handoffs(f64),
    /// This share of turns, 0 to 1, is silent: one-way audio.
    Silence(f64),
    /// This share of turns, 0 to 1, is out of domain.
    OutOfDomain(f64),
    /// Only this share of calls, 0 to 1, arrives.
    Traffic(f64),
    /// Callers hang up within seconds.
    ShortCalls,
}

/// A name, the default and the largest amount, and the kind.
type KindEntry = (&'static str, f64, f64, fn(f64) -> IncidentKind);

impl IncidentKind {
    const ALL: [KindEntry; 6] = [
        ("latency", 4.0, 60.0, Self::Latency),
        ("handoff", 0.8, 1.0, Self::Handoffs),
        ("silence", 0.6, 1.0, Self::Silence),
        ("ood", 0.5, 1.0, Self::OutOfDomain),
        ("traffic", 0.0, 1.0, Self::Traffic),
        ("short_calls", 0.0, 0.0, |_| Self::ShortCalls),
    ];

    pub(crate) fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|(name, ..)| *name).collect()
    }

    /// The kind with this name, and this amount or its default.
    ///
    /// # Errors
    /// If there is no such kind, or the amount is out of range; the message names the parameter, `kind` or `amount`.
    pub fn parse(name: &str, amount: Option<f64>) -> Result<Self, String> {
        let Some((_, default, max, new)) = Self::ALL.into_iter().find(|(known, ..)| *known == name) else {
            let names = Self::names().join(", ");
            return Err(format!("kind: {name:?} is not an incident; use one of {names}"));
        };
        let number = amount.unwrap_or(default);
        if !(0.0..=max).contains(&number) || (max == 0.0 && amount.is_some()) {
            let message = "amount: latency takes seconds from 0 to 60, short_calls none, the others a share from 0 to 1";
            return Err(message.to_owned());
        }
        Ok(new(number))
    }

    /// The name by which [`parse`](Self::parse) finds it.
    pub(crate) fn name(self) -> &'static str {
        let is_same = |(.., new): &&KindEntry| discriminant(&new(0.0)) == discriminant(&self);
        Self::ALL.iter().find(is_same).map_or("", |(name, ..)| name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct IncidentEffect {
    pub(crate) latency: f64,
    pub(crate) handoffs: Option<f64>,
    pub(crate) silence: Option<f64>,
    pub(crate) ood: Option<f64>,
    pub(crate) traffic: Option<f64>,
    pub(crate) short: bool,
}

impl IncidentEffect {
    /// The effect on a call of `env` that starts at `start`.
    pub(crate) fn at(incidents: &[(TargetKey, Incident)], env: ClientEnv, start: DateTime<Utc>) -> Self {
        let mut effect = Self::default();
        for (target, incident) in incidents {
            let is_over = incident.until.is_some_and(|until| until <= start);
            if target.client_env != env || start < incident.from || is_over {
                continue;
            }
            match incident.kind {
                IncidentKind::Latency(seconds) => effect.latency += seconds,
                IncidentKind::Handoffs(share) => effect.handoffs = Some(share),
                IncidentKind::Silence(share) => effect.silence = Some(share),
                IncidentKind::OutOfDomain(share) => effect.ood = Some(share),
                IncidentKind::Traffic(share) => effect.traffic = Some(share),
                IncidentKind::ShortCalls => effect.short = true,
            }
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use polyai_domain::target::Region;

    use super::*;

    #[test]
    fn kinds_are_found_by_their_names() {
        for name in IncidentKind::names() {
            assert_eq!(IncidentKind::parse(name, None).unwrap().name(), name);
        }
        assert_eq!(IncidentKind::parse("latency", Some(9.0)), Ok(IncidentKind::Latency(9.0)));
        for (name, amount) in [("flood", None), ("silence", Some(1.5)), ("short_calls", Some(0.0))] {
            assert!(IncidentKind::parse(name, amount).is_err(), "{name} {amount:?}");
        }
    }

    #[test]
    fn incident_affects_calls_that_start_while_it_lasts() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let client_env = ClientEnv::Live;
        let target = TargetKey { project: "billing".into(), region: Region::Us1, client_env };
        let local =
            |kind| (target.clone(), Incident { kind, scope: Scope::All, from: at(10), until: Some(at(20)) });
        let incidents = [local(IncidentKind::Latency(3.0)), local(IncidentKind::Silence(0.5))];
        let both = IncidentEffect { latency: 3.0, silence: Some(0.5), ..IncidentEffect::default() };
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Live, at(10)), both);
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Live, at(9)), IncidentEffect::default());
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Live, at(20)), IncidentEffect::default());
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Sandbox, at(15)), IncidentEffect::default());
    }
}
