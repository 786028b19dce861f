//! The exporter's routes, and how it observes its HTTP port.

mod metrics;
mod observer;
mod reload;
mod routes;
mod status_routes;

pub use exporter_web::{BindError, Limits, Server};
pub use metrics::MetricsSource;
pub use observer::EventObserver;
pub use reload::{ConfigReloader, ReloadFuture};
pub use routes::{Readiness, Routes};
pub use status_routes::{RenderedDocument, StatusRoute, StatusSource};

#[cfg(test)]
mod tests;
