//! Control of a running simulator over HTTP, under `/_sim/`, for scripts and curl.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyper::Method;
use serde_json::{Value, json};

use super::expected;
use super::faults::{Fault, FaultKind, RetryAfter, Scope, Truncation};
use super::incidents::{Incident, IncidentKind};
use super::project::Project;
use super::response::Response;
use super::state::State;

pub(crate) fn handle(state: &mut State, method: &Method, path: &str, query: &str) -> Response {
    let params = Params(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
    let result = match (method.as_str(), path) {
        ("GET", "state") => params.finish().map(|()| describe(state)),
        ("GET", "truth") => expected_totals(state, params),
        ("GET", "requests") => params.finish().map(|()| requests(state)),
        ("POST", "incidents") => begin_incident(state, params),
        ("DELETE", "incidents") => end_incidents(state, params),
        ("POST", "faults") => add_fault(state, params),
        ("DELETE", "faults") => params.finish().map(|()| {
            state.faults.clear();
            describe(state)
        }),
        (_, "state" | "truth" | "requests" | "incidents" | "faults") => {
            return json_response(405, &json!({"error": format!("{method} is not supported here")}));
        }
        _ => {
            let known = "GET state, GET truth, GET requests, POST or DELETE incidents, POST or DELETE faults";
            return json_response(404, &json!({"error": format!("unknown path; use {known}")}));
        }
    };
    match result {
        Ok(value) => json_response(200, &value),
        Err(message) => json_response(400, &json!({"error": message})),
    }
}

/// Parses a duration of at most a year.
///
/// # Errors
/// If `text` is not such a duration; the message quotes it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= Duration::from_secs(366 * 86_400) => Ok(duration),
        Ok(_) => Err(format!("{text:?} is more than a year")),
        Err(_) => Err(format!("{text:?} is not a duration such as 10m or 1h30m")),
    }
}

fn json_response(status: u16, value: &Value) -> Response {
    Response::json(status, format!("{value:#}\n"))
}

/// Parameters that are taken one by one, so that unknown ones remain.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    fn parse<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let value = self.take(name).map(|text| parse(&text).map_err(|problem| format!("{name}: {problem}")));
        value.transpose()
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        self.parse(name, |text| text.parse().map_err(|_| format!("{text:?} is not a number in range")))
    }

    fn in_range<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> Result<T, String>
    where
        T: FromStr + PartialOrd + Display,
    {
        let number = self.number(name)?.unwrap_or(default);
        let (min, max) = (range.start(), range.end());
        let message = || format!("{name}: {number} is not between {min} and {max}");
        if range.contains(&number) { Ok(number) } else { Err(message()) }
    }

    /// The end of an incident or fault that begins `now`.
    fn end(&mut self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
        let duration = self.parse("for", parse_duration)?;
        Ok(duration.and_then(|duration| now.checked_add_signed(TimeDelta::from_std(duration).ok()?)))
    }

    fn delay(&mut self) -> Result<Duration, String> {
        Ok(self.parse("delay", parse_duration)?.unwrap_or(Duration::from_secs(10)))
    }

    fn scope(&mut self) -> Scope {
        self.take("project").map_or(Scope::All, Scope::Project)
    }

    /// The scope, whose project must exist.
    fn known_scope(&mut self, state: &State) -> Result<Scope, String> {
        let (scope, projects) = (self.scope(), &state.world.projects);
        if projects.iter().flat_map(Project::targets).any(|target| scope.covers(&target)) {
            return Ok(scope);
        }
        let names: Vec<&str> = projects.iter().map(|project| project.name.as_str()).collect();
        Err(format!("project: unknown; use one of {}", names.join(", ")))
    }

    fn finish(&self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!("{name:?} is not a parameter here")))
    }
}

fn begin_incident(state: &mut State, mut params: Params) -> Result<Value, String> {
    let name = params.take("kind").unwrap_or_default();
    let kind = IncidentKind::parse(&name, params.number("amount")?)?;
    let scope = params.known_scope(state)?;
    let from = state.now();
    let until = params.end(from)?;
    params.finish()?;
    state.world.begin_incident(&Incident { kind, scope, from, until }, from);
    Ok(describe(state))
}

fn end_incidents(state: &mut State, mut params: Params) -> Result<Value, String> {
    let scope = params.scope();
    params.finish()?;
    let now = state.now();
    state.world.end_incidents(&scope, now);
    Ok(describe(state))
}

/// A kind of fault from its parameters.
type ParseFault = fn(&mut Params) -> Result<FaultKind, String>;

/// All faults by their names, except for `Body`, which only tests need.
pub(crate) const FAULTS: [(&str, ParseFault); 15] = [
    ("rate_limit", |params| {
        Ok(FaultKind::RateLimited(match params.take("retry_after").as_deref() {
            None | Some("none") => RetryAfter::Missing,
            Some("date") => RetryAfter::Date(30),
            Some(text) => RetryAfter::Seconds(
                text.parse()
                    .map_err(|_| format!("retry_after: {text:?} is not a number of seconds, date or none"))?,
            ),
        }))
    }),
    ("status", |params| params.in_range("status", 503, 200..=599).map(FaultKind::Status)),
    ("slow_first_byte", |params| params.delay().map(FaultKind::SlowFirstByte)),
    ("slow_body", |params| Ok(FaultKind::SlowBody { pieces: 10, pause: params.delay()? / 10 })),
    ("cut_length", |_| Ok(FaultKind::Truncated(Truncation::Length))),
    ("cut_chunks", |_| Ok(FaultKind::Truncated(Truncation::Chunks))),
    ("cut_json", |_| Ok(FaultKind::Truncated(Truncation::Json))),
    ("html", |params| params.in_range("status", 200, 200..=599).map(FaultKind::Html)),
    ("reset", |_| Ok(FaultKind::Reset)),
    ("repeat_cursor", |_| Ok(FaultKind::RepeatCursor)),
    ("empty_page", |_| Ok(FaultKind::EmptyPage)),
    ("key_refused", |_| Ok(FaultKind::KeyRefused)),
    ("forbidden", |_| Ok(FaultKind::Forbidden)),
    ("project_unknown", |_| Ok(FaultKind::ProjectUnknown)),
    ("wrong_host", |_| Ok(FaultKind::WrongHost)),
];

fn add_fault(state: &mut State, mut params: Params) -> Result<Value, String> {
    let name = params.take("kind").unwrap_or_default();
    let Some((_, parse)) = FAULTS.into_iter().find(|(known, _)| *known == name) else {
        let names = FAULTS.map(|(known, _)| known).join(", ");
        return Err(format!("kind: {name:?} is not a fault; use one of {names}"));
    };
    let kind = parse(&mut params)?;
    let fault = Fault {
        scope: params.known_scope(state)?,
        skip: params.number("after")?.unwrap_or(0),
        times: params.number("times")?,
        probability: params.in_range("probability", 1.0, 0.0..=1.0)?,
        until: params.end(state.now())?,
        ..Fault::new(kind)
    };
    params.finish()?;
    state.faults.push(fault);
    Ok(describe(state))
}

fn expected_totals(state: &State, mut params: Params) -> Result<Value, String> {
    let since = params.parse("since", |text| {
        DateTime::parse_from_rfc3339(text)
            .map_err(|_| format!("{text:?} is not a time such as 2026-08-20T09:00:00Z"))
    })?;
    params.finish()?;
    let now = state.now();
    let since = since.map_or_else(|| now - TimeDelta::hours(1), |since| since.to_utc());
    let projects = state.world.projects.iter();
    let totals = projects.flat_map(|project| project.client_envs.iter().map(move |env| (project, *env)));
    let totals = totals.map(|(project, env)| {
        (project.target(env).to_string(), json!(expected::recount(project, env, since, now)))
    });
    let targets: Value = totals.collect();
    Ok(json!({"now": now.to_rfc3339(), "since": since.to_rfc3339(), "targets": targets}))
}

fn describe(state: &mut State) -> Value {
    let project = |project: &Project| {
        json!({
            "name": project.name,
            "region": project.region.as_str(),
            "account_id": project.account_id,
            "project_id": project.project_id,
            "client_env": project.client_envs.iter().map(|env| env.as_str()).collect::<Vec<_>>(),
            "channels": project.channels,
        })
    };
    let until = |until: Option<DateTime<Utc>>| until.map(|until| until.to_rfc3339());
    let scope = |scope: &Scope| match scope {
        Scope::All => "all".to_owned(),
        Scope::Project(name) => name.clone(),
        Scope::Target(target) => target.to_string(),
    };
    let incident = |incident: &Incident| {
        json!({
            "kind": incident.kind.name(),
            "scope": scope(&incident.scope),
            "from": incident.from.to_rfc3339(),
            "until": until(incident.until),
        })
    };
    let fault = |fault: &Fault| {
        json!({
            "kind": format!("{:?}", fault.kind),
            "scope": scope(&fault.scope),
            "times_left": fault.times,
            "probability": fault.probability,
            "until": until(fault.until),
        })
    };
    let now = state.now();
    json!({
        "now": now.to_rfc3339(),
        "projects": state.world.projects.iter().map(project).collect::<Vec<_>>(),
        "incidents": state.world.incidents(now).iter().map(incident).collect::<Vec<_>>(),
        "faults": state.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn requests(state: &State) -> Value {
    let targets = state.requests.traffic.iter().map(|(target, traffic)| {
        let mut value = json!(traffic);
        value["downloaded_conversations"] = traffic.downloads.len().into();
        value["downloads"] = traffic.downloads.values().sum::<u64>().into();
        (target.to_string(), value)
    });
    targets.collect()
}
