//! The simulated contact centre: projects, and the sources of their calls behind one interface.
//!
//! Owns: the list of projects and how a stretch of calls is asked for. Never: HTTP.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use super::bulk::Bulk;
use super::call::Call;
use super::generated::Generated;
use super::incidents::{Incident, ProjectIncident};
use super::project::Project;
use super::script::Script;
use polyai_domain::target::{ClientEnv, TargetKey};

/// All projects that one simulator serves.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// In the order in which they are reported.
    pub projects: Vec<Project>,
}

/// Where the calls of a project come from.
#[derive(Debug, Clone)]
pub(crate) enum Calls {
    /// A test wrote them down.
    Scripted(Script),
    /// Chance, from a seed.
    Generated(Box<Generated>),
    /// Many of a few kinds, for measurements.
    Bulk(Bulk),
}

/// Which calls are wanted, by start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallQuery {
    pub(crate) env: ClientEnv,
    /// Inclusive.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Inclusive.
    pub(crate) to: Option<DateTime<Utc>>,
    pub(crate) newest_first: bool,
    /// Calls that were over, and shown as such, before this moment may be left out.
    pub(crate) open_at: Option<DateTime<Utc>>,
}

impl World {
    /// A world of these projects.
    pub fn of(projects: impl IntoIterator<Item = Project>) -> Self {
        Self { projects: projects.into_iter().collect() }
    }

    /// With an incident that has been there from its beginning, wherever that lies.
    #[must_use]
    pub fn with_incident(mut self, incident: &Incident) -> Self {
        self.begin(incident, incident.from);
        self
    }

    /// Begins `incident` at `from` in the generated projects that it concerns.
    pub(crate) fn begin(&mut self, incident: &Incident, from: DateTime<Utc>) {
        for project in &mut self.projects {
            let envs = project.client_envs.iter().copied();
            let concerned: Vec<ClientEnv> =
                envs.filter(|&env| incident.scope.covers(&project.target(env))).collect();
            if let Calls::Generated(generated) = &mut project.calls {
                let local = |env: ClientEnv| ProjectIncident {
                    kind: incident.kind,
                    env,
                    from,
                    until: incident.until,
                };
                generated.incidents.extend(concerned.into_iter().map(local));
            }
        }
    }

    /// The project of `target`.
    pub(crate) fn project(&self, target: &TargetKey) -> Option<&Project> {
        self.projects.iter().find(|project| project.name == target.project && project.region == target.region)
    }

    /// The same, to change it.
    pub(crate) fn project_mut(&mut self, target: &TargetKey) -> Option<&mut Project> {
        self.projects
            .iter_mut()
            .find(|project| project.name == target.project && project.region == target.region)
    }
}

impl Calls {
    /// Shows the calls that `ask` is about, ordered by start and id, until `see` breaks.
    pub(crate) fn visit(&self, ask: &CallQuery, see: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        match self {
            Self::Scripted(script) => script.visit(ask, see),
            Self::Generated(generated) => generated.visit(ask, see),
            Self::Bulk(bulk) => bulk.visit(ask, see),
        }
    }

    /// The call named `id`, where calls can be found by name.
    pub(crate) fn find(&self, id: &str) -> Option<Call> {
        match self {
            Self::Scripted(script) => script.find(id).cloned(),
            Self::Generated(_) | Self::Bulk(_) => None,
        }
    }
}
