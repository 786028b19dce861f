//! The configuration from outside: what is refused, the messages, and that none has a secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use insta::assert_snapshot;
use polyai_domain::target::Region;
use polyai_exporter::cli::check::{Verdict, print_report};
use polyai_exporter::config::{
    ConfigErrors, ConfigInput, Dimension, LoadedConfig, Storage, load, reference, reference_markdown,
};
use polyai_exporter::config::{DefaultValue, Metrics, Polling, Server, ValueType};

mod properties;

const FIXTURES: &str = "tests/fixtures/config";

type Env<'a> = [(&'a str, &'a str)];

fn variables(env: &Env<'_>) -> BTreeMap<String, String> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// 20 August 2026, 09:00 UTC.
fn today() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_216_400, 0).unwrap()
}

fn load_file(file: &Path, env: &Env<'_>) -> Result<LoadedConfig, ConfigErrors> {
    load(&ConfigInput {
        file: Some(file),
        env: &variables(env),
        listen: &[],
        web_config_file: None,
        now: today(),
    })
}

/// Loads `text` as a file with this extension in a directory of its own; messages then have its name without the directory.
fn load_text(extension: &str, text: &str, env: &Env<'_>) -> Result<LoadedConfig, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("polyai.{extension}"));
    fs::write(&file, text).unwrap();
    let prefix = format!("{}/", dir.path().display());
    load_file(&file, env).map_err(|problems| problems.to_string().replace(&prefix, ""))
}

fn load_environment(env: &Env<'_>) -> Result<LoadedConfig, String> {
    load(&ConfigInput { file: None, env: &variables(env), listen: &[], web_config_file: None, now: today() })
        .map_err(|problems| problems.to_string())
}

const TARGET: &str = "targets:\n  - {region: us-1, account_id: ws-1, project_id: P-1, api_key: k}\n";

const QUICKSTART: [(&str, &str); 4] = [
    ("POLYAI_API_KEY", "key"),
    ("POLYAI_BASE_URL", "https://api.uk-1.platform.polyai.app"),
    ("POLYAI_ACCOUNT_ID", "ws-1"),
    ("POLYAI_PROJECT_ID", "P-1"),
];

fn fixtures(mark: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(FIXTURES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.contains(mark) && !name.ends_with(".snap")
        })
        .collect();
    files.sort();
    files
}

/// Compares with the file `NAME.snap` beside the fixture.
fn assert_snapshot_of(file: &Path, text: &str) {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../fixtures/config");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!(name, text.replace(&format!("{FIXTURES}/"), "")));
}

fn checked(outcome: &Result<LoadedConfig, ConfigErrors>) -> (Verdict, String) {
    let mut printed = Vec::new();
    let verdict = print_report(outcome, &mut printed).unwrap();
    (verdict, String::from_utf8(printed).unwrap())
}

#[test]
fn bad_files_are_refused_as_in_snapshots() {
    let files = fixtures(".bad.");
    assert!(files.len() > 30, "found the fixtures");
    for file in files {
        let problems = load_file(&file, &[("KEY", "k")]).expect_err(&file.display().to_string());
        let text = problems.to_string();
        for secret in ["marker", "markér", "271828"] {
            assert!(!text.contains(secret), "{}: {text}", file.display());
        }
        assert_snapshot_of(&file, &text);
    }
}

#[test]
fn debug_output_has_no_api_key() {
    let env = variables(&[("POLYAI_API_KEY", "marker"), ("POLYAI_BASE_URL", "https://marker@127.0.0.1")]);
    let input = ConfigInput { file: None, env: &env, listen: &[], web_config_file: None, now: today() };
    assert_eq!(format!("{input:?}"), "ConfigInput { file: None, listen: [], web_config_file: None, .. }");
    let outcome = format!("{:?} {:?}", load(&input), load_environment(&QUICKSTART));
    assert!(!outcome.contains("marker") && !outcome.contains("\"key\""), "{outcome}");
}

#[test]
fn check_describes_good_files() {
    let files = fixtures(".good.");
    assert!(files.len() >= 5, "found the fixtures");
    for file in files {
        let (verdict, printed) = checked(&load_file(&file, &[("KEY_OF_TESTS", "key-of-tests")]));
        assert_eq!(verdict.exit_code(), 0, "{printed}");
        assert!(!printed.contains("key-of-tests"), "{printed}");
        assert_snapshot_of(&file, &printed);
    }
}

#[test]
fn refused_configuration_has_exit_code_2() {
    let (verdict, printed) = checked(&load_file(Path::new("no-such.yaml"), &[]));
    assert_eq!(verdict.exit_code(), 2);
    assert_snapshot!(printed, @r"
    problem: no-such.yaml: there is no such file; check the path

    NOT OK: 1 problem; nothing was started.
    ");
}

#[test]
fn directories_and_oversized_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = load_file(dir.path(), &[]).unwrap_err().to_string();
    assert!(text.ends_with(": this is a directory; name the file in it"), "{text}");
    let text = load_text("yaml", &" ".repeat(10_000_000), &[]).unwrap_err();
    assert_eq!(text, "polyai.yaml: the file is larger than 1 MiB; check the path");
}

#[test]
fn byte_order_mark_and_crlf_are_accepted() {
    let text = format!("\u{feff}{}", TARGET.replace('\n', "\r\n"));
    assert_eq!(load_text("yml", &text, &[]).unwrap().settings.targets.len(), 1);
    assert_eq!(load_text("conf", TARGET, &[]).unwrap().settings.targets.len(), 1, "YAML is the default");
}

#[test]
fn byte_order_mark_in_key_and_ca_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("key"), "\u{feff}secret\r\n").unwrap();
    let pem = certificate();
    fs::write(at("ca.pem"), format!("\u{feff}{pem}")).unwrap();
    let text = TARGET.replace("api_key: k", "api_key_file: ./key, ca_file: ca.pem");
    fs::write(at("polyai.yaml"), text).unwrap();
    let target = load_file(&at("polyai.yaml"), &[]).unwrap().settings.targets.remove(0);
    assert_eq!(target.api_key.expose_secret(), "secret");
    assert_eq!(target.ca_file.unwrap().bundle, polyai_api::CaBundle::parse(pem.as_bytes()).unwrap());
}

#[test]
fn example_file_has_every_default() {
    let file = Path::new("config.example.yaml");
    let loaded = load_file(file, &[("POLYAI_API_KEY", "k")]).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.server, Server::default());
    assert_eq!(settings.storage, Storage::default());
    assert_eq!(settings.polling, Polling::default());
    assert_eq!(settings.metrics, Metrics::default());
    assert_eq!(loaded.warnings, []);
    let text = fs::read_to_string(file).unwrap();
    for key in reference() {
        let name = key.path.rsplit('.').next().unwrap();
        let line = match key.default {
            DefaultValue::Value(value) => format!(" {name}: {value}\n"),
            DefaultValue::Derived(_) | DefaultValue::Required => format!(" {name}: "),
        };
        assert!(text.contains(&line), "config.example.yaml lacks {line:?}");
    }
}

#[test]
fn reference_table_has_a_line_per_key() {
    let text = reference_markdown();
    assert_eq!(text.lines().count(), 2 + reference().len());
    assert!(text.lines().all(|line| line.split('|').count() == 6), "{text}");
    let line = text.lines().find(|line| line.contains("`polling.interval`")).unwrap();
    assert_snapshot!(line, @r#"| `polling.interval` | a duration from 1s to 1h | `30s` | How often running and newly started conversations are requested. |"#);
}

/// A certificate in PEM.
fn certificate() -> String {
    let names = ["localhost".to_owned()];
    rcgen::generate_simple_self_signed(names).unwrap().cert.pem()
}

#[test]
fn every_key_has_a_variable() {
    for key in reference() {
        let name = key.path.rsplit('.').next().unwrap();
        let value = match (name, key.value_type) {
            ("listen", _) => "127.0.0.1:1, :2, unix:/run/polyai.sock",
            ("web_config_file" | "path", _) => "/var/lib/polyai",
            ("recheck", _) => "2m, 2h",
            ("recent_window", _) => "20m",
            ("anchor", _) => "2026-01-31T00:00:00Z",
            ("latency_buckets" | "duration_buckets", _) => "0.5,1,20",
            ("base_url", _) => "https://api.us-1.platform.polyai.app",
            ("ca_file", _) => "ca.pem",
            ("api_key_file", _) => "key",
            ("api_key_env", _) => "POLYAI_API_KEY",
            ("channels", _) => "CHAT,WEBCHAT",
            ("labels", _) => "channel",
            ("client_env", _) => "live",
            ("collectors", _) => "conversations",
            (_, ValueType::Bool) if key.default == DefaultValue::Value("true") => "false",
            (_, ValueType::Bool) => "true",
            (_, ValueType::Duration { .. }) => "20s",
            (_, ValueType::Integer { .. }) => "17",
            ("latency_unit", _) => "milliseconds",
            (_, ValueType::OneOf(names)) => names[0],
            _ => "text",
        };
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), certificate()).unwrap();
        fs::write(dir.path().join("key"), "from a file").unwrap();
        let file = dir.path().join("polyai.yaml");
        fs::write(&file, TARGET).unwrap();
        let variable = polyai_exporter::config::variable(key);
        let plain = load_file(&file, &[("POLYAI_API_KEY", "from the environment")]).unwrap();
        let set =
            load_file(&file, &[("POLYAI_API_KEY", "from the environment"), (&variable, value)]).unwrap();
        let is_default = ["labels", "client_env", "region", "api_version", "base_url", "collectors"];
        if is_default.iter().any(|name| key.path.ends_with(name)) {
            assert_eq!(set.settings, plain.settings, "{variable}={value}");
        } else {
            assert_ne!(set.settings, plain.settings, "{variable}={value}");
        }
    }
}

#[test]
fn names_that_resemble_placeholders_are_accepted() {
    for name in ["your-bank", "Yourself", "100%", "a<b>c", "price-$5"] {
        let text = TARGET.replace("{region", &format!("{{name: \"{name}\", region"));
        assert_eq!(load_text("yaml", &text, &[]).unwrap().settings.targets[0].key.project, name);
    }
}

#[test]
fn environment_overrides_file_and_adds_targets() {
    let loaded = load_text(
        "yaml",
        "polling: {interval: 1m}\ntargets:\n  - {name: b, region: us-1, account_id: ws-1, project_id: P-1, api_key: k}\n",
        &[
            ("POLYAI_EXPORTER__POLLING__INTERVAL", "15s"),
            ("POLYAI_EXPORTER__METRICS__LABELS", "variant, channel"),
            ("POLYAI_EXPORTER__POLLING__RECHECK", ""),
            ("POLYAI_EXPORTER__TARGETS__0__API_KEY_ENV", "OTHER"),
            ("POLYAI_EXPORTER__TARGETS__1__NAME", "a"),
            ("POLYAI_EXPORTER__TARGETS__1__REGION", "euw-1"),
            ("POLYAI_EXPORTER__TARGETS__1__ACCOUNT_ID", "123"),
            ("POLYAI_EXPORTER__TARGETS__1__PROJECT_ID", "1e5"),
            ("POLYAI_EXPORTER__TARGETS__1__API_KEY", "0123"),
            ("OTHER", "other"),
        ],
    )
    .unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.polling.interval, Duration::from_secs(15));
    assert_eq!(settings.polling.recheck, [] as [Duration; 0]);
    assert_eq!(settings.metrics.labels, [Dimension::Channel, Dimension::Variant]);
    let [a, b] = settings.targets.as_slice() else { panic!("{settings:?}") };
    assert_eq!((a.key.project.as_str(), a.account_id.as_str(), a.project_id.as_str()), ("a", "123", "1e5"));
    assert_eq!(a.api_key.expose_secret(), "0123", "text of the environment stays as it is");
    assert_eq!(b.api_key.expose_secret(), "other", "a source in the environment replaces that of the file");
    assert!(loaded.origin.ends_with("polyai.yaml and 9 environment variables"), "{}", loaded.origin);
}

#[test]
fn targets_of_the_environment_are_in_numeric_order() {
    let mut env = Vec::new();
    for index in 0..12 {
        for (key, value) in [("REGION", "us-1"), ("ACCOUNT_ID", "ws"), ("API_KEY", "k")] {
            env.push((format!("POLYAI_EXPORTER__TARGETS__{index}__{key}"), value.to_owned()));
        }
        env.push((format!("POLYAI_EXPORTER__TARGETS__{index}__PROJECT_ID"), format!("P-{index}")));
    }
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(load_environment(&env).unwrap().settings.targets.len(), 12);
}

#[test]
fn state_path_on_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below/it")] {
        let error = load_text("yaml", &format!("storage: {{path: {:?}}}\n{TARGET}", path), &[]).unwrap_err();
        assert!(error.contains("storage.path") && error.contains("state is not a directory"), "{error}");
    }
    let absent = dir.path().join("to/come");
    load_text("yaml", &format!("storage: {{path: {absent:?}}}\n{TARGET}"), &[]).unwrap();
}

#[test]
fn project_under_two_names_is_warned_about() {
    let warnings = |second: &str| {
        let text = format!("{TARGET}  - {{region: us-1, account_id: ws-1, api_key: k, {second}}}\n");
        let warnings = load_text("yaml", &text, &[]).unwrap().warnings;
        warnings.iter().map(ToString::to_string).filter(|text| text.contains("another name")).count()
    };
    assert_eq!(warnings("project_id: P-1, name: other"), 1);
    assert_eq!(warnings("project_id: P-1, name: other, client_env: [sandbox, live]"), 1);
    assert_eq!(warnings("project_id: P-1, name: other, client_env: sandbox"), 0);
    assert_eq!(warnings("project_id: P-2"), 0);
}

#[test]
fn unusable_variables_are_named() {
    let env = [
        ("POLYAI_EXPORTER_PORT_9890_TCP", "tcp://10.0.0.1:9890"),
        ("POLYAI_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("POLYAI_EXPORTER_POLLING_INTERVAL", "marker"),
        ("POLYAI_EXPORTER_POLLING__PAGE_SIZE", "marker"),
        ("POLYAI_EXPORTER_TARGETS_7_API_KEY_ENV", "marker"),
        ("POLYAI_EXPORTER__POLLING__INTERVALL", "marker"),
        ("POLYAI_EXPORTER__POLLING__PAGE_SIZE", "90.9"),
        ("POLYAI_EXPORTER__POLLING__SETTLE", "10"),
        ("POLYAI_EXPORTER__POLLING__TIMEOUT", ""),
        ("POLYAI_EXPORTER__STORAGE__EPHEMERAL", "1"),
        ("POLYAI_EXPORTER__RECENT_WINDOW", "marker"),
        ("POLYAI_EXPORTER__polling__interval", "30s"),
        ("POLYAI_EXPORTER__POLLING", "marker"),
        ("POLYAI_EXPORTER__TARGETS", "marker"),
        ("POLYAI_EXPORTER__TARGETS__0", "marker"),
        ("POLYAI_EXPORTER__TARGETS__01__REGION", "marker"),
        ("POLYAI_EXPORTER__TARGETS__3__REGION", "us-1"),
        ("POLYAI_EXPORTER__TARGETS__99999999999999999999__REGION", "us-1"),
        ("POLYAI_EXPORTER__METRICS__LABELS__0", "channel"),
        ("POLYAI_EXPORTER__METRICS__LATENCY_BUCKETS", "1,x"),
        ("POLYAI_EXPORTER__SERVER__LISTEN", "127.0.0.1:1, 9890"),
        ("POLYAI_EXPORTER__SEARCHES", "marker"),
        ("POLYAI_EXPORTER__WEBHOOK__SECRET", "marker"),
        ("POLYAI_EXPORTER__", "marker"),
    ];
    let text = load_text("yaml", TARGET, &env).unwrap_err();
    assert!(!text.contains("marker"), "{text}");
    assert_snapshot!(text);
}

#[test]
fn quickstart_variables_configure_one_target() {
    let loaded = load_environment(&QUICKSTART).unwrap();
    let [target] = loaded.settings.targets.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(target.key.to_string(), "P-1/uk-1/live");
    assert_eq!(target.base_url, "https://api.uk-1.platform.polyai.app");
    assert_eq!(target.api_key.expose_secret(), "key");
    assert_eq!(loaded.origin, "the environment");
}

#[test]
fn quickstart_region_follows_from_base_url() {
    for (url, region, expected) in [
        ("https://api.us-1.platform.polyai.app", None, Region::Us1),
        ("https://api.euw-1.platform.polyai.app/", None, Region::Euw1),
        ("http://127.0.0.1:8080", None, Region::Us1),
        ("http://127.0.0.1:8080", Some("uk-1"), Region::Uk1),
    ] {
        let mut env = QUICKSTART.to_vec();
        env[1].1 = url;
        env.extend(region.map(|region| ("POLYAI_EXPORTER__TARGETS__0__REGION", region)));
        assert_eq!(load_environment(&env).unwrap().settings.targets[0].key.region, expected, "{url}");
    }
    let env = [QUICKSTART[0], QUICKSTART[2], QUICKSTART[3], ("POLYAI_EXPORTER__TARGETS__0__REGION", "us-1")];
    let target = load_environment(&env).unwrap().settings.targets.remove(0);
    assert_eq!(target.base_url, "https://api.us-1.platform.polyai.app", "the region has a host");
}

#[test]
fn incomplete_quickstart_names_missing_variables() {
    assert_snapshot!(load_environment(&[]).unwrap_err(), @r#"environment: targets: POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID are not set or empty; without a file, POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID configure the one target. Or name a file with --config FILE"#);
    assert_snapshot!(load_environment(&[QUICKSTART[0], QUICKSTART[2], ("POLYAI_PROJECT_ID", " ")]).unwrap_err(), @r#"environment: targets: POLYAI_BASE_URL and POLYAI_PROJECT_ID are not set or empty; without a file, POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID configure the one target. Or name a file with --config FILE"#);
    let mut env = QUICKSTART;
    env[1].1 = "https://api.us.poly.ai";
    assert_snapshot!(load_environment(&env).unwrap_err(), @r#"environment variable POLYAI_BASE_URL: targets[0].base_url: found "https://api.us.poly.ai": the Conversations API is not served by this family of hosts; write "https://api.us-1.platform.polyai.app""#);
    env[1].1 = "https://proxy";
    env[0].1 = "markér";
    assert_snapshot!(load_environment(&env).unwrap_err(), @r#"environment variable POLYAI_API_KEY: targets[0].api_key: the API key has a character that no HTTP header can carry, at position 5; copy it again"#);
}

#[test]
fn quickstart_variables_are_not_used_with_a_file() {
    assert_snapshot!(load_text("yaml", "polling: {interval: 1m}\n", &QUICKSTART).unwrap_err(), @r#"polyai.yaml: targets: there are none; list at least one, with region, account_id, project_id and api_key_env. The variables POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID configure a target only where there is no file: start without --config, or write a target with api_key_env: POLYAI_API_KEY"#);
}

#[test]
fn future_anchor_is_a_warning() {
    let loaded = |anchor: &str| {
        let text = format!("polling: {{anchor: \"{anchor}\"}}\n{TARGET}");
        let warnings = load_text("yaml", &text, &[]).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(loaded("2026-08-20T00:00:00Z"), "");
    assert_eq!(loaded("2026-08-21T08:00:00Z"), "", "clocks and zones may differ by a day");
    let warning = loaded("2062-08-20T00:00:00Z");
    assert!(
        warning.ends_with(
            "polling.anchor: found 2062-08-20T00:00:00Z, which is in the future: nothing counts until then; \
             write the time since when conversations count"
        ),
        "{warning}"
    );
}

#[test]
fn command_line_overrides_addresses_and_web_config() {
    let env = variables(&[("POLYAI_EXPORTER__SERVER__LISTEN", "127.0.0.1:1")]);
    let env: BTreeMap<_, _> = env.into_iter().chain(variables(&QUICKSTART)).collect();
    let listen = ["127.0.0.1:2".parse().unwrap(), "unix:/run/polyai.sock".parse().unwrap()];
    let loaded = load(&ConfigInput {
        file: None,
        env: &env,
        listen: &listen,
        web_config_file: Some(Path::new("web.yml")),
        now: today(),
    })
    .unwrap();
    assert_eq!(loaded.settings.server.listen, listen);
    assert_eq!(loaded.settings.server.web_config_file, Some("web.yml".into()));
}

#[test]
fn targets_are_sorted_and_share_api_keys() {
    let mut text = "targets:\n".to_owned();
    for (name, key) in [("c", "one"), ("a", "one"), ("b", "two")] {
        text.push_str(&format!(
            "  - {{name: {name}, region: us-1, account_id: w, project_id: p, api_key: {key}}}\n"
        ));
    }
    let settings = load_text("yaml", &text, &[]).unwrap().settings;
    let names: Vec<&str> = settings.targets.iter().map(|target| target.key.project.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(settings.targets_per_key(), BTreeMap::from([("one", 2), ("two", 1)]));
}

#[test]
fn exceeded_request_budget_is_a_warning() {
    for (targets, warned) in [(5, false), (6, true)] {
        let mut text = "targets:\n".to_owned();
        for index in 0..targets {
            text.push_str(&format!(
                "  - {{region: us-1, account_id: w, project_id: p{index}, api_key: one}}\n"
            ));
        }
        let loaded = load_text("yaml", &text, &[]).unwrap();
        assert_eq!(!loaded.warnings.is_empty(), warned, "{targets} targets: {:?}", loaded.warnings);
    }
}
