//! Where the trouble is: the exporter itself, keys and projects, the API, or the calls. Pure.
//!
//! Owns: which problem points where, and one sentence per area. It is what somebody who was woken up wants to know first.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::format::{JsonTimestamp, Ratio, bytes, count, span, strip_control};
use super::target_state::Severity;
use super::view::TargetRow;
use super::{ConfigurationStatus, Reload, State};
use crate::problem::Problem;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// A target's handoff rate stands out from the others' by this much.
const OUTLIER_MARGIN: f64 = 0.15;
/// Up to this many targets are named, more are counted.
const NAMED: usize = 2;
/// Of fewer conversations nothing is said.
const MIN_CONVERSATIONS: u64 = 10;

/// What may be at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultDomain {
    /// This process, its disk, its clock, its configuration.
    Exporter,
    /// Keys, permissions, ids, and what the vendor's side is configured to show.
    Access,
    /// The API, or the network in between.
    Api,
    /// The agent and the telephony, as far as conversations tell.
    Calls,
}

impl FaultDomain {
    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Exporter => "This exporter",
            Self::Access => "Keys and projects",
            Self::Api => "PolyAI's API",
            Self::Calls => "Calls",
        }
    }

    const fn of(problem: Problem) -> Self {
        match problem {
            Problem::Storage | Problem::ClockSkew | Problem::RateLimited | Problem::InternalError => {
                Self::Exporter
            }
            Problem::Unauthorized
            | Problem::Forbidden
            | Problem::NotFound
            | Problem::WrongHost
            | Problem::TranscriptOff
            | Problem::LatencyMissing
            | Problem::PartialFields => Self::Access,
            Problem::ServerError | Problem::Unreachable | Problem::Timeout | Problem::BadPayload => Self::Api,
            Problem::StuckConversations => Self::Calls,
        }
    }
}

/// How an area is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AreaView {
    /// Which.
    pub area: FaultDomain,
    /// How grave.
    pub tone: Severity,
    /// In words.
    pub sentence: String,
}

/// What the areas are judged by, besides the targets.
#[derive(Debug)]
pub(super) struct GlobalInputs<'a> {
    pub(super) now: Timestamp,
    pub(super) configuration: &'a ConfigurationStatus,
    pub(super) series: usize,
    pub(super) state_bytes: u64,
    pub(super) recent_window: std::time::Duration,
}

/// All areas, in the order in which to look.
pub(super) fn areas(rows: &[TargetRow], whole: &GlobalInputs<'_>) -> Vec<AreaView> {
    vec![exporter(rows, whole), access(rows), api(rows), call_area(rows, whole)]
}

/// The targets that have a problem of this area, by problem; in the order of the documentation.
fn problems(rows: &[TargetRow], area: FaultDomain) -> BTreeMap<Problem, Vec<&TargetRow>> {
    let mut found: BTreeMap<Problem, Vec<&TargetRow>> = BTreeMap::new();
    for row in rows {
        for problem in
            row.problems.iter().map(|view| view.problem).filter(|&problem| FaultDomain::of(problem) == area)
        {
            found.entry(problem).or_default().push(row);
        }
    }
    found
}

/// `billing/uk-1/live: the API refuses the key`; of many targets, how many.
fn describe_problems(found: &BTreeMap<Problem, Vec<&TargetRow>>, total: usize) -> String {
    let one = |(problem, rows): (&Problem, &Vec<&TargetRow>)| {
        format!("{}: {}", target_names(rows, total), problem.title())
    };
    found.iter().map(one).collect::<Vec<_>>().join(". ")
}

fn target_names(rows: &[&TargetRow], total: usize) -> String {
    if rows.len() > NAMED && rows.len() == total {
        return format!("All {total} targets");
    }
    if rows.len() > NAMED {
        return format!("{} of {total} targets", rows.len());
    }
    let names: Vec<String> = rows.iter().map(|row| strip_control(&row.key.to_string())).collect();
    names.join(" and ")
}

fn exporter(rows: &[TargetRow], whole: &GlobalInputs<'_>) -> AreaView {
    let area = FaultDomain::Exporter;
    let failing = rows.iter().find(|row| row.state == State::StorageFailing);
    if let Some(row) = failing {
        return AreaView { area, tone: Severity::Bad, sentence: row.sentence.clone() };
    }
    let mut said = Vec::new();
    if let Some(Reload { at, outcome: Err(reason) }) = &whole.configuration.last_reload {
        let clock = JsonTimestamp(*at).hh_mm(JsonTimestamp(whole.now));
        let mut lines = reason.lines();
        let first = lines.next().unwrap_or_default();
        let more = match lines.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        said.push(format!(
            "The configuration was refused at {clock}, the one before is in force: {first}{more}"
        ));
    }
    let found = problems(rows, area);
    if !found.is_empty() {
        said.push(describe_problems(&found, rows.len()));
    }
    if said.is_empty() {
        let size = match whole.state_bytes {
            0 => "all in memory".to_owned(),
            size => format!("{} of state", bytes(size)),
        };
        let sentence = format!("Works: {} series, {size}", count(whole.series as u64));
        return AreaView { area, tone: Severity::Good, sentence };
    }
    AreaView { area, tone: Severity::Warn, sentence: said.join(". ") }
}

fn access(rows: &[TargetRow]) -> AreaView {
    let area = FaultDomain::Access;
    let found = problems(rows, area);
    if found.is_empty() {
        let tried = rows.iter().any(|row| row.last_success_at.is_some());
        let sentence = if tried { "No key or project is refused" } else { "Nothing is known yet" };
        return AreaView {
            area,
            tone: if tried { Severity::Good } else { Severity::Wait },
            sentence: sentence.to_owned(),
        };
    }
    let stops = rows
        .iter()
        .flat_map(|row| &row.problems)
        .any(|view| view.stops_polling && FaultDomain::of(view.problem) == area);
    let tone = if stops { Severity::Bad } else { Severity::Warn };
    AreaView { area, tone, sentence: describe_problems(&found, rows.len()) }
}

fn api(rows: &[TargetRow]) -> AreaView {
    let area = FaultDomain::Api;
    let found = problems(rows, area);
    if found.is_empty() {
        let endless: Vec<&TargetRow> =
            rows.iter().filter(|row| row.state == State::Stale && row.problems.is_empty()).collect();
        let (tone, sentence) = if rows.iter().any(|row| row.state == State::StorageFailing) {
            (Severity::Wait, "Not asked while the state cannot be written".to_owned())
        } else if !endless.is_empty() {
            (Severity::Bad, format!("{}: a poll does not end", target_names(&endless, rows.len())))
        } else if rows.iter().any(|row| row.last_poll.is_some()) {
            // One that refuses a key answers too.
            (Severity::Good, "Answers as it should".to_owned())
        } else {
            (Severity::Wait, "No answer yet".to_owned())
        };
        return AreaView { area, tone, sentence };
    }
    let mut sentence = describe_problems(&found, rows.len());
    let concerned: BTreeSet<&TargetKey> = found.values().flatten().map(|row| &row.key).collect();
    let hosts = |is_concerned: bool| -> BTreeSet<&str> {
        let asked = rows.iter().filter(|row| row.last_poll.is_some());
        asked.filter(|row| concerned.contains(&row.key) == is_concerned).map(|row| &*row.host).collect()
    };
    let (failing, answering) = (hosts(true), hosts(false));
    let silent = found.keys().all(|&problem| matches!(problem, Problem::Unreachable | Problem::Timeout));
    if answering.is_empty() && silent && failing.len() > 1 {
        sentence.push_str(". No host answers: look at the network here first");
    } else if failing.len() == 1 && !answering.is_empty() && failing.is_disjoint(&answering) {
        let host: Vec<&str> = failing.into_iter().collect();
        sentence.push_str(&format!(". All of {} fails, other hosts answer", host.join("")));
    } else if !failing.is_disjoint(&answering) {
        sentence.push_str(". Other targets on the same host are answered");
    }
    let tone = if found.values().flatten().any(|row| row.state == State::Stale) {
        Severity::Bad
    } else {
        Severity::Warn
    };
    AreaView { area, tone, sentence }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a window")]
fn call_area(rows: &[TargetRow], whole: &GlobalInputs<'_>) -> AreaView {
    let area = FaultDomain::Calls;
    let fresh: Vec<&TargetRow> = rows.iter().filter(|row| row.state >= State::CatchingUp).collect();
    if fresh.is_empty() {
        let sentence = "Nothing is known of the present: no target is fresh".to_owned();
        return AreaView { area, tone: Severity::Wait, sentence };
    }
    let open: u64 = fresh.iter().filter_map(|row| row.open_conversations).sum();
    let recent: u64 = fresh.iter().filter_map(|row| row.recent.conversations).sum();
    let mut sentence =
        format!("{} open, {} ended in the last {}", count(open), count(recent), span(whole.recent_window));
    type Share = fn(&TargetRow) -> Option<Ratio>;
    let shares: [(&str, Share); 2] = [
        ("handed off", |row| row.recent.handoff_ratio),
        ("silent turns", |row| row.recent.silence_turn_ratio),
    ];
    for (words, ratio) in shares {
        let known =
            || fresh.iter().filter_map(|row| Some((row, ratio(row)?.0, row.recent.conversations? as f64)));
        let weight: f64 = known().map(|(_, _, weight)| weight).sum();
        if weight == 0.0 {
            continue;
        }
        let overall = known().map(|(_, ratio, weight)| ratio * weight).sum::<f64>() / weight;
        sentence.push_str(&format!(", {} {words}", Ratio(overall)));
        let most = known()
            .filter(|(row, ..)| row.recent.conversations >= Some(MIN_CONVERSATIONS))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|&(_, ratio, _)| ratio > overall + OUTLIER_MARGIN);
        if let Some((row, ratio, _)) = most {
            sentence.push_str(&format!(" ({}: {})", strip_control(&row.project), Ratio(ratio)));
        }
    }
    let found = problems(rows, area);
    if found.is_empty() {
        return AreaView { area, tone: Severity::Good, sentence };
    }
    let sentence = format!("{sentence}. {}", describe_problems(&found, rows.len()));
    AreaView { area, tone: Severity::Warn, sentence }
}
