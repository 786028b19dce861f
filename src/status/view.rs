//! What the page and the JSON show. `docs/api.md` describes each serialized field.

use std::collections::BTreeMap;

use serde::Serialize;

use super::configuration::ConfigurationStatus;
use super::format::{JsonTimestamp, Seconds};
use super::handoff_trend::{Point, Trends};
use super::poll_history::{Poll, PollHistories};
use super::target_state::{Severity, State};
use super::thresholds::{Breach, RecentRatios};
use crate::config::Settings;
use crate::exporter_metrics::BuildInfo;
use polyai_domain::problem::Problem;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::recorder::Snapshot;

/// The sources of the views, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct StatusInputs<'a> {
    /// The time of this host.
    pub now: Timestamp,
    /// The active settings.
    pub settings: &'a Settings,
    /// The committed series.
    pub generation: &'a Snapshot,
    /// The polls and problems of each target.
    pub histories: &'a PollHistories,
    /// The samples of each target.
    pub trends: &'a Trends,
    /// The origin of the settings.
    pub configuration: &'a ConfigurationStatus,
    /// The process.
    pub process: &'a ProcessInfo,
}

impl StatusInputs<'_> {
    pub(super) fn series_count(&self) -> usize {
        self.generation.targets.iter().map(|(_, series)| series.len()).sum()
    }
}

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct ProcessInfo {
    /// Start time.
    pub started: Timestamp,
    /// Version and revision.
    pub build: BuildInfo,
    /// Listen addresses.
    pub addresses: Vec<String>,
}

/// Settings by key, without secrets.
pub(super) type SettingsView = BTreeMap<&'static str, String>;

#[derive(Debug, Serialize)]
pub(super) struct StatusView<'a> {
    pub(super) generated_at: JsonTimestamp,
    pub(super) health: Health,
    pub(super) areas: Vec<AreaView>,
    pub(super) exporter: ExporterView<'a>,
    pub(super) configuration: ConfigurationView<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Health {
    #[serde(rename = "tone")]
    pub(super) severity: Severity,
    pub(super) sentence: String,
    pub(super) targets: BTreeMap<State, usize>,
}

/// The parts of the system in which a fault can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultDomain {
    Exporter,
    Access,
    Api,
    Calls,
}

impl FaultDomain {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Exporter => "This exporter",
            Self::Access => "Keys and projects",
            Self::Api => "PolyAI's API",
            Self::Calls => "Calls",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct AreaView {
    pub(super) area: FaultDomain,
    #[serde(rename = "tone")]
    pub(super) severity: Severity,
    pub(super) sentence: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ExporterView<'a> {
    pub(super) version: &'static str,
    pub(super) revision: Option<&'static str>,
    pub(super) started_at: JsonTimestamp,
    pub(super) uptime_seconds: Seconds,
    pub(super) listen_addresses: &'a [String],
    pub(super) series: usize,
    pub(super) state_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ConfigurationView<'a> {
    #[serde(flatten)]
    pub(super) status: &'a ConfigurationStatus,
    pub(super) hash: String,
    pub(super) settings: SettingsView,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TargetsView {
    pub(super) generated_at: JsonTimestamp,
    pub(super) targets_configured: usize,
    pub(super) targets: Vec<TargetRow>,
}

/// The summary of one target.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TargetRow {
    #[serde(flatten)]
    pub(super) key: TargetKey,
    pub(super) host: String,
    pub(super) state: State,
    pub(super) sentence: String,
    pub(super) since: Option<JsonTimestamp>,
    pub(super) problems: Vec<ProblemView>,
    pub(super) last_success_at: Option<JsonTimestamp>,
    pub(super) last_success_age_seconds: Option<Seconds>,
    pub(super) stale: bool,
    pub(super) catching_up: bool,
    pub(super) data_age_seconds: Option<Seconds>,
    pub(super) counts_since: Option<JsonTimestamp>,
    pub(super) read_to: Option<JsonTimestamp>,
    pub(super) lag_seconds: Option<Seconds>,
    pub(super) open_conversations: Option<u64>,
    pub(super) followed_conversations: Option<u64>,
    pub(super) oldest_open_started_at: Option<JsonTimestamp>,
    pub(super) last_conversation_ended_at: Option<JsonTimestamp>,
    pub(super) conversations_counted: Option<u64>,
    pub(super) handoffs_counted: Option<u64>,
    pub(super) recent: RecentRatios,
    pub(super) last_poll: Option<Poll>,
    pub(super) poll_running_since: Option<JsonTimestamp>,
    pub(super) next_poll_at: Option<JsonTimestamp>,
    pub(super) failed_polls: u32,
    #[serde(skip)]
    pub(super) trend: Vec<Point>,
    #[serde(skip)]
    pub(super) breaches: Vec<Breach>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ProblemView {
    #[serde(rename = "code")]
    pub(super) problem: Problem,
    pub(super) title: &'static str,
    pub(super) advice: &'static str,
    pub(super) reason: Option<String>,
    pub(super) since: JsonTimestamp,
    pub(super) until: Option<JsonTimestamp>,
    pub(super) stops_polling: bool,
    pub(super) documentation: String,
}

/// One target in full.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TargetView {
    pub(super) generated_at: JsonTimestamp,
    pub(super) target: TargetRow,
    pub(super) polls: Vec<Poll>,
    pub(super) problem_history: Vec<ProblemView>,
    pub(super) handoff_history: Vec<Point>,
    pub(super) settings: SettingsView,
}
