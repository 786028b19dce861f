//! Who may read what, and how often.
//!
//! Owns: the check of `x-api-key`, revoked keys and rate limits, with the documented codes. Never: the rows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::faults::RetryAfter;
use super::project::Project;
use polyai_domain::target::Region;

/// A request that is not answered with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) retry_after: Option<RetryAfter>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// 401
    pub(crate) fn key_refused() -> Self {
        Self::new(401, "AUTH_USER_INVALID_TOKEN", "The API key is invalid or has expired")
    }

    /// 403
    pub(crate) fn forbidden() -> Self {
        Self::new(403, "ACCOUNT_INSUFFICIENT_PERMISSIONS", "The API key has no permission for this project")
    }

    /// 404
    pub(crate) fn project_unknown() -> Self {
        Self::new(404, "PROJECT_NOT_FOUND", "Project not found")
    }

    /// 429
    pub(crate) fn rate_limited(retry_after: RetryAfter) -> Self {
        let refusal = Self::new(429, "RATE_LIMIT_EXCEEDED", "Too many requests");
        Self { retry_after: Some(retry_after), ..refusal }
    }
}

/// The state of all keys.
#[derive(Debug, Default)]
pub(crate) struct Authenticator {
    /// From when on a key is refused.
    pub(crate) revoked: BTreeMap<String, DateTime<Utc>>,
    /// Keys without the permission "Conversations data".
    pub(crate) forbidden: BTreeSet<String>,
    pub(crate) limits: BTreeMap<String, Limit>,
}

/// At most `per_minute` requests in any 60 s.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) per_minute: usize,
    pub(crate) retry_after: RetryAfter,
    pub(crate) recent: VecDeque<DateTime<Utc>>,
}

impl Authenticator {
    /// The project that `key` may read under these ids, by its place among `projects`.
    ///
    /// Without a region in the address the ids must belong to one project only.
    pub(crate) fn admit(
        &mut self,
        projects: &[Project],
        region: Option<Region>,
        ids: (&str, &str),
        key: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<usize, Refusal> {
        let Some(key) = key else {
            return Err(Refusal::new(401, "AUTH_USER_UNAUTHORISED", "The header x-api-key is missing"));
        };
        let known = |project: &Project| project.account_id == ids.0 && project.project_id == ids.1;
        let named: Vec<usize> = (0..projects.len())
            .filter(|index| {
                known(&projects[*index]) && region.is_none_or(|region| projects[*index].region == region)
            })
            .collect();
        let region = match (region, named.as_slice()) {
            (None, [one]) => Some(projects[*one].region),
            (region, _) => region,
        };
        let here = |project: &&Project| region.is_none_or(|region| project.region == region);
        let revoked = self.revoked.get(key).is_some_and(|since| now >= *since);
        if revoked || !projects.iter().filter(here).any(|project| project.keys.iter().any(|own| own == key)) {
            return Err(Refusal::key_refused());
        }
        if let Some(limit) = self.limits.get_mut(key)
            && !limit.take(now)
        {
            return Err(Refusal::rate_limited(limit.retry_after));
        }
        let [one] = named.as_slice() else {
            let account_known = projects.iter().filter(here).any(|project| project.account_id == ids.0);
            return Err(if account_known {
                Refusal::project_unknown()
            } else {
                Refusal::new(404, "ACCOUNT_NOT_FOUND", "Account not found")
            });
        };
        if self.forbidden.contains(key) || !projects[*one].keys.iter().any(|own| own == key) {
            return Err(Refusal::forbidden());
        }
        Ok(*one)
    }
}

impl Limit {
    fn take(&mut self, now: DateTime<Utc>) -> bool {
        while self.recent.front().is_some_and(|oldest| *oldest + TimeDelta::seconds(60) <= now) {
            self.recent.pop_front();
        }
        let free = self.recent.len() < self.per_minute;
        if free {
            self.recent.push_back(now);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projects() -> Vec<Project> {
        vec![
            Project::new("reservations", Region::Us1).with_ids("ws-1", "P-1").with_key("us-key"),
            Project::new("pilot", Region::Us1).with_ids("ws-1", "P-2").with_key("pilot-key"),
            Project::new("billing", Region::Uk1).with_ids("ws-2", "P-3").with_key("uk-key"),
        ]
    }

    #[test]
    fn each_wrong_request_is_refused_for_its_own_reason() {
        let us = Some(Region::Us1);
        let cases = [
            (us, ("ws-1", "P-1"), Some("us-key"), Ok(0)),
            (None, ("ws-2", "P-3"), Some("uk-key"), Ok(2)),
            (us, ("ws-1", "P-1"), None, Err(401)),
            (us, ("ws-1", "P-1"), Some("wrong"), Err(401)),
            (us, ("ws-1", "P-1"), Some("uk-key"), Err(401)),
            (us, ("ws-1", "P-1"), Some("pilot-key"), Err(403)),
            (us, ("ws-1", "P-9"), Some("us-key"), Err(404)),
            (us, ("ws-2", "P-3"), Some("us-key"), Err(404)),
        ];
        for (region, ids, key, expected) in cases {
            let answer = Authenticator::default().admit(&projects(), region, ids, key, DateTime::UNIX_EPOCH);
            assert_eq!(answer.map_err(|refusal| refusal.status), expected, "{region:?} {ids:?} {key:?}");
        }
    }

    #[test]
    fn a_key_stops_when_it_is_revoked() {
        let mut gate = Authenticator::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        gate.revoked.insert("us-key".into(), at(10));
        let mut admit = |now| gate.admit(&projects(), None, ("ws-1", "P-1"), Some("us-key"), now).is_ok();
        assert!(admit(at(9)));
        assert!(!admit(at(10)));
    }

    #[test]
    fn a_limit_frees_itself_over_a_minute() {
        let mut limit = Limit { per_minute: 2, retry_after: RetryAfter::Missing, recent: VecDeque::new() };
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let taken: Vec<bool> = [0, 1, 2, 59, 60, 60, 61].into_iter().map(|s| limit.take(at(s))).collect();
        assert_eq!(taken, [true, true, false, false, true, false, true]);
    }
}
