//! The verdicts of Prometheus' own checker on web configuration files, beside ours.

use exporter_web::LoadedWebConfig;

use super::super::daemon::{command, run};
use crate::http_server::web_config_fixtures::{dir, fixtures, instantiate, now};

/// Fixtures that we refuse and the original accepts, for the reasons in `src/web/mod.rs`. The last five have keys of later versions
/// of the original.
const STRICTER: [&str; 12] = [
    "auth-without-ca.bad.yml",
    "crossed-versions.bad.yml",
    "no-certificate.bad.yml",
    "no-curve-left.bad.yml",
    "no-suite-for-http2.bad.yml",
    "no-suite-left.bad.yml",
    "old-version.bad.yml",
    "given-twice.bad.yml",
    "long-rate.bad.yml",
    "no-names.bad.yml",
    "rate-without-burst.bad.yml",
    "rates.bad.yml",
];

/// Keys that came to the original after the versions that distributions have.
const NEWER: [&str; 5] = ["cert", "key", "client_ca", "client_allowed_sans", "rate_limit"];

/// Whether a complaint of the checker is about a key that it does not know yet.
fn is_of_a_newer_key(complaint: &str) -> bool {
    NEWER.iter().any(|key| complaint.contains(&format!("field {key} not found")))
}

#[tokio::test]
async fn prometheus_agrees_on_web_config_fixtures() {
    if !super::installed().await {
        return;
    }
    let dir = dir();
    let mut agreed = 0;
    for fixture in fixtures(".yml") {
        let path = instantiate(&fixture, dir.path());
        let mut promtool = command("promtool");
        promtool.args(["check", "web-config"]).arg(&path);
        let theirs = run(promtool).await;
        let name = fixture.file_name().unwrap().to_str().unwrap();
        match (theirs.code == 0, LoadedWebConfig::read(Some(&path), now())) {
            (true, Ok(_)) | (false, Err(_)) => agreed += 1,
            (true, Err(problems)) => {
                assert!(STRICTER.contains(&name), "{name}: only we refuse it: {problems}")
            }
            (false, Ok(_)) => {
                let mut complaints =
                    theirs.stderr.lines().filter(|line| line.trim_start().starts_with("line "));
                let first = complaints.next().unwrap_or_default();
                assert!(
                    is_of_a_newer_key(first) && complaints.all(is_of_a_newer_key),
                    "{name}: only we accept it: {}",
                    theirs.stderr
                );
            }
        }
    }
    assert!(agreed > 25, "only {agreed} verdicts agree");
}
