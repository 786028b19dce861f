//! A pair of Prometheus sends its alerts to one Alertmanager with the inhibition rules of the example.
//!
//! Of the pair, `a` cannot see the exporter and `b` can; what both see, both send. With external labels, alerts of the two differ by
//! `replica`; without, they are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use polyai_simulator::Project;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::daemon::{command, run};
use super::super::fixture::Fixture;
use super::super::prometheus::installed;
use super::receiver::Receiver;
use super::{PATIENCE, servers};

/// The sender, the alert, its component, and its project and region, or the instance of the exporter.
type Sent = (&'static str, &'static str, &'static str, &'static str, &'static str);

const SENT: [Sent; 12] = [
    ("a", "PolyAIExporterAbsent", "exporter", "", ""),
    ("a", "PolyAIExporterDown", "exporter", "", "x:9890"),
    ("b", "PolyAIStateNotWritable", "exporter", "", "x:9890"),
    ("b", "PolyAISilenceHigh", "agent", "support", "us-1"),
    // A project of which one region is down.
    ("ab", "PolyAITargetStale", "data", "orders", "uk-1"),
    ("ab", "PolyAIHandoffRateHigh", "agent", "orders", "us-1"),
    ("ab", "PolyAIReplyLatencyBudgetBurnFast", "slo", "orders", "us-1"),
    // Explained: by a refused key, in the same or the other Prometheus, and by stale data.
    ("ab", "PolyAIKeyRefused", "data", "billing", "us-1"),
    ("b", "PolyAITargetStale", "data", "billing", "us-1"),
    ("b", "PolyAIKeyRefused", "data", "hotline", "us-1"),
    ("a", "PolyAITargetStale", "data", "hotline", "us-1"),
    ("ab", "PolyAITrafficStopped", "agent", "orders", "uk-1"),
];

/// The alerts that page, by name and project.
const PAGES: [(&str, &str); 9] = [
    ("PolyAIExporterAbsent", ""),
    ("PolyAIExporterDown", ""),
    ("PolyAIHandoffRateHigh", "orders"),
    ("PolyAIKeyRefused", "billing"),
    ("PolyAIKeyRefused", "hotline"),
    ("PolyAIReplyLatencyBudgetBurnFast", "orders"),
    ("PolyAISilenceHigh", "support"),
    ("PolyAIStateNotWritable", ""),
    ("PolyAITargetStale", "orders"),
];

/// The alerts as a Prometheus posts them; all at once, because the group wait of the test is short.
fn posted(has_external_labels: bool) -> String {
    let mut alerts = Vec::new();
    for (senders, alert, component, project, place) in SENT {
        for replica in ["a", "b"].into_iter().filter(|replica| senders.contains(replica)) {
            let mut labels =
                BTreeMap::from([("alertname", alert), ("severity", "critical"), ("component", component)]);
            match (project, place) {
                ("", "") => labels.extend([("job", "polyai")]),
                ("", instance) => labels.extend([("job", "polyai"), ("instance", instance)]),
                (project, region) => {
                    labels.extend([("project", project), ("region", region), ("client_env", "live")]);
                }
            }
            if has_external_labels {
                labels.extend([("cluster", "eu"), ("replica", replica)]);
            }
            alerts.push(json!({"labels": labels, "annotations": {}}));
        }
    }
    json!(alerts).to_string()
}

async fn pages_once(has_external_labels: bool) {
    let fixture = Fixture::new([] as [Project; 0], TimeDelta::zero()).await;
    let receiver = Receiver::start().await;
    let alertmanager = servers::alertmanager(&fixture, receiver.address).await;
    let file = fixture.write("alerts.json", &posted(has_external_labels));
    let mut post = command("curl");
    post.args(["--silent", "--show-error", "--fail", "--header", "content-type: application/json"]);
    post.arg("--data-binary").arg(format!("@{}", file.display()));
    post.arg(format!("http://{}/api/v2/alerts", alertmanager.address));
    let began = Instant::now();
    let ended = run(post).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let expected: BTreeSet<(String, String)> =
        PAGES.iter().map(|(alert, project)| ((*alert).to_owned(), (*project).to_owned())).collect();
    let pages = || {
        let mut messages = BTreeMap::<(String, String), BTreeSet<usize>>::new();
        for one in receiver.since(began) {
            let key = (one.alert().to_owned(), one.project().to_owned());
            messages.entry(key).or_default().insert(one.message);
        }
        messages
    };
    while !expected.iter().all(|page| pages().contains_key(page)) && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
    }
    // Several times the group interval: what would come late, or again, has come.
    sleep(Duration::from_secs(4)).await;
    let found = pages();
    assert_eq!(
        found.keys().cloned().collect::<BTreeSet<_>>(),
        expected,
        "external labels: {has_external_labels}"
    );
    assert!(found.values().all(|messages| messages.len() == 1), "a page came twice: {found:?}");
}

#[tokio::test]
async fn prometheus_pair_pages_once_with_or_without_labels() {
    if installed().await {
        tokio::join!(pages_once(true), pages_once(false));
    }
}
