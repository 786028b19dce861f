//! Control over HTTP.

use serde_json::Value;

use super::client::{Answer, get, list, send};
use super::*;
use crate::{Demo, Profile};

async fn call(running: &SimulatorHandle, method: &str, path: &str) -> Answer {
    let request = format!(
        "{method} /_sim/{path} HTTP/1.1\r\nhost: sim\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    send(running.addr, &request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn incidents_and_faults_are_added_and_removed() {
    let running = simulate(reservations().with_generated(1, Profile::reservations())).await;
    let state =
        call(&running, "POST", "incidents?kind=latency&amount=6&project=reservations&for=10m").await.json();
    assert_eq!(state["incidents"][0]["kind"], "latency");
    assert_eq!(state["incidents"][0]["until"], "2026-08-20T09:10:00+00:00");
    let state =
        call(&running, "POST", "faults?kind=status&status=502&times=1&project=reservations").await.json();
    assert_eq!(state["faults"][0]["times_left"], 1);
    assert_eq!(list(running.addr, "").await.status, 502);
    assert_eq!(list(running.addr, "").await.status, 200);
    call(&running, "POST", "faults?kind=rate_limit&retry_after=7&probability=1&for=1h").await;
    assert_eq!(list(running.addr, "").await.headers["retry-after"], "7");
    let state = call(&running, "DELETE", "faults").await.json();
    assert_eq!(state["faults"], Value::Array(Vec::new()));
    let state = call(&running, "DELETE", "incidents").await.json();
    assert_eq!(state["incidents"], Value::Array(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn every_listed_kind_is_accepted() {
    let running = simulate(reservations().with_generated(1, Profile::reservations())).await;
    for (kind, _) in crate::admin_api::FAULTS {
        assert_eq!(call(&running, "POST", &format!("faults?kind={kind}")).await.status, 200, "{kind}");
    }
    for kind in crate::IncidentKind::names() {
        assert_eq!(call(&running, "POST", &format!("incidents?kind={kind}")).await.status, 200, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_parameters_are_rejected_with_a_message() {
    let running = simulate(reservations()).await;
    let cases = [
        ("POST", "incidents?kind=flood", 400, "use one of latency"),
        ("POST", "incidents?kind=silence&amount=7", 400, "a share from 0 to 1"),
        ("POST", "incidents?kind=latency&for=soon", 400, "such as 10m"),
        ("POST", "incidents?kind=latency&project=sales", 400, "use one of reservations"),
        ("POST", "faults", 400, "use one of rate_limit"),
        ("POST", "faults?kind=status&status=99", 400, "between 200 and 599"),
        ("POST", "faults?kind=reset&times=many", 400, "not a number"),
        ("POST", "faults?kind=reset&count=3", 400, "\"count\" is not a parameter"),
        ("GET", "truth?since=today", 400, "not a time"),
        ("PUT", "faults", 405, "PUT"),
        ("GET", "nothing", 404, "GET state"),
    ];
    for (method, path, status, part) in cases {
        let answer = call(&running, method, path).await;
        assert_eq!(answer.status, status, "{path}");
        let message = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{path}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn expected_totals_and_requests_are_served() {
    let world = World::demo(&Demo::default());
    let running = Simulator::on_loopback(world, Clock::virtual_from(morning())).await.unwrap();
    get(running.addr, "/us-1/v3/ws-00000001/PROJECT-0000001/conversations?limit=5", "demo-key").await;
    let truth = call(&running, "GET", "truth?since=2026-08-20T08:00:00Z").await.json();
    let expected = running.control.expected_totals(&target(), morning() - TimeDelta::hours(1)).conversations;
    assert!(expected > 0);
    assert_eq!(truth["targets"]["reservations/us-1/live"]["conversations"], expected);
    let requests = call(&running, "GET", "requests").await.json();
    assert_eq!(requests["reservations/us-1/live"]["rows"], 5);
    let state = call(&running, "GET", "state").await.json();
    assert_eq!(state["projects"][3]["name"], "pilot");
}

/// docs/simulator.md has every request, kind and parameter of the code, and no other.
#[test]
fn documented_parameters_are_those_of_the_code() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulator.md")).unwrap();
    let rows = |heading: &str| -> Vec<String> {
        let (_, rest) = document.split_once(heading).unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        names.map(str::to_owned).collect()
    };
    let sorted = |names: Vec<String>| names.into_iter().collect::<std::collections::BTreeSet<_>>();
    let faults = crate::admin_api::FAULTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(sorted(rows("## Faults")), sorted(faults));
    let incidents = crate::IncidentKind::names().into_iter().map(str::to_owned).collect();
    assert_eq!(sorted(rows("## Incidents")), sorted(incidents));
    // `params.take("kind")`, `self.parse("for", ...)` and the like.
    let calls = include_str!("../admin_api.rs").split("(\"").collect::<Vec<_>>();
    let is_read = |before: &str| {
        ["take", "parse", "number", "in_range"]
            .iter()
            .any(|call| before.ends_with(&format!("s.{call}")) || before.ends_with(&format!("self.{call}")))
    };
    let parameters =
        calls.windows(2).filter(|pair| is_read(pair[0])).filter_map(|pair| pair[1].split('"').next());
    let parameters = parameters.map(str::to_owned);
    assert_eq!(sorted(rows("## Parameters")), sorted(parameters.collect()));
}
