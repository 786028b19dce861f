//! One simulated project: ids, API keys, quirks and the source of its calls.

use std::ops::ControlFlow;

use polyai_domain::target::{ClientEnv, Region, TargetKey};

use super::call::{Call, CallQuery};
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

    /// Has these random calls.
    pub(crate) fn with_random(mut self, calls: RandomCalls) -> Self {
        self.channels = calls.generator.profile.channels.iter().map(|(_, name)| name.to_string()).collect();
        self.calls = Calls::Random(Box::new(calls));
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
}
