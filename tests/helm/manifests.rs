//! `deploy/kubernetes`: the objects for those without Helm, rendered from the chart.

use std::process::Command;

use super::chart::{Scenario, project, read, yaml};
use super::engine::helm4;
use super::object::{Object, items, of, the};
use super::written;

const FOLDER: &str = "deploy/kubernetes";
const BEGIN: &str = "# Rendered from the chart in deploy/helm with values.yaml. Do not change this file: change those, and run\n\
                     # `POLYAI_UPDATE_DOCS=1 cargo test --test helm`.\n";

/// What only Helm needs; and the namespace is the business of kustomize.
const LEFT_OUT: [&str; 3] = ["helm.sh/chart:", "app.kubernetes.io/managed-by:", "namespace:"];

/// What the file should be. `None` without an engine.
fn manifests() -> Option<String> {
    let text = read(&project().join(FOLDER).join("values.yaml"));
    let scenario = Scenario { name: "without Helm".to_owned(), text };
    let rendered = helm4(&[scenario], "polyai-exporter")?.remove(0).unwrap();
    let mut manifests = BEGIN.to_owned();
    for object in &rendered.objects {
        manifests.push_str("---\n");
        let lines = object.text.trim_matches('\n').lines();
        for line in lines.filter(|line| !LEFT_OUT.iter().any(|start| line.trim_start().starts_with(start))) {
            manifests.push_str(line);
            manifests.push('\n');
        }
    }
    Some(manifests)
}

#[test]
fn the_manifests_are_rendered_from_the_chart() {
    let Some(expected) = manifests() else { return };
    written::is_current(&project().join(FOLDER).join("polyai-exporter.yaml"), &expected);
}

#[test]
fn the_manifests_and_the_kustomization_fit_together() {
    let folder = project().join(FOLDER);
    let kustomization = yaml(&read(&folder.join("kustomization.yaml")));
    let resource = kustomization["resources"][0].as_str().unwrap();
    let objects = Object::all_in(&read(&folder.join(resource)));
    let pod = the(&objects, "StatefulSet").pod().unwrap();
    let config =
        items(&pod.spec["volumes"]).find(|volume| volume["name"].as_str() == Some("config")).unwrap();
    let generated = &kustomization["configMapGenerator"][0];
    assert_eq!(config["configMap"]["name"], generated["name"]);
    assert_eq!(generated["files"][0].as_str(), Some("polyai.yaml"), "as the exporter is told by --config");
    assert_eq!(of(&objects, "Service").count(), 2);
    // The key is where the configuration looks for it.
    let target = yaml(&read(&folder.join("polyai.yaml")))["targets"][0].clone();
    let (mount, _) = target["api_key_file"].as_str().unwrap().rsplit_once('/').unwrap();
    assert!(
        items(&pod.exporter()["volumeMounts"]).any(|one| one["mountPath"].as_str() == Some(mount)),
        "{mount}"
    );
}

#[test]
fn the_exporter_accepts_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (config, key) = (folder.path().join("polyai.yaml"), folder.path().join("key"));
    std::fs::write(&key, "a-key").unwrap();
    let text = read(&project().join(FOLDER).join("polyai.yaml"));
    let here = text.replace("/secrets/polyai-api-keys/reservations", key.to_str().unwrap());
    std::fs::write(&config, here).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyai-exporter"));
    let output = command.env_clear().args(["check", "--config"]).arg(&config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
