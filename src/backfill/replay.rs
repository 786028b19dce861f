//! The daemon in simulated time: its poll sessions and its recorder, one poll after another without waiting.
//!
//! There are no faults, rate limits or retries, since the API is in the same process.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::BackfillSpec;
use super::scraper::Scraper;
use polyai_domain::fetch::{FetchError, FetchedPages};

use crate::app::settings_mapping;
use crate::config::{Secret, Settings};
use crate::events::Events;
use crate::exporter_metrics::{BuildInfo, ExporterMetrics, RequestOutcome};
use crate::poller::report::{log_notice, log_problems};
use polyai_api::{Endpoint, Page, PageRequest, Pagination, Position};
use polyai_domain::clock::Clock;
use polyai_domain::target::TargetKey;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::ledger::store::{Store, StoreError};
use polyai_engine::planner::FetchPlan;
use polyai_engine::poll_session::{Command, PollSession, SessionTime};
use polyai_engine::recorder::{BatchOutcome, Recorder, TargetIndex};
use polyai_simulator::{InProcessApi, World};

/// How often watermarks alone are written and rows are pruned, as by the recorder's task.
const HOUSEKEEPING: TimeDelta = TimeDelta::seconds(60);

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The simulated API does not respond as it should.
    #[error("the simulated API: {0}")]
    Api(#[from] FetchError),
    /// It was cancelled.
    #[error("stopped")]
    Stopped,
}

/// A daemon at some moment of the simulated time.
pub(super) struct Replay {
    clock: Clock,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    interval: TimeDelta,
    step: TimeDelta,
    next_poll: DateTime<Utc>,
    next_scrape: DateTime<Utc>,
    next_housekeeping: DateTime<Utc>,
    recorder: Recorder,
    /// Targets in the order in which their rows are pruned.
    to_prune: VecDeque<TargetIndex>,
    pollers: Vec<Poller>,
    scraper: Scraper,
    stats: ExporterMetrics,
}

impl Replay {
    pub(super) fn new(spec: &BackfillSpec, settings: &Settings, world: World) -> Result<Self, ReplayError> {
        let clock = Clock::fixed(spec.from);
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from(spec.from));
        let api = InProcessApi::new(world, clock.clone());
        let events = Events::new(stats.clone());
        let setups = settings_mapping::setups(settings);
        let store = settings_mapping::open_store(&settings.storage)?;
        let (recorder, resumes) =
            Recorder::load(store, &setups, settings_mapping::counting(settings), Timestamp::from(spec.from))?;
        let sharing = settings.targets_per_key();
        let pollers = settings.targets.iter().zip(resumes).enumerate().map(|(index, (target, resume))| {
            let sharing = sharing.get(target.api_key.expose_secret()).copied().unwrap_or(1);
            Poller {
                session: PollSession::resume(
                    TargetIndex(index),
                    settings_mapping::policy(
                        &settings.polling,
                        settings_mapping::refetch_budget(&settings.polling, sharing),
                    ),
                    resume,
                ),
                target: target.key.clone(),
                endpoint: settings_mapping::endpoint(target),
                key: target.api_key.clone(),
                page_size: settings.polling.page_size,
                outcome: BatchOutcome::default(),
                api: api.clone(),
                stats: stats.clone(),
                events: events.clone(),
            }
        });
        let pollers: Vec<Poller> = pollers.collect();
        stats.config_loaded(spec.from);
        Ok(Self {
            from: spec.from,
            until: spec.until,
            interval: whole_millis(settings.polling.interval),
            step: whole_millis(spec.step),
            next_poll: spec.from,
            next_scrape: spec.from,
            next_housekeeping: spec.from + HOUSEKEEPING,
            to_prune: (0..pollers.len()).map(TargetIndex).collect(),
            scraper: Scraper::new(Timestamp::from(spec.from), settings_mapping::format_options(settings)),
            clock,
            recorder,
            pollers,
            stats,
        })
    }

    /// Polls up to the next scrape and returns it; `None` when the time is over.
    pub(super) fn next_scrape(&mut self) -> Result<Option<(DateTime<Utc>, String)>, ReplayError> {
        let at = self.next_scrape;
        if at > self.until {
            return Ok(None);
        }
        while self.next_poll <= at {
            self.clock.step(self.next_poll - self.clock.now());
            self.poll_all()?;
            self.next_poll += self.interval;
        }
        self.clock.step(at - self.clock.now());
        self.next_scrape += self.step;
        let scrape = self.scraper.scrape(self.recorder.snapshot(), &self.stats, Timestamp::from(at));
        Ok(Some((at, scrape)))
    }

    /// Commits everything and returns the state.
    pub(super) fn finish(mut self) -> Result<Store, ReplayError> {
        self.recorder.commit(true)?;
        Ok(self.recorder.into_store())
    }

    /// Polls every target, and commits all of them in one transaction.
    fn poll_all(&mut self) -> Result<(), ReplayError> {
        let now = self.clock.now();
        let steady = (now - self.from).to_std().unwrap_or_default();
        let time = SessionTime { api: Timestamp::from(now), steady, certain: true, skewed: false };
        for poller in &mut self.pollers {
            let started = Instant::now();
            poller.poll(time, &mut self.recorder)?;
            self.stats.poll(started.elapsed());
        }
        let is_housekeeping = now >= self.next_housekeeping;
        let started = Instant::now();
        if self.recorder.commit(is_housekeeping)? {
            self.stats.committed(started.elapsed());
        }
        if is_housekeeping {
            self.next_housekeeping = now + HOUSEKEEPING;
            if let Some(target) = self.to_prune.pop_front() {
                self.recorder.prune(target)?;
                self.to_prune.push_back(target);
            }
        }
        Ok(())
    }
}

/// The poller of one target.
struct Poller {
    session: PollSession,
    target: TargetKey,
    endpoint: Endpoint,
    key: Secret,
    page_size: NonZeroU16,
    /// The outcome of the submitted batch, which is committed with those of the other targets.
    outcome: BatchOutcome,
    api: InProcessApi,
    stats: ExporterMetrics,
    events: Events,
}

impl Poller {
    /// Polls once, at a fixed time.
    fn poll(&mut self, time: SessionTime, recorder: &mut Recorder) -> Result<(), ReplayError> {
        self.session.start(time);
        while let Some(command) = self.session.next_command(time) {
            match command {
                Command::Fetch(plan, _) => {
                    let pages = self.fetch(&plan)?;
                    self.session.on_fetched(Ok(pages), time);
                }
                Command::Submit(batch) => {
                    self.outcome = recorder.apply_batch(&batch)?;
                    let limited = self.outcome.limited_labels.iter();
                    limited.for_each(|label| self.events.label_limit_reached(&self.target, label));
                }
                Command::AwaitCommit => self.session.on_committed(&self.outcome, time),
                Command::Notify(notice) => log_notice(&self.events, &self.target, &notice),
                Command::Report(report) => {
                    log_problems(&self.events, &self.target, &report);
                    recorder.set_poll_status(&report.status);
                }
            }
        }
        Ok(())
    }

    /// Reads every page of a window.
    fn fetch(&self, plan: &FetchPlan) -> Result<FetchedPages, ReplayError> {
        let mut fetched = FetchedPages { complete: true, ..FetchedPages::default() };
        let mut pagination = Pagination::default();
        loop {
            let page = self.page(plan, &pagination.position)?;
            let next = pagination.next_position(&page, self.page_size)?;
            fetched.conversations.extend(page.conversations);
            fetched.rejected.extend(page.rejected);
            match next {
                Some(position) => pagination.position = position,
                None => return Ok(fetched),
            }
        }
    }

    fn page(&self, plan: &FetchPlan, position: &Position) -> Result<Page, ReplayError> {
        let (window, filter) = (plan.window, plan.filter);
        let request = PageRequest { window, filter, limit: self.page_size, position };
        let address = self.endpoint.page_url(&request);
        let path =
            address.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
        let started = Instant::now();
        let reply = self.api.get(path.unwrap_or("/"), self.key.expose_secret());
        let bytes = reply.body.len() as u64;
        let status = reply.status.unwrap_or(0);
        self.stats.request(RequestOutcome::Status(status), started.elapsed(), bytes);
        if status != 200 {
            return Err(FetchError::bad_payload(format!("{address}: HTTP {status}")).into());
        }
        Ok(Page::decode(&reply.body)?)
    }
}

fn whole_millis(length: Duration) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1))
}
