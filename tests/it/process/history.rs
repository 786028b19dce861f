//! A real Prometheus imports the backfill of `demo` and continues it.

use std::process::Stdio;

use super::daemon::{command, run};
use super::prometheus::{Demo, Prometheus, installed, wait};

/// The samples of a series by its text before the value, as (seconds, value), from the file of a history.
fn samples_of<'a>(file: &'a str, name: &'a str) -> impl Iterator<Item = (f64, f64)> + 'a {
    let lines =
        file.lines().filter(move |line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    lines.map(|line| {
        let [time, value, _] = line.rsplitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (time.parse().unwrap(), value.parse().unwrap())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_imports_and_continues_backfill() {
    if !installed().await {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.om");
    let instance = "127.0.0.1:9";
    // Busy enough at any hour of any day.
    let busy = ["--volume", "12"];
    let incident = "silence=0.9@20m+20m:support";
    let past = ["--history", "40m", "--history.instance", instance, "--incident", incident];
    let demo = Demo::start_with(|demo| demo.args(busy).args(past).arg("--history.file").arg(&file)).await;

    let data = dir.path().join("data");
    let mut promtool = command("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&file).arg(&data);
    let made = run(promtool).await;
    assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{}", made.stdout);

    let text = std::fs::read_to_string(&file).unwrap();
    let last = samples_of(&text, "up").map(|(time, _)| time).fold(0.0, f64::max);
    let total: f64 = samples_of(&text, "polyai_conversations_total")
        .filter_map(|(time, value)| (time == last).then_some(value))
        .sum();
    assert!(total > 100.0, "{total} conversations: too few for this test");

    let prometheus = Prometheus::on(&data, demo.exporter, instance).await;
    let at = |seconds: f64| format!("@ {seconds:.3}");
    // What is stored at the end of the history is what the file says.
    let stored = prometheus.number(&format!("sum(polyai_conversations_total {})", at(last))).await;
    assert_eq!(stored, Some(total));
    let first =
        prometheus.number(&format!("sum(polyai_conversations_total {})", at(last - 40.0 * 60.0))).await;
    assert_eq!(first, Some(0.0), "it begins with nothing counted");
    // The incident, and the calm before it. A call brings its turns when it ends, and one in ten takes minutes: the
    // calls that end in the second half of the incident are nearly all of it. Some twenty calls make each share.
    let silent = |minutes_ago: f64| {
        let moment = at(last - minutes_ago * 60.0);
        format!(
            "sum(increase(polyai_silence_turns_total{{project=\"support\"}}[10m] {moment})) \
             / sum(increase(polyai_turns_total{{project=\"support\"}}[10m] {moment}))"
        )
    };
    let (calm, incident) = (prometheus.number(&silent(20.0)).await, prometheus.number(&silent(0.0)).await);
    assert!(calm.is_some_and(|share| share < 0.2), "{calm:?}");
    assert!(incident.is_some_and(|share| share > 0.5), "{incident:?}");

    // The demo goes on counting: no reset at the seam, and nothing is counted twice.
    let now = wait("the demo to be scraped and to count", async || {
        let now = prometheus.number("sum(polyai_conversations_total)").await;
        now.filter(|now| *now > total)
    })
    .await;
    let resets = prometheus.number("sum(resets(polyai_conversations_total[1h]))").await;
    assert_eq!(resets, Some(0.0), "{total} at the seam, {now} now");
    let range = prometheus.range("sum(polyai_conversations_total)", last - 2400.0, last + 1.0, 15).await;
    assert_eq!(range.len(), 161, "one point per step");
    assert!(range.is_sorted(), "{range:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_backfill_flags_are_usage_errors() {
    let refused = async |arguments: &[&str]| {
        let mut demo = command(super::daemon::BINARY);
        demo.arg("demo").args(arguments).stdin(Stdio::null());
        demo.args(["--web.listen-address", "127.0.0.1:0", "--simulator.listen-address", "127.0.0.1:0"]);
        let ended = run(demo).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        ended.stderr
    };
    let said = refused(&["--history", "1h"]).await;
    assert!(said.contains("--history.file"), "{said}");
    let said = refused(&["--history", "1h", "--history.file", "/dev/null"]).await;
    assert!(said.contains("--history.instance"), "{said}");
    let said = refused(&["--incident", "latency@2h:nobody"]).await;
    assert!(said.contains("unknown project \"nobody\"") && said.contains("billing"), "{said}");
}
