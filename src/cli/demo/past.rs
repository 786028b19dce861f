//! The hours before the demo: what went wrong in them, and a file with which a Prometheus has them at once.
//!
//! Owns: the flags and what is printed. Never: the living through, which is `history`'s.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::within;
use crate::cli::CliError;
use crate::config::{Polling, Settings};
use crate::history::{self, BackfillResult, BackfillSpec, ReplayError, SampleStore};
use crate::ledger::store::Store;
use crate::simulator::{Incident, IncidentKind, Project, Scope, World, parse_duration};

/// The flags about the past.
#[derive(Debug, Clone, clap::Args)]
pub struct BackfillArgs {
    /// Live through this much time before now first, in seconds, and write what Prometheus would have scraped.
    #[arg(long, value_name = "DURATION", value_parser = parse_history, requires = "file")]
    pub history: Option<Duration>,
    /// Where to write it: OpenMetrics, for `promtool tsdb create-blocks-from openmetrics FILE DIR`.
    #[arg(long = "history.file", value_name = "FILE", requires = "history")]
    pub file: Option<PathBuf>,
    /// From one scrape of the history to the next.
    #[arg(long = "history.step", value_name = "DURATION", default_value = "15s", value_parser = step)]
    pub step: Duration,
    /// The `job` label of the history, as Prometheus is going to scrape the demo.
    #[arg(long = "history.job", value_name = "NAME", default_value = "polyai")]
    pub job: String,
    /// The `instance` label of the history [default: --web.listen-address].
    #[arg(long = "history.instance", value_name = "ADDRESS:PORT")]
    pub instance: Option<String>,
    /// Something that went wrong before now, as in latency=4@2h+20m:reservations; `none` for nothing. KIND is latency, handoff,
    /// silence, ood, traffic or short_calls. Without it a history has three.
    #[arg(long = "incident", value_name = "KIND[=AMOUNT]@AGO[+LENGTH][:PROJECT]")]
    pub incidents: Vec<PastIncident>,
}

/// An incident that began some time ago.
#[derive(Debug, Clone, PartialEq)]
pub enum PastIncident {
    /// There was none.
    None,
    /// There was this one.
    Since {
        /// What.
        kind: IncidentKind,
        /// Before now.
        started_ago: Duration,
        /// None: it still lasts.
        lasting: Option<Duration>,
        /// None: everywhere.
        project: Option<String>,
    },
}

impl FromStr for PastIncident {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (what, when) = text.split_once('@').ok_or("there is no @AGO, as in latency@2h+20m")?;
        let (name, amount) = what.split_once('=').map_or((what, None), |(name, amount)| (name, Some(amount)));
        let amount = amount.map(|amount| amount.parse().map_err(|_| format!("{amount:?} is not a number")));
        let (times, project) =
            when.split_once(':').map_or((when, None), |(times, project)| (times, Some(project)));
        let (ago, length) = times.split_once('+').map_or((times, None), |(ago, length)| (ago, Some(length)));
        Ok(Self::Since {
            kind: IncidentKind::parse(name, amount.transpose()?)?,
            started_ago: parse_duration(ago)?,
            lasting: length.map(parse_duration).transpose()?,
            project: project.map(str::to_owned),
        })
    }
}

fn parse_history(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(600)..=Duration::from_secs(7 * 86_400), "10m and 7d")
}

fn step(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(1)..=Duration::from_secs(120), "1s and 2m")
}

impl BackfillArgs {
    /// `world` with what went wrong before `now`.
    ///
    /// # Errors
    /// When a project that is named does not exist.
    pub(super) fn world(&self, world: World, now: DateTime<Utc>) -> Result<World, String> {
        let usual;
        let incidents = if self.incidents.is_empty() {
            usual = self.history.map(usual_incidents).unwrap_or_default();
            &usual
        } else {
            &self.incidents
        };
        incidents.iter().try_fold(world, |world, ago| {
            let PastIncident::Since { kind, started_ago: began, lasting, project } = ago else {
                return Ok(world);
            };
            let scope = match project {
                None => Scope::All,
                Some(name) if world.projects.iter().any(|project| project.name == *name) => {
                    Scope::Project(name.clone())
                }
                Some(name) => return Err(no_project(name, &world.projects)),
            };
            let from = before(now, *began);
            // One that ends beyond all times lasts.
            let until = lasting.and_then(|lasting| from.checked_add_signed(span(lasting)));
            Ok(world.with_incident(&Incident { kind: *kind, scope, from, until }))
        })
    }

    /// What is to be lived through up to `now`, if anything is.
    ///
    /// # Errors
    /// When nobody can know how Prometheus is going to call the demo.
    pub(super) fn plan(
        &self,
        now: DateTime<Utc>,
        listen: SocketAddr,
    ) -> Result<Option<(BackfillSpec, PathBuf)>, CliError> {
        let (Some(history), Some(file)) = (self.history, &self.file) else { return Ok(None) };
        let instance = match &self.instance {
            Some(instance) => instance.clone(),
            None if listen.port() == 0 => {
                let problem = "--history with port 0 needs --history.instance: the port is not known yet";
                return Err(CliError::configuration(&problem));
            }
            None => listen.to_string(),
        };
        // The last scrape is now.
        let scrapes = u32::try_from(history.as_millis() / self.step.as_millis().max(1)).unwrap_or(u32::MAX);
        let from = before(now, self.step.saturating_mul(scrapes));
        let plan = BackfillSpec { from, until: now, step: self.step, job: self.job.clone(), instance };
        Ok(Some((plan, file.clone())))
    }
}

/// One of each kind that alerts should tell apart, each in a project of its own, with quiet in between and at the end.
fn usual_incidents(history: Duration) -> Vec<PastIncident> {
    let lasting = Some((history / 8).min(Duration::from_secs(30 * 60)));
    let incident = |kind, quarter: u32, project: &str| PastIncident::Since {
        kind,
        started_ago: history * quarter / 4,
        lasting,
        project: Some(project.to_owned()),
    };
    vec![
        incident(IncidentKind::Latency(4.0), 3, "reservations"),
        incident(IncidentKind::Handoffs(0.8), 2, "billing"),
        incident(IncidentKind::Silence(0.6), 1, "support"),
    ]
}

fn no_project(name: &str, projects: &[Project]) -> String {
    let names: Vec<&str> = projects.iter().map(|project| project.name.as_str()).collect();
    format!("--incident: there is no project {name:?}; there are {}", names.join(", "))
}

/// So long before `now`, but not before all times.
fn before(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    now.checked_sub_signed(span(duration)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// Lives through the time, writes the file and says so; the state that it leaves, or none after `stop`.
pub(super) async fn live(
    (plan, file): (BackfillSpec, PathBuf),
    settings: &Settings,
    world: &World,
    stop: &CancellationToken,
    out: &mut impl Write,
) -> Result<Option<Store>, CliError> {
    let started = Instant::now();
    // Counting begins with the history.
    let polling = Polling { initial_lookback: Duration::ZERO, ..settings.polling.clone() };
    let settings = Settings { polling, ..settings.clone() };
    let (world, stop) = (world.clone(), stop.clone());
    let path = file.clone();
    let living = tokio::task::spawn_blocking(move || {
        let BackfillResult { columns, store } = history::live(&plan, &settings, &world, &stop)?;
        let told = BackfillSummary {
            scrapes: columns.scrapes(),
            series: columns.series(),
            samples: columns.samples(),
        };
        Ok((store, told, save(&columns, &plan, &path)))
    });
    let lived = match living.await {
        Ok(lived) => lived,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    let (store, told, written) = match lived {
        Ok(lived) => lived,
        Err(ReplayError::Stopped) => return Ok(None),
        Err(error @ (ReplayError::Store(_) | ReplayError::Api(_))) => {
            return Err(CliError::run_time(&error));
        }
    };
    let file = file.display();
    written.map_err(|error| CliError::run_time(&format!("--history.file {file}: {error}")))?;
    let took = started.elapsed().as_secs_f64();
    writeln!(out, "history          {file}: {told}, in {took:.1} s")
        .map_err(|error| CliError::run_time(&error))?;
    Ok(Some(store))
}

/// Where the file is, it is complete: whoever waits for it need not ask.
fn save(columns: &SampleStore, plan: &BackfillSpec, path: &Path) -> io::Result<()> {
    let unfinished = {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        PathBuf::from(name)
    };
    let mut file = io::BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let labels = [("job", plan.job.as_str()), ("instance", plan.instance.as_str())];
    history::write(columns, &labels, &mut file)?;
    file.flush()?;
    std::fs::rename(unfinished, path)
}

/// What the file holds.
struct BackfillSummary {
    scrapes: usize,
    series: usize,
    samples: usize,
}

impl fmt::Display for BackfillSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples of {} series in {} scrapes", self.samples, self.series, self.scrapes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_incident_parses_with_and_without_options() {
        let whole = "latency=6@2h+20m:billing".parse();
        let kind = IncidentKind::Latency(6.0);
        let (began, lasting) = (Duration::from_secs(7200), Some(Duration::from_secs(1200)));
        assert_eq!(
            whole,
            Ok(PastIncident::Since {
                kind,
                started_ago: began,
                lasting,
                project: Some("billing".to_owned())
            })
        );
        let kind = IncidentKind::Handoffs(0.8);
        let bare = "handoff@90s".parse();
        assert_eq!(
            bare,
            Ok(PastIncident::Since {
                kind,
                started_ago: Duration::from_secs(90),
                lasting: None,
                project: None
            })
        );
        assert_eq!("none".parse(), Ok(PastIncident::None));
    }

    #[test]
    fn bad_past_incident_is_quoted_in_the_error() {
        for (text, named) in [
            ("latency", "no @AGO"),
            ("fire@2h", "\"fire\" is not an incident"),
            ("latency=much@2h", "\"much\" is not a number"),
            ("handoff=7@2h", "a share from 0 to 1"),
            ("latency@soon", "\"soon\""),
            ("latency@2y", "more than a year"),
        ] {
            let error = text.parse::<PastIncident>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn past_incident_of_any_length_is_accepted() {
        let past = |began, lasting| {
            let incidents = vec![PastIncident::Since {
                kind: IncidentKind::ShortCalls,
                started_ago: began,
                lasting,
                project: None,
            }];
            BackfillArgs {
                history: None,
                file: None,
                step: Duration::from_secs(15),
                job: String::new(),
                instance: None,
                incidents,
            }
        };
        for (began, lasting) in [(Duration::MAX, None), (Duration::ZERO, Some(Duration::MAX))] {
            assert!(past(began, lasting).world(World::new([]), DateTime::UNIX_EPOCH).is_ok());
        }
    }

    #[test]
    fn default_incidents_end_before_the_demo_starts() {
        for hours in [1, 6, 24] {
            for incident in usual_incidents(Duration::from_secs(hours * 3600)) {
                let PastIncident::Since { started_ago: began, lasting: Some(lasting), .. } = incident else {
                    panic!("it ends")
                };
                assert!(lasting < began / 2 + Duration::from_secs(1), "{hours} h: {lasting:?} of {began:?}");
            }
        }
    }
}
