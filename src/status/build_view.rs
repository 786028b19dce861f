//! How a view is made: from what is committed, what the pollers have noted and what is configured, at one moment.
//!
//! Owns: the gathering and the order. Pure: `now` and all that is looked at are arguments. Never: a judgement (`condition.rs`,
//! `area.rs`, `health.rs`).

use std::collections::BTreeMap;

use super::configuration::{ConfigurationStatus, Reload, hash, shared_lines, target_lines};
use super::diagnosis::{GlobalInputs, areas};
use super::format::{JsonTimestamp, Ratio, Seconds};
use super::handoff_trend::{Point, Trends};
use super::health::health;
use super::journals::Journals;
use super::poll_history::{Poll, PollHistoryInner, ProblemInterval};
use super::query::Query;
use super::target_state::{Severity, TargetInputs, read_to, stops_polling, to_local};
use super::target_totals::TargetTotals;
use super::view::{
    About, ConfigurationView, ExporterView, Health, PointView, PollView, ProblemView, RecentView, ReloadView,
    StatusView, TargetRow, TargetView, TargetsView,
};
use crate::aggregate::TargetSeries;
use crate::config::{Settings, Target};
use crate::exporter_metrics::BuildInfo;
use crate::problem::Problem;
use crate::recorder::Snapshot;
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// Where problems are explained.
const TROUBLESHOOTING: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/troubleshooting.md");

/// What is looked at, and when.
#[derive(Debug, Clone, Copy)]
pub struct StatusInputs<'a> {
    /// The time on this machine.
    pub now: Timestamp,
    /// The settings in force.
    pub settings: &'a Settings,
    /// What is committed.
    pub generation: &'a Snapshot,
    /// What the pollers have noted.
    pub journals: &'a Journals,
    /// What the handoff rates were.
    pub trends: &'a Trends,
    /// Where the settings came from.
    pub configuration: &'a ConfigurationStatus,
    /// The process.
    pub process: &'a ProcessInfo,
}

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct ProcessInfo {
    /// When it started.
    pub started: Timestamp,
    /// What it is.
    pub build: BuildInfo,
    /// Where it listens.
    pub addresses: Vec<String>,
}

impl StatusInputs<'_> {
    pub(super) fn about(&self) -> About {
        About { version: self.process.build.version, revision: self.process.build.revision }
    }

    /// The global part, judged by `rows`, which are all targets.
    pub fn status(&self, rows: &[TargetRow]) -> StatusView {
        let series = self.generation.targets.iter().map(|(_, series)| series.len()).sum();
        let whole = GlobalInputs {
            now: self.now,
            configuration: self.configuration,
            series,
            state_bytes: self.generation.state_bytes,
            recent_window: self.settings.metrics.recent_window,
        };
        let (health, areas) = (health(rows, self.now), areas(rows, &whole));
        let worst = areas.iter().map(|view| view.tone).max();
        let ProcessInfo { started, build, addresses } = self.process;
        let ConfigurationStatus { origin, loaded_at, last_reload } = self.configuration;
        StatusView {
            generated_at: JsonTimestamp(self.now),
            health: Health { tone: health.tone.max(worst.unwrap_or(Severity::Good)), ..health },
            areas,
            exporter: ExporterView {
                version: build.version,
                revision: build.revision,
                started_at: JsonTimestamp(*started),
                uptime_seconds: Seconds(self.now.saturating_duration_since(*started)),
                listen_addresses: addresses.clone(),
                series,
                state_bytes: self.generation.state_bytes,
            },
            configuration: ConfigurationView {
                origin: origin.clone(),
                hash: hash(self.settings),
                loaded_at: JsonTimestamp(*loaded_at),
                last_reload: last_reload.as_ref().map(|Reload { at, outcome }| ReloadView {
                    at: JsonTimestamp(*at),
                    succeeded: outcome.is_ok(),
                    detail: outcome.clone().unwrap_or_else(|reason| reason),
                }),
                settings: shared_lines(self.settings).into_iter().collect(),
            },
        }
    }

    /// All targets, in the order of their keys.
    pub fn rows(&self) -> Vec<TargetRow> {
        let series = self.series();
        self.settings.targets.iter().map(|target| self.row(target, &series)).collect()
    }

    /// Those that `query` asks for, of `rows`.
    pub(super) fn targets(&self, rows: Vec<TargetRow>, query: &Query) -> TargetsView {
        let targets_configured = rows.len();
        let targets = rows.into_iter().filter(|row| query.matches(&row.key)).collect();
        TargetsView { generated_at: JsonTimestamp(self.now), targets_configured, targets }
    }

    /// One target; none if it is not configured.
    pub fn target(&self, key: &TargetKey) -> Option<TargetView> {
        let target = self.settings.targets.iter().find(|target| target.key == *key)?;
        let row = self.row(target, &self.series());
        let (polls, problem_history) = self.entries(key, |entries| {
            let polls: Vec<PollView> = entries.polls.iter().rev().map(poll).collect();
            let problems: Vec<ProblemView> =
                entries.episodes.iter().rev().map(|episode| problem(entries, episode)).collect();
            (polls, problems)
        });
        Some(TargetView {
            generated_at: JsonTimestamp(self.now),
            handoff_history: row.trend.clone(),
            target: row,
            polls,
            problem_history,
            settings: target_lines(target).into_iter().collect(),
        })
    }

    fn series(&self) -> BTreeMap<&TargetKey, &TargetSeries> {
        self.generation.targets.iter().map(|(key, series)| (&**key, &**series)).collect()
    }

    fn entries<T>(&self, key: &TargetKey, look: impl FnOnce(&PollHistoryInner) -> T) -> T {
        match self.journals.find(key) {
            Some(journal) => journal.read(look),
            None => look(&PollHistoryInner::default()),
        }
    }

    fn row(&self, target: &Target, series: &BTreeMap<&TargetKey, &TargetSeries>) -> TargetRow {
        let figures = series.get(&target.key).map(|series| TargetTotals::of(series)).unwrap_or_default();
        let trend = self.trends.points(&target.key).iter().map(point).collect();
        self.entries(&target.key, |entries| self.target_row(target, entries, &figures, trend))
    }

    fn target_row(
        &self,
        target: &Target,
        entries: &PollHistoryInner,
        figures: &TargetTotals,
        trend: Vec<PointView>,
    ) -> TargetRow {
        let now = self.now;
        let evidence = TargetInputs {
            entries,
            started: self.process.started,
            interval: self.settings.polling.interval,
            storage_fails: figures.storage_fails.then(|| self.trends.storage_fails_since()),
        };
        let condition = evidence.evaluate(now);
        // Without a label set that is known beforehand there is no series before the first conversation.
        let none_if_read = entries.last_success.map(|_| 0);
        // Before the first poll after a start the state tells.
        let read_to = read_to(entries).or(figures.watermark);
        let mut problems: Vec<ProblemView> =
            entries.problems().map(|episode| problem(entries, episode)).collect();
        if figures.storage_fails {
            let since = condition.since.unwrap_or(now);
            let episode =
                ProblemInterval { problem: Problem::Storage, since, until: None, reason: String::new() };
            problems.push(ProblemView { stops_polling: true, ..problem(entries, &episode) });
        }
        problems.sort_by_key(|problem| (!problem.stops_polling, problem.since));
        TargetRow {
            project: target.key.project.clone(),
            region: target.key.region.as_str(),
            client_env: target.key.client_env.as_str(),
            host: target.host(),
            state: condition.state,
            sentence: condition.sentence,
            since: condition.since.map(JsonTimestamp),
            problems,
            last_success_at: entries.last_success.map(JsonTimestamp),
            last_success_age_seconds: entries
                .last_success
                .map(|last| Seconds(now.saturating_duration_since(last))),
            counts_since: entries.counts_since.map(JsonTimestamp),
            read_to: read_to.map(JsonTimestamp),
            lag_seconds: read_to.map(|read_to| Seconds(now.saturating_duration_since(read_to))),
            open_conversations: figures.open.or(none_if_read),
            followed_conversations: (!entries.polls.is_empty()).then_some(entries.followed),
            oldest_open_started_at: figures.oldest_open.map(|at| JsonTimestamp(to_local(entries, at))),
            last_conversation_ended_at: figures
                .last_conversation
                .map(|at| JsonTimestamp(to_local(entries, at))),
            conversations_counted: figures.conversations,
            handoffs_counted: figures.handoffs,
            recent: RecentView {
                window_seconds: Seconds(self.settings.metrics.recent_window),
                // The gauge is 0 from the start; before a poll has succeeded that means nothing.
                conversations: figures.recent.filter(|&ended| ended > 0).or(none_if_read),
                handoff_ratio: figures.recent_handoff.map(Ratio),
                ood_turn_ratio: figures.recent_ood.map(Ratio),
                silence_turn_ratio: figures.recent_silence.map(Ratio),
            },
            last_poll: entries.polls.back().map(poll),
            poll_running_since: entries.underway.map(JsonTimestamp),
            next_poll_at: entries.next.map(JsonTimestamp),
            failed_polls: entries.failures,
            key: target.key.clone(),
            trend,
        }
    }
}

fn poll(poll: &Poll) -> PollView {
    let Poll { began, took, failure, walks, traffic, records, rejected, counted } = *poll;
    PollView {
        began_at: JsonTimestamp(began),
        duration_seconds: Seconds(took),
        problem: failure.map(Problem::code),
        walks,
        requests: traffic.requests,
        pages: traffic.pages,
        bytes: traffic.bytes,
        records,
        rejected,
        counted,
    }
}

fn problem(entries: &PollHistoryInner, episode: &ProblemInterval) -> ProblemView {
    let ProblemInterval { problem, since, until, reason } = episode;
    ProblemView {
        code: problem.code(),
        title: problem.title(),
        advice: problem.advice(),
        reason: (!reason.is_empty()).then(|| reason.clone()),
        since: JsonTimestamp(*since),
        until: until.map(JsonTimestamp),
        stops_polling: stops_polling(entries, episode),
        documentation: format!("{TROUBLESHOOTING}#{}", problem.code()),
        problem: *problem,
    }
}

fn point(point: &Point) -> PointView {
    PointView {
        at: JsonTimestamp(point.at),
        handoff_ratio: point.ratio.map(Ratio),
        conversations: point.conversations,
    }
}
