//! The structure of the workspace: no cycles between modules, and the dependencies between crates.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use modules::CrateModules;

/// Every member of the workspace, with the members that its production code may depend on.
const DEPENDENCIES: [(&str, &[&str]); 9] = [
    ("polyai-domain", &[]),
    ("exporter-schema", &[]),
    ("exporter-exposition", &[]),
    ("polyai-api", &["polyai-domain"]),
    ("polyai-engine", &["polyai-domain"]),
    ("polyai-simulator", &["polyai-domain"]),
    ("exporter-web", &["exporter-schema"]),
    (
        "polyai-exporter",
        &[
            "exporter-exposition",
            "exporter-schema",
            "exporter-web",
            "polyai-api",
            "polyai-domain",
            "polyai-engine",
            "polyai-simulator",
        ],
    ),
    ("xtask", &["exporter-exposition", "polyai-domain", "polyai-engine", "polyai-exporter"]),
];

/// Crates that any exporter could use.
const GENERIC_CRATES: [&str; 3] = ["crates/exposition", "crates/schema", "crates/web"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The entry point of every library and program in the workspace.
fn entry_points() -> Vec<String> {
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let names = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = names.map(|name| format!("crates/{name}/src/lib.rs")).collect();
    found.extend(["src/lib.rs", "src/main.rs", "xtask/src/main.rs"].map(str::to_owned));
    found.sort();
    found
}

#[test]
fn modules_have_no_import_cycles() {
    let mut cycles = Vec::new();
    let mut modules = 0;
    for entry_point in entry_points() {
        let read = CrateModules::read(&root().join(&entry_point));
        modules += read.len();
        cycles.extend(read.cycles().into_iter().map(|cycle| format!("{entry_point}: {cycle}")));
    }
    assert!(cycles.is_empty(), "{} cycles:\n\n{}", cycles.len(), cycles.join("\n"));
    assert!(modules > 150, "only {modules} modules were read");
}

#[test]
fn crate_dependencies_match_architecture() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let found: BTreeMap<&str, BTreeSet<&str>> = packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let production = dependencies.filter(|dependency| dependency["kind"] != "dev");
            let of_workspace = production
                .map(|dependency| dependency["name"].as_str().unwrap())
                .filter(|name| names.contains(name));
            (package["name"].as_str().unwrap(), of_workspace.collect())
        })
        .collect();
    let expected: BTreeMap<&str, BTreeSet<&str>> =
        DEPENDENCIES.iter().map(|(name, allowed)| (*name, allowed.iter().copied().collect())).collect();
    assert_eq!(found, expected, "a new dependency between crates is a change of the architecture");
}

#[test]
fn generic_crates_do_not_mention_polyai() {
    for directory in GENERIC_CRATES {
        let read = CrateModules::read(&root().join(directory).join("src/lib.rs"));
        let found: Vec<_> =
            read.words().filter(|(_, word)| word.to_ascii_lowercase().contains("polyai")).collect();
        assert!(found.is_empty(), "{directory}: {found:?}");
    }
}
