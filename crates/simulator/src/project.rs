//! One simulated project: ids, API keys, quirks and the source of its calls.

use std::ops::ControlFlow;

use polyai_domain::target::{ApiVersion, ClientEnv, Region, TargetKey};

use super::call::{Call, CallQuery};
use super::encode::Dialect;
use super::profile::{AnomalyRates, Profile};
use super::quirks::Quirks;
use super::random_calls::RandomCalls;
#[cfg(feature = "test-support")]
use super::scripted_calls::ScriptedCalls;

/// A project of the simulated API.
#[derive(Debug, Clone)]
#[must_use]
pub struct Project {
    /// The `project` label of its targets, and its name in tests.
    pub name: String,
    /// The region that hosts it.
    pub region: Region,
    /// `account_id`
    pub account_id: String,
    /// `project_id`
    pub project_id: String,
    /// Keys that may read it. A key of another project in the same region is forbidden (403), any other unknown (401).
    pub keys: Vec<String>,
    /// The environments in which it has calls.
    pub client_envs: Vec<ClientEnv>,
    /// The channels on which it takes calls.
    pub channels: Vec<String>,
    /// Its behaviour on open points of the documentation.
    pub quirks: Quirks,
    pub(crate) calls: Calls,
}

/// The source of a project's calls.
#[derive(Debug, Clone)]
pub(crate) enum Calls {
    /// No calls.
    None,
    Random(Box<RandomCalls>),
    #[cfg(feature = "test-support")]
    Scripted(ScriptedCalls),
}

impl Calls {
    /// Visits the calls of `query`, ordered by start and id, until `visitor` breaks.
    pub(crate) fn visit(&self, query: &CallQuery, visitor: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        match self {
            Self::None => {}
            Self::Random(calls) => calls.visit(query, visitor),
            #[cfg(feature = "test-support")]
            Self::Scripted(calls) => calls.visit(query, visitor),
        }
    }
}

impl Project {
    /// A project without calls, with the key `demo-key`.
    pub fn new(name: &str, region: Region) -> Self {
        Self {
            name: name.to_owned(),
            region,
            account_id: "ws-00000001".to_owned(),
            project_id: format!("PROJECT-{}", name.to_uppercase()),
            keys: vec!["demo-key".to_owned()],
            client_envs: vec![ClientEnv::Live],
            channels: vec!["VOICE-SIP".to_owned()],
            quirks: Quirks::default(),
            calls: Calls::None,
        }
    }

    /// Has these ids.
    pub fn with_ids(self, account_id: &str, project_id: &str) -> Self {
        Self { account_id: account_id.to_owned(), project_id: project_id.to_owned(), ..self }
    }

    /// Can be read with `key` only.
    pub fn with_key(self, key: &str) -> Self {
        Self { keys: vec![key.to_owned()], ..self }
    }

    /// Has calls in these environments.
    pub fn with_envs(self, envs: &[ClientEnv]) -> Self {
        Self { client_envs: envs.to_vec(), ..self }
    }

    /// Has its quirks changed by `change`.
    pub fn with_quirks(mut self, change: impl FnOnce(&mut Quirks)) -> Self {
        change(&mut self.quirks);
        self
    }

    /// Has random calls instead of a script, at the volume of `profile` and with the default anomalies.
    pub fn with_generated(mut self, seed: u64, profile: Profile) -> Self {
        self.channels = profile.channels.iter().map(|(_, channel)| channel.to_string()).collect();
        self.calls = Calls::Random(Box::new(RandomCalls::new(&self.name, seed, profile)));
        self
    }

    /// Has these anomalies instead of the default ones; projects without random calls ignore them.
    pub fn with_anomalies(mut self, anomalies: AnomalyRates) -> Self {
        if let Calls::Random(calls) = &mut self.calls {
            calls.generator.anomalies = anomalies;
        }
        self
    }

    /// Its identity as a target of the exporter in `env`.
    pub fn target(&self, env: ClientEnv) -> TargetKey {
        TargetKey { project: self.name.clone(), region: self.region, client_env: env }
    }

    /// All its targets.
    pub fn targets(&self) -> impl Iterator<Item = TargetKey> + '_ {
        self.client_envs.iter().map(|env| self.target(*env))
    }

    pub(crate) fn dialect(&self, version: ApiVersion, include_latency: bool) -> Dialect<'_> {
        let Self { account_id, project_id, quirks, .. } = self;
        Dialect { account_id, project_id, quirks, version, include_latency }
    }
}
