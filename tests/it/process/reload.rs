//! Reloads of a running process by signal, by request, and after a file change.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::clock::Clock;

use super::contention::{self, Traffic};
use super::daemon::{BINARY, Daemon, command, serve_arguments};
use super::fixture::Fixture;
use super::web;

const PATIENCE: Duration = Duration::from_secs(30);
/// Rechecks of the last calls come a good minute after them.
const QUIESCE: Duration = Duration::from_secs(90);

async fn fixture() -> Fixture {
    let traffic = Traffic { now: Clock::system().now(), before: 300, after: 200, lasting: 15 };
    Fixture::new(contention::projects(11, traffic), TimeDelta::minutes(10)).await
}

/// The same configuration without its last target.
fn without_the_last_target(config: &Path) -> String {
    let text = std::fs::read_to_string(config).unwrap();
    let (rest, _) = text.rsplit_once("\n  - ").expect("several targets");
    format!("{rest}\n")
}

/// Moves the first key of the configuration to `file`; returns the configuration and the key.
fn with_its_first_key_in(file: &Path, config: &str) -> (String, String) {
    let (before, rest) = config.split_once("api_key: ").unwrap();
    let (quoted, after) = rest.split_once('\n').unwrap();
    let text = format!("{before}api_key_file: {}\n{after}", file.display());
    (text, quoted.trim_matches('"').to_owned())
}

async fn reload(daemon: &mut Daemon) -> (u16, String) {
    web::ask(daemon.address().await, "POST", "/-/reload").await.unwrap()
}

async fn hash_shown(daemon: &mut Daemon) -> String {
    let (_, text) = web::get(daemon.address().await, "/api/v1/status").await.unwrap();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    status["configuration"]["hash"].as_str().expect("a hash").to_owned()
}

async fn targets_shown(daemon: &mut Daemon) -> usize {
    daemon.metrics().await.lines().filter(|line| line.starts_with("polyai_target_up{")).count()
}

async fn shows_targets(daemon: &mut Daemon, wanted: usize) {
    for _ in 0..PATIENCE.as_millis() / 50 {
        if targets_shown(daemon).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} targets instead of {wanted}: {}", targets_shown(daemon).await, daemon.log());
}

#[tokio::test]
async fn sighup_and_post_reload_configuration() {
    let fixture = fixture().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let (all, fewer) = (std::fs::read_to_string(&config).unwrap(), without_the_last_target(&config));
    let mut daemon = Daemon::serve(&config);
    let targets = targets_shown(&mut daemon).await;
    assert!(targets >= 2, "{targets} targets");

    std::fs::write(&config, &fewer).unwrap();
    let hangup = format!("kill -HUP {}", daemon.pid());
    assert!(command("sh").args(["-c", &hangup]).status().await.unwrap().success());
    shows_targets(&mut daemon, targets - 1).await;

    std::fs::write(&config, format!("{all}\nmetrics: {{recent_window: 15}}\n")).unwrap();
    let (status, text) = reload(&mut daemon).await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("polyai.yaml:"), "{text}");
    assert!(
        text.contains("metrics.recent_window: found 15; a duration needs a unit: write \"15s\""),
        "{text}"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let metrics = daemon.metrics().await;
    assert!(metrics.contains("polyai_exporter_config_last_reload_successful 0\n"), "{metrics}");

    std::fs::write(&config, &all).unwrap();
    let (status, text) = reload(&mut daemon).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with("reloaded: 1 target added ("), "{text}");

    let hash = hash_shown(&mut daemon).await;
    let file = fixture.path("key");
    let (text, key) = with_its_first_key_in(&file, &all);
    std::fs::write(&file, key).unwrap();
    std::fs::write(&config, text).unwrap();
    assert_eq!(reload(&mut daemon).await, (200, "reloaded: nothing changed\n".to_owned()));
    let project = &fixture.control().projects()[0];
    let (name, region, env) = (&project.name, project.region, project.client_envs[0]);
    let path = format!("/target?project={name}&region={region}&client_env={env}");
    let (_, page) = web::get(daemon.address().await, &path).await.unwrap();
    assert!(page.contains("set, from the file "), "where the key is now: {page}");
    assert_eq!(
        hash_shown(&mut daemon).await,
        hash,
        "the same settings have the same hash, wherever they come from"
    );
    let (status, _) = daemon.terminate().await;
    assert!(status.success());
}

fn refusals(daemon: &Daemon) -> usize {
    daemon.log().matches("configuration reload failed").count()
}

/// As the kubelet mounts a ConfigMap, and changes it.
#[tokio::test]
async fn changed_configmap_is_reloaded() {
    let fixture = fixture().await;
    let written = fixture.config("written.yaml", &fixture.path("state"));
    let mounted = fixture.path("mounted");
    let mount = |version: &str, text: &str| {
        let dir = mounted.join(version);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("polyai.yaml"), text).unwrap();
        symlink(version, mounted.join("..tmp")).unwrap();
        std::fs::rename(mounted.join("..tmp"), mounted.join("..data")).unwrap();
    };
    mount("..1", &std::fs::read_to_string(&written).unwrap());
    symlink("..data/polyai.yaml", mounted.join("polyai.yaml")).unwrap();
    let mut watching = command(BINARY);
    watching
        .args(serve_arguments(&mounted.join("polyai.yaml")))
        .args(["--config.auto-reload-interval", "1s"]);
    let mut daemon = Daemon::start(watching);
    let targets = targets_shown(&mut daemon).await;
    mount("..2", &without_the_last_target(&written));
    shows_targets(&mut daemon, targets - 1).await;
    mount("..3", "targets: []\n");
    for _ in 0..PATIENCE.as_millis() / 50 {
        if refusals(&daemon) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(targets_shown(&mut daemon).await, targets - 1, "{}", daemon.log());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(refusals(&daemon), 1, "a file that stays invalid is reported once");

    // A Secret is mounted later than the ConfigMap that names it.
    let late = fixture.path("late-key");
    let (text, key) = with_its_first_key_in(&late, &std::fs::read_to_string(&written).unwrap());
    mount("..4", &text);
    for _ in 0..PATIENCE.as_millis() / 50 {
        if refusals(&daemon) == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(refusals(&daemon), 2, "{}", daemon.log());
    std::fs::write(&late, key).unwrap();
    shows_targets(&mut daemon, targets).await;
    assert!(daemon.terminate().await.0.success());
}

async fn make_pipe(path: &Path) {
    assert!(command("mkfifo").arg(path).status().await.unwrap().success());
}

/// As `serve --config <(sops -d polyai.yaml)` hands it over.
#[tokio::test]
async fn config_from_pipe_cannot_be_reloaded() {
    let fixture = fixture().await;
    let written = fixture.config("written.yaml", &fixture.path("state"));
    let pipe = fixture.path("pipe.yaml");
    make_pipe(&pipe).await;
    let pouring = format!("cat {} > {}", written.display(), pipe.display());
    let _pouring = command("sh").args(["-c", &pouring]).spawn().unwrap();
    let mut watching = command(BINARY);
    watching.args(serve_arguments(&pipe)).args(["--config.auto-reload-interval", "1s"]);
    let mut daemon = Daemon::start(watching);
    let targets = targets_shown(&mut daemon).await;
    assert!(targets >= 2, "{targets} targets");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(refusals(&daemon), 0, "without a reload a pipe is not read again: {}", daemon.log());
    for _ in 0..2 {
        let (status, text) = reload(&mut daemon).await;
        assert_eq!(status, 500, "{text}");
        let expected = "pipe.yaml: not a regular file, so it cannot be read again; name a regular file\n";
        assert!(text.ends_with(expected), "{text}");
    }
    assert!(daemon.terminate().await.0.success());
}

#[tokio::test]
async fn key_file_pipe_does_not_block_reload() {
    let fixture = fixture().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let all = std::fs::read_to_string(&config).unwrap();
    let mut daemon = Daemon::serve(&config);
    let targets = targets_shown(&mut daemon).await;
    let pipe = fixture.path("key");
    make_pipe(&pipe).await;
    let (text, key) = with_its_first_key_in(&pipe, &all);
    std::fs::write(&config, text).unwrap();
    let (status, answer) = reload(&mut daemon).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("api_key_file: ") && answer.contains("/key: not a regular file"), "{answer}");
    std::fs::remove_file(&pipe).unwrap();
    std::fs::write(&pipe, key).unwrap();
    assert_eq!(reload(&mut daemon).await, (200, "reloaded: nothing changed\n".to_owned()));
    assert_eq!(targets_shown(&mut daemon).await, targets);
    assert!(daemon.terminate().await.0.success());
}

/// A hundred reloads of a real process, as fast as they go, while it is scraped all the time.
#[tokio::test]
async fn constant_reloads_fail_no_scrape_and_leak_nothing() {
    let fixture = fixture().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let (all, fewer) = (std::fs::read_to_string(&config).unwrap(), without_the_last_target(&config));
    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await;
    let before = open_files(&daemon);
    let done = tokio_util::sync::CancellationToken::new();
    let stopped = done.clone();
    let scraping = tokio::spawn(async move {
        let mut scrapes = 0;
        while !stopped.is_cancelled() {
            let (status, body) = web::get(address, "/metrics").await.expect("the port stays open");
            assert_eq!(status, 200, "{body}");
            scrapes += 1;
        }
        scrapes
    });
    for round in 0..100 {
        std::fs::write(&config, if round % 2 == 0 { &fewer } else { &all }).unwrap();
        let (status, text) = reload(&mut daemon).await;
        assert_eq!(status, 200, "{text}");
    }
    done.cancel();
    let scrapes = scraping.await.unwrap();
    assert!(scrapes > 100, "only {scrapes} scrapes");
    daemon.scrape_until(QUIESCE, |scrape| fixture.compare_totals(scrape)).await;
    let after = open_files(&daemon);
    assert!(after <= before + 10, "{after} open files where {before} were");
    assert!(daemon.terminate().await.0.success());
}

fn open_files(daemon: &Daemon) -> usize {
    let files: PathBuf = ["/proc", &daemon.pid(), "fd"].iter().collect();
    std::fs::read_dir(files).unwrap().count()
}
