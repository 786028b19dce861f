//! Both versions of Helm render the same objects, and Kubernetes accepts them.

use std::process::Command;

use super::chart::scenarios;
use super::engine::{beside_python, helm3, helm4, rendered};

/// The oldest that Chart.yaml asks for, and the newest that has schemas.
const VERSIONS: [&str; 2] = ["1.25", "1.37"];

#[test]
fn helm_lint_has_no_findings() {
    let Some(all) = rendered(&scenarios()) else { return };
    for one in all {
        assert!(one.lint.is_empty(), "{}: {:?}", one.name, one.lint);
    }
}

/// Engines differ in the line that names the source of an object and in nothing else.
#[test]
fn helm_3_and_helm_4_render_same_objects() {
    let all = scenarios();
    let Some(expected) = rendered(&all) else { return };
    for (scenario, expected) in all.iter().zip(expected) {
        let Some(found) = helm3(scenario) else { return };
        let found = found.unwrap_or_else(|refusal| panic!("{}: {refusal}", scenario.name));
        assert_eq!(found.len(), expected.objects.len(), "{}", scenario.name);
        for object in expected.objects {
            let same = found
                .iter()
                .find(|other| (other.kind(), other.name()) == (object.kind(), object.name()))
                .unwrap_or_else(|| panic!("{}: no {} {}", scenario.name, object.kind(), object.name()));
            assert_eq!(same.yaml, object.yaml, "{}: {} {}", scenario.name, object.kind(), object.name());
        }
    }
}

#[test]
fn objects_match_kubernetes_schemas() {
    let Some(all) = rendered(&scenarios()) else { return };
    let Some(validate) = beside_python("kubernetes-validate") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut objects = 0;
    for one in &all {
        let native = one.objects.iter().filter(|object| object.is_native());
        let texts: Vec<&str> = native.map(|object| object.text.as_str()).collect();
        objects += texts.len();
        let file = dir.path().join(format!("{}.yaml", one.name));
        std::fs::write(&file, texts.join("\n---\n")).unwrap();
        files.push(file);
    }
    let mut command = Command::new(validate);
    command.arg("--strict").args(VERSIONS.iter().flat_map(|version| ["-k", version])).args(&files);
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches(" passed for resource ").count(), objects * VERSIONS.len(), "{said}");
}

/// A name becomes a label of 63 characters; that of a StatefulSet with a hash of 11 appended.
#[test]
fn names_fit_for_longest_release_name() {
    // The longest name that Helm allows for a release.
    let long = "a-release-with-the-longest-name-that-helm-allows-1234";
    assert_eq!(long.len(), 53);
    let Some(all) = helm4(&scenarios(), long) else { return };
    for one in all {
        let one = one.unwrap_or_else(|refusal| panic!("{refusal}"));
        let mut names = Vec::new();
        for object in &one.objects {
            let most = if object.kind() == "StatefulSet" { 52 } else { 63 };
            assert!(object.name().len() <= most, "{}: {} {}", one.name, object.kind(), object.name());
            assert!(!object.name().ends_with('-'), "{}", object.name());
            names.push((object.kind(), object.name()));
            for (name, value) in object.labels().as_hash().unwrap() {
                assert!(value.as_str().is_some_and(|value| value.len() <= 63), "{name:?}: {value:?}");
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{}: two objects have one name: {names:?}", one.name);
    }
}

#[test]
fn objects_fit_into_last_applied_annotation() {
    let Some(all) = rendered(&scenarios()) else { return };
    for object in all.iter().flat_map(|one| &one.objects) {
        // What `kubectl apply` and Argo CD keep in an annotation.
        assert!(object.text.len() < 256 * 1024, "{} {}: {}", object.kind(), object.name(), object.text.len());
    }
}
