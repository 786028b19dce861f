//! `check --live`: one question to each target, and in words what the answer means, after the vendor's troubleshooting tables.
//!
//! Owns: the questions and the words. Never: state; nothing is counted or kept.

use std::io::Write;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use super::CliError;
use crate::api::{
    ApiCredentials, ApiResponse, Client, ConcurrencyLimit, DateObservation, Endpoint, FetchError,
    FetchErrorKind, Filter, Page, PageRequest, Position, RateLimiter, ServerClock, Window,
};
use crate::app::settings_mapping;
use crate::clock::Clock;
use crate::config::{Settings, Target};
use crate::problem::Problem;
use crate::data_quality::DataQuality;
use crate::target::{ApiVersion, ClientEnv, Region};
use crate::timestamp::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// What was found out about one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// What is as it should be, or good to know.
    pub notes: Vec<String>,
    /// What is wrong, with what to do.
    pub problems: Vec<String>,
}

/// Asks every target and prints what the answers mean; answers whether all is well.
///
/// # Errors
/// When a client cannot be set up, or `out` cannot be written.
pub async fn check(settings: &Settings, out: &mut impl Write) -> Result<bool, CliError> {
    let mut failing = 0;
    for target in &settings.targets {
        let asker = LiveCheck::new(settings, target)?;
        let diagnosis = asker.diagnose(target).await;
        print(target, &diagnosis, out).map_err(|error| CliError::run_time(&error))?;
        failing += usize::from(!diagnosis.problems.is_empty());
    }
    let verdict = match (failing, settings.targets.len()) {
        (0, 1) => "LIVE OK: the target answers as it should.".to_owned(),
        (0, all) => format!("LIVE OK: all {all} targets answer as they should."),
        (some, all) => format!("LIVE NOT OK: {some} of {all} targets need attention."),
    };
    writeln!(out, "{verdict}").map_err(|error| CliError::run_time(&error))?;
    Ok(failing == 0)
}

fn print(target: &Target, diagnosis: &Diagnosis, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "asking {} ...", target.key)?;
    for note in &diagnosis.notes {
        writeln!(out, "  ok       {note}")?;
    }
    for problem in &diagnosis.problems {
        writeln!(out, "  problem  {problem}")?;
    }
    writeln!(out)
}

struct LiveCheck {
    client: Client,
    pace: RateLimiter,
    clock: Clock,
}

impl LiveCheck {
    fn new(settings: &Settings, target: &Target) -> Result<Self, CliError> {
        let clock = Clock::system();
        let concurrency = ConcurrencyLimit::new(NonZeroUsize::MIN);
        let client = settings_mapping::client(&settings.polling, target, concurrency, clock.clone())
            .map_err(|error| CliError::run_time(&error))?;
        Ok(Self { client, pace: RateLimiter::new(settings.polling.requests_per_minute), clock })
    }

    /// One finished conversation of the last `stretch`, in `client_env`.
    async fn ask(&self, target: &Target, client_env: ClientEnv, stretch: Duration) -> ApiResponse {
        let endpoint = Endpoint::new(
            &target.base_url,
            target.api_version,
            &target.account_id,
            &target.project_id,
            client_env,
        );
        let credentials =
            ApiCredentials { endpoint, ..settings_mapping::credentials(target, self.pace.clone()) };
        let from = Timestamp::from(self.clock.now()) - stretch;
        let request = PageRequest {
            window: Window::since(from),
            filter: Filter::Finished,
            limit: NonZeroU16::MIN,
            position: &Position::First,
        };
        self.client.page(&credentials, &request).await
    }

    async fn diagnose(&self, target: &Target) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let ApiResponse { info, result } = self.ask(target, target.key.client_env, DAY).await;
        if let Some(observation) = info.date.filter(|observation| observation.date.is_some()) {
            diagnosis.compare_clocks(observation);
        }
        diagnosis.check_version(target.api_version);
        match result {
            Err(error) => diagnosis.problems.push(refusal(target, &error)),
            Ok(page) if page.is_empty() => self.look_elsewhere(target, &mut diagnosis).await,
            Ok(page) => diagnosis.judge(&page, Timestamp::from(self.clock.now())),
        }
        diagnosis
    }

    /// No conversation in a day: is there an older one, or one in another environment?
    async fn look_elsewhere(&self, target: &Target, diagnosis: &mut Diagnosis) {
        let own = target.key.client_env;
        match self.ask(target, own, MONTH).await.result {
            Ok(page) if !page.is_empty() => {
                diagnosis
                    .notes
                    .push("no conversation in the last day, but there are some of the last 30".into());
                return diagnosis.judge(&page, Timestamp::from(self.clock.now()));
            }
            Ok(_) | Err(_) => {}
        }
        for other in ClientEnv::ALL.into_iter().filter(|&other| other != own) {
            if let Ok(page) = self.ask(target, other, MONTH).await.result
                && !page.is_empty()
            {
                diagnosis.problems.push(format!(
                    "no conversation of the last 30 days in client_env {own}, but there are some in {other}: set client_env: [{other}] for this target, or check which environment the agent is deployed to"
                ));
                return;
            }
        }
        diagnosis.notes.push(
            "the key works, but no conversation of the last 30 days was found in any client_env: nothing can be said about transcripts and latency yet".into(),
        );
    }
}

impl Diagnosis {
    fn compare_clocks(&mut self, observation: DateObservation) {
        let mut server = ServerClock::default();
        // One answer has to do: it stands for the second that would confirm it.
        server.observe(observation);
        server.observe(observation);
        match server.skew_seconds(observation.received) {
            Some(ahead) if ahead > 0.0 => self.problems.push(format!(
                "clock_skew: this machine's clock is {ahead:.0} s ahead of the API's. {}",
                Problem::ClockSkew.advice()
            )),
            Some(behind) => self.problems.push(format!(
                "clock_skew: this machine's clock is {:.0} s behind the API's. {}",
                -behind,
                Problem::ClockSkew.advice()
            )),
            None => self.notes.push("clocks agree".into()),
        }
    }

    fn check_version(&mut self, version: ApiVersion) {
        match version {
            ApiVersion::V1 => self.notes.push(
                "v1 works, but PolyAI has not supported it since 31 August 2026, and it may lack latency; ask PolyAI for a v3 key"
                    .into(),
            ),
            ApiVersion::V2 | ApiVersion::V3 => {}
        }
    }

    fn judge(&mut self, page: &Page, now: Timestamp) {
        let mut health = DataQuality::default();
        health.observe(&page.conversations, page.rejected.len(), |_| true);
        let problems = health.finish_poll(now);
        for problem in &problems {
            self.problems.push(format!("{}: {}", problem.code(), problem.advice()));
        }
        if problems.is_empty() {
            self.notes.push("the key works, and a conversation was read with all that is counted".into());
        }
    }
}

/// A refused request in words.
fn refusal(target: &Target, error: &FetchError) -> String {
    let problem = error.kind.problem();
    let mut words = format!("{}: {error}. {}", problem.code(), problem.advice());
    match error.kind {
        FetchErrorKind::Unauthorized => {
            words.push_str(&format!(" This target asks region {}.", target.key.region));
        }
        FetchErrorKind::NotFound | FetchErrorKind::WrongHost => {
            let usual = Region::conversations_base_url(target.key.region);
            if let Some(usual) = usual.filter(|usual| *usual != target.base_url) {
                words.push_str(&format!(
                    " base_url is {}, where {} is usual for the region.",
                    target.base_url, usual
                ));
            }
        }
        FetchErrorKind::RateLimited
        | FetchErrorKind::Forbidden
        | FetchErrorKind::Refused
        | FetchErrorKind::ServerError
        | FetchErrorKind::Unreachable
        | FetchErrorKind::Timeout
        | FetchErrorKind::CutOff
        | FetchErrorKind::BadPayload => {}
    }
    if let Some(id) = &error.correlation_id {
        words.push_str(&format!(" Correlation id for PolyAI's support: {id}."));
    }
    words
}
