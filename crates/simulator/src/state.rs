//! Everything that the simulator knows, behind one lock, and the answer to a request of the API.
//!
//! Owns: the order in which a request is judged: faults, key, limit, query, rows. Never: sockets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::Answer;
use super::faults::{FaultKind, Faults, Page, Truncation};
use super::gate::{Authenticator, Refusal};
use super::list::{Listing, PagingFault};
use super::project::Project;
use super::query::{Query, pairs};
use super::requests::{RequestLine, Requests};
use super::routes::{Resource, Route};
use super::world::World;
use polyai_domain::clock::Clock;
use polyai_domain::target::{ClientEnv, TargetKey};

/// The state, shared between connections and controls.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

/// All there is.
#[derive(Debug)]
pub(crate) struct State {
    clock: Clock,
    pub(crate) skew: TimeDelta,
    /// By how much `Date` is ahead of the API's own time; None leaves the header out.
    pub(crate) date: Option<TimeDelta>,
    pub(crate) world: World,
    pub(crate) faults: Faults,
    pub(crate) gate: Authenticator,
    pub(crate) requests: Requests,
    sequence: u64,
}

/// A request as far as the API looks at it.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
}

/// What to do about a request.
#[derive(Debug)]
pub(crate) struct Response {
    /// Before anything is sent.
    pub(crate) delay: Duration,
    /// None resets the connection.
    pub(crate) answer: Option<Answer>,
    pub(crate) correlation_id: String,
    /// `Date`
    pub(crate) date: Option<DateTime<Utc>>,
}

impl Shared {
    pub(crate) fn new(world: World, clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(State {
            clock,
            skew: TimeDelta::zero(),
            date: Some(TimeDelta::zero()),
            world,
            faults: Faults::default(),
            gate: Authenticator::default(),
            requests: Requests::default(),
            sequence: 0,
        })))
    }

    /// The state, alone. Held for a moment, never across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The API's own time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now() + self.skew
    }

    /// What stands in `Date`.
    pub(crate) fn date(&self) -> Option<DateTime<Utc>> {
        self.date.map(|ahead| self.now() + ahead)
    }

    /// Judges a request.
    pub(crate) fn react(&mut self, request: &Request<'_>) -> Response {
        let now = self.now();
        self.sequence += 1;
        let correlation_id =
            request.correlation_id.map_or_else(|| format!("sim-{:012x}", self.sequence), str::to_owned);
        let target = Route::parse(request.path).and_then(|route| self.target(&route, request.query));
        let (delay, answer) = self.judge(request, target.as_ref(), &correlation_id, now);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        if let Some(target) = &target {
            *self.requests.of(target).statuses.entry(status).or_default() += 1;
        }
        let address = if request.query.is_empty() {
            request.path.to_owned()
        } else {
            format!("{}?{}", request.path, request.query)
        };
        self.requests.line(RequestLine {
            at: now,
            target,
            address,
            status,
            correlation_id: correlation_id.clone(),
        });
        Response { delay, answer, correlation_id, date: self.date() }
    }

    fn judge(
        &mut self,
        request: &Request<'_>,
        target: Option<&TargetKey>,
        correlation_id: &str,
        now: DateTime<Utc>,
    ) -> (Duration, Option<Answer>) {
        let Some(route) = Route::parse(request.path) else {
            return (Duration::ZERO, Some(Answer::no_route()));
        };
        let refuse = |refusal: &Refusal| Some(Answer::refusal(refusal, correlation_id, now));
        let mut struck = AppliedFaults::default();
        if let Some(target) = target
            && route.resource == Resource::List
        {
            let parameter =
                |wanted: &str| pairs(request.query).find(|(name, _)| name == wanted).map(|(_, value)| value);
            self.requests.of(target).asked(parameter("in_progress").map(|value| value == "true"));
            let bound = |name: &str| DateTime::parse_from_rfc3339(&parameter(name)?).ok();
            let window = bound("start_time").zip(bound("end_time"));
            let page = Page {
                window: window.map(|(from, to)| (from.to_utc(), to.to_utc())),
                is_first: parameter("cursor").is_none() && parameter("offset").is_none(),
                sequence: self.sequence,
            };
            struck = AppliedFaults::by(self.faults.fire(target, page, now), correlation_id, now);
            if struck.reset {
                return (struck.delay, None);
            }
            if let Some(answer) = struck.answer {
                return (struck.delay, Some(answer));
            }
        }
        let ids = (route.account_id.as_str(), route.project_id.as_str());
        let admitted = self.gate.admit(&self.world.projects, route.region, ids, request.key, now);
        let project = match admitted {
            Ok(index) => &self.world.projects[index],
            Err(refusal) => return (struck.delay, refuse(&refusal)),
        };
        let query = match (&route.resource, Query::parse(request.query, route.version, &project.quirks)) {
            (Resource::ById(id), _) => {
                return (struck.delay, Some(by_id(project, id, &route, now, correlation_id)));
            }
            (Resource::Audio, _) => {
                let refusal = Refusal::new(404, "CONVERSATIONS_RECORDING_NOT_FOUND", "Recording not found");
                return (struck.delay, refuse(&refusal));
            }
            (Resource::List, Err(bad)) => {
                return (struck.delay, refuse(&Refusal::new(400, bad.code, bad.message)));
            }
            (Resource::List, Ok(query)) => query,
        };
        let page = Listing { project, version: route.version, query: &query, now }.page(struck.trick);
        let chunked = project.quirks.chunked;
        if let Some(target) = target {
            self.requests.of(target).served(page.rows, page.body.len(), page.finished);
        }
        (struck.delay, Some(Answer::json(200, page.body).delivered(struck.delivery(chunked))))
    }

    /// Whom a request is about, whether or not it may be answered.
    fn target(&self, route: &Route, query: &str) -> Option<TargetKey> {
        let named = |project: &&Project| {
            project.account_id == route.account_id
                && project.project_id == route.project_id
                && route.region.is_none_or(|region| project.region == region)
        };
        let project = self.world.projects.iter().find(named)?;
        let env = pairs(query).find(|(name, _)| name == "client_env");
        let env = env.map_or(Some(ClientEnv::Live), |(_, value)| ClientEnv::parse(&value))?;
        Some(project.target(env))
    }
}

/// One conversation, where the project answers that at all.
fn by_id(project: &Project, id: &str, route: &Route, now: DateTime<Utc>, correlation_id: &str) -> Answer {
    let found = if project.quirks.by_id { project.calls.find(id) } else { None };
    match found.as_ref().and_then(|call| call.shown(now, &project.quirks)) {
        Some(shown) => {
            let mut body = Vec::new();
            super::render::record(&mut body, &shown, project, route.version, true);
            Answer::json(200, body)
        }
        None => {
            let refusal = Refusal::new(404, "CONVERSATIONS_NOT_FOUND", "Conversation not found");
            Answer::refusal(&refusal, correlation_id, now)
        }
    }
}

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    Chunked,
    Slow { pieces: usize, pause: Duration },
    Cut(Truncation),
}

/// The faults that hit one request, folded together.
#[derive(Debug, Default)]
struct AppliedFaults {
    delay: Duration,
    reset: bool,
    answer: Option<Answer>,
    trick: PagingFault,
    delivery: Option<Delivery>,
}

impl AppliedFaults {
    fn by(kinds: Vec<FaultKind>, correlation_id: &str, now: DateTime<Utc>) -> Self {
        let mut struck = Self::default();
        let refuse = |refusal: Refusal| Answer::refusal(&refusal, correlation_id, now);
        for kind in kinds {
            let answer = match kind {
                FaultKind::SlowFirstByte(delay) => {
                    struck.delay += delay;
                    continue;
                }
                FaultKind::SlowBody { pieces, pause } => {
                    struck.delivery = Some(Delivery::Slow { pieces, pause });
                    continue;
                }
                FaultKind::Truncated(cut) => {
                    struck.delivery = Some(Delivery::Cut(cut));
                    continue;
                }
                FaultKind::Reset => {
                    struck.reset = true;
                    continue;
                }
                FaultKind::RepeatCursor => {
                    struck.trick = PagingFault::RepeatCursor;
                    continue;
                }
                FaultKind::EmptyPage => {
                    struck.trick = PagingFault::EmptyPage;
                    continue;
                }
                FaultKind::RateLimited(retry_after) => refuse(Refusal::rate_limited(retry_after)),
                FaultKind::Status(status) => refuse(Refusal::new(
                    status,
                    "INTERNAL_SERVER_ERROR",
                    format!("Simulated status {status}"),
                )),
                FaultKind::Html(status) => Answer::html(status),
                FaultKind::KeyRefused => refuse(Refusal::key_refused()),
                FaultKind::Forbidden => refuse(Refusal::forbidden()),
                FaultKind::ProjectUnknown => refuse(Refusal::project_unknown()),
                FaultKind::WrongHost => Answer::no_route(),
                FaultKind::Body(text) => Answer::json(200, text.into_bytes()),
            };
            struck.answer.get_or_insert(answer);
        }
        struck
    }

    fn delivery(&self, chunked: bool) -> Delivery {
        self.delivery.unwrap_or(if chunked { Delivery::Chunked } else { Delivery::Whole })
    }
}
