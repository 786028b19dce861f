//! One simulated agent project: what it is called, who may read it, how it answers and where its calls come from.
//!
//! Owns: identity, keys and quirks of a project. Never: requests.

use polyai_domain::target::{ClientEnv, Region, TargetKey};

use super::quirks::Quirks;
use super::script::Script;
use super::world::Calls;

/// A project, from the side of the API.
#[derive(Debug, Clone)]
pub struct Project {
    /// The name under which it is configured (the `project` label) and addressed in tests.
    pub name: String,
    /// Where it is hosted.
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
    /// How it answers.
    pub quirks: Quirks,
    pub(crate) calls: Calls,
}

impl Project {
    /// A scripted project without calls: account `ws-00000001`, project id `PROJECT-` with its name in capitals, key
    /// `demo-key`, environment `live`, channel `VOICE-SIP`.
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
            calls: Calls::Scripted(Script::default()),
        }
    }

    /// Has these ids.
    #[must_use]
    pub fn with_ids(mut self, account_id: &str, project_id: &str) -> Self {
        self.account_id = account_id.to_owned();
        self.project_id = project_id.to_owned();
        self
    }

    /// Is read with `key` only.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.keys = vec![key.to_owned()];
        self
    }

    /// Has calls in these environments.
    #[must_use]
    pub fn with_envs(mut self, envs: &[ClientEnv]) -> Self {
        self.client_envs = envs.to_vec();
        self
    }

    /// Answers as `change` says.
    #[must_use]
    pub fn with_quirks(mut self, change: impl FnOnce(&mut Quirks)) -> Self {
        change(&mut self.quirks);
        self
    }

    /// Has these calls too. They replace calls of the same id; a project whose calls are generated takes none.
    #[must_use]
    pub fn with_calls(mut self, calls: impl IntoIterator<Item = super::Call>) -> Self {
        if let Calls::Scripted(script) = &mut self.calls {
            calls.into_iter().for_each(|call| script.put(call));
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
}
