//! curl reads every format of `/metrics`.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use polyai_domain::target::Region;

use super::super::daemon::{command, run};
use super::super::fixture::Fixture;
use super::super::has;
use super::{ENCODINGS, OPENMETRICS_2, PROTOBUF, project, put_calls, start_frozen};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_each_format_and_encoding() {
    let version = run_if_installed(&["--version"]).await;
    if !has(version.is_some(), "curl is not installed; tests/run installs it") {
        return;
    }
    let fixture = Fixture::new([project("reservations", Region::Us1)], TimeDelta::minutes(10)).await;
    put_calls(&fixture);
    let (_daemon, exporter) = start_frozen(&fixture, "curl", "{}").await;
    for accept in
        ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", OPENMETRICS_2, PROTOBUF]
    {
        let mut last_sizes = BTreeMap::new();
        for encoding in ENCODINGS {
            let mut curl = command("curl");
            curl.args(["--silent", "--show-error", "--fail", "--compressed", "--output", "-"])
                .args([
                    "--header",
                    &format!("Accept: {accept}"),
                    "--header",
                    &format!("Accept-Encoding: {encoding}"),
                ])
                .arg(format!("http://{exporter}/metrics"));
            let output = curl.output().await.unwrap();
            assert!(
                output.status.success(),
                "{accept} in {encoding}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let whole = |needle: &[u8]| output.stdout.windows(needle.len()).any(|part| part == needle);
            assert!(whole(b"polyai_turn_latency_seconds"), "{accept} in {encoding}: the beginning");
            assert!(whole(b"process_start_time_seconds"), "{accept} in {encoding}: the end");
            last_sizes.insert(encoding, output.stdout.len());
        }
        let sizes: Vec<&usize> = last_sizes.values().collect();
        // The exporter's own metrics change by some digits.
        assert!(sizes.iter().all(|size| size.abs_diff(*sizes[0]) < 400), "{accept}: {last_sizes:?}");
    }
}

/// The output of `curl`; absent if it is not installed.
async fn run_if_installed(arguments: &[&str]) -> Option<String> {
    let mut curl = command("curl");
    curl.args(arguments);
    let is_installed = command("curl").arg("--version").status().await.is_ok_and(|status| status.success());
    if is_installed { Some(run(curl).await.stdout) } else { None }
}
