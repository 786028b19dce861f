//! Calls of a stretch of time, drawn once instead of at every question.
//!
//! Owns: the memory of what `generated` would draw anew. Never: another answer than it would give; incidents that are added
//! afterwards do not reach into the stretch.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::call::Call;
use super::generated::{Generated, MAX_NORMAL_DURATION, REACH, minute_of};
use super::world::{Calls, World};
use polyai_domain::target::ClientEnv;

/// The drawn minutes of one project, by environment.
#[derive(Debug)]
pub(crate) struct CallCache(BTreeMap<ClientEnv, Minutes>);

/// The drawn minutes of one environment.
#[derive(Debug)]
pub(super) struct Minutes {
    first: i64,
    minutes: Vec<Minute>,
}

#[derive(Debug)]
struct Minute {
    strays: Vec<Call>,
    ordinary: Vec<Call>,
}

impl Minutes {
    /// The strays and the ordinary calls of `minute`, if they were drawn.
    pub(super) fn minute(&self, minute: i64) -> Option<(&[Call], &[Call])> {
        let minute = self.minutes.get(usize::try_from(minute - self.first).ok()?)?;
        Some((&minute.strays, &minute.ordinary))
    }
}

impl CallCache {
    pub(super) fn of_env(&self, env: ClientEnv) -> Option<&Minutes> {
        self.0.get(&env)
    }

    fn of(source: &Generated, envs: &[ClientEnv], from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let first = minute_of(from - REACH);
        let ordinary_from = minute_of(from - MAX_NORMAL_DURATION);
        let draw = |env: ClientEnv, minute: i64| Minute {
            strays: source.outliers(env, minute),
            // Of earlier ones nothing can be asked that is not over.
            ordinary: if minute >= ordinary_from { source.ordinary(env, minute) } else { Vec::new() },
        };
        let all = |env: ClientEnv| Minutes {
            first,
            minutes: (first..=minute_of(until)).map(|minute| draw(env, minute)).collect(),
        };
        Self(envs.iter().map(|&env| (env, all(env))).collect())
    }
}

impl World {
    /// The same world, with the generated calls that can matter from `from` to `until` held in memory: a question costs a
    /// look-up then. A question about ordinary calls that were over before `from` finds none.
    #[must_use]
    pub fn kept(mut self, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        for project in &mut self.projects {
            let envs = project.client_envs.clone();
            if let Calls::Generated(generated) = &mut project.calls {
                generated.kept = Some(Arc::new(CallCache::of(generated, &envs, from, until)));
            }
        }
        self
    }
}
