//! The state of a simulator behind one lock, and the response to a request of the API.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::clock::Clock;
use polyai_domain::target::{ClientEnv, TargetKey};

use super::auth::Authenticator;
use super::faults::{self, Fault, FaultKind, RequestedPage};
use super::list_endpoint::Listing;
use super::project::Project;
use super::query::Query;
use super::request_log::{RequestLine, RequestLog};
use super::response::{ApiError, Response};
use super::routes::{Resource, Route};
use super::world::World;

/// The state, shared between connections and controls.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    clock: Clock,
    pub(crate) skew: TimeDelta,
    /// By how much `Date` is ahead of the API's own time; `None` omits the header.
    pub(crate) date_skew: Option<TimeDelta>,
    pub(crate) world: World,
    pub(crate) faults: Vec<Fault>,
    pub(crate) auth: Authenticator,
    pub(crate) requests: RequestLog,
    sequence: u64,
}

#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    /// Before anything is sent.
    pub(crate) delay: Duration,
    /// `None` resets the connection.
    pub(crate) response: Option<Response>,
    pub(crate) correlation_id: String,
    pub(crate) date: Option<DateTime<Utc>>,
}

impl Shared {
    pub(crate) fn new(world: World, clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(State {
            clock,
            skew: TimeDelta::zero(),
            date_skew: Some(TimeDelta::zero()),
            world,
            faults: Vec::new(),
            auth: Authenticator::default(),
            requests: RequestLog::default(),
            sequence: 0,
        })))
    }

    /// Locks the state; never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    parameters.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

impl State {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now() + self.skew
    }

    pub(crate) fn date(&self) -> Option<DateTime<Utc>> {
        self.date_skew.map(|ahead| self.now() + ahead)
    }

    /// Handles a request: faults come first, then the API key and its limit, the query, and the rows.
    pub(crate) fn handle(&mut self, request: &Request<'_>) -> Outcome {
        let now = self.now();
        self.sequence += 1;
        let correlation_id =
            request.correlation_id.map_or_else(|| format!("sim-{:012x}", self.sequence), str::to_owned);
        let route = Route::parse(request.path);
        let target = route.as_ref().and_then(|route| self.target(route, request.query));
        let faults = match (&route, &target) {
            (Some(Route { resource: Resource::List, .. }), Some(target)) => {
                self.apply_faults(target, request.query, now)
            }
            _ => Vec::new(),
        };
        let response = (!faults.contains(&FaultKind::Reset)).then(|| {
            let response = match (faults.iter().find_map(replacement), &route) {
                (Some(response), _) => response,
                (None, Some(route)) => self.respond(request, route, target.as_ref(), &faults, now),
                (None, None) => Ok(Response::no_route()),
            };
            response.unwrap_or_else(|error| Response::error(&error, &correlation_id, now))
        });
        let status = response.as_ref().map_or(0, |response| response.status);
        if let Some(target) = &target {
            *self.requests.traffic_mut(target).statuses.entry(status).or_default() += 1;
        }
        let separator = if request.query.is_empty() { "" } else { "?" };
        let address = format!("{}{separator}{}", request.path, request.query);
        let line = RequestLine { at: now, target, address, status, correlation_id: correlation_id.clone() };
        self.requests.push(line);
        let delays = faults.iter().filter_map(|fault| {
            if let FaultKind::SlowFirstByte(delay) = fault { Some(*delay) } else { None }
        });
        Outcome { delay: delays.sum(), response, correlation_id, date: self.date() }
    }

    /// The target of a request, whether or not the key may read it.
    fn target(&self, route: &Route, query: &str) -> Option<TargetKey> {
        let matches = |project: &&Project| {
            project.account_id == route.account_id
                && project.project_id == route.project_id
                && route.region.is_none_or(|region| project.region == region)
        };
        let project = self.world.projects.iter().find(matches)?;
        let env = parameter(query, "client_env");
        Some(project.target(env.map_or(Some(ClientEnv::Live), |env| ClientEnv::parse(&env))?))
    }

    /// Counts a list request and fires the faults that hit it.
    fn apply_faults(&mut self, target: &TargetKey, query: &str, now: DateTime<Utc>) -> Vec<FaultKind> {
        let in_progress = parameter(query, "in_progress").map(|value| value == "true");
        self.requests.traffic_mut(target).on_request(in_progress);
        let bound = |name| Some(DateTime::parse_from_rfc3339(&parameter(query, name)?).ok()?.to_utc());
        let page = RequestedPage {
            window: bound("start_time").zip(bound("end_time")),
            is_first: parameter(query, "cursor").is_none() && parameter(query, "offset").is_none(),
            sequence: self.sequence,
        };
        faults::fire(&mut self.faults, target, page, now)
    }

    fn respond(
        &mut self,
        request: &Request<'_>,
        route: &Route,
        target: Option<&TargetKey>,
        faults: &[FaultKind],
        now: DateTime<Utc>,
    ) -> Result<Response, ApiError> {
        let ids = (route.account_id.as_str(), route.project_id.as_str());
        let project = self.auth.authorize(&self.world.projects, route.region, ids, request.key, now)?;
        match route.resource {
            Resource::List => {}
            Resource::ById => {
                return Err(ApiError::new(404, "CONVERSATIONS_NOT_FOUND", "Conversation not found"));
            }
            Resource::Audio => {
                return Err(ApiError::new(404, "CONVERSATIONS_RECORDING_NOT_FOUND", "Recording not found"));
            }
        }
        let query = Query::parse(request.query, route.version, &project.quirks)?;
        let page = Listing { project, version: route.version, query: &query, now, faults }.page();
        let is_chunked = project.quirks.chunked;
        if let Some(target) = target {
            self.requests.traffic_mut(target).on_page(page.rows, page.body.len(), page.finished);
        }
        Ok(Response { is_chunked, faults: faults.to_vec(), ..Response::json(200, page.body) })
    }
}

/// The response that a fault gives in place of the API.
fn replacement(fault: &FaultKind) -> Option<Result<Response, ApiError>> {
    Some(match fault {
        FaultKind::RateLimited(retry_after) => Err(ApiError::rate_limited(*retry_after)),
        FaultKind::Status(status) => {
            Err(ApiError::new(*status, "INTERNAL_SERVER_ERROR", format!("Simulated status {status}")))
        }
        FaultKind::KeyRefused => Err(ApiError::invalid_key()),
        FaultKind::Forbidden => Err(ApiError::forbidden()),
        FaultKind::ProjectUnknown => Err(ApiError::project_not_found()),
        FaultKind::Html(status) => Ok(Response::html(*status)),
        FaultKind::WrongHost => Ok(Response::no_route()),
        FaultKind::Body(text) => Ok(Response::json(200, text.clone())),
        FaultKind::SlowFirstByte(_)
        | FaultKind::SlowBody { .. }
        | FaultKind::Truncated(_)
        | FaultKind::Reset
        | FaultKind::RepeatCursor
        | FaultKind::EmptyPage => return None,
    })
}
