//! The command line: exit codes and messages.

use std::net::TcpListener;
use std::path::Path;

use chrono::TimeDelta;
use polyai_domain::problem::Problem;
use polyai_domain::target::{ClientEnv, Region};
use polyai_simulator::{Call, Fault, FaultKind, Project, Quirks, TimestampFormat};

use super::daemon::{Output, polyai_exporter};
use super::fixture::{Fixture, SECRET};

#[tokio::test]
async fn fatal_error_is_one_line_of_the_json_log() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let good = fixture.config("good.yaml", &fixture.path("state"));
    let bad = fixture.write("bad.yaml", "targets:\n  - {region: us-1}\nno_such_key: 1\n");
    let web = fixture.write("web.yml", "no_such_key: 1\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (good, bad, web) = (good.to_str().unwrap(), bad.to_str().unwrap(), web.to_str().unwrap());
    for (arguments, env, code, expected) in [
        (&["--config", bad][..], &[][..], 2, "no_such_key"),
        (&["--config", "/no/such/file.yaml"], &[], 2, "no such file"),
        (&["--config", good, "--web.config.file", web], &[], 2, "no_such_key"),
        (&["--config", good, "--web.listen-address", &taken], &[], 1, &taken),
        (
            &["--config", good],
            &[("HTTPS_PROXY", "ftp://me:marker@proxy")],
            2,
            "HTTPS_PROXY: found text that is not",
        ),
        (
            &["--config", good],
            &[("all_proxy", "http://me:marker@:x")],
            2,
            "all_proxy: found text that is not",
        ),
    ] {
        for format in ["json", "text"] {
            let arguments = [&["serve", "--log.format", format], arguments].concat();
            let ended = polyai_exporter(&arguments, env).await;
            assert_eq!(ended.code, code, "{ended:?}");
            assert!(ended.stderr.contains(expected) && !ended.stderr.contains("marker"), "{ended:?}");
            let mut lines = ended.stderr.lines().map(serde_json::from_str::<serde_json::Value>);
            match format {
                "json" => {
                    let last = lines.by_ref().map(Result::unwrap).last().unwrap();
                    assert_eq!(last["level"], "ERROR", "{ended:?}");
                    assert!(last["message"].as_str().unwrap().contains(expected), "{ended:?}");
                }
                _ => assert!(ended.stderr.contains("polyai-exporter: "), "{ended:?}"),
            }
        }
    }
}

const KEY: (&str, &str) = ("POLYAI_API_KEY", SECRET);

#[tokio::test]
async fn example_configuration_is_valid() {
    let checked = polyai_exporter(&["check", "--config", "config.example.yaml"], &[KEY]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stdout.ends_with("OK: 1 target from config.example.yaml.\n"), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("API key   from the environment variable POLYAI_API_KEY (never shown)"),
        "{}",
        checked.stdout
    );
}

#[tokio::test]
async fn invalid_config_exits_2_with_location_and_key() {
    for (file, words) in [
        ("unknown-keys.bad.yaml", "unknown-keys.bad.yaml:"),
        ("durations-without-unit.bad.yaml", "polling.interval"),
        ("no-targets.bad.yaml", "targets"),
        ("syntax.bad.yaml", "syntax.bad.yaml:"),
        ("toml.bad.toml", "toml.bad.toml:"),
    ] {
        let path = format!("tests/fixtures/config/{file}");
        let checked = polyai_exporter(&["check", "--config", &path], &[KEY]).await;
        assert_eq!(checked.code, 2, "{checked:?}");
        assert!(checked.stdout.contains("problem: ") && checked.stdout.contains(words), "{checked:?}");
        assert!(checked.stdout.contains("NOT OK: "), "{checked:?}");

        let refused = polyai_exporter(&["serve", "--config", &path], &[KEY]).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    let missing = polyai_exporter(&["check", "--config", "no/such/file.yaml"], &[]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stdout.contains("no/such/file.yaml"), "{missing:?}");
}

#[tokio::test]
async fn serve_without_config_names_four_variables() {
    let refused = polyai_exporter(&["serve"], &[]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    for variable in ["POLYAI_API_KEY", "POLYAI_BASE_URL", "POLYAI_ACCOUNT_ID", "POLYAI_PROJECT_ID"] {
        assert!(refused.stderr.contains(variable), "{variable}: {refused:?}");
    }
}

#[tokio::test]
async fn unknown_arguments_are_usage_errors() {
    for arguments in [
        &["serve", "--no-such-flag"][..],
        &["no-such-command"],
        &[],
        &["serve", "--web.listen-address", "nowhere"],
        &["--log.level", "loud", "serve"],
        &["--log.format", "xml", "serve"],
        &["demo", "--interval", "5"],
        &["simulate", "--volume", "-1"],
    ] {
        let refused = polyai_exporter(arguments, &[]).await;
        assert_eq!(refused.code, 2, "{arguments:?}: {refused:?}");
        assert!(!refused.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn port_in_use_exits_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let arguments = ["serve", "--web.listen-address", &address, "--config", config.to_str().unwrap()];
    let refused = polyai_exporter(&arguments, &[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains(&address), "{refused:?}");
}

/// Every command that the help lists explains itself, and the help promises nothing else.
#[tokio::test]
async fn help_lists_all_commands() {
    let help = polyai_exporter(&["--help"], &[]).await;
    assert_eq!(help.code, 0);
    let listed = help.stdout.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = listed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let all = ["serve", "check", "demo", "simulate", "rules", "healthcheck", "completions", "man", "help"];
    assert_eq!(commands, all);
    for command in &commands[..8] {
        let help = polyai_exporter(&[command, "--help"], &[]).await;
        assert_eq!(help.code, 0, "{command}");
        assert!(help.stdout.contains("Usage: polyai-exporter"), "{command}: {}", help.stdout);
    }
    let version = polyai_exporter(&["--version"], &[]).await;
    assert_eq!(version.stdout.trim(), format!("polyai-exporter {}", env!("CARGO_PKG_VERSION")));
}

/// A project with one call that ended a moment ago.
async fn a_project(change: impl FnOnce(Project) -> Project) -> Fixture {
    let fixture = Fixture::new([change(Project::new("reservations", Region::Us1))], TimeDelta::zero()).await;
    for target in fixture.targets() {
        let start = fixture.control().now() - TimeDelta::minutes(2);
        assert!(fixture.control().put(&target, Call::new("call-1").starting(start)));
    }
    fixture
}

async fn check_live(config: &Path) -> Output {
    polyai_exporter(&["check", "--live", "--config", config.to_str().unwrap()], &[]).await
}

/// Checks `fixture` as it is, with `changes` to the text of its configuration.
async fn look(fixture: &Fixture, changes: &[(&str, &str)]) -> Output {
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text = text.replace(from, to);
    }
    let ended = check_live(&fixture.write("polyai.yaml", &text)).await;
    assert!(!fixture.path("state").exists(), "a check leaves nothing behind");
    ended
}

fn unwell(ended: &Output, problem: Problem, words: &[&str]) {
    assert_eq!(ended.code, 1, "{ended:?}");
    let code = format!("  problem  {}: ", problem.code());
    for words in [&[&*code, problem.advice(), "LIVE NOT OK: 1 of 1 targets need attention."], words].concat()
    {
        assert!(ended.stdout.contains(words), "{words:?} is not in {}", ended.stdout);
    }
}

#[tokio::test]
async fn live_check_reports_healthy_target() {
    let well = look(&a_project(|project| project).await, &[]).await;
    assert_eq!(well.code, 0, "{well:?}");
    for words in [
        "asking reservations/us-1/live ...",
        "  ok       clocks agree",
        "  ok       the key works, and 1 conversation had all fields that serve counts",
        "LIVE OK: the target responds correctly.",
    ] {
        assert!(well.stdout.contains(words), "{words:?} is not in {}", well.stdout);
    }
}

#[tokio::test]
async fn live_check_reports_rejected_key_with_region() {
    let fixture = a_project(|project| project).await;
    let refused = look(&fixture, &[(SECRET, "another-key")]).await;
    unwell(&refused, Problem::Unauthorized, &["This target is in region us-1."]);
    assert!(!refused.stdout.contains("another-key"), "{refused:?}");
}

#[tokio::test]
async fn live_check_reports_missing_permission() {
    let fixture = a_project(|project| project).await;
    fixture.control().forbid_key(SECRET);
    unwell(&look(&fixture, &[]).await, Problem::Forbidden, &[]);
}

#[tokio::test]
async fn live_check_reports_unknown_project_with_url() {
    let fixture = a_project(|project| project).await;
    let refused = look(&fixture, &[("PROJECT-RESERVATIONS", "PROJECT-UNKNOWN")]).await;
    unwell(
        &refused,
        Problem::NotFound,
        &["is usual for the region", "Correlation id for PolyAI's support: "],
    );
}

#[tokio::test]
async fn live_check_distinguishes_foreign_404() {
    let fixture = a_project(|project| project).await;
    let refused = look(&fixture, &[("/us-1\"", "/us-1/no/such/path\"")]).await;
    unwell(&refused, Problem::WrongHost, &["/us-1/no/such/path; https://api.us-1.platform.polyai.app"]);
}

#[tokio::test]
async fn live_check_reports_refused_connection() {
    let fixture = a_project(|project| project).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let text = std::fs::read_to_string(config).unwrap();
    let there = text.split("http://").nth(1).unwrap().split('/').next().unwrap();
    unwell(&look(&fixture, &[(there, &gone.to_string())]).await, Problem::Unreachable, &[]);
}

#[tokio::test]
async fn live_check_suggests_other_environment() {
    let fixture = Fixture::new(
        [Project::new("reservations", Region::Us1).with_envs(&[ClientEnv::Live, ClientEnv::Sandbox])],
        TimeDelta::zero(),
    )
    .await;
    let sandbox = fixture.targets().remove(1);
    let start = fixture.control().now() - TimeDelta::days(3);
    assert!(fixture.control().put(&sandbox, Call::new("call-1").starting(start)));
    let empty = look(&fixture, &[("[live, sandbox]", "[live]")]).await;
    assert_eq!(empty.code, 1, "{empty:?}");
    let words = "no conversation of the last 30 days in client_env live, but there are some in sandbox: set client_env: [sandbox]";
    assert!(empty.stdout.contains(words), "{}", empty.stdout);
}

#[tokio::test]
async fn live_check_accepts_project_without_calls() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let empty = look(&fixture, &[]).await;
    assert_eq!(empty.code, 0, "{empty:?}");
    assert!(empty.stdout.contains("transcripts and latency cannot be checked yet"), "{empty:?}");
}

#[tokio::test]
async fn live_check_reports_disabled_transcripts() {
    let fixture = a_project(|project| project.with_quirks(|quirks| quirks.no_transcripts = true)).await;
    unwell(&look(&fixture, &[]).await, Problem::TranscriptOff, &[]);
}

#[tokio::test]
async fn live_check_reports_missing_fields() {
    let fixture = a_project(|project| project.with_quirks(|quirks| quirks.sparse = true)).await;
    let ended = look(&fixture, &[]).await;
    let words = "lack handoff, total_duration, polyai_duration, turns, num_turns, num_ood, num_silences, so";
    assert!(ended.stdout.contains(words), "{}", ended.stdout);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[tokio::test]
async fn live_check_names_what_the_api_ignores_or_trims() {
    type Change = fn(&mut Quirks);
    let cases: [(Change, i32, &str); 9] = [
        (|_| {}, 0, "the key works, and 4 conversations had all fields that serve counts"),
        (
            |quirks| quirks.omitted_fields = &["handoff"],
            1,
            "partial_fields: the conversations that were read lack handoff, so",
        ),
        (|quirks| quirks.ignores_in_progress = true, 1, "ignores in_progress"),
        (|quirks| quirks.ignores_window = true, 1, "ignores start_time and end_time"),
        (|quirks| quirks.ignores_limit = true, 1, "a page of 2 was requested, and 5 records were returned"),
        (|quirks| quirks.latency_in_milliseconds = true, 1, "latency_unit: "),
        (|quirks| quirks.timestamps = TimestampFormat::Naive, 0, "times have no zone and are taken as UTC"),
        (|quirks| quirks.no_transcripts = true, 1, "transcript_off: "),
        (|quirks| quirks.ignores_client_env = true, 0, "the key works"),
    ];
    for (change, code, words) in cases {
        let fixture = a_project(|project| project.with_quirks(change)).await;
        put_calls(&fixture, 5);
        let ended = look(&fixture, &[]).await;
        assert!(ended.stdout.contains(words), "{words:?} is not in {}", ended.stdout);
        assert_eq!(ended.code, code, "{}", ended.stdout);
        let problems = ended.stdout.matches("  problem  ").count();
        assert_eq!(problems, usize::try_from(code).unwrap(), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn live_check_names_records_of_another_environment() {
    let envs = &[ClientEnv::Live, ClientEnv::Sandbox];
    let project = Project::new("reservations", Region::Us1)
        .with_envs(envs)
        .with_quirks(|quirks| quirks.ignores_client_env = true);
    let fixture = Fixture::new([project], TimeDelta::zero()).await;
    put_calls(&fixture, 1);
    let ended = look(&fixture, &[("[live, sandbox]", "[sandbox]")]).await;
    let words = "wrong_environment: 1 of 1 records belong to another environment";
    assert!(ended.stdout.contains(words), "{}", ended.stdout);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[tokio::test]
async fn live_check_reports_repeated_cursor() {
    let fixture = a_project(|project| project).await;
    put_calls(&fixture, 5);
    fixture.control().fault(Fault::new(FaultKind::RepeatCursor));
    unwell(&look(&fixture, &[]).await, Problem::BadPayload, &["the API repeated a page cursor"]);
}

/// Puts calls into the first target that ended a few minutes ago.
fn put_calls(fixture: &Fixture, number: i64) {
    let target = fixture.targets().remove(0);
    for n in 1..=number {
        let start = fixture.control().now() - TimeDelta::minutes(2 + n) + TimeDelta::milliseconds(370);
        assert!(fixture.control().put(&target, Call::new(format!("call-{n}")).starting(start)));
    }
}

#[tokio::test]
async fn live_check_reports_clock_skew_direction() {
    for (skew, words) in [
        (120, "clock_skew: this machine's clock is 120 s behind the API's."),
        (-90, "clock_skew: this machine's clock is 90 s ahead of the API's."),
    ] {
        let fixture = a_project(|project| project).await;
        fixture.control().skew(TimeDelta::seconds(skew));
        let ended = look(&fixture, &[]).await;
        // The header has whole seconds, so the last digit may be one less or more.
        let near: Vec<String> = (-1..=1)
            .map(|by| words.replace(&skew.abs().to_string(), &(skew.abs() + by).to_string()))
            .collect();
        assert!(near.iter().any(|words| ended.stdout.contains(words)), "{words:?}: {}", ended.stdout);
        assert_eq!(ended.code, 1, "{ended:?}");
    }
}

#[tokio::test]
async fn live_check_finds_one_problem_among_targets() {
    let fixture =
        Fixture::new([Project::new("a", Region::Us1), Project::new("b", Region::Uk1)], TimeDelta::zero())
            .await;
    let ended = look(&fixture, &[("PROJECT-B", "PROJECT-C")]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("LIVE NOT OK: 1 of 2 targets need attention."), "{}", ended.stdout);
}
