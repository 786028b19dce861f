//! `check --live`: requests of each target what `serve` does, in small. Nothing is stored.

use std::fmt::Write as _;
use std::io::Write;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use polyai_api::{
    ApiCredentials, ApiResponse, Client, ConcurrencyLimit, DateObservation, Endpoint, FetchError,
    FetchErrorKind, FetchedPages, FetchedRecords, Filter, Page, PageRequest, Pagination, Position,
    RateLimiter, ServerClock, Window,
};
use polyai_domain::clock::Clock;
use polyai_domain::conversation::{Conversation, ConversationState, MissingField, RejectedKind};
use polyai_domain::problem::Problem;
use polyai_domain::target::{ApiVersion, ClientEnv, Region};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::data_quality::{DataProblems, DataQuality};

use super::CliError;
use crate::app::settings_mapping;
use crate::config::{Settings, Target};
use crate::text::pluralize;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// Small, so that there is a second page.
const PAGE_SIZE: NonZeroU16 = NonZeroU16::new(2).expect("not zero");
/// 1 January 2001: no conversation started then.
const LONG_AGO: Timestamp = Timestamp::from_millis(978_307_200_000);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Default)]
struct Diagnosis {
    notes: Vec<String>,
    problems: Vec<String>,
}

/// Checks every target and prints the diagnoses. Returns whether there is no problem.
pub(super) async fn check(settings: &Settings, out: &mut impl Write) -> Result<bool, CliError> {
    let mut failing = 0;
    for target in &settings.targets {
        let Diagnosis { notes, problems } = LiveCheck::new(settings, target)?.diagnose().await;
        writeln!(out, "asking {} ...", target.key)?;
        for note in notes {
            writeln!(out, "  ok       {note}")?;
        }
        for problem in &problems {
            writeln!(out, "  problem  {problem}")?;
        }
        writeln!(out)?;
        failing += usize::from(!problems.is_empty());
    }
    match (failing, settings.targets.len()) {
        (0, 1) => writeln!(out, "LIVE OK: the target responds correctly.")?,
        (0, all) => writeln!(out, "LIVE OK: all {all} targets respond correctly.")?,
        (some, all) => writeln!(out, "LIVE NOT OK: {some} of {all} targets need attention.")?,
    }
    Ok(failing == 0)
}

struct LiveCheck<'a> {
    target: &'a Target,
    client: Client,
    rate_limiter: RateLimiter,
    clock: Clock,
}

impl<'a> LiveCheck<'a> {
    fn new(settings: &Settings, target: &'a Target) -> Result<Self, CliError> {
        let clock = Clock::system();
        let concurrency = ConcurrencyLimit::new(NonZeroUsize::MIN);
        let client = settings_mapping::client(&settings.polling, target, concurrency, clock.clone())
            .map_err(|error| CliError::run_time(&error))?;
        let rate_limiter = RateLimiter::new(settings.polling.requests_per_minute);
        Ok(Self { target, client, rate_limiter, clock })
    }

    /// Requests a page of the conversations that started within `window` in `client_env`.
    async fn request(
        &self,
        client_env: ClientEnv,
        window: Window,
        filter: Filter,
        position: &Position,
    ) -> ApiResponse {
        let Target { base_url, api_version, account_id, project_id, .. } = self.target;
        let credentials = ApiCredentials {
            endpoint: Endpoint::new(base_url, *api_version, account_id, project_id, client_env),
            ..settings_mapping::credentials(self.target, self.rate_limiter.clone())
        };
        let request = PageRequest { window, filter, limit: PAGE_SIZE, position };
        self.client.page(&credentials, &request).await
    }

    /// Requests the first page of the finished conversations that started within `window` in `client_env`.
    async fn finished(&self, client_env: ClientEnv, window: Window) -> ApiResponse {
        self.request(client_env, window, Filter::Finished, &Position::First).await
    }

    fn last(&self, period: Duration) -> Window {
        let now = Timestamp::from(self.clock.now());
        // The clocks may differ.
        Window::between(now - period, now + HOUR)
    }

    async fn diagnose(&self) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let last_day = self.last(DAY);
        let ApiResponse { info, result } = self.finished(self.target.key.client_env, last_day).await;
        if let Some(observation) = info.date.filter(|observation| observation.date.is_some()) {
            diagnosis.compare_clocks(observation);
        }
        match result {
            Err(error) => diagnosis.problems.push(explain(self.target, &error)),
            Ok(page) if page.is_empty() => self.search_elsewhere(&mut diagnosis).await,
            Ok(page) => self.examine(&mut diagnosis, page, last_day).await,
        }
        if self.target.api_version == ApiVersion::V1 {
            let fact = "PolyAI ended its support of v1 on 31 August 2026, and it may lack latency; ask PolyAI for a v3 key";
            let list = match diagnosis.problems.is_empty() {
                true => &mut diagnosis.notes,
                false => &mut diagnosis.problems,
            };
            list.push(fact.to_owned());
        }
        diagnosis
    }

    /// Looks for an older conversation, and for one in another environment.
    async fn search_elsewhere(&self, diagnosis: &mut Diagnosis) {
        let own = self.target.key.client_env;
        let last_month = self.last(MONTH);
        if let Ok(page) = self.finished(own, last_month).await.result
            && !page.is_empty()
        {
            diagnosis.notes.push("no conversation in the last day, but there are some of the last 30".into());
            return self.examine(diagnosis, page, last_month).await;
        }
        for other in ClientEnv::ALL.into_iter().filter(|&other| other != own) {
            if let Ok(page) = self.finished(other, last_month).await.result
                && !page.conversations.is_empty()
            {
                diagnosis.problems.push(format!(
                    "no conversation of the last 30 days in client_env {own}, but there are some in {other}: set client_env: [{other}] for this target, or check which environment the agent is deployed to"
                ));
                return;
            }
        }
        diagnosis.notes.push(
            "the key works, but no conversation of the last 30 days was found in any client_env: transcripts and latency cannot be checked yet".into(),
        );
    }

    /// Examines the first page of the finished conversations of `window`, and requests what `serve` does: the next page,
    /// what is in progress, and another window.
    async fn examine(&self, diagnosis: &mut Diagnosis, first: Page, window: Window) {
        let own = self.target.key.client_env;
        if first.len() > usize::from(PAGE_SIZE.get()) {
            diagnosis.problems.push(format!(
                "a page of {PAGE_SIZE} was requested, and {} records were returned: the API, or a proxy, ignores limit, so polling.page_size has no effect",
                first.len()
            ));
        }
        let mut pages = vec![first];
        if let Err(error) = self.next_page(&mut pages, window).await {
            diagnosis.problems.push(explain(self.target, &error));
        }
        let mut ignores_filter = !pages.iter().flat_map(|page| &page.conversations).all(is_finished);
        match self.request(own, Window::ALL, Filter::InProgress, &Position::First).await.result {
            Ok(open) => ignores_filter |= open.conversations.iter().any(is_finished),
            Err(error) => diagnosis.problems.push(explain(self.target, &error)),
        }
        if ignores_filter {
            diagnosis.problems.push("the API, or a proxy, ignores in_progress: finished conversations are returned as running ones are requested, or the reverse. serve distinguishes them by the field in_progress, and downloads more than it needs".into());
        }
        let past = Window::between(LONG_AGO, LONG_AGO + DAY);
        match self.request(own, past, Filter::Finished, &Position::First).await.result {
            Ok(page) if page.is_empty() => {}
            Ok(_) => diagnosis.problems.push(explain_ignored_window()),
            Err(error) => diagnosis.problems.push(explain(self.target, &error)),
        }
        diagnosis.check_quality(&pages, Timestamp::from(self.clock.now()));
    }

    /// Adds the second page, if there is one.
    async fn next_page(&self, pages: &mut Vec<Page>, window: Window) -> Result<(), FetchError> {
        let Some(first) = pages.last() else { return Ok(()) };
        let (mut pagination, mut read) = (Pagination::default(), FetchedRecords::default());
        let Some(position) = pagination.next_position(first, PAGE_SIZE)? else { return Ok(()) };
        pagination.position = position;
        read.add(first.conversations.clone())?;
        let own = self.target.key.client_env;
        let request = self.request(own, window, Filter::Finished, &pagination.position);
        let second = request.await.result?;
        pagination.next_position(&second, PAGE_SIZE)?;
        let before = read.pages.conversations.len();
        read.add(second.conversations.clone())?;
        if read.pages.conversations.len() == before && !second.conversations.is_empty() {
            return Err(FetchError::bad_payload("the second page repeats the first, so the pages never end"));
        }
        pages.push(second);
        Ok(())
    }
}

impl Diagnosis {
    fn compare_clocks(&mut self, observation: DateObservation) {
        let mut server = ServerClock::default();
        // A skew needs confirmation by a second response; this one counts as both.
        server.observe(observation);
        server.observe(observation);
        let Some(seconds) = server.skew_seconds(observation.received) else {
            return self.notes.push("clocks agree".into());
        };
        let direction = if seconds > 0.0 { "ahead of" } else { "behind" };
        self.problems.push(format!(
            "clock_skew: this machine's clock is {:.0} s {direction} the API's. {}",
            seconds.abs(),
            Problem::ClockSkew.advice()
        ));
    }

    fn check_quality(&mut self, pages: &[Page], now: Timestamp) {
        let mut fetched = FetchedPages::default();
        for page in pages {
            fetched.conversations.extend(page.conversations.iter().cloned());
            let (foreign, rejected) = page
                .rejected
                .iter()
                .cloned()
                .partition(|record| record.kind == RejectedKind::WrongEnvironment);
            fetched.rejected.extend(rejected);
            fetched.foreign.extend(foreign);
        }
        let mut quality = DataQuality::default();
        quality.observe(&fetched, |_| true);
        let DataProblems { problems, missing_fields } = quality.finish_poll(now);
        let starts = || fetched.conversations.iter().map(|one| one.data.started_at);
        if pages.iter().any(|page| page.naive_times) {
            self.notes.push("times have no zone and are taken as UTC".into());
        }
        if starts().count() > 1 && starts().all(|start| start.millis() % 1000 == 0) {
            self.notes
                .push("starts are whole seconds: the API may round them, which serve allows for".into());
        }
        if problems.is_empty() {
            let read = pluralize(fetched.conversations.len() as u64, "conversation");
            let lacking = MissingField::ALL.into_iter().filter(|&field| {
                fetched.conversations.iter().any(|one| is_finished(one) && one.data.lacks(field))
            });
            let lacking: Vec<&str> = lacking.map(MissingField::as_str).collect();
            self.notes.push(if lacking.is_empty() {
                format!("the key works, and {read} had all fields that serve counts")
            } else {
                format!("the key works; of {read}, some lack {}, which others have", lacking.join(", "))
            });
        }
        let fields: Vec<&str> = missing_fields.iter().map(|field| field.as_str()).collect();
        for problem in problems {
            self.problems.push(format!("{}: {}", problem.code(), advice(problem, &fields, &fetched)));
        }
    }
}

fn is_finished(conversation: &Conversation) -> bool {
    conversation.data.state == ConversationState::Finished
}

fn explain_ignored_window() -> String {
    "the API, or a proxy, ignores start_time and end_time: conversations are returned for a day in 2001. serve would download the whole list at every poll; report it to PolyAI, or check that the proxy forwards the query".into()
}

/// What a data problem means here, where nothing is counted, logged or polled.
fn advice(problem: Problem, fields: &[&str], fetched: &FetchedPages) -> String {
    match problem {
        Problem::PartialFields => format!(
            "the conversations that were read lack {}, so what these fields measure would be unknown. Check the key's \"Conversations data\" permission, the response metrics selected for the project, and on v1 the field whitelist.",
            fields.join(", ")
        ),
        Problem::WrongEnvironment => format!(
            "{} of {} records belong to another environment than the requested client_env; serve would not count them. A proxy may drop the parameter client_env; otherwise report it to PolyAI.",
            fetched.foreign.len(),
            fetched.len()
        ),
        Problem::BadPayload => {
            let ids: Vec<&str> = fetched.rejected.into_iter().filter_map(|one| one.id.as_deref()).collect();
            let which = if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) };
            format!(
                "{} of {} records have no readable id or start{which}; serve would not count them until they can be read. Report them to PolyAI.",
                fetched.rejected.len(),
                fetched.len()
            )
        }
        Problem::Unauthorized
        | Problem::Forbidden
        | Problem::NotFound
        | Problem::WrongHost
        | Problem::RateLimited
        | Problem::Redirected
        | Problem::BadRequest
        | Problem::ServerError
        | Problem::Unreachable
        | Problem::Timeout
        | Problem::CutOff
        | Problem::TranscriptOff
        | Problem::LatencyMissing
        | Problem::WindowIgnored
        | Problem::LatencyUnit
        | Problem::StuckConversations
        | Problem::ClockSkew
        | Problem::Storage
        | Problem::InternalError => problem.advice().to_owned(),
    }
}

/// A failed request, with advice.
fn explain(target: &Target, error: &FetchError) -> String {
    let problem = error.kind.problem();
    let mut text = format!("{}: {error}. {}", problem.code(), problem.advice());
    // Writing to a String cannot fail.
    if error.kind == FetchErrorKind::Unauthorized {
        let _ = write!(text, " This target is in region {}.", target.key.region);
    }
    if matches!(error.kind, FetchErrorKind::NotFound | FetchErrorKind::WrongHost)
        && let Some(usual) = Region::conversations_base_url(target.key.region)
        && usual != target.base_url
    {
        let _ = write!(text, " base_url is {}; {usual} is usual for the region.", target.base_url);
    }
    if let Some(id) = &error.correlation_id {
        let _ = write!(text, " Correlation id for PolyAI's support: {id}.");
    }
    text
}
