//! Everything that `check` reports about broken inputs, one fault each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use polyai_exporter::cli::check::{CheckArgs, run};
use yaml_rust2::{Yaml, YamlLoader};

use super::http_server::web_config_fixtures;

const CASES: &str = "tests/fixtures/check/broken.yaml";

/// Returns the exit code and the output without the description of the settings.
async fn check(case: &Yaml) -> String {
    let directory = web_config_fixtures::dir();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("key"), "marker\n").unwrap();
    for (name, text) in texts(&case["files"]) {
        fs::write(at(&name), text).unwrap();
    }
    let mut env = texts(&case["env"]);
    env.entry("KEY".to_owned()).or_insert_with(|| "marker".to_owned());
    let write = |name: &str, text: &Yaml| {
        text.as_str().map(|text| {
            let text = text.replace("{dir}", &directory.path().to_string_lossy());
            fs::write(at(name), text).unwrap();
            at(name)
        })
    };
    let flags = CheckArgs {
        config: env.remove("CONFIG").map(|name| at(&name)).or_else(|| write("polyai.yaml", &case["config"])),
        web_config_file: write("web.yml", &case["web"]),
        live: false,
    };
    let mut printed = Vec::new();
    let exit_code = run(&flags, &env, &mut printed).await.unwrap();
    let printed = String::from_utf8(printed).unwrap().replace(&prefix(directory.path()), "");
    let is_verdict =
        |line: &&str| ["problem: ", "warning: ", "OK", "NOT OK"].iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = printed.lines().filter(is_verdict).collect();
    format!("exit {exit_code}\n{}\n", lines.join("\n"))
}

fn prefix(directory: &Path) -> String {
    format!("{}/", directory.display())
}

fn texts(table: &Yaml) -> BTreeMap<String, String> {
    let text = |value: &Yaml| value.as_str().unwrap().to_owned();
    table.as_hash().into_iter().flatten().map(|(name, value)| (text(name), text(value))).collect()
}

#[tokio::test]
async fn broken_inputs_are_reported_as_in_snapshot() {
    let cases = YamlLoader::load_from_str(&fs::read_to_string(CASES).unwrap()).unwrap().remove(0);
    let cases = cases.into_vec().unwrap();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let (mut report, mut silent, mut leaking) = (String::new(), Vec::new(), Vec::new());
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let outcome = check(case).await;
        report.push_str(&format!("== {name}\n{outcome}\n"));
        if !outcome.contains("problem: ") && !outcome.contains("warning: ") {
            silent.push(name);
        }
        if outcome.contains("marker") {
            leaking.push(name);
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../fixtures/check");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("broken.yaml", report));
    assert!(silent.is_empty(), "nothing is reported: {silent:?}");
    assert!(leaking.is_empty(), "a secret is shown: {leaking:?}");
}
