//! The exporter's routes.

mod metrics;
mod routes;
mod status_routes;

pub use exporter_web::{BindError, Limits, Server};
pub use metrics::MetricsSource;
pub use routes::{ConfigReloader, Readiness, ReloadFuture, Routes};
pub use status_routes::{RenderedDocument, StatusRoute, StatusSource};

#[cfg(test)]
mod tests;
