//! `deploy/kubernetes`: the kustomization and the configuration fit the manifests.

use std::process::Command;

use super::chart::{project, read, yaml};
use super::object::{Object, items, of, the};

const DIRECTORY: &str = "deploy/kubernetes";

#[test]
fn kustomization_matches_manifests() {
    let dir = project().join(DIRECTORY);
    let kustomization = yaml(&read(&dir.join("kustomization.yaml")));
    let resource = kustomization["resources"][0].as_str().unwrap();
    let objects = Object::all_in(&read(&dir.join(resource)));
    let pod = the(&objects, "StatefulSet").pod().unwrap();
    let config =
        items(&pod.spec["volumes"]).find(|volume| volume["name"].as_str() == Some("config")).unwrap();
    let generated = &kustomization["configMapGenerator"][0];
    assert_eq!(config["configMap"]["name"], generated["name"]);
    assert_eq!(generated["files"][0].as_str(), Some("polyai.yaml"), "as in --config");
    assert_eq!(of(&objects, "Service").count(), 2);
    // The key is where the configuration looks for it.
    let target = yaml(&read(&dir.join("polyai.yaml")))["targets"][0].clone();
    let (mount, _) = target["api_key_file"].as_str().unwrap().rsplit_once('/').unwrap();
    assert!(
        items(&pod.exporter()["volumeMounts"]).any(|one| one["mountPath"].as_str() == Some(mount)),
        "{mount}"
    );
}

#[test]
fn exporter_accepts_kubernetes_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (config, key) = (dir.path().join("polyai.yaml"), dir.path().join("key"));
    std::fs::write(&key, "a-key").unwrap();
    let text = read(&project().join(DIRECTORY).join("polyai.yaml"));
    let here = text.replace("/secrets/polyai-api-keys/reservations", key.to_str().unwrap());
    std::fs::write(&config, here).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyai-exporter"));
    let output = command.env_clear().args(["check", "--config"]).arg(&config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
