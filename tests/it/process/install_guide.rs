//! The end-to-end setup of `docs/install.md`, executed as written in an empty directory.
//!
//! Only the ports differ, because those in the text may be in use.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::daemon::{BINARY, command};
use super::has;

const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md"));
const SECTION: &str = "## End-to-end setup\n";
const PORTS: [&str; 4] = ["9890", "9891", "9090", "9093"];
const PATIENCE: Duration = Duration::from_secs(120);

/// A fenced block of the guide.
#[derive(Debug)]
enum Step {
    /// `# NAME` in its first line.
    File(String, String),
    Commands(String),
}

/// The steps of the section, with `ports` for those of the text.
fn steps(ports: &[u16; 4]) -> Vec<Step> {
    let section = GUIDE.split_once(SECTION).expect("the guide is in the page").1;
    let mut section = section.split("\n## ").next().unwrap().to_owned();
    for (written, free) in PORTS.iter().zip(ports) {
        section = section.replace(written, &free.to_string());
    }
    let mut steps = Vec::new();
    let mut blocks = section.split("```");
    blocks.next();
    while let (Some(block), Some(_)) = (blocks.next(), blocks.next()) {
        let (kind, text) = block.split_once('\n').unwrap();
        steps.push(match kind {
            "sh" => Step::Commands(text.to_owned()),
            "yaml" => {
                let name = text.lines().next().unwrap().strip_prefix("# ").expect("the name of the file");
                Step::File(name.to_owned(), text.to_owned())
            }
            other => panic!("the guide has a block of kind {other:?}, which nobody carries out"),
        });
    }
    steps
}

/// Ends what the guide has started, by the process ids that it keeps.
struct WorkDir(TempDir);

impl Drop for WorkDir {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = std::process::Command::new("kill").arg(pid).stderr(Stdio::null()).status();
        }
    }
}

/// Whether a process runs; one that has ended and that nobody has asked about does not.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

impl WorkDir {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn pids(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "pid"));
        files.filter_map(|path| Some(std::fs::read_to_string(path).ok()?.trim().to_owned())).collect()
    }

    /// The last words of the guide, and until they have come true.
    async fn end(&self) {
        let pids = self.pids();
        assert_eq!(pids.len(), 4, "simulator, exporter, Alertmanager and Prometheus: {pids:?}");
        for pid in &pids {
            assert!(command("kill").arg(pid).status().await.unwrap().success(), "{pid} has ended before");
        }
        for _ in 0..300 {
            if !pids.iter().any(|pid| runs(pid)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("they go on: {pids:?}");
    }

    /// The logs of the programs, to explain a failed step.
    fn logs(&self) -> String {
        let mut logs = String::new();
        for entry in std::fs::read_dir(self.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                logs.push_str(&format!("--- {}\n{text}", entry.path().display()));
            }
        }
        logs
    }
}

async fn is_there(program: &str) -> bool {
    let mut which = command("sh");
    which.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).stderr(Stdio::null());
    which.status().await.is_ok_and(|status| status.success())
}

fn free_ports() -> [u16; 4] {
    // All held until all are known, so that they differ.
    let held = [(); 4].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

#[tokio::test]
async fn install_guide_works_as_written() {
    for program in
        ["curl", "openssl", "htpasswd", "jq", "prometheus", "promtool", "prometheus-alertmanager", "amtool"]
    {
        if !has(is_there(program).await, &format!("{program}, for the guide of docs/install.md")) {
            return;
        }
    }
    let dir = WorkDir(tempfile::tempdir().unwrap());
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(BINARY, bin.path().join("polyai-exporter")).unwrap();
    let steps = steps(&free_ports());
    assert!(steps.len() >= 12, "only {} steps", steps.len());
    for step in steps {
        match step {
            Step::File(name, text) => std::fs::write(dir.path().join(name), text).unwrap(),
            Step::Commands(text) => {
                let mut shell = command("bash");
                let path = format!(
                    "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    bin.path().display()
                );
                shell.env("PATH", path).env("HOME", dir.path()).current_dir(dir.path());
                // What goes on in the background must not hold this one's output open.
                let said = dir.path().join("step.log");
                let output = std::fs::File::create(&said).unwrap();
                shell.args(["-euo", "pipefail", "-c", &text]).kill_on_drop(false);
                shell.stdout(output.try_clone().unwrap()).stderr(output);
                let status = timeout(PATIENCE, shell.status()).await.expect("each step ends").unwrap();
                assert!(status.success(), "{status}:\n{text}\n{}", dir.logs());
            }
        }
    }
    dir.end().await;
}
