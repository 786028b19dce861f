//! Whether the requests that the targets need fit into what the configuration allows.
//!
//! A poll of an idle target takes two requests (running and new conversations), of a busy one about three.

use super::settings::{Polling, Settings, Target};
use crate::text::pluralize;
use exporter_schema::{Diagnostic, Location, escape, format_duration, join_list};

/// Requests that an idle target needs at each poll.
const IDLE_REQUESTS: f64 = 2.0;
/// Requests that a busy target needs at each poll.
const BUSY_REQUESTS: f64 = 3.0;
/// How long one request is assumed to take, in seconds.
const REQUEST_SECONDS: f64 = 1.0;
/// The names that a message lists before it only counts.
const MAX_LISTED: usize = 5;

/// The requests of the targets that share one API key.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget<'a> {
    /// The targets that share the key, in order.
    pub targets: Vec<&'a Target>,
    /// Requests per minute while there are no calls.
    pub idle_per_minute: f64,
    /// Requests per minute while all of them are busy.
    pub busy_per_minute: f64,
    /// How many busy targets the request budget of the key supports.
    pub supported_targets: f64,
}

impl Budget<'_> {
    /// Whether the request budget of the key suffices while all targets are busy.
    pub fn fits(&self) -> bool {
        count(self.targets.len()) <= self.supported_targets
    }
}

/// The budget of each API key, in the order of their first targets.
pub fn budgets(settings: &Settings) -> Vec<Budget<'_>> {
    let mut shared: Vec<Vec<&Target>> = Vec::new();
    for target in &settings.targets {
        let is_same =
            |others: &&mut Vec<&Target>| others.first().is_some_and(|other| other.api_key == target.api_key);
        match shared.iter_mut().find(is_same) {
            Some(targets) => targets.push(target),
            None => shared.push(vec![target]),
        }
    }
    let interval = settings.polling.interval.as_secs_f64();
    let polls = 60.0 / interval;
    let allowed = f64::from(settings.polling.requests_per_minute.get());
    let budget = |targets: Vec<_>| Budget {
        idle_per_minute: count(targets.len()) * IDLE_REQUESTS * polls,
        busy_per_minute: count(targets.len()) * BUSY_REQUESTS * polls,
        supported_targets: (allowed * interval / (60.0 * BUSY_REQUESTS)).floor(),
        targets,
    };
    shared.into_iter().map(budget).collect()
}

/// Warnings about request budgets that do not suffice, with the remedies.
pub(super) fn warnings(settings: &Settings) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for budget in budgets(settings).into_iter().filter(|budget| !budget.fits()) {
        let text = over_budget(&budget, &settings.polling);
        warnings.push(Diagnostic::new(&Location::Program, "polling.requests_per_minute", text));
    }
    let interval = settings.polling.interval.as_secs_f64();
    let all = settings.targets.len();
    let in_flight = count(all) * IDLE_REQUESTS * REQUEST_SECONDS / interval;
    let allowed = settings.polling.max_concurrent_requests.get();
    if in_flight >= count(allowed) {
        let text = format!(
            "{} polled every {} keep{} about {} requests in flight if each takes 1s, but max_concurrent_requests is \
             {allowed}; raise it above that, or polling.interval above {}s",
            pluralize(all as u64, "target"),
            format_duration(settings.polling.interval),
            if all == 1 { "s" } else { "" },
            in_flight.ceil(),
            (interval * in_flight / count(allowed)).ceil(),
        );
        warnings.push(Diagnostic::new(&Location::Program, "polling.max_concurrent_requests", text));
    }
    warnings
}

fn over_budget(budget: &Budget<'_>, polling: &Polling) -> String {
    let names = budget.targets.iter().take(MAX_LISTED).map(|target| escape(&target.key.to_string()));
    let mut names: Vec<String> = names.collect();
    if budget.targets.len() > MAX_LISTED {
        names.push(format!("{} more", budget.targets.len() - MAX_LISTED));
    }
    let allowed = polling.requests_per_minute;
    let interval = polling.interval.as_secs_f64() * budget.busy_per_minute / f64::from(allowed.get());
    let alone = budget.targets.len() == 1;
    format!(
        "{} with one API key ({}) need{} about {:.0} requests per minute when idle and {:.0} when busy, but \
         {allowed} are allowed, which is enough for {}. Raise polling.interval to {}s{}, or raise this to {:.0}: PolyAI \
         publishes no limit, and responses with status 429 were observed at about 60 to 100 per minute",
        pluralize(budget.targets.len() as u64, "target"),
        join_list(names.iter().map(String::as_str), "and"),
        if alone { "s" } else { "" },
        budget.idle_per_minute,
        budget.busy_per_minute.ceil(),
        budget.supported_targets,
        interval.ceil(),
        if alone { "" } else { ", or give targets keys of their own" },
        budget.busy_per_minute.ceil(),
    )
}

/// Exact: a list has fewer than 2^32 entries.
fn count(entries: usize) -> f64 {
    u32::try_from(entries).map_or(f64::MAX, f64::from)
}
