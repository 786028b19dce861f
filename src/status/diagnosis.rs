//! Overall health in one line, and which part of the system is at fault.

use std::collections::{BTreeMap, BTreeSet};

use super::configuration::Reload;
use super::format::{JsonTimestamp, Ratio, bytes, count, span, strip_control};
use super::target_state::{Severity, State};
use super::view::{AreaView, FaultDomain, Health, StatusInputs, TargetRow};
use polyai_domain::problem::Problem;
use polyai_domain::target::ClientEnv;
use polyai_domain::timestamp::Timestamp;

/// By how much the ratio of a target exceeds the overall one before it is named.
const OUTLIER_MARGIN: f64 = 0.15;
/// Targets named in a sentence; more are only counted.
const MAX_NAMED: usize = 2;
/// Conversations that make a ratio worth naming.
const MIN_CONVERSATIONS: u64 = 10;

const fn fault_domain(problem: Problem) -> FaultDomain {
    match problem {
        Problem::Storage | Problem::ClockSkew | Problem::RateLimited | Problem::InternalError => {
            FaultDomain::Exporter
        }
        Problem::Unauthorized
        | Problem::Forbidden
        | Problem::NotFound
        | Problem::WrongHost
        | Problem::Redirected
        | Problem::TranscriptOff
        | Problem::LatencyMissing
        | Problem::PartialFields
        | Problem::LatencyUnit => FaultDomain::Access,
        Problem::BadRequest
        | Problem::ServerError
        | Problem::Unreachable
        | Problem::Timeout
        | Problem::CutOff
        | Problem::BadPayload
        | Problem::WrongEnvironment
        | Problem::WindowIgnored => FaultDomain::Api,
        Problem::StuckConversations => FaultDomain::Calls,
    }
}

pub(super) fn areas(rows: &[TargetRow], inputs: &StatusInputs<'_>) -> Vec<AreaView> {
    let areas = [
        (FaultDomain::Exporter, exporter_area(rows, inputs)),
        (FaultDomain::Access, access_area(rows)),
        (FaultDomain::Api, api_area(rows)),
        (FaultDomain::Calls, call_area(rows, inputs)),
    ];
    areas.map(|(area, (severity, sentence))| AreaView { area, severity, sentence }).into()
}

/// The targets with problems of `area`, by problem.
fn problems(rows: &[TargetRow], area: FaultDomain) -> BTreeMap<Problem, Vec<&TargetRow>> {
    let mut found: BTreeMap<Problem, Vec<&TargetRow>> = BTreeMap::new();
    for (row, view) in rows.iter().flat_map(|row| row.problems.iter().map(move |view| (row, view))) {
        if fault_domain(view.problem) == area {
            found.entry(view.problem).or_default().push(row);
        }
    }
    found
}

/// `billing/uk-1/live: the API refuses the key`
fn describe_problems(found: &BTreeMap<Problem, Vec<&TargetRow>>, total: usize) -> String {
    let describe = |(problem, rows): (&Problem, &Vec<&TargetRow>)| {
        format!("{}: {}", target_names(rows, total), problem.title())
    };
    found.iter().map(describe).collect::<Vec<_>>().join(". ")
}

fn target_names(rows: &[&TargetRow], total: usize) -> String {
    match rows.len() {
        number if number > MAX_NAMED && number == total => format!("All {total} targets"),
        number if number > MAX_NAMED => format!("{number} of {total} targets"),
        _ => rows.iter().map(|row| name(row)).collect::<Vec<_>>().join(" and "),
    }
}

fn name(row: &TargetRow) -> String {
    strip_control(&row.key.to_string())
}

fn exporter_area(rows: &[TargetRow], inputs: &StatusInputs<'_>) -> (Severity, String) {
    if let Some(row) = rows.iter().find(|row| row.state == State::StorageFailing) {
        return (Severity::Bad, row.sentence.clone());
    }
    let mut faults = Vec::new();
    if let Some(Reload { at, succeeded: false, detail }) = &inputs.configuration.last_reload {
        let at = JsonTimestamp(*at).hh_mm(JsonTimestamp(inputs.now));
        let mut lines = detail.lines();
        let first = lines.next().unwrap_or_default();
        let more = match lines.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        faults.push(format!("Reload failed at {at}, the previous configuration stays active: {first}{more}"));
    }
    let found = problems(rows, FaultDomain::Exporter);
    if !found.is_empty() {
        faults.push(describe_problems(&found, rows.len()));
    }
    if !faults.is_empty() {
        return (Severity::Warn, faults.join(". "));
    }
    let size = match inputs.generation.state_bytes {
        0 => "in memory only".to_owned(),
        size => format!("{} of state", bytes(size)),
    };
    (Severity::Good, format!("Running: {} series, {size}", count(inputs.series_count() as u64)))
}

fn access_area(rows: &[TargetRow]) -> (Severity, String) {
    let found = problems(rows, FaultDomain::Access);
    if !found.is_empty() {
        let mut views = rows.iter().flat_map(|row| &row.problems);
        let stops = views.any(|view| view.stops_polling && found.contains_key(&view.problem));
        return (if stops { Severity::Bad } else { Severity::Warn }, describe_problems(&found, rows.len()));
    }
    if rows.iter().any(|row| row.last_success_at.is_some()) {
        (Severity::Good, "All keys and projects are accepted".to_owned())
    } else {
        (Severity::Wait, "No successful poll yet".to_owned())
    }
}

fn api_area(rows: &[TargetRow]) -> (Severity, String) {
    let found = problems(rows, FaultDomain::Api);
    if found.is_empty() {
        let is_stuck = |row: &&TargetRow| row.state == State::Stale && row.problems.is_empty();
        let stuck: Vec<&TargetRow> = rows.iter().filter(is_stuck).collect();
        return if rows.iter().any(|row| row.state == State::StorageFailing) {
            (Severity::Wait, "Not polled while the state cannot be written".to_owned())
        } else if !stuck.is_empty() {
            (Severity::Bad, format!("{}: a poll does not finish", target_names(&stuck, rows.len())))
        } else if rows.iter().any(|row| row.last_poll.is_some()) {
            // An API that rejects a key responds, too.
            (Severity::Good, "Responding normally".to_owned())
        } else {
            (Severity::Wait, "No response yet".to_owned())
        };
    }
    let is_affected = |row: &TargetRow| row.problems.iter().any(|view| found.contains_key(&view.problem));
    let hosts = |affected: bool| -> BTreeSet<&str> {
        let polled = rows.iter().filter(|row| row.last_poll.is_some());
        polled.filter(|row| is_affected(row) == affected).map(|row| &*row.host).collect()
    };
    let (failing, working) = (hosts(true), hosts(false));
    let is_silent = found.keys().all(|&problem| matches!(problem, Problem::Unreachable | Problem::Timeout));
    let mut sentence = describe_problems(&found, rows.len());
    if working.is_empty() && is_silent && failing.len() > 1 {
        sentence.push_str(". No host responds: check the network of this host first");
    } else if !failing.is_disjoint(&working) {
        sentence.push_str(". Other targets on the same host work");
    } else if let (1, false, Some(host)) = (failing.len(), working.is_empty(), failing.first()) {
        sentence.push_str(&format!(". All targets on {host} fail, other hosts respond"));
    }
    let is_stale = rows.iter().any(|row| is_affected(row) && row.state == State::Stale);
    (if is_stale { Severity::Bad } else { Severity::Warn }, sentence)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a window")]
fn call_area(rows: &[TargetRow], inputs: &StatusInputs<'_>) -> (Severity, String) {
    let fresh: Vec<&TargetRow> = rows.iter().filter(|row| !row.stale && !row.catching_up).collect();
    if fresh.is_empty() {
        return (Severity::Wait, "Unknown: no target has fresh data".to_owned());
    }
    let open: u64 = fresh.iter().filter_map(|row| row.open_conversations).sum();
    let recent: u64 = fresh.iter().filter_map(|row| row.recent.conversations).sum();
    let mut sentence = format!(
        "{} open, {} ended in the last {}",
        count(open),
        count(recent),
        span(inputs.settings.metrics.recent_window)
    );
    type GetRatio = fn(&TargetRow) -> Option<Ratio>;
    let ratios: [(&str, GetRatio); 2] = [
        ("handed off", |row| row.recent.handoff_ratio),
        ("silent turns", |row| row.recent.silence_turn_ratio),
    ];
    for (label, ratio) in ratios {
        let known =
            || fresh.iter().filter_map(|row| Some((row, ratio(row)?.0, row.recent.conversations? as f64)));
        let weight: f64 = known().map(|(_, _, weight)| weight).sum();
        if weight == 0.0 {
            continue;
        }
        let overall = known().map(|(_, ratio, weight)| ratio * weight).sum::<f64>() / weight;
        sentence.push_str(&format!(", {} {label}", Ratio(overall)));
        let outlier = known()
            .filter(|(row, ..)| row.recent.conversations >= Some(MIN_CONVERSATIONS))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|&(_, ratio, _)| ratio > overall + OUTLIER_MARGIN);
        if let Some((row, ratio, _)) = outlier {
            sentence.push_str(&format!(" ({}: {})", strip_control(&row.key.project), Ratio(ratio)));
        }
    }
    let stale = rows.iter().filter(|row| row.stale).count();
    for (left_out, why) in
        [(stale, "have no fresh data"), (rows.len() - fresh.len() - stale, "are catching up")]
    {
        if left_out > 0 {
            sentence.push_str(&format!(", without {left_out} of {} targets that {why}", rows.len()));
        }
    }
    let mut severity = Severity::Good;
    let breaching: Vec<&&TargetRow> = fresh.iter().filter(|row| !row.breaches.is_empty()).collect();
    for (row, breach) in breaching.iter().flat_map(|row| row.breaches.iter().map(move |breach| (row, breach)))
    {
        // As in the rules, only live targets page.
        let pages = breach.critical && row.key.client_env == ClientEnv::Live;
        severity = severity.max(if pages { Severity::Bad } else { Severity::Warn });
    }
    for row in breaching.iter().take(MAX_NAMED) {
        let breaches: Vec<&str> = row.breaches.iter().map(|breach| breach.sentence.as_str()).collect();
        sentence.push_str(&format!(". {}: {}", name(row), breaches.join("; ")));
    }
    if breaching.len() > MAX_NAMED {
        sentence.push_str(&format!(". {} more targets exceed a limit", breaching.len() - MAX_NAMED));
    }
    let found = problems(rows, FaultDomain::Calls);
    if !found.is_empty() {
        severity = severity.max(Severity::Warn);
        sentence.push_str(&format!(". {}", describe_problems(&found, rows.len())));
    }
    (severity, sentence)
}

/// The worst target in one line.
pub(super) fn health(rows: &[TargetRow], now: Timestamp) -> Health {
    let mut targets: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *targets.entry(row.state).or_default() += 1;
    }
    let total = rows.len();
    let all = if total == 1 { "The one target".to_owned() } else { format!("All {total} targets") };
    // The subject of a sentence, and the verb in its number.
    let subject = |number: usize, one: &'static str, many: &'static str| {
        let subject = if number == total { all.clone() } else { format!("{number} of {total} targets") };
        format!("{subject} {}", if number == 1 { one } else { many })
    };
    let worst = rows.iter().min_by_key(|row| row.state);
    let sentence = worst.map_or("No target is configured".to_owned(), |row| {
        let number = targets.get(&row.state).copied().unwrap_or_default();
        match row.state {
            State::StorageFailing => row.sentence.clone(),
            State::Stale | State::Failing => {
                let since = row.since.map(|since| format!(" since {}", since.hh_mm(JsonTimestamp(now))));
                let worst = format!("{} is {}{}", name(row), row.state.label(), since.unwrap_or_default());
                let ill = rows.iter().filter(|row| row.state <= State::Failing).count();
                if total == 1 { worst } else { format!("{} a problem; {worst}", subject(ill, "has", "have")) }
            }
            State::NotTried => format!("{} not been polled yet", subject(number, "has", "have")),
            State::CatchingUp => format!("{} catching up", subject(number, "is", "are")),
            State::Limited if total == 1 => "The one target is up to date, but needs attention".to_owned(),
            State::Limited => {
                let need = match number {
                    1 => "1 needs".to_owned(),
                    number if number == total => "all need".to_owned(),
                    number => format!("{number} need"),
                };
                format!("{} up to date, {need} attention", subject(total, "is", "are"))
            }
            State::UpToDate => format!("{} up to date", subject(total, "is", "are")),
        }
    });
    let severity = worst.map_or(Severity::Warn, |row| row.state.severity());
    Health { severity, sentence: format!("{sentence}."), targets }
}
