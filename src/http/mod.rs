//! The exporter's routes.

mod metrics;
mod reload;
mod routes;
mod status_routes;

pub use exporter_web::{BindError, Limits, Server};
pub use metrics::MetricsSource;
pub use reload::{ConfigReloader, ReloadFuture};
pub use routes::{Readiness, Routes};
pub use status_routes::{RenderedDocument, StatusRoute, StatusSource};

#[cfg(test)]
mod tests;
