//! A full disk: the last committed totals are served, and nothing is lost.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::{Call, Project};
use tokio::process::Command;

use super::daemon::{BINARY, Daemon, command, serve_arguments};
use super::fixture::Fixture;
use super::skip;

const PATIENCE: Duration = Duration::from_secs(60);
const MANY: usize = 8_000;

/// How the state's disk is filled and freed under a running daemon.
enum Squeeze {
    /// A small file system, seen by the daemon alone, with a file on it that takes all the space.
    SmallDisk,
    /// The daemon's files may not grow beyond the size that the state has (RLIMIT_FSIZE), as under a quota.
    SizeLimit,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_delays_totals_and_loses_none() {
    if !may_mount().await {
        skip("this user may not mount a file system, not even in a namespace of its own");
        return;
    }
    full_disk(&Squeeze::SmallDisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_size_limit_delays_totals_and_loses_none() {
    full_disk(&Squeeze::SizeLimit).await;
}

async fn full_disk(squeeze: &Squeeze) {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::minutes(10)).await;
    let target = fixture.targets().remove(0);
    let state = fixture.path("state");
    std::fs::create_dir(&state).unwrap();
    let config = fixture.config("polyai.yaml", &state);
    take_calls(&fixture, "before", 100);
    let mut daemon = Daemon::start(squeeze.daemon(&config, &state));
    let before = daemon.scrape_until(PATIENCE, |scrape| fixture.compare_totals(scrape)).await;

    squeeze.fill(&daemon, &state).await;
    // Enough that the state must grow for them.
    take_calls(&fixture, "during", MANY);
    let hindered = daemon
        .scrape_until(PATIENCE, |scrape| match scrape.has_problem(&target, "storage") {
            true => Ok(()),
            false => Err("the problem is not shown".to_owned()),
        })
        .await;
    let shown = hindered.total("polyai_conversations_total", &target);
    assert!(
        shown < (100 + MANY) as f64 && shown >= before.total("polyai_conversations_total", &target),
        "what is committed is served: {shown}"
    );
    assert!(daemon.log().contains("commit failed; serving last committed snapshot"));

    squeeze.free(&daemon, &state).await;
    let after = daemon.scrape_until(PATIENCE, |scrape| fixture.compare_totals(scrape)).await;
    assert_eq!(after.total("polyai_conversations_total", &target), (100 + MANY) as f64);
    daemon
        .scrape_until(PATIENCE, |scrape| match scrape.has_problem(&target, "storage") {
            true => Err("the problem is still shown".to_owned()),
            false => Ok(()),
        })
        .await;
    let (status, log) = daemon.terminate().await;
    assert!(log.contains("commits succeeding again"), "{log}");
    assert_eq!(status.code(), Some(0), "{log}");
}

/// Calls of a second that begin now.
fn take_calls(fixture: &Fixture, name: &str, count: usize) {
    let target = fixture.targets().remove(0);
    let start = fixture.control().now();
    for number in 0..count {
        // Long names, so that the state grows with few of them.
        let call = Call::new(format!("{name}-{number:0>200}")).starting(start).lasting(1).turns(2);
        assert!(fixture.control().put(&target, call));
    }
}

/// Root has a mount namespace for the asking; others get one together with a user namespace, where that is allowed.
fn unshare() -> Command {
    let mut unshare = command("unshare");
    unshare.args(["--mount", "--map-root-user"]);
    unshare
}

async fn may_mount() -> bool {
    let mut attempt = unshare();
    attempt.args(["mount", "-t", "tmpfs", "none", "/mnt"]);
    attempt.status().await.is_ok_and(|status| status.success())
}

impl Squeeze {
    fn daemon(&self, config: &Path, state: &Path) -> Command {
        let mut shell = match self {
            Self::SmallDisk => {
                let mut shell = unshare();
                let script = r#"mount -t tmpfs -o size=24m none "$0" && exec "$@""#;
                shell.args(["sh", "-c", script]).arg(state);
                shell
            }
            Self::SizeLimit => {
                let mut shell = command("sh");
                // The signal that comes with the limit would end the process; a full disk sends none.
                shell.args(["-c", r#"trap '' XFSZ && exec "$@""#, "sh"]);
                shell
            }
        };
        shell.arg(BINARY).args(serve_arguments(config));
        shell
    }

    async fn fill(&self, daemon: &Daemon, state: &Path) {
        match self {
            Self::SmallDisk => {
                let mut ballast = std::fs::File::create(ballast(daemon, state)).unwrap();
                let full = loop {
                    if let Err(error) = ballast.write_all(&[0; 4096]) {
                        break error;
                    }
                };
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
            }
            Self::SizeLimit => {
                let size = std::fs::metadata(state.join("state.redb")).unwrap().len();
                limit(daemon, &size.to_string()).await;
            }
        }
    }

    async fn free(&self, daemon: &Daemon, state: &Path) {
        match self {
            Self::SmallDisk => std::fs::remove_file(ballast(daemon, state)).unwrap(),
            Self::SizeLimit => limit(daemon, "unlimited").await,
        }
    }
}

/// A file beside the state, as the daemon sees the file system.
fn ballast(daemon: &Daemon, state: &Path) -> std::path::PathBuf {
    let root = format!("/proc/{}/root", daemon.pid());
    Path::new(&root).join(state.strip_prefix("/").unwrap()).join("ballast")
}

/// Sets the soft limit; the hard one stays, so that it can be lifted again.
async fn limit(daemon: &Daemon, size: &str) {
    let mut prlimit = command("prlimit");
    prlimit.args(["--pid", &daemon.pid(), &format!("--fsize={size}:")]);
    assert!(prlimit.status().await.unwrap().success());
}
