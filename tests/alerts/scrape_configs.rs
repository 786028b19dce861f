//! Every scrape configuration in documents, examples and scripts keeps the labels of the exporter's series.

use std::path::{Path, PathBuf};

use super::rules::project;

/// The files below `dir` with text that may contain a scrape configuration.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path
            .extension()
            .is_none_or(|end| ["md", "yml", "yaml", "tpl"].iter().any(|text| end == *text))
        {
            found.push(path);
        }
    }
}

#[test]
fn scrape_configurations_honor_labels() {
    let mut found = vec![project().join("README.md")];
    for dir in ["alerts", "deploy", "docs", "scripts"] {
        files(&project().join(dir), &mut found);
    }
    let mut jobs = 0;
    for path in found {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (at, _) in text.match_indices("job_name: polyai\n") {
            let job = text[at..].split("- job_name: ").next().unwrap().split("```").next().unwrap();
            assert!(job.contains("\n    honor_labels: true\n"), "{}: {job}", path.display());
            jobs += 1;
        }
        for (at, _) in text.match_indices("honorLabels: ") {
            assert!(text[at..].starts_with("honorLabels: true"), "{}", path.display());
            jobs += usize::from(path.ends_with("servicemonitor.yaml"));
        }
    }
    assert_eq!(jobs, 7);
}
