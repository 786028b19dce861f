//! The history before the demo: past incidents, and samples for Prometheus as OpenMetrics.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{parse_within, run_time};
use crate::backfill::{self, BackfillResult, BackfillSpec, ReplayError, SampleStore};
use crate::cli::CliError;
use crate::config::{Polling, Settings};
use polyai_engine::ledger::store::Store;
use polyai_simulator::{Incident, IncidentKind, Scope, World, parse_duration};

/// The flags of the history.
#[derive(Debug, Clone, clap::Args)]
pub struct BackfillArgs {
    /// Backfill this much history before starting (takes seconds) and write it as OpenMetrics.
    #[arg(long, value_name = "DURATION", value_parser = parse_history, requires = "file")]
    pub history: Option<Duration>,
    /// File for the history, for `promtool tsdb create-blocks-from openmetrics FILE DIR`.
    #[arg(long = "history.file", value_name = "FILE", requires = "history")]
    pub file: Option<PathBuf>,
    /// Interval between backfilled samples.
    #[arg(long = "history.step", value_name = "DURATION", default_value = "15s", value_parser = parse_step)]
    pub step: Duration,
    /// `job` label for backfilled samples.
    #[arg(long = "history.job", value_name = "NAME", default_value = "polyai")]
    pub job: String,
    /// `instance` label for backfilled samples [default: --web.listen-address].
    #[arg(long = "history.instance", value_name = "ADDRESS:PORT")]
    pub instance: Option<String>,
    /// Incident before now, as in latency=4@2h+20m:reservations, or `none`. KIND is latency, handoff, silence, ood, traffic or
    /// short_calls. By default, a history has three.
    #[arg(long = "incident", value_name = "KIND[=AMOUNT]@AGO[+LENGTH][:PROJECT]", value_parser = parse_incident)]
    pub incidents: Vec<Option<PastIncident>>,
}

/// An incident that began some time ago.
#[derive(Debug, Clone, PartialEq)]
pub struct PastIncident {
    /// The change to calls.
    pub kind: IncidentKind,
    /// Before now.
    pub started_ago: Duration,
    /// `None` if it has not ended.
    pub lasting: Option<Duration>,
    /// `None` for all projects.
    pub project: Option<String>,
}

/// Parses an incident, or `none`.
fn parse_incident(text: &str) -> Result<Option<PastIncident>, String> {
    /// Splits off the part after `separator`, if there is one.
    fn split(text: &str, separator: char) -> (&str, Option<&str>) {
        text.split_once(separator).map_or((text, None), |(start, end)| (start, Some(end)))
    }
    if text == "none" {
        return Ok(None);
    }
    let (what, when) = text.split_once('@').ok_or("there is no @AGO, as in latency@2h+20m")?;
    let (name, amount) = split(what, '=');
    let amount = amount.map(|amount| amount.parse().map_err(|_| format!("{amount:?} is not a number")));
    let (times, project) = split(when, ':');
    let (ago, length) = split(times, '+');
    Ok(Some(PastIncident {
        kind: IncidentKind::parse(name, amount.transpose()?)?,
        started_ago: parse_duration(ago)?,
        lasting: length.map(parse_duration).transpose()?,
        project: project.map(str::to_owned),
    }))
}

fn parse_history(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_secs(600)..=Duration::from_secs(7 * 86_400), "10m and 7d")
}

fn parse_step(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_secs(1)..=Duration::from_secs(120), "1s and 2m")
}

impl BackfillArgs {
    /// Adds the incidents before `now` to `world`.
    ///
    /// # Errors
    /// If a named project does not exist.
    pub(super) fn world(&self, world: World, now: DateTime<Utc>) -> Result<World, String> {
        let incidents = match (self.incidents.as_slice(), self.history) {
            ([], Some(history)) => default_incidents(history).map(Some).to_vec(),
            (incidents, _) => incidents.to_vec(),
        };
        incidents.into_iter().flatten().try_fold(world, |world, past| {
            let PastIncident { kind, started_ago, lasting, project } = past;
            let names: Vec<&str> = world.projects.iter().map(|project| project.name.as_str()).collect();
            let scope = match project {
                Some(name) if !names.contains(&name.as_str()) => {
                    return Err(format!(
                        "--incident: unknown project {name:?}; use one of {}",
                        names.join(", ")
                    ));
                }
                project => project.map_or(Scope::All, Scope::Project),
            };
            let from = before(now, started_ago);
            // An incident that ends after the last possible time does not end.
            let until = lasting.and_then(|lasting| from.checked_add_signed(time_delta(lasting)));
            Ok(world.with_incident(&Incident { kind, scope, from, until }))
        })
    }

    /// The history up to `now` and its file, if requested.
    ///
    /// # Errors
    /// If the `instance` label is unknown.
    pub(super) fn plan(
        &self,
        now: DateTime<Utc>,
        listen: SocketAddr,
    ) -> Result<Option<(BackfillSpec, PathBuf)>, CliError> {
        let (Some(history), Some(file)) = (self.history, &self.file) else { return Ok(None) };
        if self.instance.is_none() && listen.port() == 0 {
            let problem = "--history with port 0 needs --history.instance: the port is not known yet";
            return Err(CliError::configuration(&problem));
        }
        let instance = self.instance.clone().unwrap_or_else(|| listen.to_string());
        // The last sample is at `now`.
        let steps = u32::try_from(history.as_millis() / self.step.as_millis().max(1)).unwrap_or(u32::MAX);
        let from = before(now, self.step.saturating_mul(steps));
        let plan = BackfillSpec { from, until: now, step: self.step, job: self.job.clone(), instance };
        Ok(Some((plan, file.clone())))
    }
}

/// Three kinds that alerts distinguish, each in another project, with calm between them and at the end.
fn default_incidents(history: Duration) -> [PastIncident; 3] {
    let lasting = Some((history / 8).min(Duration::from_secs(30 * 60)));
    let incidents = [
        (IncidentKind::Latency(4.0), 3, "reservations"),
        (IncidentKind::Handoffs(0.8), 2, "billing"),
        (IncidentKind::Silence(0.6), 1, "support"),
    ];
    incidents.map(|(kind, quarters, project)| {
        let started_ago = history * quarters / 4;
        PastIncident { kind, started_ago, lasting, project: Some(project.to_owned()) }
    })
}

/// `now` minus `duration`, or the first possible time.
fn before(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    now.checked_sub_signed(time_delta(duration)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// Backfills the history and writes its file. Returns the state at its end, or `None` after `stop`.
pub(super) async fn run(
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
    let (world, stop, path) = (world.clone(), stop.clone(), file.clone());
    let replay = tokio::task::spawn_blocking(move || {
        let BackfillResult { samples, store } = backfill::run(&plan, &settings, &world, &stop)?;
        let summary = format!(
            "{} samples of {} series in {} scrapes",
            samples.sample_count(),
            samples.series_count(),
            samples.scrape_count()
        );
        Ok((store, summary, save(&samples, &plan, &path)))
    });
    let (store, summary, written) = match replay.await {
        Ok(Ok(replayed)) => replayed,
        Ok(Err(ReplayError::Stopped)) => return Ok(None),
        Ok(Err(error @ (ReplayError::Store(_) | ReplayError::Api(_)))) => {
            return Err(run_time(error));
        }
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    let file = file.display();
    written.map_err(|error| run_time(format!("--history.file {file}: {error}")))?;
    let seconds = started.elapsed().as_secs_f64();
    crate::cli::warn_unprinted(writeln!(out, "history          {file}: {summary}, in {seconds:.1} s"));
    Ok(Some(store))
}

/// Writes the file under another name first, so that an existing file is complete.
fn save(samples: &SampleStore, plan: &BackfillSpec, path: &Path) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file = io::BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let labels = [("job", plan.job.as_str()), ("instance", plan.instance.as_str())];
    backfill::write(samples, &labels, &mut file)?;
    file.flush()?;
    std::fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_incident_parses_with_and_without_options() {
        let full = PastIncident {
            kind: IncidentKind::Latency(6.0),
            started_ago: Duration::from_secs(7200),
            lasting: Some(Duration::from_secs(1200)),
            project: Some("billing".to_owned()),
        };
        assert_eq!(parse_incident("latency=6@2h+20m:billing"), Ok(Some(full)));
        let bare = PastIncident {
            kind: IncidentKind::Handoffs(0.8),
            started_ago: Duration::from_secs(90),
            lasting: None,
            project: None,
        };
        assert_eq!(parse_incident("handoff@90s"), Ok(Some(bare)));
        assert_eq!(parse_incident("none"), Ok(None));
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
            let error = parse_incident(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn past_incident_of_any_length_is_accepted() {
        let past = |started_ago, lasting| {
            let kind = IncidentKind::ShortCalls;
            let incidents = vec![Some(PastIncident { kind, started_ago, lasting, project: None })];
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
            for incident in default_incidents(Duration::from_secs(hours * 3600)) {
                let PastIncident { started_ago, lasting, .. } = incident;
                assert!(
                    lasting.unwrap() < started_ago / 2 + Duration::from_secs(1),
                    "{hours} h: {lasting:?}"
                );
            }
        }
    }
}
