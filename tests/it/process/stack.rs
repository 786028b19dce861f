//! `scripts/stack` starts the demo, Prometheus and Alertmanager, and cleans up.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::timeout;

use super::daemon::{BINARY, command, follow};
use super::prometheus::{installed, query, wait};
use super::web;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack");

/// A recording rule, one that builds on it, and an alert that is always there.
const RULES: &str = r#"
groups:
  - name: test
    rules:
      - record: all:polyai_conversations:total
        expr: sum(polyai_conversations_total)
      - record: all:polyai_conversations:twice
        expr: 2 * all:polyai_conversations:total
      - alert: DemoIsThere
        expr: up{job="polyai"} == 1
"#;

/// The files in `dir`, by name.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// The running script, which must not be killed: its processes would outlive it.
struct Stack(Child);

impl Stack {
    /// SIGTERM, after which the script ends its processes and removes its files.
    fn terminate(&self) {
        let Some(pid) = self.0.id() else { return };
        let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.terminate();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stack_starts_with_backfill_and_cleans_up() {
    if !installed().await {
        return;
    }
    let (dir, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(rules.path().join("test-rules.yml"), RULES).unwrap();
    let mut stack = command("bash");
    stack.arg(SCRIPT).args(["--history", "12m", "--scrape-interval", "5s", "--exporter", BINARY]);
    stack.arg("--rules").arg(rules.path().join("*rules*.yml")).args(["--", "--incident", "none"]);
    stack.env("TMPDIR", dir.path()).kill_on_drop(false);
    let mut stack = Stack(stack.spawn().unwrap());
    let said = Arc::<Mutex<String>>::default();
    tokio::spawn(follow(stack.0.stdout.take().unwrap(), said.clone()));
    let complaints = Arc::<Mutex<String>>::default();
    tokio::spawn(follow(stack.0.stderr.take().unwrap(), complaints.clone()));
    wait("the stack to be ready", async || said.lock().unwrap().contains("\nready").then_some(())).await;

    let output = said.lock().unwrap().clone();
    let line =
        |name: &str| output.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{output}"));
    let address = |name: &str| -> SocketAddr {
        line(name).split("http://").nth(1).unwrap().split(['/', ' ']).next().unwrap().parse().unwrap()
    };
    let pids: Vec<String> = ["exporter", "prometheus", "alertmanager"]
        .map(|name| line(name).rsplit(' ').next().unwrap().to_owned())
        .into();
    assert!(pids.iter().all(|pid| is_running(pid)), "{output}");

    let prometheus = address("prometheus");
    let number = async |text: &str| query(prometheus, text).await.first().map(|(_, value)| *value);
    let history = number("count_over_time(up{job=\"polyai\"}[15m] offset 2m)").await;
    assert!(history.is_some_and(|samples| samples > 100.0), "{history:?} scrapes of the history");
    // Five minutes ago there was no Prometheus yet.
    let recorded = number("all:polyai_conversations:total offset 5m").await;
    assert!(recorded.is_some_and(|count| count > 0.0), "{recorded:?}: the recording rule of the history");
    // In one query, because the numbers of two may belong to different times; the rules may be a step apart.
    let ratio = "all:polyai_conversations:twice offset 5m / all:polyai_conversations:total offset 5m";
    let ratio = number(ratio).await;
    assert!(ratio.is_some_and(|ratio| (1.9..=2.1).contains(&ratio)), "{ratio:?}: the rule that builds on it");
    let alertmanager = address("alertmanager");
    wait("the alert to arrive", async || {
        let (_, body) = web::get(alertmanager, "/api/v2/alerts").await.ok()?;
        body.contains("DemoIsThere").then_some(())
    })
    .await;

    stack.terminate();
    let ended =
        timeout(Duration::from_secs(30), stack.0.wait()).await.expect("it ends after the signal").unwrap();
    assert!(ended.success(), "{ended}");
    assert!(!pids.iter().any(|pid| is_running(pid)), "{pids:?}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert_eq!(*complaints.lock().unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stack_names_missing_package() {
    let dir = tempfile::tempdir().unwrap();
    // Everything that the script itself uses, but no Prometheus.
    for tool in ["bash", "sed", "dirname"] {
        let found = ["/bin", "/usr/bin"]
            .map(|place| Path::new(place).join(tool))
            .into_iter()
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), dir.path().join(tool)).unwrap();
    }
    let mut stack = command(dir.path().join("bash"));
    stack.arg(SCRIPT).env("PATH", dir.path());
    let ended = super::daemon::run(stack).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("apt-get install prometheus "), "{ended:?}");
}
