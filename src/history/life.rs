//! The daemon in borrowed time: the same passes, wire, verdicts and series as always, one poll after another.
//!
//! Owns: the loop of a poller without its waits, and the group commit of a tick. Never: faults, pace or retries, since the API in
//! the same process has none.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::BackfillSpec;
use super::scrapes::Scraper;
use crate::api::{Endpoint, FetchError, Filter, Page, PageRequest, Pagination};
use crate::app::settings_mapping;
use crate::clock::Clock;
use crate::config::{Secret, Settings};
use crate::conversation::{Conversation, ConversationState};
use crate::events::{Events, LIST_ENDPOINT};
use crate::exporter_metrics::{BuildInfo, ExporterMetrics, RequestOutcome};
use crate::ledger::store::{Store, StoreError};
use crate::ledger::transition::SeenBy;
use crate::problem::Problem;
use crate::recorder::{Batch, Observation, PollStatus, Recorder, TargetIndex};
use crate::schedule::health::DataQuality;
use crate::schedule::{FetchPlan, PassKind, PollPlanner};
use crate::simulator::{InProcessApi, World};
use crate::target::TargetKey;
use crate::timestamp::Timestamp;

/// Marks that moved without anything being counted are written, and rows forgotten, this often; as the recorder's task does.
const HOUSEKEEPING: TimeDelta = TimeDelta::seconds(60);

/// Why a time could not be lived through.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The simulated API.
    #[error("the simulated API: {0}")]
    Api(#[from] FetchError),
    /// It was to stop.
    #[error("stopped")]
    Stopped,
}

/// A daemon at some moment of the time that it lives through.
pub(super) struct Replay {
    clock: Clock,
    until: DateTime<Utc>,
    interval: TimeDelta,
    step: TimeDelta,
    next_poll: DateTime<Utc>,
    next_scrape: DateTime<Utc>,
    next_housekeeping: DateTime<Utc>,
    recorder: Recorder,
    /// Whose rows are looked through next.
    to_prune: VecDeque<TargetIndex>,
    pollers: Vec<Poller>,
    scraper: Scraper,
    stats: ExporterMetrics,
}

impl Replay {
    pub(super) fn begin(plan: &BackfillSpec, settings: &Settings, world: World) -> Result<Self, ReplayError> {
        let clock = Clock::fixed(plan.from);
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from(plan.from));
        let api = InProcessApi::new(world, clock.clone());
        let events = Events::new(stats.clone());
        let setups = settings_mapping::setups(settings);
        let store = settings_mapping::open_store(&settings.storage)?;
        let (recorder, resumes) =
            Recorder::load(store, &setups, settings_mapping::counting(settings), Timestamp::from(plan.from))?;
        let sharing = settings.targets_per_key();
        let pollers = settings.targets.iter().zip(resumes).enumerate().map(|(index, (target, resume))| {
            let sharing = sharing.get(target.api_key.expose_secret()).copied().unwrap_or(1);
            Poller {
                index: TargetIndex(index),
                target: target.key.clone(),
                passes: PollPlanner::resume(
                    settings_mapping::policy(
                        &settings.polling,
                        settings_mapping::refetch_budget(&settings.polling, sharing),
                    ),
                    resume,
                ),
                endpoint: settings_mapping::endpoint(target),
                key: target.api_key.clone(),
                page_size: settings.polling.page_size,
                health: DataQuality::default(),
                api: api.clone(),
                stats: stats.clone(),
                events: events.clone(),
            }
        });
        let pollers: Vec<Poller> = pollers.collect();
        stats.config_loaded(plan.from);
        Ok(Self {
            until: plan.until,
            interval: whole_millis(settings.polling.interval),
            step: whole_millis(plan.step),
            next_poll: plan.from,
            next_scrape: plan.from,
            next_housekeeping: plan.from + HOUSEKEEPING,
            to_prune: pollers.iter().map(|poller| poller.index).collect(),
            scraper: Scraper::new(Timestamp::from(plan.from), settings_mapping::shown(settings)),
            clock,
            recorder,
            pollers,
            stats,
        })
    }

    /// Polls up to the next scrape, and what it shows; none when the time is over.
    pub(super) fn next_scrape(&mut self) -> Result<Option<(DateTime<Utc>, String)>, ReplayError> {
        let at = self.next_scrape;
        if at > self.until {
            return Ok(None);
        }
        while self.next_poll <= at {
            self.clock.step(self.next_poll - self.clock.now());
            self.tick()?;
            self.next_poll += self.interval;
        }
        self.clock.step(at - self.clock.now());
        self.next_scrape += self.step;
        let scrape = self.scraper.scrape(self.recorder.generation(), &self.stats, Timestamp::from(at));
        Ok(Some((at, scrape)))
    }

    /// The state, complete.
    pub(super) fn end(mut self) -> Result<Store, ReplayError> {
        self.recorder.commit(true)?;
        Ok(self.recorder.into_store())
    }

    /// One poll of every target, and one transaction for all of them.
    fn tick(&mut self) -> Result<(), ReplayError> {
        let now = self.clock.now();
        for poller in &mut self.pollers {
            let started = Instant::now();
            poller.poll(Timestamp::from(now), &mut self.recorder)?;
            self.stats.poll(started.elapsed());
        }
        let tidy = now >= self.next_housekeeping;
        let started = Instant::now();
        if self.recorder.commit(tidy)? {
            self.stats.committed(started.elapsed());
        }
        if tidy {
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
    index: TargetIndex,
    target: TargetKey,
    passes: PollPlanner,
    endpoint: Endpoint,
    key: Secret,
    page_size: NonZeroU16,
    health: DataQuality,
    api: InProcessApi,
    stats: ExporterMetrics,
    events: Events,
}

impl Poller {
    /// One tick's worth of walks, as `schedule::poller` makes them.
    fn poll(&mut self, now: Timestamp, recorder: &mut Recorder) -> Result<(), ReplayError> {
        let live = self.passes.open_pass(now);
        let mut seen = self.walk(&live)?;
        self.passes.on_server_time(now, now);
        let (mut tick, progress) = self.passes.on_open_list(&seen, now);
        seen.retain(|conversation| conversation.data.state == ConversationState::InProgress);
        let fresh_before = self.passes.fresh_watermark().unwrap_or(now);
        self.hand_over(&live, seen, progress, (now, fresh_before), recorder)?;
        while let Some(walk) = self.passes.next(&mut tick, now) {
            let fresh_before = self.passes.fresh_watermark().unwrap_or(now);
            let seen = self.walk(&walk)?;
            let progress = self.passes.on_fetched(&walk, &seen, now);
            self.hand_over(&walk, seen, progress, (now, fresh_before), recorder)?;
        }
        recorder.set_poll_status(&self.status(now));
        Ok(())
    }

    /// Every page of a walk's window.
    fn walk(&mut self, walk: &FetchPlan) -> Result<Vec<Conversation>, ReplayError> {
        let mut seen = Vec::new();
        let mut rejected = 0;
        let mut way = Pagination::default();
        loop {
            let page = self.page(walk, &way)?;
            let next = way.next_position(&page, self.page_size)?;
            seen.extend(page.conversations);
            rejected += page.rejected.len();
            let Some(next) = next else { break };
            way.position = next;
        }
        self.health
            .observe(&seen, rejected, |start| PollPlanner::observation_kind(walk, start) == SeenBy::Fresh);
        Ok(seen)
    }

    fn page(&self, walk: &FetchPlan, way: &Pagination) -> Result<Page, ReplayError> {
        let (window, filter): (_, Filter) = (walk.window, walk.filter);
        let request = PageRequest { window, filter, limit: self.page_size, position: &way.position };
        let address = self.endpoint.page_url(&request);
        // What follows the address of the server.
        let from =
            address.find("://").and_then(|at| address.get(at + 3..)?.find('/').map(|path| at + 3 + path));
        let started = Instant::now();
        let reply =
            self.api.get(from.and_then(|from| address.get(from..)).unwrap_or("/"), self.key.expose_secret());
        let bytes = reply.body.len() as u64;
        let status = reply.status.unwrap_or(0);
        self.stats.request(LIST_ENDPOINT, RequestOutcome::Status(status), started.elapsed(), bytes);
        if status != 200 {
            return Err(FetchError::bad_payload(format!("{address}: HTTP {status}")).into());
        }
        Ok(Page::decode(&reply.body)?)
    }

    fn hand_over(
        &mut self,
        walk: &FetchPlan,
        seen: Vec<Conversation>,
        progress: crate::schedule::passes::PlannerUpdate,
        (now, fresh_before): (Timestamp, Timestamp),
        recorder: &mut Recorder,
    ) -> Result<(), ReplayError> {
        let sighting = |conversation: Conversation| Observation {
            sight: PollPlanner::observation_kind(walk, conversation.data.started_at),
            conversation,
        };
        for id in &progress.abandoned {
            self.events.conversation_missing(&self.target, id.as_str());
        }
        let recorded = recorder.apply_batch(&Batch {
            target: self.index,
            now,
            sightings: seen.into_iter().map(sighting).collect(),
            is_listing: walk.purpose == PassKind::Live,
            abandoned: progress.abandoned,
            marks: progress.marks,
        })?;
        recorded.folded.iter().for_each(|label| self.events.label_limit_reached(&self.target, label));
        self.passes.observe_first_finished(&recorded.finished, fresh_before, now);
        Ok(())
    }

    fn status(&mut self, now: Timestamp) -> PollStatus {
        let mut problems = self.health.finish_poll(now);
        if self.passes.oldest_open(now).is_some() {
            problems.insert(Problem::StuckConversations);
        }
        for problem in Problem::ALL {
            if problems.contains(&problem) {
                self.events.problem_started(&self.target, problem);
            } else {
                self.events.problem_ended(&self.target, problem);
            }
        }
        PollStatus { target: self.index, now, up: true, problems }
    }
}

fn whole_millis(length: Duration) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1))
}
