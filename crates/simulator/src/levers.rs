//! The levers over HTTP, under `/_sim/`, for scripts and for people with curl.
//!
//! Owns: names and forms of what can be asked for there. Never: the effect, which is `control`'s.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyper::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::control::Control;
use super::faults::{Fault, FaultKind, RetryAfter, Scope, Truncation};
use super::incidents::{Incident, IncidentKind};
use super::query::pairs;

pub(crate) const FAULTS: &str = "rate_limit, status, slow_first_byte, slow_body, cut_length, cut_chunks, cut_json, html, reset, \
                      repeat_cursor, empty_page, key_refused, forbidden, project_unknown, wrong_host";

/// Answers a request for `/_sim/{lever}`.
pub(crate) fn handle(control: &Control, method: &Method, lever: &str, query: &str) -> Answer {
    let mut asked = Params(pairs(query).collect());
    let result = match (method.as_str(), lever) {
        ("GET", "state") => asked.done().map(|()| state(control)),
        ("GET", "truth") => truth(control, asked),
        ("GET", "requests") => asked.done().map(|()| requests(control)),
        ("POST", "incidents") => begin(control, asked),
        ("DELETE", "incidents") => {
            let scope = asked.scope();
            asked.done().map(|()| {
                control.end_incidents(scope);
                state(control)
            })
        }
        ("POST", "faults") => fault(control, asked),
        ("DELETE", "faults") => asked.done().map(|()| {
            control.clear_faults();
            state(control)
        }),
        (_, "state" | "truth" | "requests" | "incidents" | "faults") => {
            return answer(405, &json!({"error": format!("{method} does not work here")}));
        }
        _ => {
            let known = "GET state, GET truth, GET requests, POST or DELETE incidents, POST or DELETE faults";
            return answer(404, &json!({"error": format!("no such lever; there are: {known}")}));
        }
    };
    match result {
        Ok(value) => answer(200, &value),
        Err(sentence) => answer(400, &json!({"error": sentence})),
    }
}

/// The length of an incident or a fault, or how long ago one was.
///
/// # Errors
/// With a sentence that names `text`.
pub fn up_to_a_year(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span <= Duration::from_secs(366 * 86_400) => Ok(span),
        Ok(_) => Err(format!("{text:?} is more than a year")),
        Err(_) => Err(format!("{text:?} is not a duration such as 10m or 1h30m")),
    }
}

fn answer(status: u16, value: &Value) -> Answer {
    Answer::json(status, format!("{value:#}\n").into_bytes())
}

/// Parameters that are taken out one by one, so that what is left over can be named.
struct Params(Vec<(String, String)>);

impl Params {
    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.take(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{name}: {text:?} is not a number that fits"))
    }

    fn share(&mut self, name: &str) -> Result<Option<f64>, String> {
        match self.number::<f64>(name)? {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(format!("{name}: {share} is not between 0 and 1"))
            }
            share => Ok(share),
        }
    }

    fn span(&mut self, name: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.take(name) else { return Ok(None) };
        up_to_a_year(&text).map(Some).map_err(|sentence| format!("{name}: {sentence}"))
    }

    fn scope(&mut self) -> Scope {
        self.take("project").map_or(Scope::All, Scope::Project)
    }

    /// That nothing is left over.
    fn done(&mut self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("{name:?} is not a parameter here")),
        }
    }
}

/// The scope of a request, which must name a project that exists.
fn scope(control: &Control, asked: &mut Params) -> Result<Scope, String> {
    let scope = asked.scope();
    let projects = control.projects();
    if projects.iter().flat_map(super::Project::targets).any(|target| scope.covers(&target)) {
        return Ok(scope);
    }
    let names: Vec<&str> = projects.iter().map(|project| project.name.as_str()).collect();
    Err(format!("project: there is none of that name; there are {}", names.join(", ")))
}

fn end(now: DateTime<Utc>, lasting: Option<Duration>) -> Option<DateTime<Utc>> {
    lasting.and_then(|lasting| now.checked_add_signed(TimeDelta::from_std(lasting).ok()?))
}

fn begin(control: &Control, mut asked: Params) -> Result<Value, String> {
    let name = asked.take("kind").unwrap_or_default();
    let amount = asked.number::<f64>("amount")?;
    let kind = IncidentKind::read(&name, amount)?;
    let scope = scope(control, &mut asked)?;
    let from = control.now();
    let until = end(from, asked.span("for")?);
    asked.done()?;
    control.incident(&Incident { kind, scope, from, until });
    Ok(state(control))
}

fn fault(control: &Control, mut asked: Params) -> Result<Value, String> {
    let name = asked.take("kind").unwrap_or_default();
    let kind = match name.as_str() {
        "rate_limit" => FaultKind::RateLimited(match asked.take("retry_after").as_deref() {
            None | Some("none") => RetryAfter::Missing,
            Some("date") => RetryAfter::Date(30),
            Some(text) => RetryAfter::Seconds(
                text.parse()
                    .map_err(|_| format!("retry_after: {text:?} is not a number of seconds, date or none"))?,
            ),
        }),
        "status" => FaultKind::Status(status(&mut asked, 503)?),
        "html" => FaultKind::Html(status(&mut asked, 200)?),
        "slow_first_byte" => {
            FaultKind::SlowFirstByte(asked.span("delay")?.unwrap_or(Duration::from_secs(10)))
        }
        "slow_body" => {
            let pause = asked.span("delay")?.unwrap_or(Duration::from_secs(10)) / 10;
            FaultKind::SlowBody { pieces: 10, pause }
        }
        "cut_length" => FaultKind::Truncated(Truncation::Length),
        "cut_chunks" => FaultKind::Truncated(Truncation::Chunks),
        "cut_json" => FaultKind::Truncated(Truncation::Json),
        "reset" => FaultKind::Reset,
        "repeat_cursor" => FaultKind::RepeatCursor,
        "empty_page" => FaultKind::EmptyPage,
        "key_refused" => FaultKind::KeyRefused,
        "forbidden" => FaultKind::Forbidden,
        "project_unknown" => FaultKind::ProjectUnknown,
        "wrong_host" => FaultKind::WrongHost,
        other => return Err(format!("kind: {other:?} is not a fault; there are {FAULTS}")),
    };
    let fault = Fault {
        scope: scope(control, &mut asked)?,
        skip: asked.number("after")?.unwrap_or(0),
        times: asked.number("times")?,
        probability: asked.share("probability")?.unwrap_or(1.0),
        until: end(control.now(), asked.span("for")?),
        ..Fault::new(kind)
    };
    asked.done()?;
    control.fault(fault);
    Ok(state(control))
}

fn status(asked: &mut Params, default: u16) -> Result<u16, String> {
    match asked.number("status")?.unwrap_or(default) {
        status @ 200..=599 => Ok(status),
        status => Err(format!("status: {status} is not between 200 and 599")),
    }
}

fn truth(control: &Control, mut asked: Params) -> Result<Value, String> {
    let since = match asked.take("since") {
        None => control.now() - TimeDelta::hours(1),
        Some(text) => DateTime::parse_from_rfc3339(&text)
            .map_err(|_| format!("since: {text:?} is not a moment such as 2026-08-20T09:00:00Z"))?
            .to_utc(),
    };
    asked.done()?;
    let mut targets = serde_json::Map::new();
    for target in control.projects().iter().flat_map(super::Project::targets) {
        targets.insert(target.to_string(), json!(control.truth(&target, since)));
    }
    Ok(json!({"now": control.now().to_rfc3339(), "since": since.to_rfc3339(), "targets": targets}))
}

fn state(control: &Control) -> Value {
    let projects: Vec<Value> = control
        .projects()
        .iter()
        .map(|project| {
            let envs: Vec<&str> = project.client_envs.iter().map(|env| env.as_str()).collect();
            json!({
                "name": project.name,
                "region": project.region.as_str(),
                "account_id": project.account_id,
                "project_id": project.project_id,
                "client_env": envs,
                "channels": project.channels,
            })
        })
        .collect();
    let until = |until: Option<DateTime<Utc>>| until.map(|until| until.to_rfc3339());
    let scope = |scope: &Scope| match scope {
        Scope::All => "all".to_owned(),
        Scope::Project(name) => name.clone(),
        Scope::Target(target) => target.to_string(),
    };
    let incidents: Vec<Value> = control
        .incidents()
        .iter()
        .map(|incident| {
            json!({
                "kind": incident.kind.name(),
                "scope": scope(&incident.scope),
                "from": incident.from.to_rfc3339(),
                "until": until(incident.until),
            })
        })
        .collect();
    let faults: Vec<Value> = control
        .faults()
        .iter()
        .map(|fault| {
            json!({
                "kind": format!("{:?}", fault.kind),
                "scope": scope(&fault.scope),
                "times_left": fault.times,
                "probability": fault.probability,
                "until": until(fault.until),
            })
        })
        .collect();
    json!({"now": control.now().to_rfc3339(), "projects": projects, "incidents": incidents, "faults": faults})
}

fn requests(control: &Control) -> Value {
    let targets = control.requests().into_iter().map(|(target, traffic)| {
        let value = json!({
            "requests": traffic.requests,
            "running_pass": traffic.running_pass,
            "finished_pass": traffic.finished_pass,
            "unfiltered": traffic.unfiltered,
            "statuses": traffic.statuses,
            "rows": traffic.rows,
            "bytes": traffic.bytes,
            "downloaded_conversations": traffic.downloads.len(),
            "downloads": traffic.downloads.values().sum::<u64>(),
        });
        (target.to_string(), value)
    });
    Value::Object(targets.collect())
}
