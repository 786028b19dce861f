//! `demo`: the simulator and the exporter in one process, on loopback, without an account and without a file left behind.

mod past;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use past::BackfillArgs;

use super::{CliError, simulate};
use crate::aggregate::{Metric, TargetSeries, Value};
use crate::app::{App, ShutdownOutcome};
use crate::clock::Clock;
use crate::config::{Metrics, Polling, Secret, Server, Settings, Storage, Target};
use crate::recorder::Snapshot;
use crate::recorder::task::SnapshotCell;
use crate::simulator::{Demo, Project, Simulator, World};
use crate::target::{ApiVersion, TargetKey};

/// The flags of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Where the exporter serves /metrics.
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9890")]
    pub listen: SocketAddr,
    /// Where the simulated API listens.
    #[arg(long = "simulator.listen-address", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9891")]
    pub simulator: SocketAddr,
    /// How often the simulated API is polled.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = interval)]
    pub interval: Duration,
    /// How far back calls are counted, so that there is something to see at once; with --history, its beginning is.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lookback)]
    pub lookback: Duration,
    /// The same seed gives the same calls.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Multiplies the number of calls.
    #[arg(long, value_name = "FACTOR", default_value_t = 3.0, value_parser = simulate::volume)]
    pub volume: f64,
    /// The hours before now.
    #[command(flatten)]
    pub past: BackfillArgs,
}

fn interval(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(1)..=Duration::from_secs(3600), "1s and 1h")
}

/// As `polling.initial_lookback`.
fn lookback(text: &str) -> Result<Duration, String> {
    within(text, Duration::ZERO..=Duration::from_secs(90 * 86_400), "0s and 90d")
}

fn within(text: &str, range: RangeInclusive<Duration>, limits: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if range.contains(&duration) => Ok(duration),
        Ok(_) => Err(format!("must be between {limits}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs both until `stop`.
///
/// # Errors
/// When a port is taken, or `out` is gone.
pub async fn run(flags: &DemoArgs, stop: CancellationToken, out: &mut impl Write) -> Result<(), CliError> {
    let listener = TcpListener::bind(flags.simulator).await.map_err(|error| {
        CliError::run_time(&format!(
            "--simulator.listen-address {}: {error}; if another demo runs, stop it, or name other ports with this flag and --web.listen-address",
            flags.simulator
        ))
    })?;
    let demo = Demo { seed: flags.seed, volume: flags.volume, ..Demo::default() };
    let now = Clock::system().now();
    let world = flags.past.world(World::demo(&demo), now).map_err(|error| CliError::configuration(&error))?;
    let address = listener.local_addr().map_err(|error| CliError::run_time(&error))?;
    let settings = settings(flags, address, &world.projects);
    let store = match flags.past.plan(now, flags.listen)? {
        None => None,
        Some(plan) => {
            let Some(store) = past::live(plan, &settings, &world, &stop, out).await? else { return Ok(()) };
            Some(store)
        }
    };
    let simulator =
        Simulator::start(world, listener, Clock::system()).map_err(|error| CliError::run_time(&error))?;
    let storage = settings.storage.clone();
    let open = move || store.map_or_else(|| crate::app::settings_mapping::open_store(&storage), Ok);
    let app =
        App::build_on(&settings, Clock::system(), open).await.map_err(|error| CliError::run_time(&error))?;
    let (address, published) = (app.address().unwrap_or(flags.listen), app.published());
    super::warn_unprinted(print_banner(out, address, simulator.addr));
    let running = tokio::spawn(app.run(stop.clone()));
    if let Some(generation) = wait_first_snapshot(&published, &stop).await {
        super::warn_unprinted(sample(out, &generation, address));
    }
    let ended = running.await;
    simulator.stop().await;
    match ended {
        Ok(ShutdownOutcome::Orderly) => Ok(()),
        Ok(ShutdownOutcome::Cut) | Err(_) => {
            Err(CliError::run_time(&"the demo did not stop in order; see the log"))
        }
    }
}

fn settings(flags: &DemoArgs, simulator: SocketAddr, projects: &[Project]) -> Settings {
    let polling = Polling {
        interval: flags.interval,
        settle: Duration::from_secs(2),
        initial_lookback: flags.lookback,
        requests_per_minute: const { NonZeroU32::new(6000).expect("not zero") },
        max_concurrent_requests: const { NonZeroUsize::new(4).expect("not zero") },
        ..Polling::default()
    };
    let mut targets: Vec<Target> = projects
        .iter()
        .flat_map(|project| project.client_envs.iter().map(move |&client_env| (project, client_env)))
        .map(|(project, client_env)| Target {
            key: TargetKey { project: project.name.clone(), region: project.region, client_env },
            account_id: project.account_id.clone(),
            project_id: project.project_id.clone(),
            api_version: ApiVersion::V3,
            api_key: Secret::new(project.keys.first().map_or("", String::as_str)),
            base_url: format!("http://{simulator}/{}", project.region),
            ca_file: None,
            channels: project.channels.clone(),
        })
        .collect();
    targets.sort_by(|a, b| a.key.cmp(&b.key));
    Settings {
        server: Server { listen: vec![flags.listen.into()], web_config_file: None },
        storage: Storage::Ephemeral,
        polling,
        metrics: Metrics::default(),
        targets,
    }
}

fn print_banner(out: &mut impl Write, exporter: SocketAddr, simulator: SocketAddr) -> io::Result<()> {
    writeln!(out, "metrics          http://{exporter}/metrics")?;
    writeln!(out, "status page      http://{exporter}/")?;
    writeln!(
        out,
        "simulated API    http://{simulator}  (incidents and faults: http://{simulator}/_sim/state)"
    )?;
    writeln!(out, "try an incident  curl -X POST 'http://{simulator}/_sim/incidents?kind=handoff&for=10m'")?;
    writeln!(out, "stop             Ctrl-C; nothing is left behind\n")?;
    out.flush()
}

/// The first generation in which every target has been polled.
async fn wait_first_snapshot(published: &SnapshotCell, stop: &CancellationToken) -> Option<Arc<Snapshot>> {
    let up = |(_, series): &(_, Arc<TargetSeries>)| gauge(series, Metric::TargetUp) == 1.0;
    for _ in 0..300 {
        let generation = published.load_full();
        if generation.targets.iter().all(up) {
            return Some(generation);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            () = stop.cancelled() => return None,
        }
    }
    None
}

fn sample(out: &mut impl Write, generation: &Snapshot, address: SocketAddr) -> io::Result<()> {
    writeln!(out, "{:34} {:>9} {:>8} {:>7} {:>12}", "target", "counted", "handoffs", "turns", "in progress")?;
    for (key, series) in &generation.targets {
        writeln!(
            out,
            "{:34} {:>9} {:>8} {:>7} {:>12}",
            key.to_string(),
            total(series, Metric::Conversations),
            total(series, Metric::Handoffs),
            total(series, Metric::Turns),
            gauge(series, Metric::InProgress),
        )?;
    }
    writeln!(out, "\nand so on: curl -s http://{address}/metrics | grep ^polyai_")?;
    out.flush()
}

/// The sum of a counter over the label sets of a target.
fn total(series: &TargetSeries, metric: Metric) -> u64 {
    let values = series.iter().filter(|(key, _)| key.metric == metric);
    values
        .map(|(_, series)| match &series.value {
            Value::Counter(counter) => counter.count(),
            Value::Gauge(_) | Value::Histogram(_) => 0,
        })
        .sum()
}

/// The sum of a gauge over the label sets of a target.
fn gauge(series: &TargetSeries, metric: Metric) -> f64 {
    let values = series.iter().filter(|(key, _)| key.metric == metric);
    values
        .map(|(_, series)| match series.value {
            Value::Gauge(value) => value,
            Value::Counter(_) | Value::Histogram(_) => 0.0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: DemoArgs,
    }

    #[test]
    fn flags_out_of_range_are_rejected_with_the_range() {
        for (flag, value, right) in [
            ("--interval", "2h", "must be between 1s and 1h"),
            ("--lookback", "300000y", "must be between 0s and 90d"),
            ("--volume", "NaN", "a number from 0 to 1000 is wanted"),
            ("--volume", "1e300", "a number from 0 to 1000 is wanted"),
            ("--history", "300000y", "must be between 10m and 7d"),
            ("--history.step", "3m", "must be between 1s and 2m"),
            ("--incident", "latency@300000y", "is more than a year"),
            ("--incident", "latency@1h+300000y", "is more than a year"),
        ] {
            let refused = Line::try_parse_from(["demo", flag, value]).map(|line| line.flags).unwrap_err();
            assert!(refused.to_string().contains(right), "{flag} {value}: {refused}");
        }
        let flags = Line::try_parse_from(["demo", "--lookback", "90d", "--volume", "1000"]).unwrap().flags;
        assert_eq!((flags.lookback.as_secs(), flags.volume), (90 * 86_400, 1000.0));
    }
}
