//! The view: everything that the page and the JSON show, in the words and units in which they show it.
//!
//! Owns: the shape, which is that of the JSON (`docs/api.md`), and how it is made. Pure: `now` and all that is looked at are
//! arguments. Never: markup.

use std::collections::BTreeMap;

use serde::Serialize;

pub use super::area::{Area, AreaView};
use super::area::{Whole, areas};
pub use super::condition::Tone;
use super::condition::{Evidence, State, lag, read_to, stops_polling};
use super::configuration::{ConfigurationStatus, Reload, hash, shared_lines, target_lines};
use super::figures::Figures;
use super::journal::{Entries, Episode, Poll};
use super::journals::Journals;
use super::query::Query;
use super::trend::{Point, Trends};
use super::words::plain;
pub use super::words::{At, Ratio, Seconds};
use crate::aggregate::TargetSeries;
use crate::config::{Settings, Target};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::recorder::Generation;
use crate::selfstats::BuildInfo;
use crate::target::TargetKey;

/// Where problems are explained.
const TROUBLESHOOTING: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/troubleshooting.md");

/// What is looked at, and when.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The time on this machine.
    pub now: Moment,
    /// The settings in force.
    pub settings: &'a Settings,
    /// What is committed.
    pub generation: &'a Generation,
    /// What the pollers have noted.
    pub journals: &'a Journals,
    /// What the handoff rates were.
    pub trends: &'a Trends,
    /// Where the settings came from.
    pub configuration: &'a ConfigurationStatus,
    /// The process.
    pub process: &'a Process,
}

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct Process {
    /// When it started.
    pub started: Moment,
    /// What it is.
    pub build: BuildInfo,
    /// Where it listens.
    pub addresses: Vec<String>,
}

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
    pub generated_at: At,
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
    pub generated_at: At,
    /// How many targets there are.
    pub targets_configured: usize,
    /// Those that were asked for, by project, region and client environment.
    pub targets: Vec<TargetRow>,
}

/// The health of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How grave.
    pub tone: Tone,
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
    pub started_at: At,
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
    pub loaded_at: At,
    /// The last attempt to read it again.
    pub last_reload: Option<ReloadView>,
    /// What concerns all targets, key by key.
    pub settings: BTreeMap<&'static str, String>,
}

/// An attempt to read the configuration again.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadView {
    /// When.
    pub at: At,
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
    pub since: Option<At>,
    /// What is wrong now.
    pub problems: Vec<ProblemView>,
    /// When a poll last succeeded; none since the process started.
    pub last_success_at: Option<At>,
    /// How long ago that was.
    pub last_success_age_seconds: Option<Seconds>,
    /// Start time up to which all conversations have been read, on this machine's clock.
    pub read_to: Option<At>,
    /// How far that is behind the present.
    pub lag_seconds: Option<Seconds>,
    /// Open at the last poll.
    pub open_conversations: u64,
    /// Open or searched for.
    pub followed_conversations: usize,
    /// When the longest open one started.
    pub oldest_open_started_at: Option<At>,
    /// When the newest counted one ended.
    pub last_conversation_ended_at: Option<At>,
    /// Counted since the counters began.
    pub conversations_counted: u64,
    /// Of these, handed off.
    pub handoffs_counted: u64,
    /// The last `metrics.recent_window`.
    pub recent: RecentView,
    /// The last poll that ended.
    pub last_poll: Option<PollView>,
    /// When the poll that is running began.
    pub poll_running_since: Option<At>,
    /// When the next poll is due.
    pub next_poll_at: Option<At>,
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
    /// That ended within it.
    pub conversations: u64,
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
    pub since: At,
    /// Until when; none while it lasts.
    pub until: Option<At>,
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
    pub began_at: At,
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
    pub at: At,
    /// The recent handoff rate; none when no conversation ended.
    pub handoff_ratio: Option<Ratio>,
    /// The recent conversations.
    pub conversations: u64,
}

/// One target, in full.
#[derive(Debug, Clone, Serialize)]
pub struct TargetView {
    /// When this was looked at.
    pub generated_at: At,
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

impl Sight<'_> {
    pub(super) fn about(&self) -> About {
        About { version: self.process.build.version, revision: self.process.build.revision }
    }

    /// The global part, judged by `rows`, which are all targets.
    pub fn status(&self, rows: &[TargetRow]) -> StatusView {
        let series = self.generation.targets.iter().map(|(_, series)| series.len()).sum();
        let whole = Whole {
            now: self.now,
            configuration: self.configuration,
            series,
            state_bytes: self.generation.state_bytes,
            recent_window: self.settings.metrics.recent_window,
        };
        let (health, areas) = (health(rows, self.now), areas(rows, &whole));
        let worst = areas.iter().map(|view| view.tone).max();
        let Process { started, build, addresses } = self.process;
        let ConfigurationStatus { origin, loaded_at, last_reload } = self.configuration;
        StatusView {
            generated_at: At(self.now),
            health: Health { tone: health.tone.max(worst.unwrap_or(Tone::Good)), ..health },
            areas,
            exporter: ExporterView {
                version: build.version,
                revision: build.revision,
                started_at: At(*started),
                uptime_seconds: Seconds(self.now.since(*started)),
                listen_addresses: addresses.clone(),
                series,
                state_bytes: self.generation.state_bytes,
            },
            configuration: ConfigurationView {
                origin: origin.clone(),
                hash: hash(self.settings),
                loaded_at: At(*loaded_at),
                last_reload: last_reload.as_ref().map(|Reload { at, outcome }| ReloadView {
                    at: At(*at),
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
        let targets = rows.into_iter().filter(|row| query.admits(&row.key)).collect();
        TargetsView { generated_at: At(self.now), targets_configured, targets }
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
            generated_at: At(self.now),
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

    fn entries<T>(&self, key: &TargetKey, look: impl FnOnce(&Entries) -> T) -> T {
        match self.journals.find(key) {
            Some(journal) => journal.read(look),
            None => look(&Entries::default()),
        }
    }

    fn row(&self, target: &Target, series: &BTreeMap<&TargetKey, &TargetSeries>) -> TargetRow {
        let figures = series.get(&target.key).map(|series| Figures::of(series)).unwrap_or_default();
        let trend = self.trends.points(&target.key).iter().map(point).collect();
        self.entries(&target.key, |entries| self.judged(target, entries, &figures, trend))
    }

    fn judged(
        &self,
        target: &Target,
        entries: &Entries,
        figures: &Figures,
        trend: Vec<PointView>,
    ) -> TargetRow {
        let now = self.now;
        let evidence = Evidence {
            entries,
            started: self.process.started,
            interval: self.settings.polling.interval,
            storage_fails: figures.storage_fails.then(|| self.trends.storage_fails_since()),
        };
        let condition = evidence.judge(now);
        let mut problems: Vec<ProblemView> =
            entries.problems().map(|episode| problem(entries, episode)).collect();
        if figures.storage_fails {
            let since = condition.since.unwrap_or(now);
            let episode = Episode { problem: Problem::Storage, since, until: None, reason: String::new() };
            problems.push(ProblemView { stops_polling: true, ..problem(entries, &episode) });
        }
        problems.sort_by_key(|problem| (!problem.stops_polling, problem.since));
        TargetRow {
            project: target.key.project.clone(),
            region: target.key.region.as_str(),
            client_env: target.key.client_env.as_str(),
            host: host(&target.base_url).to_owned(),
            state: condition.state,
            sentence: condition.sentence,
            since: condition.since.map(At),
            problems,
            last_success_at: entries.last_success.map(At),
            last_success_age_seconds: entries.last_success.map(|last| Seconds(now.since(last))),
            read_to: read_to(entries).map(At),
            lag_seconds: lag(entries, now).map(Seconds),
            open_conversations: figures.open,
            followed_conversations: entries.followed,
            oldest_open_started_at: figures.oldest_open.map(At),
            last_conversation_ended_at: figures.last_conversation.map(At),
            conversations_counted: figures.conversations,
            handoffs_counted: figures.handoffs,
            recent: RecentView {
                window_seconds: Seconds(self.settings.metrics.recent_window),
                conversations: figures.recent,
                handoff_ratio: figures.recent_handoff.map(Ratio),
                ood_turn_ratio: figures.recent_ood.map(Ratio),
                silence_turn_ratio: figures.recent_silence.map(Ratio),
            },
            last_poll: entries.polls.back().map(poll),
            poll_running_since: entries.underway.map(At),
            next_poll_at: entries.next.map(At),
            failed_polls: entries.failures,
            key: target.key.clone(),
            trend,
        }
    }
}

/// The health of the whole, in one line.
fn health(rows: &[TargetRow], now: Moment) -> Health {
    let mut targets: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *targets.entry(row.state).or_default() += 1;
    }
    let in_state = |state: State| rows.iter().filter(|row| row.state == state).count();
    let total = rows.len();
    let all = if total == 1 { "The one target".to_owned() } else { format!("All {total} targets") };
    let are = |number: usize| if number == 1 { "is" } else { "are" };
    let worst = rows.iter().min_by_key(|row| row.state);
    let ill = rows.iter().filter(|row| row.state <= State::Failing).count();
    let sentence = match worst {
        None => "No target is configured.".to_owned(),
        Some(row) if row.state == State::StorageFailing => format!("{}.", row.sentence),
        Some(row) if ill > 0 => {
            let have = if ill == 1 { "has" } else { "have" };
            let which = format!("{} is {}", plain(&row.key.to_string()), row.state.words());
            let since = row.since.map(|since| format!(" since {}", since.clock(At(now)))).unwrap_or_default();
            match (ill, total) {
                (1, 1) => format!("{which}{since}."),
                (ill, total) if ill == total => {
                    format!("All {total} targets {have} a problem; {which}{since}.")
                }
                (ill, total) => format!("{ill} of {total} targets {have} a problem; {which}{since}."),
            }
        }
        Some(_) => {
            let counted = |number: usize| {
                if number == total { all.clone() } else { format!("{number} of {total} targets") }
            };
            let (untried, behind, limited) =
                (in_state(State::NotTried), in_state(State::CatchingUp), in_state(State::Limited));
            if untried > 0 {
                let has = if untried == 1 { "has" } else { "have" };
                format!("{} {has} not been tried yet.", counted(untried))
            } else if behind > 0 {
                format!("{} {} catching up.", counted(behind), are(behind))
            } else if limited > 0 {
                let some = if limited == total { "details" } else { "details of some" };
                format!("{all} {} up to date, but {some} cannot be measured.", are(total))
            } else {
                format!("{all} {} up to date.", are(total))
            }
        }
    };
    let tone = worst.map_or(Tone::Warn, |row| row.state.tone());
    Health { tone, sentence, targets }
}

fn poll(poll: &Poll) -> PollView {
    let Poll { began, took, failure, walks, traffic, records, rejected, counted } = *poll;
    PollView {
        began_at: At(began),
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

fn problem(entries: &Entries, episode: &Episode) -> ProblemView {
    let Episode { problem, since, until, reason } = episode;
    ProblemView {
        code: problem.code(),
        title: problem.title(),
        advice: problem.advice(),
        reason: (!reason.is_empty()).then(|| reason.clone()),
        since: At(*since),
        until: until.map(At),
        stops_polling: stops_polling(entries, episode),
        documentation: format!("{TROUBLESHOOTING}#{}", problem.code()),
        problem: *problem,
    }
}

fn point(point: &Point) -> PointView {
    PointView { at: At(point.at), handoff_ratio: point.ratio.map(Ratio), conversations: point.conversations }
}

fn host(base_url: &str) -> &str {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}
