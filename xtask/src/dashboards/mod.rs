//! The dashboards for Grafana, a module for each, and their lint.

mod dashboard;
mod exporter;
mod field;
#[cfg(test)]
mod lint;
mod measures;
mod overview;
mod panel;
mod project;
mod quality;
mod query;
mod signals;
mod slo;
mod table;
#[cfg(test)]
mod tests;
mod variables;

pub(crate) use dashboard::Dashboard;

/// All dashboards.
pub(crate) fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        project::dashboard(),
        quality::dashboard(),
        slo::dashboard(),
        exporter::dashboard(),
    ]
}
