//! The pages and the JSON of statuses that are set up by hand.

mod fixture;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value as Json;

use fixture::*;

use super::configuration::hash;
use super::target_state::Severity;
use super::*;
use crate::config::Secret;
use crate::http::StatusRoute;
use polyai_domain::problem::Problem;
use polyai_domain::target::ClientEnv;
use polyai_engine::aggregate::{Metric, TargetSeries};

#[test]
fn health_response_is_one_line() {
    assert_eq!(World::of(&["a"]).all_polled("14:09:50").health(), "The one target is up to date.");
    assert_eq!(World::of(&["a", "b"]).all_polled("14:09:50").health(), "All 2 targets are up to date.");

    let world = World::of(&["a", "b", "c"]);
    world.polled("a", "14:09:50", None, &[]);
    assert_eq!(world.health(), "2 of 3 targets have a problem; b/us-1/live is stale since 12:00.");
    world.polled("c", "14:03", None, &[]);
    world.polled("c", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    assert_eq!(world.health(), "2 of 3 targets have a problem; b/us-1/live is stale since 12:00.");

    let limited = World::of(&["a", "b"]).all_polled("14:09:00");
    limited.polled("b", "14:09:50", None, &[Problem::LatencyMissing]);
    let sentence = "All 2 targets are up to date, 1 needs attention.";
    assert_eq!(limited.health(), sentence);
}

#[test]
fn storage_failure_comes_first() {
    let mut world = World::of(&["a", "b"]).all_polled("14:09:50");
    world.series[1].set(Metric::TargetProblem, &[Arc::from("storage")], 1.0, at("14:00"));
    assert_eq!(world.health(), "The state cannot be written; the last committed numbers are served.");
    let areas = world.areas();
    assert_eq!(areas[0].0, Severity::Bad);
    let not_asked = "Not polled while the state cannot be written".to_owned();
    assert_eq!(areas[2], (Severity::Wait, not_asked), "earlier responses say nothing about now");
    let row = &world.json(StatusRoute::TargetsJson, "")["targets"][1];
    assert_eq!((&row["state"], &row["problems"][0]["code"]), (&"storage_failing".into(), &"storage".into()));
}

#[test]
fn each_problem_has_its_fault_domain() {
    use Severity::{Bad, Good, Warn};

    for (problem, exporter, access, api, calls) in [
        (Problem::RateLimited, Warn, Good, Good, Good),
        (Problem::Unauthorized, Good, Bad, Good, Good),
        (Problem::TranscriptOff, Good, Warn, Good, Good),
        (Problem::ServerError, Good, Good, Warn, Good),
        (Problem::StuckConversations, Good, Good, Good, Warn),
    ] {
        let world = World::of(&["a", "b"]).all_polled("14:09:00");
        let fails = matches!(problem, Problem::RateLimited | Problem::Unauthorized | Problem::ServerError);
        let (failure, others) =
            if fails { (Some((problem, "message")), vec![]) } else { (None, vec![problem]) };
        world.polled("b", "14:09:50", failure, &others);
        let areas = world.areas();
        let tones: Vec<_> = areas.iter().map(|(tone, _)| *tone).collect();
        assert_eq!(tones, [exporter, access, api, calls], "{problem:?}: {areas:?}");
        let described =
            areas.iter().any(|(_, sentence)| sentence.contains(&format!("b/us-1/live: {}", problem.title())));
        assert!(described, "{areas:?}");
    }
}

#[test]
fn hidden_details_do_not_blame_the_key_for_an_outage() {
    let world = World::of(&["a", "b"]).all_polled("14:09:00");
    world.polled("b", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[Problem::TranscriptOff]);
    assert_eq!(world.areas()[1].0, Severity::Warn);
}

#[test]
fn unfinished_poll_is_a_fault_of_the_api() {
    let world = World::of(&["a", "b"]).all_polled("14:09:00");
    world.polled("b", "13:00", None, &[]);
    world.histories.get_or_create(&target("b").key).poll_started(at("13:01"));
    assert_eq!(world.areas()[2], (Severity::Bad, "b/us-1/live: a poll does not finish".to_owned()));
}

#[test]
fn network_is_suspected_when_no_host_responds() {
    let mut world = World::of(&["a", "b"]);
    world.settings.targets[1].base_url = "https://other.example.com".to_owned();
    for project in ["a", "b"] {
        world.polled(project, "14:09:50", Some((Problem::Unreachable, "no route")), &[]);
    }
    assert!(
        world.areas()[2].1.ends_with("No host responds: check the network of this host first"),
        "{:?}",
        world.areas()
    );
    let mut other = World::of(&["a", "b"]);
    other.settings.targets[1].base_url = "https://other.example.com".to_owned();
    other.polled("a", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    assert_eq!(
        other.areas()[2].1,
        "a/us-1/live: the API answers with server errors",
        "a host that was not polled yet does not respond"
    );
    world.polled("b", "14:09:55", None, &[]);
    assert!(
        world.areas()[2].1.ends_with("All targets on api.example.com fail, other hosts respond"),
        "{:?}",
        world.areas()
    );
}

#[test]
fn failed_reload_is_shown_with_its_reason() {
    let mut world = World::of(&["a"]).all_polled("14:09:50");
    let reason = "polyai.yaml:3:5: polling.interval: found \"<soon>\"".to_owned();
    world.configuration.last_reload = Some(Reload { at: at("14:01"), succeeded: false, detail: reason });
    let (tone, sentence) = world.areas().remove(0);
    assert_eq!(tone, Severity::Warn);
    assert!(
        sentence
            .starts_with("Reload failed at 14:01, the previous configuration stays active: polyai.yaml:3:5")
    );
    assert!(world.page(StatusRoute::Overview, "").contains("found &quot;&lt;soon&gt;&quot;"));
    let json = world.json(StatusRoute::StatusJson, "");
    assert_eq!(json["configuration"]["last_reload"]["succeeded"], false);

    let reason = "a.yaml:1:1: one\na.yaml:2:1: two\na.yaml:3:1: three".to_owned();
    world.configuration.last_reload = Some(Reload { at: at("14:01"), succeeded: false, detail: reason });
    let (_, sentence) = world.areas().remove(0);
    assert!(sentence.ends_with("active: a.yaml:1:1: one, and 2 more"), "a sentence has one line: {sentence}");
    assert!(
        world.page(StatusRoute::Overview, "").contains("one\na.yaml:2:1: two"),
        "the whole reason is below"
    );
}

#[test]
fn target_beyond_alert_limits_is_not_green() {
    use Severity::{Bad, Good, Warn};

    type Change = fn(&mut TargetSeries);
    let cases: [(Change, ClientEnv, Severity, &str); 6] = [
        (
            |series| set_counters(series, &[(Metric::Conversations, 40), (Metric::Handoffs, 32)]),
            ClientEnv::Live,
            Bad,
            "80 % of conversations handed off in the last 30 min, limit 50 %",
        ),
        (
            |series| set_counters(series, &[(Metric::Conversations, 40), (Metric::Handoffs, 32)]),
            ClientEnv::Sandbox,
            Warn,
            "80 % of conversations handed off in the last 30 min, limit 50 %",
        ),
        (
            |series| set_counters(series, &[(Metric::Turns, 400), (Metric::SilenceTurns, 120)]),
            ClientEnv::Live,
            Bad,
            "30 % of turns silent in the last 30 min, limit 20 %",
        ),
        (
            |series| set_counters(series, &[(Metric::Turns, 400), (Metric::OodTurns, 80)]),
            ClientEnv::Live,
            Warn,
            "20 % of turns out of domain in the last 1 h, limit 15 %",
        ),
        (
            |series| set_latencies(series, 90, 10),
            ClientEnv::Live,
            Warn,
            "10 % of replies slower than 5 s in the last 15 min, limit 5.0 %",
        ),
        (
            |series| {
                set_latencies(series, 96, 4);
                set_counters(series, &[(Metric::Conversations, 40), (Metric::Handoffs, 20)]);
            },
            ClientEnv::Live,
            Good,
            "",
        ),
    ];
    for (change, client_env, severity, expected) in cases {
        let mut world = World::of(&["a", "b"]).all_polled("14:09:50");
        world.settings.targets[1].key.client_env = client_env;
        world.polled_key(&world.settings.targets[1].key, "14:09:50", None, &[]);
        set_counters(&mut world.series[1], &[(Metric::Conversations, 900), (Metric::Turns, 9000)]);
        world.inputs(|inputs| world.trends.sample(inputs.generation, at("13:00")));
        change(&mut world.series[1]);
        let calls = world.areas().remove(3);
        assert_eq!(calls.0, severity, "{}", calls.1);
        assert!(calls.1.contains(expected), "{}", calls.1);
        let row = &world.json(StatusRoute::TargetsJson, "")["targets"][1];
        assert_eq!(row["state"], if severity == Good { "up_to_date" } else { "limited" }, "{row}");
        assert!(row["sentence"].as_str().unwrap().contains(expected), "{row}");
        let health = world.json(StatusRoute::StatusJson, "")["health"].take();
        let tone = serde_json::to_value(severity).unwrap();
        assert_eq!(health["tone"], tone, "{health}");
    }
}

#[test]
fn handoff_wave_is_not_green_after_a_restart() {
    let mut world = World::of(&["a"]).all_polled("14:09:50");
    world.series[0].set(Metric::RecentConversations, &[Arc::from("VOICE-SIP")], 40.0, at("14:09"));
    world.series[0].set(Metric::RecentHandoffRatio, &[Arc::from("VOICE-SIP")], 0.8, at("14:09"));
    assert_eq!(world.areas()[3].0, Severity::Bad, "{:?}", world.areas());
}

#[test]
fn stale_numbers_are_marked_and_left_out_of_sums() {
    let mut world = World::of(&["a", "b", "c"]);
    world.polled("a", "14:09:50", None, &[]);
    world.polled("b", "13:00", None, &[]);
    world.polled("b", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    world.polled("c", "14:05", None, &[]);
    world.polled("c", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    for (series, open) in world.series.iter_mut().zip([3.0, 70.0, 500.0]) {
        let values = [Arc::from("VOICE-SIP")];
        series.set(Metric::InProgress, &values, open, at("13:00"));
        series.set(Metric::RecentConversations, &values, 40.0, at("13:00"));
        series.set(Metric::RecentHandoffRatio, &values, 0.9 - open / 1000.0, at("13:00"));
    }
    let targets = world.json(StatusRoute::TargetsJson, "");
    let stale: Vec<_> = (0..3)
        .map(|index| (&targets["targets"][index]["stale"], &targets["targets"][index]["data_age_seconds"]))
        .collect();
    let fresh = (&Json::from(false), &Json::from(10.0));
    let failing = (&Json::from(false), &Json::from(300.0));
    assert_eq!(stale, [fresh, (&Json::from(true), &Json::from(4200.0)), failing], "fresh as in the rules");
    let calls = world.areas().remove(3).1;
    assert!(calls.starts_with("503 open, 80 ended in the last 15 min"), "{calls}");
    assert!(calls.contains(", without 1 of 3 targets that have no fresh data"), "{calls}");
    assert!(!calls.contains("b/us-1/live"), "old data breaches no limit: {calls}");
    let page = world.page(StatusRoute::Overview, "");
    let old = "<span class=\"old\">70</span><span class=\"of\">1 h 10 min old</span>";
    assert_eq!((page.matches(old).count(), page.matches("class=\"old\"").count()), (1, 2), "{page}");
    let page = world.page(StatusRoute::Target, &query_of("b"));
    assert!(page.contains(old) && page.contains("Calls of the 15 min before 13:00"), "{page}");
    assert!(page.contains("not current: they are 1 h 10 min old"), "{page}");
    let page = world.page(StatusRoute::Target, &query_of("c"));
    assert!(!page.contains("class=\"old\"") && page.contains("Calls of the last 15 min"), "{page}");
}

/// Names that must be escaped.
const HOSTILE: [&str; 9] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "a\u{202e}b",
    "../../etc/passwd",
    "..",
    "a/b?c=d&e#f%2F",
    "🤖 réservations",
    "</title><svg onload=alert(1)>",
];

#[test]
fn hostile_names_are_escaped() {
    let long = "x".repeat(200);
    for project in HOSTILE.into_iter().chain([long.as_str()]) {
        let world = World::of(&[project]);
        world.polled(project, "14:09:50", Some((Problem::ServerError, "<b>HTTP 503</b>")), &[]);
        for (document, query) in [
            (StatusRoute::Overview, String::new()),
            (StatusRoute::Target, query_of(project)),
            (StatusRoute::Overview, format!("q={}", &query_of(project)[8..])),
        ] {
            let page = world.page(document, &query);
            for markup in ["<script", "<img", "<svg onload", "<b>"] {
                assert!(!page.contains(markup), "{project:?}: {markup} in {page}");
            }
            // The filter keeps its text.
            let filter = format!("value=\"{project}\"");
            assert!(!page.replace(&filter, "").contains('\u{202e}'), "{page}");
        }
        let (status, page) = world.respond(StatusRoute::Target, &query_of(project));
        assert_eq!(status, StatusCode::OK, "{project:?} has a page: {page}");
    }
}

#[test]
fn page_and_json_agree() {
    let mut world = World::of(&["billing", "support"]).all_polled("14:03");
    world.polled("billing", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    world.series[0].set(Metric::InProgress, &[Arc::from("VOICE-SIP")], 1234.0, at("14:00"));
    let (status, targets) =
        (world.json(StatusRoute::StatusJson, ""), world.json(StatusRoute::TargetsJson, ""));
    let page = world.page(StatusRoute::Overview, "");
    let mut sentences = vec![status["health"]["sentence"].clone()];
    sentences.extend(status["areas"].as_array().unwrap().iter().map(|area| area["sentence"].clone()));
    sentences.push(targets["targets"][0]["sentence"].clone());
    for sentence in sentences {
        let sentence = sentence.as_str().unwrap().to_owned();
        assert!(page.contains(&sentence), "{sentence:?} is not in {page}");
    }
    assert_eq!(targets["targets"][0]["open_conversations"], 1234);
    assert!(page.contains(">1,234</td>"));

    let one = world.json(StatusRoute::TargetJson, &query_of("billing"));
    assert_eq!(one["target"], targets["targets"][0]);
    assert_eq!(one["polls"].as_array().unwrap().len(), 2);
    assert_eq!(one["polls"][0]["problem"], "server_error");
    let page = world.page(StatusRoute::Target, &query_of("billing"));
    assert_eq!(page.matches("12.4 kB").count(), 2, "both polls are there");
    assert!(page.contains("docs/troubleshooting.md#server_error"));
}

#[test]
fn settings_have_no_secrets() {
    let world = World::of(&["a"]).all_polled("14:09:50");
    let settings = &world.json(StatusRoute::TargetJson, &query_of("a"))["settings"];
    assert_eq!(settings["api_key"], "set, from the configuration");
    assert_eq!(settings["base_url"], "https://api.example.com/polyai");
    assert!(world.page(StatusRoute::Target, &query_of("a")).contains("https://api.example.com/polyai"));
}

#[test]
fn unread_numbers_are_unknown_and_not_zero() {
    let mut world = World::of(&["a"]);
    assert_eq!(world.json(StatusRoute::TargetsJson, "")["targets"][0]["read_to"], Json::Null);
    world.series[0].set(Metric::TargetWatermark, &[], at("14:00").seconds(), at("12:00"));
    let row = world.json(StatusRoute::TargetsJson, "")["targets"][0].take();
    assert_eq!((&row["read_to"], &row["lag_seconds"]), (&"2026-11-24T14:00:00.000Z".into(), &600.0.into()));
    world.series[0].set(Metric::RecentConversations, &[Arc::from("VOICE-SIP")], 0.0, at("12:00"));
    world.polled("a", "14:09:50", Some((Problem::Unauthorized, "HTTP 401")), &[]);
    let row = world.json(StatusRoute::TargetsJson, "")["targets"][0].take();
    assert_eq!((&row["open_conversations"], &row["recent"]["conversations"]), (&Json::Null, &Json::Null));
    world.polled("a", "14:09:55", None, &[]);
    let row = world.json(StatusRoute::TargetsJson, "")["targets"][0].take();
    assert_eq!((&row["open_conversations"], &row["recent"]["conversations"]), (&0.into(), &0.into()));
    world.series[0] = TargetSeries::default();
    let row = world.json(StatusRoute::TargetsJson, "")["targets"][0].take();
    let message = "without channels in the configuration there is no series of a quiet target";
    assert_eq!(row["open_conversations"], 0, "{message}");
    assert_eq!(row["recent"]["conversations"], 0, "{message}");
}

#[test]
fn unknown_target_is_not_found() {
    let world = World::of(&["a"]);
    for query in
        ["", "project=a", "project=b&region=us-1&client_env=live", "project=a&region=x&client_env=live"]
    {
        let (status, page) = world.respond(StatusRoute::Target, query);
        assert_eq!(status, StatusCode::NOT_FOUND, "{query}");
        assert!(page.contains("There is no such target."), "{page}");
        let (status, json) = world.respond(StatusRoute::TargetJson, query);
        assert_eq!(status, StatusCode::NOT_FOUND, "{query}");
        assert!(json.starts_with("{\"error\":\"no such target"), "{json}");
    }
}

#[test]
fn page_is_sorted_by_severity_and_json_by_name() {
    let world = World::of(&["a", "b", "c"]).all_polled("14:09:00");
    world.polled("c", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    let page = world.page(StatusRoute::Overview, "");
    let place = |project: &str| page.find(&format!("<bdi>{project}</bdi>")).unwrap();
    assert!(place("c") < place("a") && place("a") < place("b"));
    let json = world.json(StatusRoute::TargetsJson, "");
    let order: Vec<&str> =
        json["targets"].as_array().unwrap().iter().map(|row| row["project"].as_str().unwrap()).collect();
    assert_eq!(order, ["a", "b", "c"]);
    let filtered = world.json(StatusRoute::TargetsJson, "project=b&region=us-1");
    assert_eq!(filtered["targets"].as_array().unwrap().len(), 1);
    assert_eq!(filtered["targets_configured"], 3);
    let failing = world.json(StatusRoute::TargetsJson, "state=failing");
    assert_eq!(
        (failing["targets"].as_array().unwrap().len(), &failing["targets"][0]["project"]),
        (1, &"c".into())
    );
    let render = |query| world.inputs(|inputs| render(inputs, StatusRoute::TargetsJson, query));
    assert_eq!(render("states=failing").status, StatusCode::BAD_REQUEST);
    assert_eq!(render("state=stale").status, StatusCode::OK, "none is a result, too");
}

#[test]
fn thousand_targets_are_collapsed_and_bounded() {
    let names: Vec<String> = (0..1000).map(|number| format!("project-{number:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::of(&names).all_polled("14:09:00");
    for project in &names[500..503] {
        world.polled(project, "14:09:50", Some((Problem::Timeout, "no answer")), &[]);
    }
    let page = world.page(StatusRoute::Overview, "");
    assert!(page.contains("<summary>997 targets up to date</summary>"));
    assert!(page.contains("797 more are not shown"));
    assert!(page.len() < 400_000, "{} bytes", page.len());
    let before = page.split("<summary>997").next().unwrap();
    assert_eq!(before.matches("href=\"target?").count(), 3, "problems are not collapsed");

    let found = world.page(StatusRoute::Overview, "q=0999");
    assert_eq!(found.matches("href=\"target?").count(), 1);
    assert!(found.contains("1 of 1,000 targets"));
    assert!(world.page(StatusRoute::Overview, "q=nothing").contains("No target matches."));
}

#[test]
fn page_refreshes_only_on_request() {
    let world = World::of(&["a"]).all_polled("14:09:50");
    assert!(!world.page(StatusRoute::Overview, "").contains("http-equiv"));
    let page = world.page(StatusRoute::Overview, "refresh=30&q=a");
    assert!(page.contains("<meta http-equiv=\"refresh\" content=\"30\">"), "{page}");
    assert!(page.contains("<a href=\"./?q=a\">stop</a>"), "{page}");
    let page = world.page(StatusRoute::Target, &format!("{}&refresh=30", query_of("gone")));
    assert!(page.contains("content=\"30\""), "a reload may add the target again: {page}");
}

#[test]
fn hash_depends_on_settings_but_not_on_secrets() {
    let settings = World::of(&["a"]).settings;
    let before = hash(&settings);
    assert_eq!(before.len(), 64);
    let mut rotated = settings.clone();
    rotated.targets[0].api_key = Secret::new("another");
    assert_eq!(hash(&rotated), before);
    let mut changed = settings.clone();
    changed.polling.interval = Duration::from_secs(31);
    assert_ne!(hash(&changed), before);
    let mut renamed = settings;
    renamed.targets[0].key.project = "b".to_owned();
    assert_ne!(hash(&renamed), before);
}

#[test]
fn style_sheet_loads_nothing() {
    let style = World::of(&[]).page(StatusRoute::Style, "");
    for word in ["url(", "@import", "http:", "https:"] {
        assert!(!style.contains(word), "{word}");
    }
    assert!(style.contains("prefers-color-scheme: dark"));
}

#[test]
fn documentation_lists_exactly_the_fields() {
    let mut world = World::of(&["a"]).all_polled("14:00");
    world.polled("a", "14:09:50", Some((Problem::ServerError, "HTTP 503")), &[]);
    world.configuration.last_reload =
        Some(Reload { at: at("14:01"), succeeded: true, detail: "nothing changed".to_owned() });
    world.inputs(|inputs| world.trends.sample(inputs.generation, inputs.now));
    let mut fields = BTreeSet::new();
    for (document, query) in [
        (StatusRoute::StatusJson, String::new()),
        (StatusRoute::TargetsJson, String::new()),
        (StatusRoute::TargetJson, query_of("a")),
    ] {
        collect(&world.json(document, &query), &mut fields);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: BTreeSet<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(['.', '[', ']']))
        .filter(|word| !word.is_empty())
        .collect();
    let missing: Vec<&String> = fields.iter().filter(|field| !documented.contains(field.as_str())).collect();
    assert_eq!(missing, Vec::<&String>::new(), "not in docs/api.md");
    // Fields in the tables must exist.
    let named = text.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `/"));
    let named = named.filter_map(|line| line.split(" | ").next());
    let states = ["storage_failing", "stale", "failing", "not_tried", "catching_up", "limited", "up_to_date"];
    for field in named.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        for word in field.split(['.', '[', ']']).filter(|word| !word.is_empty()) {
            let known = fields.contains(word) || states.contains(&word);
            assert!(known, "docs/api.md names {word}, which is not there");
        }
    }
}

/// The names of all fields of objects with fixed keys.
fn collect(json: &Json, fields: &mut BTreeSet<String>) {
    match json {
        Json::Object(object) => {
            for (name, value) in object {
                fields.insert(name.clone());
                let keyed_by_data =
                    matches!(name.as_str(), "settings") || json["tone"].is_string() && name == "targets";
                if !keyed_by_data {
                    collect(value, fields);
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, fields)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[test]
fn target_that_catches_up_shows_no_totals() {
    let mut world = World::of(&["a", "b"]).all_polled("14:09");
    for series in &mut world.series {
        series.set(Metric::TargetUp, &[], 1.0, at("14:09"));
    }
    world.series[0].set(Metric::TargetCatchingUp, &[], 1.0, at("14:09"));
    world.series[1].set(Metric::TargetCatchingUp, &[], 0.0, at("14:09"));
    let targets = world.json(StatusRoute::TargetsJson, "");
    let (hidden, shown) = (&targets["targets"][0], &targets["targets"][1]);
    for field in ["conversations_counted", "handoffs_counted", "open_conversations"] {
        assert_eq!((&hidden[field], &shown[field]), (&Json::Null, &Json::from(0)), "{field}");
    }
    assert_eq!(
        (&hidden["recent"]["conversations"], &hidden["catching_up"]),
        (&Json::Null, &Json::from(true))
    );
    assert_eq!((&hidden["state"], &shown["state"]), (&Json::from("catching_up"), &Json::from("up_to_date")));
    let sentence = "Catching up: read up to 14:09 of 14:10; its conversations are not shown yet";
    assert_eq!(hidden["sentence"], Json::from(sentence));
    let calls = world.areas().remove(3).1;
    assert!(calls.contains(", without 1 of 2 targets that are catching up"), "{calls}");
    assert!(world.page(StatusRoute::Target, &query_of("a")).contains(sentence));
}
