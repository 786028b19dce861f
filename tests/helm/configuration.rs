//! The exporter's configuration as rendered by Helm, checked by the exporter.

use std::path::Path;
use std::process::Command;

use yaml_rust2::Yaml;

use super::chart::{Scenario, scenario, scenarios, yaml};
use super::engine::{Rendered, helm3, one, rendered};
use super::object::{Object, Pod, items, of, sorted, the};

const BINARY: &str = env!("CARGO_BIN_EXE_polyai-exporter");

/// The configuration in the objects, if they have one.
fn configuration(objects: &[Object]) -> Option<&str> {
    of(objects, "ConfigMap").find_map(|map| map.yaml["data"]["polyai.yaml"].as_str())
}

fn values(scenario: &Scenario) -> Yaml {
    yaml(&scenario.text)["config"].clone()
}

#[test]
fn config_text_is_unchanged() {
    let text = scenario("text");
    let Some(rendered) = one(text.clone()) else { return };
    let written = values(&text).into_string().unwrap();
    for hard in ["{{ .Release.Name }}", "# the project label", "PROJECT-0000001  \n", "'ws-00000001'"] {
        assert!(written.contains(hard), "{hard}: {written}");
    }
    assert_eq!(configuration(&rendered.objects), Some(written.as_str()));
    let Some(by_helm3) = helm3(&text) else { return };
    assert_eq!(configuration(&by_helm3.unwrap()), Some(written.as_str()));
}

#[test]
fn config_object_keeps_its_values() {
    let scenario = scenario("full");
    let Some(rendered) = one(scenario.clone()) else { return };
    let found = yaml(configuration(&rendered.objects).unwrap());
    let expected = values(&scenario);
    // Helm sorts keys.
    assert_eq!(sorted(&without_fractions(&found)), sorted(&without_fractions(&expected)));
    assert_eq!(found["metrics"]["latency_buckets"], expected["metrics"]["latency_buckets"]);
    assert_eq!(found["polling"]["anchor"].as_str(), Some("2026-01-31T00:00:00Z"), "a time stays a text");
    assert_eq!(found["polling"]["page_size"].as_i64(), Some(1000));
}

/// Without the list of bounds, whose fractions are compared on their own.
fn without_fractions(configuration: &Yaml) -> Yaml {
    let mut table = configuration.clone().into_hash().unwrap();
    let metrics = Yaml::String("metrics".to_owned());
    if let Some(Yaml::Hash(metrics)) = table.get_mut(&metrics) {
        metrics.remove(&Yaml::String("latency_buckets".to_owned()));
    }
    Yaml::Hash(table)
}

/// The pod's own environment and files, as far as they can be had here, and the exporter's own `check`.
#[test]
fn exporter_accepts_rendered_configuration() {
    let Some(all) = rendered(&scenarios()) else { return };
    let (mut checked, mut with_tls) = (0, 0);
    for one in &all {
        let Some(text) = configuration(&one.objects) else { continue };
        let pod = the(&one.objects, "StatefulSet").pod().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("polyai.yaml");
        let secrets = dir.path().join("secrets");
        std::fs::write(&config, text.replace("/secrets/", &format!("{}/", secrets.display()))).unwrap();
        secret_files(pod, text, &secrets);
        let mut command = Command::new(BINARY);
        command.env_clear().args(["check", "--config"]).arg(&config).envs(environment(pod));
        let tls = web_config(&one.objects).map(|text| with_a_certificate(text, dir.path()));
        if let Some(file) = &tls {
            command.env("POLYAI_EXPORTER__SERVER__WEB_CONFIG_FILE", file);
        }
        let output = command.output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {said}", one.name);
        assert!(said.contains("state       /data\n"), "{}: {said}", one.name);
        let listen = items(&pod.exporter()["env"]).next().unwrap()["value"].as_str().unwrap();
        assert!(said.contains(&format!("listen      {listen}\n")), "{}: {said}", one.name);
        assert_eq!(said.contains(": TLS with a certificate until "), tls.is_some(), "{}: {said}", one.name);
        with_tls += usize::from(tls.is_some());
        checked += 1;
    }
    assert_eq!(checked, all.len() - 1, "all but the one whose configuration is there already");
    assert!(with_tls > 0, "no scenario has a web.config.yml of the chart's own");
}

/// Each variable of the exporter's container, those from Secrets with a value made up.
fn environment(pod: Pod<'_>) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = items(&pod.exporter()["env"])
        .map(|variable| (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap_or("a-key")))
        // What is in a Secret is the user's, and not here; what the chart writes is given below.
        .filter(|(name, _)| *name != "POLYAI_EXPORTER__SERVER__WEB_CONFIG_FILE")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if !pod.exporter()["envFrom"].is_badvalue() {
        variables.push(("POLYAI_API_KEY".to_owned(), "a-key".to_owned()));
    }
    variables
}

/// The web.config.yml that the chart writes, if it does.
fn web_config(objects: &[Object]) -> Option<&str> {
    of(objects, "ConfigMap").find_map(|map| map.yaml["data"]["web.config.yml"].as_str())
}

/// The same file in `dir`, and beside it what its Secret of type kubernetes.io/tls would hold.
fn with_a_certificate(text: &str, dir: &Path) -> std::path::PathBuf {
    let (mounted, here) = ("/etc/polyai-exporter-tls", dir.join("tls"));
    assert!(text.contains(mounted), "{text}");
    std::fs::create_dir(&here).unwrap();
    let made = rcgen::generate_simple_self_signed(["polyai-exporter".to_owned()]).unwrap();
    std::fs::write(here.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(here.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let file = dir.join("web.config.yml");
    std::fs::write(&file, text.replace(mounted, &here.display().to_string())).unwrap();
    file
}

/// A file for each `api_key_file`, which must be in a Secret that is mounted there.
fn secret_files(pod: Pod<'_>, config: &str, dir: &Path) {
    for target in items(&yaml(config)["targets"]) {
        let Some(path) = target["api_key_file"].as_str() else { continue };
        let (mount, _) = path.rsplit_once('/').unwrap();
        let mounts: Vec<_> =
            items(&pod.exporter()["volumeMounts"]).map(|one| one["mountPath"].as_str().unwrap()).collect();
        assert!(mounts.contains(&mount), "{path}: {mounts:?}");
        let file = dir.join(path.strip_prefix("/secrets/").unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "a-key").unwrap();
    }
}

/// A flag that the exporter does not know would end it at once.
#[test]
fn chart_uses_existing_commands_and_flags() {
    let Some(all) = rendered(&scenarios()) else { return };
    for (command, flags) in all.iter().flat_map(calls) {
        let help = help(&command);
        for flag in flags {
            let known = help.split_whitespace().any(|word| word.trim_end_matches(',') == flag);
            assert!(known, "{command} has no flag {flag}: {help}");
        }
    }
}

/// The flags of a command, in words.
fn help(command: &str) -> String {
    let output = Command::new(BINARY).env_clear().args([command, "--help"]).output().unwrap();
    assert!(output.status.success(), "there is no command {command}");
    String::from_utf8(output.stdout).unwrap()
}

/// Each call of the exporter in the pods: the command and its flags, without their values.
fn calls(rendered: &Rendered) -> Vec<(String, Vec<String>)> {
    let mut calls = Vec::new();
    for pod in rendered.objects.iter().filter_map(Object::pod) {
        let container = pod.exporter();
        calls.push(call(&container["args"], 0));
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let command = &container[probe]["exec"]["command"];
            if !command.is_badvalue() {
                assert_eq!(command[0].as_str(), Some("/polyai-exporter"));
                calls.push(call(command, 1));
            }
        }
    }
    calls
}

fn call(arguments: &Yaml, at: usize) -> (String, Vec<String>) {
    let words = super::object::texts(arguments);
    let flags = words[at + 1..].iter().map(|word| word.split('=').next().unwrap().to_owned()).collect();
    (words[at].to_owned(), flags)
}
