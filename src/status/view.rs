//! The view: everything that the page and the JSON show, in the words and units in which they show it.
//!
//! Owns: the shape, which is that of the JSON (`docs/api.md`). Never: how it is made (`sight.rs`), or markup.

use std::collections::BTreeMap;

use serde::Serialize;

pub use super::diagnosis::{AreaView, FaultDomain};
pub use super::format::{JsonTimestamp, Ratio, Seconds};
pub use super::target_state::Severity;
use super::target_state::State;
use crate::problem::Problem;
use crate::target::TargetKey;

/// What stands at the top of every page.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub(super) version: &'static str,
    pub(super) revision: Option<&'static str>,
}

impl About {
    pub(super) fn of(status: &StatusView) -> Self {
        Self { version: status.exporter.version, revision: status.exporter.revision }
    }
}

/// The global part.
#[derive(Debug, Clone, Serialize)]
pub struct StatusView {
    /// When this was looked at.
    pub generated_at: JsonTimestamp,
    /// All of it in one line.
    pub health: Health,
    /// Where the trouble is.
    pub areas: Vec<AreaView>,
    /// The process.
    pub exporter: ExporterView,
    /// What it is told.
    pub configuration: ConfigurationView,
}

/// All targets.
#[derive(Debug, Clone, Serialize)]
pub struct TargetsView {
    /// When this was looked at.
    pub generated_at: JsonTimestamp,
    /// How many targets there are.
    pub targets_configured: usize,
    /// Those that were asked for, by project, region and client environment.
    pub targets: Vec<TargetRow>,
}

/// The health of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How grave.
    pub tone: Severity,
    /// In words.
    pub sentence: String,
    /// How many targets are in each state.
    pub targets: BTreeMap<State, usize>,
}

/// The process.
#[derive(Debug, Clone, Serialize)]
pub struct ExporterView {
    /// Of the package.
    pub version: &'static str,
    /// Of the source, if the build knew it.
    pub revision: Option<&'static str>,
    /// When the process started.
    pub started_at: JsonTimestamp,
    /// How long ago that was.
    pub uptime_seconds: Seconds,
    /// Where it listens.
    pub listen_addresses: Vec<String>,
    /// Conversation series held; a histogram is one.
    pub series: usize,
    /// Size of the state on disk.
    pub state_bytes: u64,
}

/// The configuration.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigurationView {
    /// Where it came from.
    pub origin: String,
    /// SHA-256 over all settings but the secrets, hexadecimal.
    pub hash: String,
    /// When it was read.
    pub loaded_at: JsonTimestamp,
    /// The last attempt to read it again.
    pub last_reload: Option<ReloadView>,
    /// What concerns all targets, key by key.
    pub settings: BTreeMap<&'static str, String>,
}

/// An attempt to read the configuration again.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadView {
    /// When.
    pub at: JsonTimestamp,
    /// Whether the configuration that was read is in force.
    pub succeeded: bool,
    /// What changed, or why nothing did.
    pub detail: String,
}

/// One target, in short.
#[derive(Debug, Clone, Serialize)]
pub struct TargetRow {
    /// The `project` label.
    pub project: String,
    /// The `region` label.
    pub region: &'static str,
    /// The `client_env` label.
    pub client_env: &'static str,
    /// Where the API is.
    pub host: String,
    /// The state.
    pub state: State,
    /// The state in words.
    pub sentence: String,
    /// Since when it is so, where that means something.
    pub since: Option<JsonTimestamp>,
    /// What is wrong now.
    pub problems: Vec<ProblemView>,
    /// When a poll last succeeded; none since the process started.
    pub last_success_at: Option<JsonTimestamp>,
    /// How long ago that was.
    pub last_success_age_seconds: Option<Seconds>,
    /// From when on conversations that end count, in the API's time, as `polling.anchor` takes it; none before the first answer.
    pub counts_since: Option<JsonTimestamp>,
    /// Start time up to which all conversations have been read, on this machine's clock.
    pub read_to: Option<JsonTimestamp>,
    /// How far that is behind the present.
    pub lag_seconds: Option<Seconds>,
    /// Open at the last poll that listed them; none before the first.
    pub open_conversations: Option<u64>,
    /// Open or searched for; none before the first poll has ended.
    pub followed_conversations: Option<usize>,
    /// When the longest open one started.
    pub oldest_open_started_at: Option<JsonTimestamp>,
    /// When the newest counted one ended.
    pub last_conversation_ended_at: Option<JsonTimestamp>,
    /// Counted since the counters began.
    pub conversations_counted: u64,
    /// Of these, handed off.
    pub handoffs_counted: u64,
    /// The last `metrics.recent_window`.
    pub recent: RecentView,
    /// The last poll that ended.
    pub last_poll: Option<PollView>,
    /// When the poll that is running began.
    pub poll_running_since: Option<JsonTimestamp>,
    /// When the next poll is due.
    pub next_poll_at: Option<JsonTimestamp>,
    /// Failed polls since the last that succeeded.
    pub failed_polls: u32,
    #[serde(skip)]
    pub(super) key: TargetKey,
    #[serde(skip)]
    pub(super) trend: Vec<PointView>,
}

/// The recent conversations of one target.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RecentView {
    /// How far back.
    pub window_seconds: Seconds,
    /// That ended within it; none before the first poll that succeeded.
    pub conversations: Option<u64>,
    /// Handed off; none when no conversation ended.
    pub handoff_ratio: Option<Ratio>,
    /// Turns out of domain.
    pub ood_turn_ratio: Option<Ratio>,
    /// Turns of silence.
    pub silence_turn_ratio: Option<Ratio>,
}

/// A problem, now or earlier.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemView {
    /// The code.
    pub code: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// What was seen last; none when the title says it all.
    pub reason: Option<String>,
    /// Since when.
    pub since: JsonTimestamp,
    /// Until when; none while it lasts.
    pub until: Option<JsonTimestamp>,
    /// Whether polling comes to nothing because of it.
    pub stops_polling: bool,
    /// Where it is explained.
    pub documentation: String,
    #[serde(skip)]
    pub(super) problem: Problem,
}

/// A poll.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PollView {
    /// When it began.
    pub began_at: JsonTimestamp,
    /// How long it took, waits for its turn included.
    pub duration_seconds: Seconds,
    /// The code of the problem that ended it; none when it succeeded.
    pub problem: Option<&'static str>,
    /// Stretches of time read.
    pub walks: u32,
    /// Requests sent.
    pub requests: u32,
    /// Pages that came.
    pub pages: u32,
    /// Bytes of bodies, after decompression.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
    /// Records that could not be understood.
    pub rejected: u64,
    /// Conversations that counted.
    pub counted: u64,
}

/// A point of the chart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PointView {
    /// When.
    pub at: JsonTimestamp,
    /// The recent handoff rate; none when no conversation ended, or polls failed.
    pub handoff_ratio: Option<Ratio>,
    /// The recent conversations.
    pub conversations: u64,
}

/// One target, in full.
#[derive(Debug, Clone, Serialize)]
pub struct TargetView {
    /// When this was looked at.
    pub generated_at: JsonTimestamp,
    /// What a row of all targets has.
    pub target: TargetRow,
    /// The latest polls, latest first.
    pub polls: Vec<PollView>,
    /// The latest problems, latest first, those that last included.
    pub problem_history: Vec<ProblemView>,
    /// The handoff rate of the last two hours at most, latest last.
    pub handoff_history: Vec<PointView>,
    /// Its settings, without secrets.
    pub settings: BTreeMap<&'static str, String>,
}
