//! Builds the views from the committed series, the history of the pollers and the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::configuration::{global_settings, hash, target_settings};
use super::diagnosis::{areas, health};
use super::format::{JsonTimestamp, Seconds};
use super::poll_history::{PollHistory, PollRecords, ProblemInterval};
use super::query::Query;
use super::target_state::{Severity, TargetInputs};
use super::target_totals::TargetTotals;
use super::thresholds::{RecentRatios, breaches};
use super::view::{
    ConfigurationView, ExporterView, Health, ProblemView, ProcessInfo, StatusInputs, StatusView, TargetRow,
    TargetView, TargetsView,
};
use crate::config::Target;
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::TargetSeries;

const TROUBLESHOOTING: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/troubleshooting.md");

impl StatusInputs<'_> {
    /// The global part; `rows` are all targets.
    pub(super) fn status(&self, rows: &[TargetRow]) -> StatusView<'_> {
        let (health, areas) = (health(rows, self.now), areas(rows, self));
        let severity = areas.iter().map(|view| view.severity).fold(health.severity, Severity::max);
        let ProcessInfo { started, build, addresses } = self.process;
        StatusView {
            generated_at: JsonTimestamp(self.now),
            health: Health { severity, ..health },
            areas,
            exporter: ExporterView {
                version: build.version,
                revision: build.revision,
                started_at: JsonTimestamp(*started),
                uptime_seconds: self.age(*started),
                listen_addresses: addresses,
                series: self.series_count(),
                state_bytes: self.generation.state_bytes,
            },
            configuration: ConfigurationView {
                status: self.configuration,
                hash: hash(self.settings),
                settings: global_settings(self.settings).into_iter().collect(),
            },
        }
    }

    /// All targets, sorted by key.
    pub(super) fn rows(&self) -> Vec<TargetRow> {
        let series: BTreeMap<&TargetKey, &TargetSeries> =
            self.generation.targets.iter().map(|(key, series)| (&**key, &**series)).collect();
        let row = |target: &Target| {
            self.history(&target.key)
                .read(|records| self.row(target, records, series.get(&target.key).copied()))
        };
        self.settings.targets.iter().map(row).collect()
    }

    /// The targets that match `query`.
    pub(super) fn targets(&self, query: &Query) -> TargetsView {
        let mut targets = self.rows();
        let targets_configured = targets.len();
        targets.retain(|row| query.matches(&row.key) && query.has_state(row.state));
        TargetsView { generated_at: JsonTimestamp(self.now), targets_configured, targets }
    }

    /// The target that `query` names, if it is configured.
    pub(super) fn target(&self, query: &Query) -> Option<TargetView> {
        let key = query.target()?;
        let target = self.settings.targets.iter().find(|target| target.key == key)?;
        let series = self.generation.targets.iter().find(|(found, _)| **found == key);
        Some(self.history(&key).read(|records| {
            let row = self.row(target, records, series.map(|(_, series)| &**series));
            let problems = records.problem_history.iter().rev();
            TargetView {
                generated_at: JsonTimestamp(self.now),
                handoff_history: row.trend.clone(),
                target: row,
                polls: records.polls.iter().rev().copied().collect(),
                problem_history: problems.map(|interval| problem_view(records, interval)).collect(),
                settings: target_settings(target).into_iter().collect(),
            }
        }))
    }

    fn history(&self, key: &TargetKey) -> Arc<PollHistory> {
        self.histories.get(key).unwrap_or_default()
    }

    fn age(&self, at: Timestamp) -> Seconds {
        Seconds(self.now.saturating_duration_since(at))
    }

    fn row(&self, target: &Target, records: &PollRecords, series: Option<&TargetSeries>) -> TargetRow {
        let recent_window = self.settings.metrics.recent_window;
        let totals = TargetTotals::new(series.unwrap_or(&TargetSeries::default()), recent_window);
        let now = self.now;
        let trend = self.trends.points(&target.key);
        let earlier = |window| {
            let is_before = |at: JsonTimestamp| at.0 <= now - window;
            let start = trend.iter().rev().find(|point| is_before(point.at)).or(trend.first());
            start.map_or((totals.counters, false), |start| (start.counters, is_before(start.at)))
        };
        let mut inputs = TargetInputs {
            records,
            started: self.process.started,
            interval: self.settings.polling.interval,
            storage_failing: totals.storage_failing.then(|| self.trends.storage_failing_since()),
            is_hidden: totals.catching_up,
            breaches: Vec::new(),
        };
        let stale = inputs.is_stale(now);
        // As in the rules, old data breaches nothing.
        if !stale {
            inputs.breaches = breaches(&totals.counters, earlier, &totals.recent);
        }
        let (state, since) = inputs.state(now);
        let [(handoffs_counted, conversations_counted), ..] = totals.counters;
        // Without a label set that is known beforehand there is no series before the first conversation.
        let zero_if_read = records.last_success.map(|_| 0).filter(|_| !totals.catching_up);
        let if_shown = |total: u64| (!totals.catching_up).then_some(total);
        // Before the first poll after a restart, the stored watermark counts.
        let read_to = records.read_to().or(totals.watermark);
        let mut problems: Vec<ProblemView> =
            records.problems().map(|interval| problem_view(records, interval)).collect();
        if totals.storage_failing {
            let since = since.unwrap_or(now);
            let interval =
                ProblemInterval { problem: Problem::Storage, since, until: None, reason: String::new() };
            problems.push(ProblemView { stops_polling: true, ..problem_view(records, &interval) });
        }
        problems.sort_by_key(|problem| (!problem.stops_polling, problem.since));
        let to_local = |at: Timestamp| JsonTimestamp(records.to_local(at));
        TargetRow {
            key: target.key.clone(),
            host: target.host(),
            state,
            sentence: inputs.sentence(state, since, now),
            since: since.map(JsonTimestamp),
            problems,
            last_success_at: records.last_success.map(JsonTimestamp),
            last_success_age_seconds: records.last_success.map(|last| self.age(last)),
            stale,
            catching_up: totals.catching_up,
            data_age_seconds: records.last_success.or(read_to).map(|last| self.age(last)),
            counts_since: records.progress.counts_since.map(JsonTimestamp),
            read_to: read_to.map(JsonTimestamp),
            lag_seconds: read_to.map(|read_to| self.age(read_to)),
            open_conversations: totals.open.or(zero_if_read),
            followed_conversations: (!records.polls.is_empty()).then_some(records.progress.tracked as u64),
            oldest_open_started_at: totals.oldest_open.map(to_local),
            last_conversation_ended_at: totals.last_conversation.map(to_local),
            conversations_counted: if_shown(conversations_counted),
            handoffs_counted: if_shown(handoffs_counted),
            recent: RecentRatios {
                // The gauge is 0 even before the first successful poll.
                conversations: totals.recent.conversations.filter(|&ended| ended > 0).or(zero_if_read),
                ..totals.recent
            },
            last_poll: records.polls.back().copied(),
            poll_running_since: records.running_since.map(JsonTimestamp),
            next_poll_at: records.next_poll.map(JsonTimestamp),
            failed_polls: records.failed_polls,
            trend,
            breaches: inputs.breaches,
        }
    }
}

fn problem_view(records: &PollRecords, interval: &ProblemInterval) -> ProblemView {
    let ProblemInterval { problem, since, until, reason } = interval;
    ProblemView {
        problem: *problem,
        title: problem.title(),
        advice: problem.advice(),
        reason: (!reason.is_empty()).then(|| reason.clone()),
        since: JsonTimestamp(*since),
        until: until.map(JsonTimestamp),
        stops_polling: until.is_none() && records.failure() == Some(*problem),
        documentation: format!("{TROUBLESHOOTING}#{}", problem.code()),
    }
}
