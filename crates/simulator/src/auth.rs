//! Authentication: `x-api-key`, revoked keys and rate limits, with the documented error codes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::Region;

use super::faults::RetryAfter;
use super::project::Project;
use super::response::ApiError;

#[derive(Debug, Default)]
pub(crate) struct Authenticator {
    /// Revoked keys, with the time of revocation.
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
    /// Returns the project with these ids if `key` may read it.
    ///
    /// If the path has no region, the ids must belong to one project only.
    pub(crate) fn authorize<'p>(
        &mut self,
        projects: &'p [Project],
        region: Option<Region>,
        ids: (&str, &str),
        key: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<&'p Project, ApiError> {
        let Some(key) = key else {
            return Err(ApiError::new(401, "AUTH_USER_UNAUTHORISED", "The header x-api-key is missing"));
        };
        let in_region = |region: Option<Region>| move |p: &&'p Project| region.is_none_or(|r| p.region == r);
        let has_ids = |p: &&Project| p.account_id == ids.0 && p.project_id == ids.1;
        let named: Vec<&Project> = projects.iter().filter(in_region(region)).filter(has_ids).collect();
        let only = if let [project] = named.as_slice() { Some(*project) } else { None };
        let mut here = projects.iter().filter(in_region(region.or(only.map(|project| project.region))));
        let may_read = |project: &Project| project.keys.iter().any(|own| own == key);
        let revoked = self.revoked.get(key).is_some_and(|since| now >= *since);
        if revoked || !here.clone().any(may_read) {
            return Err(ApiError::invalid_key());
        }
        if let Some(limit) = self.limits.get_mut(key)
            && !limit.take(now)
        {
            return Err(ApiError::rate_limited(limit.retry_after));
        }
        match only {
            Some(project) if self.forbidden.contains(key) || !may_read(project) => Err(ApiError::forbidden()),
            Some(project) => Ok(project),
            None if here.any(|project| project.account_id == ids.0) => Err(ApiError::project_not_found()),
            None => Err(ApiError::new(404, "ACCOUNT_NOT_FOUND", "Account not found")),
        }
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
    fn bad_requests_have_their_documented_status() {
        let us = Some(Region::Us1);
        let cases = [
            (us, ("ws-1", "P-1"), Some("us-key"), Ok("reservations")),
            (None, ("ws-2", "P-3"), Some("uk-key"), Ok("billing")),
            (us, ("ws-1", "P-1"), None, Err(401)),
            (us, ("ws-1", "P-1"), Some("wrong"), Err(401)),
            (us, ("ws-1", "P-1"), Some("uk-key"), Err(401)),
            (us, ("ws-1", "P-1"), Some("pilot-key"), Err(403)),
            (us, ("ws-1", "P-9"), Some("us-key"), Err(404)),
            (us, ("ws-2", "P-3"), Some("us-key"), Err(404)),
        ];
        for (region, ids, key, expected) in cases {
            let projects = projects();
            let found = Authenticator::default().authorize(&projects, region, ids, key, DateTime::UNIX_EPOCH);
            let found = found.map(|project| project.name.as_str());
            assert_eq!(found.map_err(|error| error.status), expected, "{region:?} {ids:?} {key:?}");
        }
    }

    #[test]
    fn key_is_rejected_from_its_revocation_on() {
        let mut auth = Authenticator::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        auth.revoked.insert("us-key".into(), at(10));
        let mut authorized =
            |now| auth.authorize(&projects(), None, ("ws-1", "P-1"), Some("us-key"), now).is_ok();
        assert!(authorized(at(9)));
        assert!(!authorized(at(10)));
    }

    #[test]
    fn limit_recovers_over_a_minute() {
        let mut limit = Limit { per_minute: 2, retry_after: RetryAfter::Missing, recent: VecDeque::new() };
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let taken: Vec<bool> = [0, 1, 2, 59, 60, 60, 61].into_iter().map(|s| limit.take(at(s))).collect();
        assert_eq!(taken, [true, true, false, false, true, false, true]);
    }
}
