//! Things that go wrong in the contact centre itself: what an on-call engineer is there to notice.
//!
//! Owns: kinds of incidents and whom they concern. Never: faults of the API, nor calls that began before an incident.

use chrono::{DateTime, Utc};

use super::faults::Scope;
use polyai_domain::target::ClientEnv;

/// Something that changes the calls that start while it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What is wrong.
    pub kind: IncidentKind,
    /// Where.
    pub scope: Scope,
    /// Calls from this start on are concerned.
    pub from: DateTime<Utc>,
    /// Calls from this start on are not concerned any more; None lasts until it is ended.
    pub until: Option<DateTime<Utc>>,
}

/// What is wrong.
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
    /// Only this share of calls, 0 to 1, comes through.
    Traffic(f64),
    /// Callers hang up within seconds.
    ShortCalls,
}

impl IncidentKind {
    /// Its name in addresses and answers, and what its number means there; the default number.
    pub(crate) const NAMES: [(&'static str, f64); 6] = [
        ("latency", 4.0),
        ("handoff", 0.8),
        ("silence", 0.6),
        ("ood", 0.5),
        ("traffic", 0.0),
        ("short_calls", 0.0),
    ];

    /// The kind called `name`, with its number or the default.
    pub(crate) fn named(name: &str, number: Option<f64>) -> Option<Self> {
        let (_, default) = Self::NAMES.into_iter().find(|(known, _)| *known == name)?;
        let number = number.unwrap_or(default);
        Some(match name {
            "latency" => Self::Latency(number),
            "handoff" => Self::Handoffs(number),
            "silence" => Self::Silence(number),
            "ood" => Self::OutOfDomain(number),
            "traffic" => Self::Traffic(number),
            _ => Self::ShortCalls,
        })
    }

    /// The kind called `name`, with its number or the default.
    ///
    /// # Errors
    /// With a sentence that names the parameter, `kind` or `amount`.
    pub fn read(name: &str, amount: Option<f64>) -> Result<Self, String> {
        let kind = Self::named(name, amount).ok_or_else(|| {
            let known: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("kind: {name:?} is not an incident; there are {}", known.join(", "))
        })?;
        let fits = match kind {
            Self::Latency(seconds) => (0.0..=60.0).contains(&seconds),
            Self::Handoffs(share)
            | Self::Silence(share)
            | Self::OutOfDomain(share)
            | Self::Traffic(share) => (0.0..=1.0).contains(&share),
            Self::ShortCalls => amount.is_none(),
        };
        let takes = "latency takes seconds from 0 to 60, short_calls none, the others a share from 0 to 1";
        if fits { Ok(kind) } else { Err(format!("amount: {takes}")) }
    }

    /// The name by which [`named`](Self::named) finds it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Handoffs(_) => "handoff",
            Self::Silence(_) => "silence",
            Self::OutOfDomain(_) => "ood",
            Self::Traffic(_) => "traffic",
            Self::ShortCalls => "short_calls",
        }
    }
}

/// An incident as one project knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProjectIncident {
    pub(crate) kind: IncidentKind,
    pub(crate) env: ClientEnv,
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: Option<DateTime<Utc>>,
}

/// All that is wrong for one call.
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
    /// What hits a call of `env` that starts at `start`.
    pub(crate) fn at(incidents: &[ProjectIncident], env: ClientEnv, start: DateTime<Utc>) -> Self {
        let mut trouble = Self::default();
        let hits = |incident: &&ProjectIncident| {
            incident.env == env && incident.from <= start && incident.until.is_none_or(|until| start < until)
        };
        for incident in incidents.iter().filter(hits) {
            match incident.kind {
                IncidentKind::Latency(seconds) => trouble.latency += seconds,
                IncidentKind::Handoffs(share) => trouble.handoffs = Some(share),
                IncidentKind::Silence(share) => trouble.silence = Some(share),
                IncidentKind::OutOfDomain(share) => trouble.ood = Some(share),
                IncidentKind::Traffic(share) => trouble.traffic = Some(share),
                IncidentKind::ShortCalls => trouble.short = true,
            }
        }
        trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for (name, _) in IncidentKind::NAMES {
            assert_eq!(IncidentKind::named(name, None).unwrap().name(), name);
        }
        assert_eq!(IncidentKind::named("latency", Some(9.0)), Some(IncidentKind::Latency(9.0)));
        assert_eq!(IncidentKind::named("flood", None), None);
    }

    #[test]
    fn an_incident_concerns_calls_that_start_while_it_lasts() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let local = |kind| ProjectIncident { kind, env: ClientEnv::Live, from: at(10), until: Some(at(20)) };
        let incidents = [local(IncidentKind::Latency(3.0)), local(IncidentKind::Silence(0.5))];
        let both = IncidentEffect { latency: 3.0, silence: Some(0.5), ..IncidentEffect::default() };
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Live, at(10)), both);
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Live, at(9)), IncidentEffect::default());
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Live, at(20)), IncidentEffect::default());
        assert_eq!(IncidentEffect::at(&incidents, ClientEnv::Sandbox, at(15)), IncidentEffect::default());
    }
}
