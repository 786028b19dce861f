//! `demo`: the exporter against a built-in simulator, in one process on the loopback interface.

mod backfill;

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use backfill::BackfillArgs;

use super::{CliError, simulate};
use crate::app::{App, ShutdownOutcome};
use crate::config::{Metrics, Polling, Secret, Server, Settings, Storage, Target};
use polyai_domain::clock::Clock;
use polyai_domain::target::{ApiVersion, LatencyUnit, TargetKey};
use polyai_engine::aggregate::{Metric, TargetSeries, Value};
use polyai_engine::recorder::Snapshot;
use polyai_engine::recorder::task::SnapshotCell;
use polyai_simulator::{Demo, Project, Simulator, World};

/// The flags of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Address of /metrics and the status page.
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9890")]
    pub listen: SocketAddr,
    /// Address of the simulated API.
    #[arg(long = "simulator.listen-address", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9891")]
    pub simulator: SocketAddr,
    /// Interval at which the simulated API is polled.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_interval)]
    pub interval: Duration,
    /// Count calls that ended up to this long ago. Ignored with --history.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_lookback)]
    pub lookback: Duration,
    /// Seed of the simulated calls; the same seed gives the same calls.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Multiplies the number of calls.
    #[arg(long, value_name = "FACTOR", default_value_t = 3.0, value_parser = simulate::parse_volume)]
    pub volume: f64,
    /// The flags of the history.
    #[command(flatten)]
    pub backfill: BackfillArgs,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_secs(1)..=Duration::from_secs(3600), "1s and 1h")
}

/// The limits are those of `polling.initial_lookback`.
fn parse_lookback(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::ZERO..=Duration::from_secs(90 * 86_400), "0s and 90d")
}

fn parse_within(text: &str, range: RangeInclusive<Duration>, limits: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if range.contains(&duration) => Ok(duration),
        Ok(_) => Err(format!("must be between {limits}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the simulator and the exporter until `stop`.
///
/// # Errors
/// If a port is taken, or the history cannot be written.
pub async fn run(flags: &DemoArgs, stop: CancellationToken, out: &mut impl Write) -> Result<(), CliError> {
    let listener = TcpListener::bind(flags.simulator).await.map_err(|error| {
        let hint = "if another demo is running, stop it or choose other ports with this flag and --web.listen-address";
        run_time(format!("--simulator.listen-address {}: {error}; {hint}", flags.simulator))
    })?;
    let demo = Demo { seed: flags.seed, volume: flags.volume, ..Demo::default() };
    let now = Clock::system().now();
    let world =
        flags.backfill.world(World::demo(&demo), now).map_err(|error| CliError::configuration(&error))?;
    let settings = settings(flags, listener.local_addr().map_err(run_time)?, &world.projects);
    let store = match flags.backfill.plan(now, flags.listen)? {
        None => None,
        Some(plan) => match backfill::run(plan, &settings, &world, &stop, out).await? {
            None => return Ok(()),
            store => store,
        },
    };
    let simulator = Simulator::start(world, listener, Clock::system()).map_err(run_time)?;
    let storage = settings.storage.clone();
    let open = move || store.map_or_else(|| crate::app::settings_mapping::open_store(&storage), Ok);
    let app = App::build_on(&settings, Clock::system(), open).await.map_err(run_time)?;
    let (address, published) = (app.address().unwrap_or(flags.listen), app.published());
    super::warn_unprinted(print_banner(out, address, simulator.addr));
    let running = tokio::spawn(app.run(stop.clone()));
    if let Some(snapshot) = wait_first_snapshot(&published, &stop).await {
        super::warn_unprinted(print_totals(out, &snapshot, address));
    }
    let ended = running.await;
    simulator.stop().await;
    match ended {
        Ok(ShutdownOutcome::Orderly) => Ok(()),
        Ok(ShutdownOutcome::Cut) | Err(_) => Err(run_time("the demo did not shut down cleanly; see the log")),
    }
}

fn run_time(error: impl Display) -> CliError {
    CliError::run_time(&error)
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
    let target = |project: &Project, key: TargetKey| Target {
        key,
        account_id: project.account_id.clone(),
        project_id: project.project_id.clone(),
        api_version: ApiVersion::V3,
        latency_unit: LatencyUnit::Seconds,
        api_key: Secret::new(project.keys.first().map_or("", String::as_str)),
        base_url: format!("http://{simulator}/{}", project.region),
        ca_file: None,
        channels: project.channels.clone(),
    };
    let targets = projects.iter().flat_map(|project| project.targets().map(move |key| (project, key)));
    let mut targets: Vec<Target> = targets.map(|(project, key)| target(project, key)).collect();
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
    writeln!(
        out,
        "metrics          http://{exporter}/metrics\n\
         status page      http://{exporter}/\n\
         simulated API    http://{simulator}  (incidents and faults: http://{simulator}/_sim/state)\n\
         try an incident  curl -X POST 'http://{simulator}/_sim/incidents?kind=handoff&for=10m'\n\
         stop             Ctrl-C; no files are left behind\n"
    )?;
    out.flush()
}

/// Waits up to 30 s for the first snapshot that exposes every target.
async fn wait_first_snapshot(published: &SnapshotCell, stop: &CancellationToken) -> Option<Arc<Snapshot>> {
    for _ in 0..300 {
        let snapshot = published.load_full();
        let is_exposed =
            |series| sum(series, Metric::TargetUp) == 1.0 && sum(series, Metric::TargetCatchingUp) == 0.0;
        if snapshot.targets.iter().all(|(_, series)| is_exposed(series)) {
            return Some(snapshot);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            () = stop.cancelled() => return None,
        }
    }
    None
}

fn print_totals(out: &mut impl Write, snapshot: &Snapshot, address: SocketAddr) -> io::Result<()> {
    writeln!(out, "{:34} {:>9} {:>8} {:>7} {:>12}", "target", "counted", "handoffs", "turns", "in progress")?;
    for (key, series) in snapshot.targets.iter() {
        let [counted, handoffs, turns, running] =
            [Metric::Conversations, Metric::Handoffs, Metric::Turns, Metric::InProgress]
                .map(|metric| sum(series, metric));
        writeln!(out, "{:34} {counted:>9} {handoffs:>8} {turns:>7} {running:>12}", key.to_string())?;
    }
    writeln!(out, "\nall metrics: curl -s http://{address}/metrics | grep ^polyai_")?;
    out.flush()
}

/// The sum of a counter or gauge over the label sets of a target.
fn sum(series: &TargetSeries, metric: Metric) -> f64 {
    let values =
        series.iter().filter(|(key, _)| key.metric == metric).map(|(_, series)| match &series.value {
            Value::Counter(counter) => counter.count() as f64,
            Value::Gauge(value) => *value,
            Value::Histogram(_) => 0.0,
        });
    // The sum of no values would be -0.
    values.fold(0.0, |sum, value| sum + value)
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
        for (flag, value, expected) in [
            ("--interval", "2h", "must be between 1s and 1h"),
            ("--lookback", "300000y", "must be between 0s and 90d"),
            ("--volume", "NaN", "must be between 0 and 1000"),
            ("--volume", "1e300", "must be between 0 and 1000"),
            ("--history", "300000y", "must be between 10m and 7d"),
            ("--history.step", "3m", "must be between 1s and 2m"),
            ("--incident", "latency@300000y", "is more than a year"),
            ("--incident", "latency@1h+300000y", "is more than a year"),
        ] {
            let error = Line::try_parse_from(["demo", flag, value]).map(|line| line.flags).unwrap_err();
            assert!(error.to_string().contains(expected), "{flag} {value}: {error}");
        }
        let flags = Line::try_parse_from(["demo", "--lookback", "90d", "--volume", "1000"]).unwrap().flags;
        assert_eq!((flags.lookback.as_secs(), flags.volume), (90 * 86_400, 1000.0));
    }
}
