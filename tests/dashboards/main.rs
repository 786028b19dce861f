//! The dashboards of `dashboards/`: their one source, the check that the files are current, and a lint.
//!
//! `POLYAI_UPDATE_DOCS=1 cargo test --test dashboards` writes the files instead of comparing them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a dashboard that cannot be built has failed")]

mod dashboard;
mod exporter;
mod field;
mod measures;
mod overview;
mod panel;
mod project;
mod quality;
mod query;
mod signals;
mod table;
mod variables;

use std::path::Path;

use dashboard::Dashboard;

fn all() -> Vec<Dashboard> {
    vec![overview::dashboard(), project::dashboard(), quality::dashboard(), exporter::dashboard()]
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn the_files_are_what_the_source_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    for dashboard in all() {
        let file = folder.join(format!("{}.json", dashboard.uid));
        let expected = dashboard.to_json();
        if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, expected).unwrap();
            continue;
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == expected,
            "{} is not current; run with POLYAI_UPDATE_DOCS=1 to write it",
            file.display()
        );
    }
}
