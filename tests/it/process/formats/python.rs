//! The parsers of the text formats in the reference client library for Python.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::daemon::{command, run};
use super::super::has;
use super::parsed::{Exemplar, Labels, ParsedExposition, is_committed, key, millis};

/// One scrape as the parser reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    pub(crate) accept: String,
    pub(crate) encoding: String,
    pub(crate) content_type: String,
    families: Vec<Family>,
}

#[derive(Debug, Deserialize)]
struct Family {
    name: String,
    r#type: String,
    help: String,
    unit: Option<String>,
    samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    name: String,
    labels: Labels,
    value: String,
    stamped: bool,
    exemplar: Option<Example>,
}

#[derive(Debug, Deserialize)]
struct Example {
    labels: Labels,
    value: String,
    at: Option<String>,
}

fn interpreter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3")
}

/// Whether the interpreter and the parsers are installed.
pub(crate) async fn installed() -> bool {
    let mut python = command(interpreter());
    python.args(["-c", "import prometheus_client.openmetrics.parser"]);
    let found = python.status().await.is_ok_and(|status| status.success());
    has(found, "the Python package prometheus-client is not in target/python; tests/run installs it")
}

/// Scrapes `exporter` in every text format and encoding.
pub(crate) async fn scrape(exporter: SocketAddr) -> Vec<Reading> {
    let mut python = command(interpreter());
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/process/read_openmetrics.py"));
    python.arg(format!("http://{exporter}/metrics"));
    let ended = run(python).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "the parser rejects the exposition");
    serde_json::from_str(&ended.stdout).unwrap()
}

impl Reading {
    pub(crate) fn is_openmetrics(&self) -> bool {
        self.accept.starts_with("application/openmetrics-text")
    }

    /// The families that have a unit, with their units.
    pub(crate) fn units(&self) -> impl Iterator<Item = (&str, &str)> {
        let units =
            self.families.iter().filter_map(|family| Some((family.name.as_str(), family.unit.as_deref()?)));
        units.filter(|(_, unit)| !unit.is_empty())
    }

    pub(crate) fn parse(&self) -> ParsedExposition {
        let mut parsed = ParsedExposition::default();
        for family in &self.families {
            // The parsers remove `_total` from the name of a counter in both formats.
            let total = if family.r#type == "counter" { "_total" } else { "" };
            let name = format!("{}{total}", family.name);
            for sample in &family.samples {
                self.take(family, &name, sample, &mut parsed);
            }
            let head = (family.r#type.clone(), family.help.clone());
            assert_eq!(parsed.families.insert(name.clone(), head), None, "{name}: twice");
        }
        parsed
    }

    fn take(&self, family: &Family, name: &str, sample: &Sample, parsed: &mut ParsedExposition) {
        assert!(!sample.stamped, "{sample:?}");
        let value = sample.value.parse().unwrap();
        if sample.name == format!("{}_created", family.name) {
            assert!(self.is_openmetrics(), "{sample:?}");
            if is_committed(name) {
                parsed.starts.insert(key(name, &sample.labels), millis(value));
            }
            return;
        }
        let series = key(&sample.name, &sample.labels);
        if let Some(one) = &sample.exemplar {
            let exemplar = Exemplar {
                labels: one.labels.clone(),
                value: one.value.parse().unwrap(),
                at: one.at.as_ref().map(|at| millis(at.parse().unwrap())),
            };
            parsed.exemplars.insert(series.clone(), exemplar);
        }
        assert_eq!(parsed.samples.insert(series.clone(), value), None, "{series}: twice");
    }
}
