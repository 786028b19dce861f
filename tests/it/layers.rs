//! The walls between modules: who never looks at whom, as ARCHITECTURE.md says.

use std::path::{Path, PathBuf};

/// Each module, and what must not occur in its code.
const NEVER: [(&str, &[&str]); 8] = [
    // The daemon knows nothing of the demo.
    ("app.rs", &["crate::backfill", "crate::simulator", "crate::cli"]),
    ("app", &["crate::backfill", "crate::simulator", "crate::cli"]),
    ("backfill", &["crate::http", "crate::cli", "reqwest"]),
    ("config", &["crate::api", "crate::poller", "crate::recorder", "crate::ledger", "crate::http", "tokio"]),
    (
        "poller",
        &["crate::exposition", "crate::http", "crate::aggregate", "ledger::store", "reqwest", "serde_json"],
    ),
    ("http", &["crate::api", "crate::poller", "crate::ledger", "crate::aggregate", "crate::recorder"]),
    (
        "status",
        &["crate::app", "crate::cli", "crate::poller", "crate::ledger", "crate::clock", "tokio", "reqwest"],
    ),
    (
        "alert_rules",
        &["crate::api", "crate::poller", "crate::aggregate", "crate::exporter_metrics", "std::fs", "tokio"],
    ),
];

#[test]
fn no_module_looks_over_its_walls() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (module, forbidden) in NEVER {
        for file in files(&src.join(module)) {
            let text = std::fs::read_to_string(&file).unwrap();
            // Tests may look anywhere.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in
                code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
            {
                for word in forbidden {
                    assert!(
                        !line.contains(word),
                        "{}:{}: `{module}` must not look at `{word}`: {}",
                        file.display(),
                        number + 1,
                        line.trim()
                    );
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} files were looked at");
}

/// The Rust files of a module, but for its tests.
fn files(module: &Path) -> Vec<PathBuf> {
    if module.is_file() {
        return vec![module.to_owned()];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(module).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            found.push(path);
        }
    }
    found
}
