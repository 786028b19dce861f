//! `check --live`: requests one conversation of each target and diagnoses the response. Nothing is stored.

use std::fmt::Write as _;
use std::io::Write;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use polyai_api::{
    ApiCredentials, ApiResponse, Client, ConcurrencyLimit, DateObservation, Endpoint, FetchError,
    FetchErrorKind, FetchedPages, Filter, Page, PageRequest, Position, RateLimiter, ServerClock, Window,
};
use polyai_domain::clock::Clock;
use polyai_domain::problem::Problem;
use polyai_domain::target::{ApiVersion, ClientEnv, Region};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::data_quality::DataQuality;

use super::CliError;
use crate::app::settings_mapping;
use crate::config::{Settings, Target};

const DAY: Duration = Duration::from_secs(24 * 3600);
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

    /// Requests one finished conversation of the last `period` in `client_env`.
    async fn request(&self, client_env: ClientEnv, period: Duration) -> ApiResponse {
        let Target { base_url, api_version, account_id, project_id, .. } = self.target;
        let credentials = ApiCredentials {
            endpoint: Endpoint::new(base_url, *api_version, account_id, project_id, client_env),
            ..settings_mapping::credentials(self.target, self.rate_limiter.clone())
        };
        let request = PageRequest {
            window: Window::since(Timestamp::from(self.clock.now()) - period),
            filter: Filter::Finished,
            limit: NonZeroU16::MIN,
            position: &Position::First,
        };
        self.client.page(&credentials, &request).await
    }

    async fn diagnose(&self) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let ApiResponse { info, result } = self.request(self.target.key.client_env, DAY).await;
        if let Some(observation) = info.date.filter(|observation| observation.date.is_some()) {
            diagnosis.compare_clocks(observation);
        }
        if self.target.api_version == ApiVersion::V1 {
            let fact = "PolyAI ended its support of v1 on 31 August 2026, and it may lack latency; ask PolyAI for a v3 key";
            match result {
                Ok(_) => diagnosis.notes.push(format!("v1 still answers, but {fact}")),
                Err(_) => diagnosis.problems.push(fact.to_owned()),
            }
        }
        match result {
            Err(error) => diagnosis.problems.push(explain(self.target, &error)),
            Ok(page) if page.is_empty() => self.search_elsewhere(&mut diagnosis).await,
            Ok(page) => diagnosis.check_quality(&page, Timestamp::from(self.clock.now())),
        }
        diagnosis
    }

    /// Looks for an older conversation, and for one in another environment.
    async fn search_elsewhere(&self, diagnosis: &mut Diagnosis) {
        let own = self.target.key.client_env;
        if let Ok(page) = self.request(own, MONTH).await.result
            && !page.is_empty()
        {
            diagnosis.notes.push("no conversation in the last day, but there are some of the last 30".into());
            return diagnosis.check_quality(&page, Timestamp::from(self.clock.now()));
        }
        for other in ClientEnv::ALL.into_iter().filter(|&other| other != own) {
            if let Ok(page) = self.request(other, MONTH).await.result
                && !page.is_empty()
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

    fn check_quality(&mut self, page: &Page, now: Timestamp) {
        let mut quality = DataQuality::default();
        let mut fetched =
            FetchedPages { conversations: page.conversations.clone(), ..FetchedPages::default() };
        fetched.rejected.extend(page.rejected.clone());
        quality.observe(&fetched, |_| true);
        let problems = quality.finish_poll(now).problems;
        if problems.is_empty() {
            self.notes
                .push("the key works, and a conversation was read with all fields that are counted".into());
        }
        let problems = problems.iter().map(|problem| format!("{}: {}", problem.code(), problem.advice()));
        self.problems.extend(problems);
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
